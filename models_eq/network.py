"""From arrays to Brian2 objects whose equations stay visible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from brian2 import Network, NeuronGroup, Synapses, second
from brian2.core.base import BrianObject

from models_eq.checks import floats, whole
from models_eq.errors import ParameterError
from models_eq.frozen import named_clock
from models_eq.hrsnn import HRSNN, PER_NEURON
from models_eq.inputs import attach_stimulus, check_hold
from models_eq.neurons import neuron_model
from models_eq.stimulus import Stimulus
from models_eq.units import positive_seconds


@dataclass
class BrianObjects:
    """Brian2 objects of one or several networks side by side.

    Attributes
    ----------
    group : NeuronGroup
        All neurons. Copy r of neuron i of the k-th network has index
        ``offsets[k] + r * nets[k].n + i``.
    synapses : Synapses or None
        Recurrent synapses with weight ``w``; None where there are none.
    inputs : list of BrianObject
        Objects that deliver input spikes.
    offsets : ndarray, shape (len(nets),)
        First index of each network.
    """

    group: NeuronGroup
    synapses: Synapses | None
    inputs: list[BrianObject] = field(default_factory=list)
    offsets: np.ndarray = field(default_factory=lambda: np.zeros(1, dtype=np.int64))

    @property
    def objects(self) -> list[BrianObject]:
        """Everything that a Brian2 Network must contain."""
        recurrent = [] if self.synapses is None else [self.synapses]
        return [self.group, *recurrent, *self.inputs]

    def network(self, *more: BrianObject) -> Network:
        """Return a Brian2 Network of these objects and of ``more``, such as monitors."""
        return Network(*self.objects, *more)


def neuron_values(
    nets: Sequence[HRSNN], *, dt: float, copies: int, state: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Initial value of every variable of the group of :func:`build`, each of shape (total,).

    Parameters
    ----------
    nets : sequence of HRSNN
        Networks of the same model.
    dt : float, s
        Time step.
    copies : int
        Copies of each network.
    state : Mapping of str to ndarray, shape (total,)
        Initial state.

    Returns
    -------
    dict of str to ndarray
        Parameters, exact propagators and state; maybe more than the model declares.
    """
    model = neuron_model(nets[0].model)
    arrays = {
        name: np.concatenate([np.tile(net.arrays()[name], copies) for net in nets])
        for name in (*PER_NEURON, *nets[0].params)
    }
    # Brian2 clamps for a whole number of steps; a remainder is dropped, as Brian2 does.
    arrays["t_ref"] = np.floor(arrays["t_ref"] / dt + 1e-3) * dt * model.has_refractory
    return {**arrays, **model.propagators(arrays, dt), **state}


def first_indices(nets: Sequence[HRSNN], copies: int) -> np.ndarray:
    """First index of each network in the group of :func:`build`, shape (len(nets),)."""
    return np.concatenate([[0], np.cumsum([net.n * copies for net in nets])[:-1]])


