"""Lyapunov exponents of any Brian2 model: replicas of the network, each with a tangent vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from brian2 import Network, NeuronGroup, SpikeGeneratorGroup, SpikeMonitor, Synapses, second
from brian2.core.base import BrianObject
from brian2.equations.equations import PARAMETER, Equations, SingleEquation
from brian2.groups.group import CodeRunner
from brian2.units.fundamentalunits import Quantity
from brian2.utils.stringtools import word_substitute
from scipy import sparse
from threadpoolctl import threadpool_limits

from analysis.lyapunov.frames import Frames
from analysis.lyapunov.jacobian import TANGENT, Tangent, derive
from analysis.lyapunov.qr import how_many, intervals, orthonormal_start, summarise
from analysis.lyapunov.replica_code import (
    at_kick,
    at_reset,
    at_threshold,
    equations,
    has_volume_rule,
    scales,
    step,
)
from analysis.lyapunov.result import LyapunovResult
from models_eq.brian import BrianModel, Projection, Spikes, own_action
from models_eq.device import build_and_run, current_device, running
from models_eq.errors import CapabilityError, ParameterError
from models_eq.frozen import named_clock
from models_eq.hrsnn import HRSNN
from models_eq.inputs import attach_stimulus
from models_eq.network import BrianObjects
from models_eq.neurons import ExactPropagator
from models_eq.rng import stream
from models_eq.stimulus import Stimulus

NAME = "lyapunov"


@dataclass
class Replicas:
    """Brian2 objects of k replicas.

    Attributes
    ----------
    group : NeuronGroup
        Neuron i of replica r has index ``r*n + i``; ``tg_x`` is the tangent of ``x``.
    others : list of BrianObject
        Synapses, inputs, and what computes the lag.
    """

    group: NeuronGroup
    others: list[BrianObject]


def build_replicas(
    model: BrianModel, flow: Tangent, *, k: int, dt: float, state: Mapping[str, np.ndarray]
) -> Replicas:
    """Brian2 objects of k replicas of a model, each with a tangent vector.

    Parameters
    ----------
    model : BrianModel
        The model.
    flow : Tangent
        Its tangent dynamics.
    k : int
        Replicas.
    dt : float, s
        Time step.
    state : Mapping of str to ndarray, shape (n,)
        Initial state.
    """
    n, spikes, volume = model.n, model.threshold is not None, has_volume_rule(flow)
    namespace = dict(model.namespace)
    size = scales(model, flow)
    for x in flow.clamped:
        ratio = size[TANGENT + x] / size["lag_held"] if "lag_held" in size else 1.0
        namespace[f"unit_{x}"] = Quantity(ratio, dim=model.dimensions[x] / second.dim)
    group = NeuronGroup(
        n * k,
        equations(model, flow),
        threshold=model.threshold,
        reset=(at_reset(model, flow, volume) or None) if spikes else None,
        refractory=False if model.refractory is None else model.refractory,
        method=ExactPropagator(step(model, flow, volume)),
        clock=named_clock(f"{NAME}_clock", dt),
        namespace=namespace,
        name=NAME,
    )
    for name, value in {**model.parameters, **state, "neuron_index": np.arange(n)}.items():
        variable = group.variables[name]
        variable.set_value(np.tile(np.asarray(value, dtype=variable.dtype), k))
    others: list[BrianObject] = []
    if spikes:
        # As a reset is: only neurons that spiked, and also those that are now refractory.
        lag = CodeRunner(
            group,
            "reset",
            code=at_threshold(flow),
            needed_variables=["_spikespace"],
            template_kwds={"eventspace_variable": group.variables["_spikespace"]},
            override_conditional_write=["not_refractory"],
            clock=group.clock,
            when="after_thresholds",
            name=f"{NAME}_lag",
        )
        group.contained_objects.append(lag)
    for index, projection in enumerate(model.projections):
        others += _synapses(model, flow, projection, group, k, index, volume)
    return Replicas(group, others)


def _synapses(
    model: BrianModel,
    flow: Tangent,
    p: Projection,
    group: NeuronGroup,
    k: int,
    index: int,
    volume: bool,
) -> list[BrianObject]:
    if p.i.size == 0:
        return []
    name, n = f"{NAME}_syn{index:03d}", model.n
    found: list[BrianObject] = []
    source, stride = group, n
    if p.spikes is not None:
        stride = 0
        source = SpikeGeneratorGroup(
            p.spikes.n, p.spikes.i, p.spikes.t * second, period=p.spikes.period * second,
            clock=group.clock, name=f"{NAME}_in{index:03d}",
        )  # fmt: skip
        found.append(source)
    declared = [SingleEquation(PARAMETER, x, p.dimensions[x]) for x in p.parameters]
    synapses = Synapses(
        source, group, Equations(declared) if declared else None, on_pre=at_kick(flow, p, volume),
        delay=0 * second, clock=group.clock, namespace=dict(model.namespace), name=name,
    )  # fmt: skip
    shift = np.arange(k)[:, None]
    synapses.connect(
        i=(p.i[None, :] + stride * shift).ravel().astype(np.int32),
        j=(p.j[None, :] + n * shift).ravel().astype(np.int32),
    )
    for x, value in p.parameters.items():
        synapses.variables[x].set_value(np.tile(value, k))
    return [*found, synapses]


def replica_spectrum(
    model: BrianModel,
    *,
    k: int | None,
    duration: float,
    dt: float,
    transient: float,
    t_qr: float,
    seed: int,
    stimulus: Stimulus | None = None,
    net: HRSNN | None = None,
    initial_state: Mapping[str, np.ndarray] | None = None,
    progress: Callable[[int, int], None] | None = None,
    reason: str = "",
) -> LyapunovResult:
    """The k largest exponents of a Brian2 model, by tangent flow with saltation.

    Parameters
    ----------
    model : BrianModel
        The model.
    k : int or None
        Number of exponents; None for 20, or all where there are fewer.
    duration, transient : float, s
        Time averaged over, and time before it.
    dt : float, s
        Time step. Spikes happen at grid times: take 0.01 ms for exponents good to a percent.
    t_qr : float, s
        Interval between orthonormalisations, a multiple of ``dt``.
    seed : int
        Seed of the initial vectors.
    stimulus : Stimulus, optional
        Frozen input, for the model of an HRSNN.
    net : HRSNN, optional
        The network that the model is of; with a stimulus.
    initial_state : Mapping of str to ndarray, shape (n,), optional
        Initial values (SI) that replace those of the model.
    progress : callable, optional
        Called as ``progress(done, total)`` after each interval.
    reason : str
        Why this method was picked.

    Raises
    ------
    ParameterError
        For times that do not fit, more exponents than there are, an unknown state variable.
    CapabilityError
        For a device without a way to orthonormalise, or a model that cannot be followed.
    ConvergenceError
        For an estimate that cannot be trusted.

    Notes
    -----
    Each replica holds the whole state and one tangent vector, moved by one Runge–Kutta step; at
    spikes see :func:`~analysis.lyapunov.jacobian.derive`. The perturbation of a neuron that is
    clamped is its lag, a row of the vector like any other.
    """
    flow = derive(model)
    dimension = model.n * len(flow.variables)
    k = how_many(k, dimension)
    ratio = t_qr / dt
    if abs(ratio - round(ratio)) > 1e-6 or round(ratio) < 1:
        raise ParameterError("t_qr", f"a multiple of dt ({dt:g} s)", f"{t_qr:g} s")
    if stimulus is not None and net is None:
        raise ParameterError("net", "the HRSNN that the stimulus is for", "none")
    if unknown := set(initial_state or {}) - set(model.state):
        raise ParameterError(
            "initial_state", "state variables " + ", ".join(model.state), ", ".join(sorted(unknown))
        )
    state = {**model.state, **(initial_state or {})}
    keep = intervals(duration, t_qr)
    warm_up = max(0, round(transient / t_qr))
    choice = current_device()
    if choice.name == "cuda_standalone":
        raise CapabilityError(
            "device", "numpy, cython or cpp_standalone", choice.name,
            "Tangent vectors are orthonormalised on the host while the network runs",
        )  # fmt: skip
    # Matrices are small: more threads for a decomposition cost more than they spare.
    with running(choice) as device, threadpool_limits(1, "blas"):
        built = build_replicas(model, flow, k=k, dt=dt, state=state)
        base = [*flow.variables]
        base += [x for x in ("not_refractory", "lastspike") if x in built.group.variables]
        frames = Frames(
            built.group, scales(model, flow), base, n=model.n, k=k, warm_up=warm_up, keep=keep,
            t_qr=t_qr, device=device, progress=progress,
        )  # fmt: skip
        frames.start(orthonormal_start(dimension, k, stream(seed, "v_init", 1)))
        inputs = _attach(built.group, flow, net, stimulus, k, dt)
        monitor = None
        if model.threshold is not None:
            monitor = SpikeMonitor(built.group[: model.n], name=f"{NAME}_spikes")
        watched = [] if monitor is None else [monitor]
        network = Network(built.group, *built.others, *frames.objects, *inputs, *watched)
        # One step more: the last frame is taken at the start of the step after the window.
        network.run((warm_up + keep) * t_qr * second + dt * second, namespace={})
        build_and_run()
        log, share = frames.growth()
        volume = frames.volume() if has_volume_rule(flow) else None
        i, steps = _spikes(monitor, dt, warm_up * t_qr, (warm_up + keep) * t_qr)
    frozen = stimulus is not None or flow.driven or any(p.spikes for p in model.projections)
    return summarise(
        log,
        t_qr,
        moving=i.size > 0,
        volume=volume,
        per_neuron=share,
        transient=warm_up * t_qr,
        dt=dt,
        method="saltation",
        reason=reason,
        system=f"{model.name} ({model.n} neurons)",
        dimension=dimension,
        conditional=frozen,
        n_spikes=int(i.size),
        same_step_share=same_step_share(model, i, steps),
        seed=seed,
        digest="" if net is None else net.digest,
    )


def _attach(
    group: NeuronGroup,
    flow: Tangent,
    net: HRSNN | None,
    stimulus: Stimulus | None,
    k: int,
    dt: float,
) -> list[BrianObject]:
    if stimulus is None or net is None:
        return []
    built = BrianObjects(group, None)
    attach_stimulus(built, [net], [stimulus], k, 1, dt, on_pre=input_action(net, flow))
    return built.inputs


def input_action(net: HRSNN, flow: Tangent) -> str:
    """What a frozen input spike of weight ``w`` does to state and tangent of our own models."""
    none = np.zeros(0, dtype=np.int64)
    projection = Projection(
        "input", own_action(net.model), none, none, {}, {}, Spikes(0, none, np.zeros(0))
    )
    return word_substitute(at_kick(flow, projection, has_volume_rule(flow)), {"w_syn": "w"})


def _spikes(
    monitor: SpikeMonitor | None, dt: float, start: float, stop: float
) -> tuple[np.ndarray, np.ndarray]:
    if monitor is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    steps = np.rint(np.asarray(monitor.t_[:]) / dt).astype(np.int64)
    i = np.array(monitor.i[:], dtype=np.int64)
    inside = (steps >= round(start / dt)) & (steps < round(stop / dt))
    return i[inside], steps[inside]


def same_step_share(model: BrianModel, i: np.ndarray, steps: np.ndarray) -> float | None:
    """Share of spikes in one step with a spike of a neuron they are connected to.

    Parameters
    ----------
    model : BrianModel
        Gives the connections.
    i, steps : ndarray of int, shape (m,)
        Neuron and time step of each spike.
    """
    if i.size == 0:
        return None
    pairs = [(p.i, p.j) for p in model.projections if p.spikes is None]
    if not pairs:
        return 0.0
    pre, post = (np.concatenate(part) for part in zip(*pairs, strict=True))
    other = pre != post
    shape = (model.n, model.n)
    joined = sparse.csr_array((np.ones(other.sum(), np.int32), (pre[other], post[other])), shape)
    joined = joined + joined.T
    _, row = np.unique(steps, return_inverse=True)
    fired = sparse.csr_array((np.ones(i.size, np.int32), (row, i)), (row.max() + 1, model.n))
    return float(((fired @ joined).multiply(fired) > 0).sum() / i.size)
