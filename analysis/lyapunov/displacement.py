"""How far displaced copies of a network drift from it when nothing sets them back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.lyapunov.perturbed import (
    DISPLACEMENT,
    base_engine,
    checked_displacement,
    difference,
    place,
)
from models_eq.checks import whole
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.packing import Arrays, Held, check, register, take
from models_eq.rng import check_seed, stream
from models_eq.stimulus import Stimulus
from models_eq.units import positive_seconds


@dataclass(frozen=True, eq=False)
class DisplacementGrowth:
    """How far displaced copies drift from their base, never renormalised.

    Attributes
    ----------
    t : ndarray, shape (m,), s
        Times.
    distance : ndarray, shape (copies, m)
        Euclidean distance over all state variables; NaN at moments between a spike of the base
        and the same spike of the copy. Of copies that have come apart for good it is the plain
        distance between states.
    displacement : float
        Distance at the start.
    rate : float or None, 1/s
        Leading Lyapunov exponent, where it was given.
    """

    t: np.ndarray
    distance: np.ndarray
    displacement: float
    rate: float | None = None

    def __repr__(self) -> str:
        return (
            f"DisplacementGrowth({self.distance.shape[0]} copies over {self.t[-1]:g} s "
            f"from {self.displacement:g})"
        )


def _encode(value: DisplacementGrowth) -> tuple[Arrays, Mapping[str, Any]]:
    return {"t": value.t, "distance": value.distance}, {
        "displacement": value.displacement,
        "rate": value.rate,
    }


def _decode(arrays: Held, meta: Mapping[str, Any]) -> DisplacementGrowth:
    t, distance = take(arrays, "t", "<f8"), take(arrays, "distance", "<f8")
    check(distance.shape[1:] == t.shape, "distance", f"shape (copies, {t.size})", distance.shape)
    return DisplacementGrowth(t, distance, meta["displacement"], meta["rate"])


register("DisplacementGrowth", DisplacementGrowth, _encode, _decode)


def displacement_growth(
    net: HRSNN,
    stimulus: Stimulus | None = None,
    *,
    duration: Any = "1 s",
    copies: int = 10,
    displacement: float = DISPLACEMENT,
    transient: Any = "1 s",
    dt: Any = "0.1 ms",
    sample_dt: Any = "5 ms",
    rate: float | None = None,
    initial_state: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> DisplacementGrowth:
    """Follow displaced copies of a network without renormalising them.

    Parameters
    ----------
    net : HRSNN
        A ``lif_exp`` or ``qif`` network.
    stimulus : Stimulus, optional
        Frozen input, without trials, that all share.
    duration, transient : Quantity or str
        Time followed, and time before the copies are displaced.
    copies : int
        Copies, each displaced in another random direction.
    displacement : float
        Initial distance, at most 1e-4.
    dt, sample_dt : Quantity or str
        Time step (``lif_exp``) and interval of the samples.
    rate : float, optional, 1/s
        Leading exponent, kept for comparison.
    initial_state, seed
        As in :func:`models_eq.simulate`.

    Returns
    -------
    DisplacementGrowth
        Distances over time, and the rate to compare them with.

    Raises
    ------
    CapabilityError
        For models on which displacements cannot be measured.
    """
    size = checked_displacement(displacement)
    length, before = (
        positive_seconds(duration, "duration"),
        positive_seconds(transient, "transient"),
    )
    step, sample = positive_seconds(dt, "dt"), positive_seconds(sample_dt, "sample_dt")
    count, seed = whole(copies, "copies"), check_seed(seed)
    if stimulus is not None and before + length > stimulus.duration + 1e-9:
        raise ParameterError(
            "duration", f"with the transient at most the stimulus ({stimulus.duration:g} s)",
            f"{before:g} + {length:g} s",
        )  # fmt: skip
    engines = [base_engine(net, stimulus, step, initial_state, seed) for _ in range(count + 1)]
    for engine in engines:
        engine.advance_to(before)
    base, *others = engines
    directions = stream(seed, "v_init", 2).standard_normal((count, net.n, base.net.variables))
    for direction, copy in zip(directions, others, strict=True):
        place(copy, base, size * direction / np.linalg.norm(direction))
    t = sample * np.arange(1, int(length / sample + 1e-9) + 1)
    distance, apart = np.full((count, t.size), np.nan), np.zeros(count, dtype=bool)
    for column, moment in enumerate(t):
        for engine in engines:
            engine.advance_to(before + moment)
        for row, copy in enumerate(others):
            found = difference(copy, base)
            if found is not None:
                distance[row, column] = np.linalg.norm(found)
            elif column and apart[row]:
                # Out of step twice: no longer a displacement, but two states of the network.
                rest = (copy.x - base.x, copy.s - base.s)
                distance[row, column] = np.linalg.norm(rest)
            apart[row] = found is None
    return DisplacementGrowth(t, distance, size, rate)