def synapse_values(nets: Sequence[HRSNN], copies: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of both ends (int32) and weight of each synapse of the group of :func:`build`."""
    i, j, w = [], [], []
    for net, offset in zip(nets, first_indices(nets, copies), strict=True):
        shift = (offset + net.n * np.arange(copies))[:, None]
        i.append((net.i[None, :] + shift).ravel().astype(np.int32))
        j.append((net.j[None, :] + shift).ravel().astype(np.int32))
        w.append(np.tile(net.w, copies))
    return np.concatenate(i), np.concatenate(j), np.concatenate(w)


def build(
    nets: Sequence[HRSNN],
    *,
    dt: float,
    copies: int = 1,
    state: dict[str, np.ndarray],
    events: bool = False,
    name: str = "hrsnn",
    later: bool = False,
) -> BrianObjects:
    """Brian2 objects of several networks of one model, side by side in one group.

    Parameters
    ----------
    nets : sequence of HRSNN
        Networks of the same model.
    dt : float, s
        Time step.
    copies : int
        Copies of each network.
    state : dict of str to ndarray, shape (total,)
        Initial state.
    events : bool
        Whether the group emits the event ``release`` at the end of each refractory period.
    name : str
        Name of the group; the synapses get ``name + "_syn"``.
    later : bool
        Leave out values and connections, which a compiled program reads when it starts: there is
        one synapse, whatever the networks have.

    Raises
    ------
    ParameterError
        If the models differ.
    """
    if len({net.model for net in nets}) != 1:
        raise ParameterError("nets", "networks of one model", sorted({n.model for n in nets}))
    model = neuron_model(nets[0].model)
    total = int(sum(net.n for net in nets) * copies)
    group = NeuronGroup(
        total,
        model.equations,
        threshold=model.threshold,
        reset=model.reset,
        refractory="t < t_release - 0.5*dt",
        method=model.method,
        events={"release": "abs(t - t_release) < 0.5*dt"} if events else None,
        clock=named_clock(f"{name}_clock", dt),
        namespace={},
        name=name,
    )
    if events:
        # Before the groups of the step: the state at the very end of the refractory period.
        group.set_event_schedule("release", when="before_groups")
    if not later:
        for key, value in neuron_values(nets, dt=dt, copies=copies, state=state).items():
            if key in group.variables:
                group.variables[key].set_value(np.asarray(value, dtype=float))
    group.variables["t_release"].set_value(-1.0)
    group.variables["channel"].set_value(np.arange(total, dtype=np.int32))
    if later:
        i, j, w = np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(1)
    else:
        i, j, w = synapse_values(nets, copies)
    synapses = None
    if w.size:
        synapses = Synapses(
            group,
            group,
            "w : 1 (constant)",
            on_pre=model.on_pre,
            delay=0 * second,
            clock=group.clock,
            namespace={},
            name=f"{name}_syn",
        )
        synapses.connect(i=i, j=j)
        if not later:
            synapses.variables["w"].set_value(w)
    return BrianObjects(group, synapses, offsets=first_indices(nets, copies))


def to_brian2(
    net: HRSNN,
    *,
    dt: Any = "0.1 ms",
    stimulus: Stimulus | None = None,
    copies: int = 1,
    v_init: Any = None,
    name: str = "hrsnn",
) -> BrianObjects:
    """Brian2 objects for people who write their own scripts.

    Parameters
    ----------
    net : HRSNN
        The network.
    dt : Quantity or str
        Time step of the group. The exact propagators belong to this dt: build again rather than
        change the clock.
    stimulus : Stimulus, optional
        Frozen input.
    copies : int
        Independent copies side by side, without trials.
    v_init : array_like, shape (n,), optional
        Initial membrane potential (the phase, for ``qif``); by default ``v_reset`` (0 for
        ``qif``).
    name : str
        Name of the group.

    Returns
    -------
    BrianObjects
        ``.group`` (NeuronGroup, equations visible), ``.synapses`` (Synapses or None) and
        ``.network(*monitors)``.

    Raises
    ------
    ParameterError
        For an argument that does not fit the network, naming it.

    Examples
    --------
    >>> from brian2 import SpikeMonitor, second
    >>> net = HRSNN("lif_exp", 2, i=[0], j=[1], w=[0.5], tau_m=0.02, i_ext=1.5)
    >>> objects = to_brian2(net, dt="1 ms")
    >>> spikes = SpikeMonitor(objects.group)
    >>> objects.network(spikes).run(0.1 * second)
    >>> bool(spikes.num_spikes > 0)
    True
    """
    if not isinstance(net, HRSNN):
        raise ParameterError("net", "an HRSNN", type(net).__name__)
    if stimulus is not None and not isinstance(stimulus, Stimulus):
        raise ParameterError("stimulus", "a Stimulus", type(stimulus).__name__)
    step = positive_seconds(dt, "dt")
    copies = whole(copies, "copies")
    state = default_state(net, None if v_init is None else floats(v_init, "v_init"))
    if stimulus is not None:
        if stimulus.n_trials:
            raise ParameterError("stimulus", "one without trials", f"{stimulus.n_trials} trials")
        check_hold(stimulus, step)
        stimulus.columns(net)
    built = build(
        [net],
        dt=step,
        copies=copies,
        state={key: np.tile(value, copies) for key, value in state.items()},
        name=name,
    )
    if stimulus is not None:
        attach_stimulus(built, [net], [stimulus], copies, 1, step)
    return built


def default_state(net: HRSNN, membrane: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """State of a network at rest: the membrane as given (or at reset), all else zero."""
    model = neuron_model(net.model)
    state = {name: np.zeros(net.n) for name in model.state}
    first = model.state[0]
    if membrane is None:
        membrane = net.v_reset.copy() if first == "v" else np.zeros(net.n)
    if membrane.shape != (net.n,) or not np.isfinite(membrane).all():
        raise ParameterError(first, f"{net.n} finite values", f"shape {membrane.shape}")
    state[first] = membrane
    return state
