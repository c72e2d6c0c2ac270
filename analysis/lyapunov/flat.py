"""Networks and frozen inputs as flat arrays, the form that compiled engines walk through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from models_eq.errors import CapabilityError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.plan import initial_states
from models_eq.stimulus import Stimulus

# How the compiled code tells models apart.
KINDS = {"lif_exp": 0, "lif_delta": 1, "qif": 2}


@dataclass(frozen=True)
class FlatNetwork:
    """A network as contiguous arrays.

    Attributes
    ----------
    kind : int
        Position of the model in ``KINDS``.
    indptr, post, weight : ndarray
        Outgoing synapses of neuron i are ``indptr[i]:indptr[i + 1]``.
    tau, tau_s, t_ref : ndarray, shape (n,), s
        Time constants and refractory periods.
    drive, v_th, v_reset : ndarray, shape (n,)
        Constant drive with the resting potential, threshold, reset.
    """

    kind: int
    indptr: np.ndarray
    post: np.ndarray
    weight: np.ndarray
    tau: np.ndarray
    tau_s: np.ndarray
    t_ref: np.ndarray
    drive: np.ndarray
    v_th: np.ndarray
    v_reset: np.ndarray

    @property
    def n(self) -> int:
        """Number of neurons."""
        return int(self.tau.size)

    @property
    def variables(self) -> int:
        """State variables of a neuron."""
        return 2 if self.kind == 0 else 1

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What a compiled engine takes, in its order."""
        return (
            self.indptr, self.post, self.weight, self.tau, self.tau_s, self.t_ref,
            self.v_th, self.v_reset,
        )  # fmt: skip


def flatten(net: HRSNN) -> FlatNetwork:
    """Arrays of a network.

    Raises
    ------
    CapabilityError
        For a model that the compiled engines do not know.
    """
    if net.model not in KINDS:
        raise CapabilityError(
            "model", "one of " + ", ".join(KINDS), net.model, "Take method='saltation'"
        )
    kind = KINDS[net.model]
    # The quadratic model has neither a resting potential nor refractoriness.
    rest = net.v_rest if kind < 2 else np.zeros(net.n)
    return FlatNetwork(
        kind,
        np.searchsorted(net.i, np.arange(net.n + 1)).astype(np.int64),
        np.ascontiguousarray(net.j),
        np.ascontiguousarray(net.w),
        np.ascontiguousarray(net.tau_m),
        np.ascontiguousarray(net.tau_syn),
        net.t_ref.copy() if kind < 2 else np.zeros(net.n),
        rest + net.i_ext,
        net.v_th.copy(),
        net.v_reset.copy(),
    )


@dataclass(frozen=True)
class FlatInput:
    """A frozen input as contiguous arrays; without one, a single row that lasts for ever.

    Attributes
    ----------
    rows : ndarray, shape (r, n)
        Currents.
    hold : float, s
        Length of a row.
    time : ndarray, shape (q,), s
        Times of input spikes, ascending.
    channel : ndarray of int, shape (q,)
        Their channels.
    weights : ndarray, shape (c, n)
        Kicks of the channels.
    """

    rows: np.ndarray
    hold: float
    time: np.ndarray
    channel: np.ndarray
    weights: np.ndarray

    @property
    def arrays(self) -> tuple[Any, ...]:
        """What a compiled engine takes, in its order."""
        return self.rows, self.hold, self.time, self.channel, self.weights


def flatten_input(net: HRSNN, stimulus: Stimulus | None) -> FlatInput:
    """Arrays of a frozen input, its columns those of the network.

    Raises
    ------
    ParameterError
        For a stimulus that is none, has trials, or does not fit the network.
    """
    none = np.zeros(0)
    if stimulus is None:
        return FlatInput(
            np.zeros((1, net.n)), np.inf, none, none.astype(np.int64), np.zeros((1, net.n))
        )
    if not isinstance(stimulus, Stimulus):
        raise ParameterError("stimulus", "a Stimulus", type(stimulus).__name__)
    if stimulus.n_trials:
        raise ParameterError("stimulus", "one without trials", f"{stimulus.n_trials} trials")
    columns = stimulus.columns(net)
    rows = np.ascontiguousarray(stimulus.current[:, columns])
    spikes = stimulus.spikes
    if spikes is None:
        return FlatInput(rows, stimulus.hold, none, none.astype(np.int64), np.zeros((1, net.n)))
    order = np.argsort(spikes.t, kind="stable")
    return FlatInput(
        rows,
        stimulus.hold,
        spikes.t[order],
        spikes.channel[order],
        np.ascontiguousarray(spikes.weights[:, columns]),
    )


def start_state(
    net: HRSNN, initial_state: Mapping[str, Any] | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Membrane (or phase) and synaptic current at the start, each of shape (n,).

    As in :func:`models_eq.simulate`: drawn from ``seed`` where not given.
    """
    state = initial_states([net], None if initial_state is None else [initial_state], 1, seed)
    first = "theta" if net.model == "qif" else "v"
    return state[first].copy(), state.get("s", np.zeros(net.n)).copy()
