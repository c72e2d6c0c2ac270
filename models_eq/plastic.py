"""train_stdp: run a network with plastic recurrent synapses and return it with what it learnt."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from brian2 import NeuronGroup, Synapses, second
from brian2.core.base import BrianObject

from models_eq.checks import flags, whole
from models_eq.device import build_and_run, current_device, running
from models_eq.errors import CapabilityError, ParameterError
from models_eq.frozen import named_clock
from models_eq.hrsnn import HRSNN
from models_eq.inputs import attach_stimulus
from models_eq.network import BrianObjects, build
from models_eq.neurons import ExactPropagator, neuron_model
from models_eq.plan import Plan, make_plan
from models_eq.plasticity import STDP, Learning
from models_eq.reading import attach_monitors, collect, read
from models_eq.simulate import simulate
from models_eq.stimulus import Stimulus
from models_eq.trajectory import Trajectory
from models_eq.trials import reset_between_trials
from models_eq.units import positive_seconds

# Added to numerator and denominator, so that a neuron whose plastic inputs are all 0 is left
# alone; far below any sum of weights, so that it changes no other ratio.
_TINY = 1e-300


def train_stdp(
    net: HRSNN,
    stimulus: Stimulus | Sequence[Stimulus],
    rule: STDP,
    *,
    dt: Any = "1 ms",
    seed: int = 0,
    normalise: bool = True,
    interval: Any = "100 ms",
    passes: int = 1,
    initial_state: Mapping[str, Any] | None = None,
) -> tuple[HRSNN, dict[str, Any]]:
    """Let STDP change the recurrent weights of a network under frozen input.

    Parameters
    ----------
    net : HRSNN
        The network; it must obey Dale's law.
    stimulus : Stimulus or sequence of Stimulus
        Frozen input. Several are presented one after the other, and so are the trials of one;
        at the start of each, state and traces are reset while the weights are carried on.
    rule : STDP
        What a synapse learns.
    dt : Quantity or str
        Time step.
    seed : int
        Seed of the initial state and of time constants that the rule draws for each neuron.
    normalise : bool
        Whether synaptic scaling keeps the summed magnitude of each neuron's plastic inputs.
    interval : Quantity or str
        Time between two scalings during a presentation, a multiple of dt.
    passes : int
        How often all of the input is presented.
    initial_state : Mapping of str to array_like, optional
        State at the start of each presentation, as for :func:`~models_eq.simulate.simulate`.

    Returns
    -------
    net : HRSNN
        The same network with other weights, and a history entry.
    diagnostics : dict
        Plain numbers. Of the plastic synapses: ``mean_before``, ``mean_after`` (mean
        magnitude), ``cv_before``, ``cv_after`` (coefficient of variation of magnitude over
        bound), ``at_zero``, ``at_bound`` (shares at the end within 1 % of either bound),
        ``clipped`` (share above the bound at the start), ``sum_error`` (largest relative change
        of a neuron's summed input). Of the network: ``rate_before``, ``rate_after`` (mean rates
        with fixed weights under the first stimulus, Hz) and ``rate_training`` (Hz). Further
        ``seconds`` of biological time.

    Raises
    ------
    ParameterError
        For bad arguments, naming the field.
    DeviceError
        If the current device cannot run here.

    Notes
    -----
    Spikes are delivered as in :func:`~models_eq.simulate.simulate`, with the weight before the
    depression that they cause. Weights above the bound start at the bound. Scaling multiplies
    all plastic inputs of a neuron by one factor and clips to the bounds; what clipping takes is
    made up for by the next scaling, and by an exact one at the end of each presentation
    (:meth:`~models_eq.plasticity.Learning.settle`).

    References
    ----------
    Turrigiano et al. 1998, 10.1038/36103 (synaptic scaling); for the rules see
    :class:`~models_eq.plasticity.STDP`.

    Examples
    --------
    >>> net = HRSNN("lif_exp", 3, i=[0, 0, 1], j=[1, 2, 2], w=0.2, tau_m=0.02, i_ext=1.5)
    >>> trained, report = train_stdp(net, Stimulus(np.zeros((10, 3)), "10 ms"), STDP())
    >>> trained
    HRSNN(lif_exp, 3 neurons, 3 synapses, 100 % excitatory)
    >>> report["seconds"]
    0.1
    """
    if not isinstance(net, HRSNN):
        raise ParameterError("net", "an HRSNN", type(net).__name__)
    if not isinstance(rule, STDP):
        raise ParameterError("rule", "an STDP rule", type(rule).__name__)
    scaled, passes = bool(flags(normalise, "normalise")), whole(passes, "passes")
    if scaled and current_device().name == "cuda_standalone":
        raise CapabilityError(
            "normalise", "False on cuda_standalone", "True",
            "Its threads would lose parts of each other's sums over the inputs of a neuron: "
            "train on cpp_standalone or cython",
        )  # fmt: skip
    start = None if initial_state is None else [initial_state]
    plans = [
        make_plan(
            [net], given, duration=None, dt=dt, initial_state=start, record=(), sample_dt=None,
            copies=1, seed=seed,
        )
        for given in _sequence(stimulus)
    ]  # fmt: skip
    length = _interval(interval, plans[0].dt)
    learning = Learning.of(rule, net, seed, scaled=scaled, interval=length)
    w, spikes, elapsed = learning.settle(net.w), 0, 0.0
    for _ in range(passes):
        for plan in plans:
            w, run = run_plastic(plan, net.replace(w=w), learning)
            w = learning.settle(w)
            spikes += run.n_spikes
            elapsed += run.n_trials * run.duration
    trained = net.replace(w=w)
    diagnostics = _diagnose(learning, net.w, w)
    for name, one in (("rate_before", net), ("rate_after", trained)):
        run = simulate(one, plans[0].stimuli[0], dt=dt, initial_state=initial_state, seed=seed)
        diagnostics[name] = run.n_spikes / (net.n * run.n_trials * run.duration)
    diagnostics["rate_training"] = spikes / (net.n * elapsed)
    diagnostics["seconds"] = round(elapsed, 9)
    entry = {"step": "stdp", "seed": int(seed), "rule": rule.to_dict(), "normalise": scaled}
    return trained.note(**entry, passes=passes, **diagnostics), diagnostics


def run_plastic(plan: Plan, net: HRSNN, learning: Learning) -> tuple[np.ndarray, Trajectory]:
    """Run one presentation.

    Parameters
    ----------
    plan : Plan
        What to simulate, one copy of one network.
    net : HRSNN
        The network with the weights to start from.
    learning : Learning
        The rule on this network.

    Returns
    -------
    w : ndarray, shape (m,)
        Weights at the end.
    run : Trajectory
        Spikes.
    """
    plan = replace(plan, nets=(net,))
    with running(current_device()) as device:
        built = build([net.keep_edges([])], dt=plan.dt, state=plan.states)
        synapses = None
        more: list[BrianObject] = []
        if net.n_synapses:
            synapses, more = _attach_plasticity(built, net, plan, learning)
        attach_stimulus(built, plan.nets, plan.stimuli, plan.copies, plan.rounds, plan.dt)
        if plan.rounds > 1:
            reset_between_trials(built.group, plan.states, plan.n_steps * plan.dt)
        monitors = attach_monitors(built, plan)
        network = built.network(*more, *monitors.values())
        started = time.perf_counter()
        network.run(plan.rounds * plan.n_steps * plan.dt * second, namespace={})
        build_and_run()
        seconds = time.perf_counter() - started
        run = read(collect(built, monitors, plan), plan, device, seconds)[0]
        w = net.w if synapses is None else np.array(synapses.variables["w"].get_value())
        return w, run


def _attach_plasticity(
    built: BrianObjects, net: HRSNN, plan: Plan, learning: Learning
) -> tuple[Synapses, list[BrianObject]]:
    """Recurrent synapses that deliver and learn, and the objects that hold their traces."""
    group, rule, scaled = built.group, learning.rule, learning.target is not None
    equations = rule.traces + "\n" + "\n".join(f"decay_{x} : 1 (constant)" for x in _names(rule))
    traces = NeuronGroup(
        net.n,
        equations + ("\ntotal : 1\ntarget : 1 (constant)" if scaled else ""),
        method=ExactPropagator("\n".join(f"{x} = decay_{x}*{x}" for x in _names(rule))),
        clock=group.clock,
        namespace={},
        name=f"{group.name}_traces",
    )
    for tau, x in rule.times.items():
        traces.variables[tau].set_value(learning.times[tau])
        traces.variables[f"decay_{x}"].set_value(np.exp(-plan.dt / learning.times[tau]))
    # As linked variables do: synapses between neurons then know the traces of both ends.
    for x in (*_names(rule), *(("total", "target") if scaled else ())):
        group.variables.add_reference(x, traces)
    # The name that the plain synapses have: it decides in which order objects are run.
    synapses = Synapses(
        group,
        group,
        rule.model,
        on_pre=neuron_model(net.model).on_pre + "\n" + rule.on_pre,
        on_post=rule.on_post,
        delay=0 * second,
        clock=group.clock,
        namespace={},
        name=f"{group.name}_syn",
    )
    synapses.connect(i=net.i.astype(np.int32), j=net.j.astype(np.int32))
    learns = learning.bound != 0
    values = {
        "w": net.w,
        "step": np.where(learns, learning.bound, np.where(net.w == 0, 1.0, net.w)),
        "low": np.where(learns, np.minimum(learning.bound, 0), net.w),
        "high": np.where(learns, np.maximum(learning.bound, 0), net.w),
    }
    for name, value in {**values, **rule.constants}.items():
        synapses.variables[name].set_value(value)
    built.synapses = synapses
    own = Synapses(
        group,
        traces,
        on_pre="\n".join(f"{x}_post += 1" for x in _names(rule)),
        delay=0 * second,
        clock=group.clock,
        namespace={},
        name=f"{group.name}_own",
    )
    own.connect(i=np.arange(net.n, dtype=np.int32), j=np.arange(net.n, dtype=np.int32))
    own.pre.order = 2  # after all synapses have changed
    if plan.rounds > 1:
        traces.run_regularly(
            "\n".join(f"{x} = 0" for x in _names(rule)),
            clock=named_clock(f"{traces.name}_trials_clock", plan.n_steps * plan.dt),
            when="start",
            name=f"{traces.name}_trials",
        )
    if learning.target is not None:
        _attach_scaling(traces, synapses, learning.target, learning.interval)
    return synapses, [traces, own]


def _attach_scaling(
    traces: NeuronGroup, synapses: Synapses, target: np.ndarray, interval: float
) -> None:
    traces.variables["target"].set_value(target)
    clock = named_clock(f"{traces.name}_scaling_clock", interval)
    lines = (
        (traces, "total = 0"),
        (synapses, "total_post += abs(w)*int(low < high)"),
        # Apart from the product: a factor of 1 then leaves weights as they are to the last bit.
        (traces, f"total = (target + {_TINY})/(total + {_TINY})"),
        (synapses, "w = clip(w*total_post, low, high)"),
    )
    for k, (owner, code) in enumerate(lines):
        owner.run_regularly(code, clock=clock, when="end", order=k, name=f"{traces.name}_scale{k}")


def _names(rule: STDP) -> tuple[str, ...]:
    return tuple(rule.times.values())


def _sequence(stimulus: Any) -> tuple[Stimulus, ...]:
    given = (stimulus,) if isinstance(stimulus, Stimulus) else stimulus
    if not isinstance(given, (list, tuple)) or not all(isinstance(s, Stimulus) for s in given):
        raise ParameterError("stimulus", "a Stimulus, or a sequence of them", stimulus)
    if not given:
        raise ParameterError("stimulus", "at least one Stimulus", "none")
    return tuple(given)


def _interval(interval: Any, dt: float) -> float:
    length = positive_seconds(interval, "interval")
    if round(length / dt) < 1 or abs(length / dt - round(length / dt)) > 1e-6:
        raise ParameterError("interval", f"a multiple of dt ({dt:g} s)", f"{length:g} s")
    return round(length / dt) * dt


def _diagnose(learning: Learning, before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    learns = learning.bound != 0
    if not learns.any():
        return {}
    result: dict[str, Any] = {}
    for when, w in (("before", before), ("after", after)):
        size = w[learns] / learning.bound[learns]
        result[f"mean_{when}"] = float(np.abs(w[learns]).mean())
        result[f"cv_{when}"] = float(size.std() / size.mean()) if size.any() else 0.0
    old, new = learning.sums(before), learning.sums(after)
    return {
        **result,
        "at_zero": float((size <= 0.01).mean()),
        "at_bound": float((size >= 0.99).mean()),
        "clipped": float((np.abs(before) > np.abs(learning.bound))[learns].mean()),
        "sum_error": float(np.abs(new[old > 0] / old[old > 0] - 1).max()),
    }
