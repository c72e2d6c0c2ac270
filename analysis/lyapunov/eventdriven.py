"""Exact event-driven networks: the oracle, and the fastest engine where inputs are few.

The leaky models and the quadratic one have closed forms between events, so spike times are found
by root finding, and tangent vectors are carried by the exact Jacobian of each event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from analysis.lyapunov import _events as compiled
from analysis.lyapunov._neuron import crossing
from analysis.lyapunov.engine import Engine
from analysis.lyapunov.flat import FlatInput, FlatNetwork, flatten, flatten_input, start_state
from models_eq.errors import ConvergenceError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.rng import check_seed
from models_eq.stimulus import Stimulus
from models_eq.trajectory import Trajectory
from models_eq.units import positive_seconds

_RECORD = 1 << 16


class EventEngine(Engine):
    """One network with k tangent vectors, advanced exactly from event to event.

    Parameters and attributes are those of :class:`~analysis.lyapunov.engine.Engine`.
    """

    def __init__(
        self, net: FlatNetwork, given: FlatInput, x: np.ndarray, s: np.ndarray, k: int
    ) -> None:
        super().__init__(net, given, x, s, k)
        n = net.n
        self._last, self._next = np.zeros(n), np.full(n, np.inf)
        self._dirty = np.zeros(n, dtype=bool)
        groups = (n + 63) // 64
        self._lowest, self._stale = np.zeros(groups), np.ones(groups, dtype=bool)
        self._counters, self._clock = np.zeros(7, dtype=np.int64), np.zeros(2)
        self._current = net.drive + given.rows[0]
        self._no_record = (np.zeros(0), np.zeros(0, dtype=np.int64))
        self.settle()

    @property
    def time(self) -> float:
        """Present time, s."""
        return float(self._clock[0])

    @property
    def forced_spikes(self) -> int:
        """Spikes so far that a kick has set off at once."""
        return int(self._counters[compiled.FORCED])

    @property
    def release(self) -> np.ndarray:
        """When each refractory neuron is released, shape (n,), s; NaN for the others."""
        return np.where(self.held, self._next, np.nan)

    def settle(self, release: np.ndarray | None = None) -> None:
        """Find the next event of every neuron, after its state was set from outside.

        Parameters
        ----------
        release : ndarray, shape (n,), s, optional
            When refractory neurons are released.
        """
        net, t = self.net, self.time
        row = int(self._counters[compiled.ROW])
        end = (row + 1) * self.given.hold if row < len(self.given.rows) - 1 else np.inf
        for j in range(net.n):
            if self.held[j]:
                if release is not None:
                    self._next[j] = release[j]
            else:
                h = crossing(
                    net.kind, self.x[j], self.s[j], self._current[j], net.v_th[j], net.tau[j],
                    net.tau_s[j], end - t,
                )  # fmt: skip
                self._next[j] = t + h
        self._dirty[:] = False
        self._stale[:] = True

    def advance_to(
        self, t: float, record: list[tuple[np.ndarray, np.ndarray]] | None = None
    ) -> None:
        """Advance to time ``t``, s; spikes are appended to ``record`` as (times, neurons).

        Raises
        ------
        ConvergenceError
            If spikes follow each other without end, as in an avalanche of kicks.
        """
        while True:
            out = self._no_record
            if record is not None:
                out = (np.empty(_RECORD), np.empty(_RECORD, dtype=np.int64))
            written = compiled.events(
                self.net.kind, t, *self.net.arrays, self.net.drive, *self.given.arrays,
                self.x, self.s, self._last, self.held, self._next, self._dirty, self._forced,
                self._forced_lag, self._lag, self._current, self._lowest, self._stale, self.y,
                self._counters, self._volume, self._clock, self.count, *out,
            )  # fmt: skip
            if record is not None:
                record.append((out[0][:written], out[1][:written]))
            if self._counters[compiled.STUCK]:
                raise ConvergenceError(
                    "net", "at most 100 spikes a neuron at once",
                    f"an avalanche of spikes at {self._clock[1]:.6g} s",
                    "Weaken excitation, or give the neurons a refractory period",
                )  # fmt: skip
            if not self._counters[compiled.FULL]:
                return


def event_engine(
    net: HRSNN,
    stimulus: Stimulus | None = None,
    *,
    k: int = 0,
    initial_state: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> EventEngine:
    """Event-driven engine of a ``lif_exp``, ``lif_delta`` or ``qif`` network.

    Parameters
    ----------
    net : HRSNN
        The network.
    stimulus : Stimulus, optional
        Frozen input without trials: currents piecewise constant, input spikes at their own times.
    k : int
        Number of tangent vectors.
    initial_state : Mapping of str to array_like, optional
        As in :func:`models_eq.simulate`.
    seed : int
        Seed of the initial state where it is not given.
    """
    x, s = start_state(net, initial_state, check_seed(seed))
    return EventEngine(flatten(net), flatten_input(net, stimulus), x, s, k)


def simulate_events(
    net: HRSNN,
    stimulus: Stimulus | None = None,
    *,
    duration: Any,
    initial_state: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Trajectory:
    """Simulate a network exactly in time, without a grid.

    Parameters
    ----------
    net : HRSNN
        A ``lif_exp``, ``lif_delta`` or ``qif`` network.
    stimulus : Stimulus, optional
        Frozen input without trials; input spikes act at their own times.
    duration : Quantity or str
        Length of the run.
    initial_state, seed
        As in :func:`models_eq.simulate`.

    Returns
    -------
    Trajectory
        Spikes at their exact times and the final state; ``dt`` is 0.

    Raises
    ------
    CapabilityError
        For another model.
    ConvergenceError
        If kicks set off spikes without end.

    Examples
    --------
    >>> net = HRSNN("lif_delta", 1, [], [], [], tau_m=0.02, i_ext=1.5)
    >>> run = simulate_events(net, duration="0.1 s", initial_state={"v": 0.0})
    >>> bool(np.allclose(np.diff(run.t), 0.02 * np.log(3)))
    True
    """
    length = positive_seconds(duration, "duration")
    engine = event_engine(net, stimulus, initial_state=initial_state, seed=seed)
    if stimulus is not None and length > stimulus.duration * (1 + 1e-9):
        raise ParameterError(
            "duration", f"at most the stimulus ({stimulus.duration:g} s)", f"{length:g} s"
        )
    record: list[tuple[np.ndarray, np.ndarray]] = []
    engine.advance_to(length, record)
    t, i = (np.concatenate(part) for part in zip(*record, strict=True))
    final = {"theta": engine.x} if net.model == "qif" else {"v": engine.x}
    if net.model == "lif_exp":
        final["s"] = engine.s
    return Trajectory(
        t=t,
        i=i,
        trial=np.zeros(t.size, dtype=np.int64),
        n=net.n,
        n_trials=1,
        duration=length,
        dt=0.0,
        device="event",
        digest=net.digest,
        final_state={name: value[None, :].copy() for name, value in final.items()},
    )
