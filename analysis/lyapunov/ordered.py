"""Clock-driven networks of linear neurons whose spikes are resolved in order inside each step.

On a grid with a hard reset a small displacement vanishes at the first spike, and spikes of one
step have no order. Here the crossings of a step are located inside it and resolved one by one,
earliest first, each through the exact propagators, so that the map that is simulated is smooth and
its derivative is the derivative of the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from analysis.lyapunov import _ordered as compiled
from analysis.lyapunov.engine import Engine
from analysis.lyapunov.flat import FlatInput, FlatNetwork, flatten, flatten_input, start_state
from models_eq.errors import CapabilityError, ConvergenceError
from models_eq.hrsnn import HRSNN
from models_eq.inputs import check_hold
from models_eq.neurons import coupling
from models_eq.rng import check_seed
from models_eq.stimulus import Stimulus


class OrderedEngine(Engine):
    """One ``lif_exp`` or ``lif_delta`` network with k tangent vectors on a clock.

    Parameters and attributes are those of :class:`~analysis.lyapunov.engine.Engine`, and

    Parameters
    ----------
    dt : float, s
        Time step.
    order, sign : int
        1: earliest spike first, and the lag of a spike as it is. Other values are wrong, and
        exist to show how much depends on it.
    on_grid : bool
        Let spikes act at the end of their step instead: wrong as well.
    """

    def __init__(
        self,
        net: FlatNetwork,
        given: FlatInput,
        x: np.ndarray,
        s: np.ndarray,
        k: int,
        dt: float,
        *,
        order: int = 1,
        sign: int = 1,
        on_grid: bool = False,
    ) -> None:
        super().__init__(net, given, x, s, k)
        n = net.n
        self.dt = dt
        self._wrong = (float(order), float(sign), on_grid)
        self._propagators = (
            np.exp(-dt / net.tau), np.exp(-dt / net.tau_s), coupling(dt, net.tau, net.tau_s)
        )  # fmt: skip
        self._release = np.full(n, -np.inf)
        self._floats = [np.zeros(n) for _ in range(4)]  # current, speed, span, behind
        self._queue, self._queued = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=bool)
        self._recent, self._marked = np.full((2, n), -1, dtype=np.int64)
        self._counters = np.zeros(6, dtype=np.int64)

    def carry(self, k: int) -> None:
        """Carry ``k`` tangent vectors from now on, all zero at first."""
        super().carry(k)
        self._release_lag = np.zeros((self.net.n, k))

    @property
    def time(self) -> float:
        """Present time, s."""
        return float(self._counters[compiled.STEP] * self.dt)

    @property
    def forced_spikes(self) -> int:
        """Spikes so far that a kick has set off at once."""
        return int(self._counters[compiled.FORCED])

    @property
    def shared(self) -> int:
        """Spikes so far in one step with one of a connected neuron."""
        return int(min(self._counters[compiled.SHARED], self._counters[compiled.SPIKES]))

    @property
    def release(self) -> np.ndarray:
        """When each refractory neuron is released, shape (n,), s; NaN for the others."""
        return np.where(self.held, self._release, np.nan)

    def settle(self, release: np.ndarray | None = None) -> None:
        """Take over release times, after the state was set from outside."""
        if release is not None:
            self._release[self.held] = release[self.held]

    def advance_to(self, t: float) -> None:
        """Advance to the grid point nearest to ``t``, s.

        Raises
        ------
        ConvergenceError
            If spikes follow each other without end, as in an avalanche of kicks.
        """
        todo = round(t / self.dt) - int(self._counters[compiled.STEP])
        if todo <= 0:
            return
        compiled.steps(
            self.net.kind, todo, self.dt, *self._propagators, *self._wrong, *self.net.arrays,
            self.net.drive, *self.given.arrays, self.x, self.s, self.held, self._release,
            *self._floats, self._forced, self._release_lag, self._forced_lag, self._lag,
            self._queue, self._queued, self._recent, self._marked, self.y, self._counters,
            self._volume, self.count,
        )  # fmt: skip
        if self._counters[compiled.STUCK]:
            raise ConvergenceError(
                "net", "at most 1000 spikes a neuron in a step", f"more at {self.time:.6g} s",
                "Weaken excitation, or give the neurons a refractory period",
            )  # fmt: skip


def ordered_engine(
    net: HRSNN,
    stimulus: Stimulus | None = None,
    *,
    dt: float,
    k: int = 0,
    initial_state: Mapping[str, Any] | None = None,
    seed: int = 0,
    **wrong: Any,
) -> OrderedEngine:
    """Ordered clock-driven engine of a ``lif_exp`` or ``lif_delta`` network.

    Parameters
    ----------
    net : HRSNN
        The network.
    stimulus : Stimulus, optional
        Frozen input without trials, its hold a multiple of dt; input spikes act at their own
        times.
    dt : float, s
        Time step.
    k : int
        Number of tangent vectors.
    initial_state, seed
        As in :func:`models_eq.simulate`.
    **wrong
        ``order``, ``sign``, ``on_grid`` of :class:`OrderedEngine`.

    Raises
    ------
    CapabilityError
        For a model that is not linear between spikes.
    """
    flat = flatten(net)
    if flat.kind == 2:
        raise CapabilityError("model", "lif_exp or lif_delta", net.model, "Take method='event'")
    if stimulus is not None:
        check_hold(stimulus, dt)
    x, s = start_state(net, initial_state, check_seed(seed))
    return OrderedEngine(flat, flatten_input(net, stimulus), x, s, k, dt, **wrong)
