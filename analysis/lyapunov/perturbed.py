"""Perturbed trajectories: displaced copies of a network that share one frozen input.

The paper's own idea, on a base whose spikes are located in time rather than on a grid: a hard
reset on the grid sets two copies to the same value in the same step, and their difference is
gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from analysis.lyapunov.engine import Engine
from analysis.lyapunov.eventdriven import event_engine
from analysis.lyapunov.ordered import ordered_engine
from analysis.lyapunov.qr import Progress, follow, orthonormal_start, summarise
from analysis.lyapunov.result import LyapunovResult
from models_eq.errors import CapabilityError, ConvergenceError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.rng import stream
from models_eq.stimulus import Stimulus

DISPLACEMENT = 1e-7
# Larger ones are no longer small: they gave spurious positive exponents.
LARGEST = 1e-4
_TRIES = 200


def base_engine(
    net: HRSNN,
    stimulus: Stimulus | None,
    dt: float,
    initial_state: Mapping[str, Any] | None,
    seed: int,
) -> Engine:
    """Engine on which finite displacements can be measured.

    Raises
    ------
    CapabilityError
        For models on which they cannot.
    """
    if net.model == "qif":
        return event_engine(net, stimulus, initial_state=initial_state, seed=seed)
    if net.model == "lif_delta":
        raise CapabilityError(
            "method",
            "a model whose copies stay close",
            "perturbed for lif_delta",
            "A kick to the membrane makes copies jump apart where two spikes change their order. "
            "Take method='event' or 'saltation'",
        )
    if net.model != "lif_exp":
        raise CapabilityError(
            "method",
            "lif_exp or qif, whose spikes are located in time",
            f"perturbed for {net.model}",
            "A hard reset on the grid erases a displacement. Take method='saltation'",
        )
    return ordered_engine(net, stimulus, dt=dt, initial_state=initial_state, seed=seed)


def place(engine: Engine, base: Engine, shift: np.ndarray) -> None:
    """Set an engine to the base's state displaced by ``shift``, shape (n, variables)."""
    net = base.net
    free = ~base.held
    engine.held[:] = base.held
    engine.x[:] = base.x + np.where(free, shift[:, 0], 0.0)
    if net.kind == 0:
        engine.s[:] = base.s + shift[:, 1]
    # A refractory neuron remembers when it will be released, and nothing else.
    lag = shift[:, 0] * net.tau / (net.v_th - net.v_reset)
    engine.count[:] = base.count
    engine.settle(np.where(free, np.nan, np.maximum(base.release - lag, base.time)))


def difference(engine: Engine, base: Engine) -> np.ndarray | None:
    """Displacement of an engine from the base, shape (n, variables); None between their spikes."""
    if (engine.count != base.count).any() or (engine.held != base.held).any():
        return None
    net = base.net
    later = np.where(base.held, engine.release - base.release, 0.0)
    membrane = np.where(base.held, -later * (net.v_th - net.v_reset) / net.tau, engine.x - base.x)
    parts = [membrane] if net.kind else [membrane, engine.s - base.s]
    return np.stack(parts, axis=1)


class _Copies:
    """Base and displaced copies, as a stepper of the QR engine: vectors are differences / d0."""

    def __init__(
        self, base: Engine, copies: list[Engine], start: float, t_qr: float, size: float
    ) -> None:
        self.base, self.copies = base, copies
        self.start, self.t_qr, self.size = start, t_qr, size
        n, d = base.net.n, base.net.variables
        self._vectors = np.zeros((n * d, len(copies)))
        self.spikes = [int(base.count.sum())]

    @property
    def tangents(self) -> np.ndarray:
        """Displacements in units of d0, in place, shape (n * variables, k)."""
        return self._vectors

    def advance(self, interval: int) -> None:
        """Displace the copies, run all over one interval, and take differences."""
        shape = (self.base.net.n, self.base.net.variables)
        for column, copy in enumerate(self.copies):
            place(copy, self.base, self.size * self._vectors[:, column].reshape(shape))
        end = self.start + (interval + 1) * self.t_qr
        step = getattr(self.base, "dt", 1e-5)
        for _ in range(_TRIES):
            for engine in (self.base, *self.copies):
                engine.advance_to(end)
            found = [difference(copy, self.base) for copy in self.copies]
            if all(one is not None for one in found):
                break
            # A spike of one lies just before this moment and of another just after: the
            # difference is taken a little later, when all have made it.
            end += step
        else:
            raise ConvergenceError(
                "displacement",
                "copies that spike together",
                f"copies apart for {_TRIES * step:g} s at {self.base.time:.4g} s",
                "Take a shorter t_qr: displacements outgrow the linear regime",
            )
        for column, one in enumerate(found):
            assert one is not None
            self._vectors[:, column] = one.ravel() / self.size
        self.spikes.append(int(self.base.count.sum()))


