"""What the event-driven and the ordered engine share: state, tangent vectors, and their meaning."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from analysis.lyapunov.flat import FlatInput, FlatNetwork


class Engine(ABC):
    """One network with k tangent vectors that compiled code advances in place.

    Parameters
    ----------
    net : FlatNetwork
        The network.
    given : FlatInput
        Its frozen input.
    x, s : ndarray, shape (n,)
        Initial membrane (or phase) and synaptic current.
    k : int
        Number of tangent vectors, all zero at first.

    Attributes
    ----------
    x, s : ndarray, shape (n,)
        State at ``time``.
    held : ndarray of bool, shape (n,)
        Refractory neurons.
    tangents : ndarray, shape (n * variables, k)
        Tangent vectors, in place. While a neuron is refractory the row of its membrane holds
        lag (v_th - v_reset)/tau, lag being minus the shift of its spike time.
    count : ndarray of int, shape (n,)
        Spikes of each neuron so far.
    """

    def __init__(
        self, net: FlatNetwork, given: FlatInput, x: np.ndarray, s: np.ndarray, k: int
    ) -> None:
        self.net, self.given = net, given
        self.x, self.s = x.copy(), s.copy()
        self.held = np.zeros(net.n, dtype=bool)
        self.count = np.zeros(net.n, dtype=np.int64)
        self._forced = np.zeros(net.n, dtype=bool)
        self._volume = np.zeros(1)
        self.carry(k)

    def carry(self, k: int) -> None:
        """Carry ``k`` tangent vectors from now on, all zero at first."""
        n = self.net.n
        self.y = np.zeros((n, self.net.variables, k))
        self._lag = np.zeros(k)
        self._forced_lag = np.zeros((n if self.net.kind == 1 else 1, k))

    @property
    def tangents(self) -> np.ndarray:
        """Tangent vectors in place, shape (n * variables, k)."""
        return self.y.reshape(self.net.n * self.net.variables, -1)

    @property
    def log_volume(self) -> float | None:
        """Logarithm of the growth of volumes so far; None once a kick has forced a spike."""
        return None if self.forced_spikes else float(self._volume[0])

    @property
    @abstractmethod
    def time(self) -> float:
        """Present time, s."""

    @property
    @abstractmethod
    def forced_spikes(self) -> int:
        """Spikes so far that a kick has set off at once."""

    @property
    @abstractmethod
    def release(self) -> np.ndarray:
        """When each refractory neuron is released, shape (n,), s; NaN for the others."""

    @abstractmethod
    def settle(self, release: np.ndarray | None = None) -> None:
        """Take over a state that was set from outside.

        Parameters
        ----------
        release : ndarray, shape (n,), s, optional
            When refractory neurons are released.
        """

    @abstractmethod
    def advance_to(self, t: float) -> None:
        """Advance to time ``t``, s.

        Raises
        ------
        ConvergenceError
            If spikes follow each other without end, as in an avalanche of kicks.
        """
