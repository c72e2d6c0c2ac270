"""Spectra from the compiled engines: base first, then base and tangents, one interval at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from analysis.lyapunov.engine import Engine
from analysis.lyapunov.eventdriven import event_engine
from analysis.lyapunov.ordered import OrderedEngine, ordered_engine
from analysis.lyapunov.qr import Progress, follow, orthonormal_start, summarise
from analysis.lyapunov.result import LyapunovResult
from models_eq.hrsnn import HRSNN
from models_eq.rng import stream
from models_eq.stimulus import Stimulus


class _EngineStepper:
    """An engine under the QR engine; remembers what it was at the end of every interval."""

    def __init__(self, engine: Engine, start: float, t_qr: float) -> None:
        self.engine, self.start, self.t_qr = engine, start, t_qr
        self.volume: list[float | None] = []
        self.spikes: list[int] = []
        self.shared: list[int] = []
        self.look()

    @property
    def tangents(self) -> np.ndarray:
        """Tangent vectors in place, shape (n * variables, k)."""
        return self.engine.tangents

    def look(self) -> None:
        """Note volume and spikes up to now."""
        self.volume.append(self.engine.log_volume)
        self.spikes.append(int(self.engine.count.sum()))
        self.shared.append(getattr(self.engine, "shared", 0))

    def advance(self, interval: int) -> None:
        """Advance over one interval."""
        self.engine.advance_to(self.start + (interval + 1) * self.t_qr)
        self.look()


def engine_spectrum(
    net: HRSNN,
    stimulus: Stimulus | None,
    *,
    method: str,
    k: int,
    duration: float,
    dt: float,
    transient: float,
    t_qr: float,
    seed: int,
    initial_state: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    reason: str = "",
    **wrong: Any,
) -> LyapunovResult:
    """Exponents by the event-driven (``"event"``) or the ordered engine (``"saltation"``).

    Parameters
    ----------
    net, stimulus, k, seed, initial_state, progress
        As in :func:`~analysis.lyapunov.spectrum.lyapunov_spectrum`.
    method : {'event', 'saltation'}
        Which engine.
    duration, dt, transient, t_qr : float, s
        Times, the first, third and fourth multiples of the fourth.
    reason : str
        Why this method.
    **wrong
        What to do wrongly on purpose, see :class:`~analysis.lyapunov.ordered.OrderedEngine`.

    Raises
    ------
    ConvergenceError
        For an estimate that cannot be trusted.
    """
    engine: Engine
    if method == "event":
        engine = event_engine(net, stimulus, initial_state=initial_state, seed=seed)
    else:
        engine = ordered_engine(
            net, stimulus, dt=dt, initial_state=initial_state, seed=seed, **wrong
        )
    warm_up, keep = round(transient / t_qr), round(duration / t_qr)
    # The network settles alone, which costs little, before vectors align along it.
    alone = warm_up // 2
    engine.advance_to(alone * t_qr)
    engine.carry(k)
    engine.tangents[...] = orthonormal_start(engine.tangents.shape[0], k, stream(seed, "v_init", 1))
    stepper = _EngineStepper(engine, alone * t_qr, t_qr)
    growth = follow(stepper, warm_up - alone, keep, progress=progress)
    first = warm_up - alone
    spikes = stepper.spikes[-1] - stepper.spikes[first]
    share = None
    if isinstance(engine, OrderedEngine):
        share = (stepper.shared[-1] - stepper.shared[first]) / max(1, spikes)
    volume = None
    if stepper.volume[-1] is not None:
        volume = np.diff(np.array(stepper.volume[first:], dtype=float))
    return summarise(
        growth.log,
        t_qr,
        moving=spikes > 0,
        volume=volume,
        per_neuron=growth.squares.reshape(net.n, -1, k).sum(axis=1),
        transient=transient,
        dt=dt,
        method=method,
        reason=reason,
        system=repr(net),
        dimension=engine.tangents.shape[0],
        conditional=stimulus is not None,
        n_spikes=spikes,
        same_step_share=share,
        digest=net.digest,
        seed=seed,
    )