def perturbed_spectrum(
    net: HRSNN,
    stimulus: Stimulus | None,
    *,
    k: int,
    duration: float,
    dt: float,
    transient: float,
    t_qr: float,
    seed: int,
    initial_state: Mapping[str, Any] | None = None,
    displacement: float = DISPLACEMENT,
    progress: Progress | None = None,
    reason: str = "",
) -> LyapunovResult:
    """Exponents from k displaced copies that share one frozen input (Benettin).

    Parameters
    ----------
    net : HRSNN
        A ``lif_exp`` network (on the ordered clock) or a ``qif`` one (event by event).
    stimulus, k, seed, initial_state, progress
        As in :func:`~analysis.lyapunov.spectrum.lyapunov_spectrum`.
    duration, dt, transient, t_qr : float, s
        Times. Displacements are orthonormalised and set back to their size every ``t_qr``.
    displacement : float
        Size of the displacements in the space of v and s, at most 1e-4. Rounding spoils what is
        below 1e-10, curvature what is above 1e-5.
    reason : str
        Why this method.

    Raises
    ------
    CapabilityError
        For models on which displacements cannot be measured, with the reason.
    ParameterError
        For a displacement out of range.
    ConvergenceError
        For copies that separate, or an estimate that cannot be trusted.

    References
    ----------
    Benettin, Galgani, Giorgilli & Strelcyn 1980, 10.1007/BF02128236.
    """
    size = checked_displacement(displacement)
    base = base_engine(net, stimulus, dt, initial_state, seed)
    warm_up, keep = round(transient / t_qr), round(duration / t_qr)
    alone = warm_up // 2
    copies = [base_engine(net, stimulus, dt, initial_state, seed) for _ in range(k)]
    for engine in (base, *copies):
        engine.advance_to(alone * t_qr)
    stepper = _Copies(base, copies, alone * t_qr, t_qr, size)
    stepper.tangents[...] = orthonormal_start(
        stepper.tangents.shape[0], k, stream(seed, "v_init", 1)
    )
    growth = follow(stepper, warm_up - alone, keep, progress=progress)
    spikes = stepper.spikes[-1] - stepper.spikes[warm_up - alone]
    return summarise(
        growth.log,
        t_qr,
        moving=spikes > 0,
        per_neuron=growth.squares.reshape(net.n, -1, k).sum(axis=1),
        transient=transient,
        dt=dt,
        method="perturbed",
        reason=reason,
        system=repr(net),
        dimension=stepper.tangents.shape[0],
        conditional=stimulus is not None,
        n_spikes=spikes,
        digest=net.digest,
        seed=seed,
    )


def checked_displacement(value: Any) -> float:
    """Return a displacement as a float.

    Raises
    ------
    ParameterError
        If it is not above 0 and at most 1e-4.
    """
    try:
        size = float(value)
    except (TypeError, ValueError):
        size = np.nan
    if not 0 < size <= LARGEST:
        raise ParameterError(
            "displacement", f"a number above 0 and at most {LARGEST:g}", value,
            "Larger ones leave the linear regime within one interval",
        )  # fmt: skip
    return size
