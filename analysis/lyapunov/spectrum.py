"""lyapunov_spectrum: one door to every method and every kind of system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from brian2 import NeuronGroup, Synapses

from analysis.lyapunov.engines import engine_spectrum
from analysis.lyapunov.flat import KINDS
from analysis.lyapunov.flows import Flow, Map
from analysis.lyapunov.perturbed import perturbed_spectrum
from analysis.lyapunov.qr import Progress, how_many, intervals
from analysis.lyapunov.replicas import replica_spectrum
from analysis.lyapunov.result import LyapunovResult
from analysis.lyapunov.smooth import smooth_spectrum
from models_eq.brian import BrianModel, brian_model_of
from models_eq.errors import CapabilityError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.inputs import check_hold
from models_eq.plan import initial_states
from models_eq.rng import check_seed
from models_eq.stimulus import Stimulus
from models_eq.units import positive_seconds, seconds

METHODS = ("auto", "event", "saltation", "perturbed")
# Above, a clock costs less than the heap of events; both are exact for these models.
EVENT_NEURONS = 500
GRID_STEP = 1e-5


def lyapunov_spectrum(
    system: Any,
    stimulus: Any = None,
    *,
    k: int | None = None,
    duration: Any = None,
    dt: Any = None,
    transient: Any = None,
    initial_state: Mapping[str, Any] | None = None,
    t_qr: Any = None,
    method: str = "auto",
    seed: int = 0,
    namespace: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> LyapunovResult:
    """Estimate the largest Lyapunov exponents of a system.

    Parameters
    ----------
    system : HRSNN, NeuronGroup, (NeuronGroup, Synapses), Flow or Map
        A network of ours; a user's own Brian2 group, alone or with its Synapses (one object or
        several, as a tuple or as the second argument); or a smooth system.
    stimulus : Stimulus, optional
        Frozen input of an HRSNN, without trials; the exponents are then conditional on it. Input
        spikes act at their own times (on the grid for Brian2 models). For a NeuronGroup the second
        argument is its Synapses.
    k : int, optional
        How many exponents; by default 20, or all where there are fewer.
    duration : Quantity or str, optional
        Time averaged over; by default 10 s, or what the stimulus leaves after the transient. A
        bare number for systems whose time has no unit.
    dt : Quantity or str, optional
        Time step. By default 0.1 ms for ``saltation`` and ``perturbed`` of linear models, for
        which it does not matter much, 0.01 ms for other spiking models. ``event`` is exact in
        time and does not look at it.
    transient : Quantity or str, optional
        Time discarded before, in whose second half the tangent vectors align; by default a
        quarter of the duration, at least 2 s without a stimulus.
    initial_state : Mapping of str to array_like, optional
        State variables of an HRSNN, as in :func:`models_eq.simulate`.
    t_qr : Quantity or str, optional
        Interval between orthonormalisations, by default 10 ms.
    method : {'auto', 'event', 'saltation', 'perturbed'}
        See Notes.
    seed : int
        Seed of the initial state (where it is not given) and of the initial vectors.
    namespace : Mapping, optional
        Further names that a user's Brian2 equations need, beyond those of the calling scope.
    progress : callable, optional
        Called as ``progress(done, total)``; raise from it to stop.

    Returns
    -------
    LyapunovResult

    Raises
    ------
    ParameterError
        For a bad argument, naming it.
    CapabilityError
        For a measurement that cannot work, with the reason and the method that can.
    ConvergenceError
        For an estimate that cannot be trusted; its ``partial`` holds what there is.

    Notes
    -----
    A small displacement dx of the state grows as exp(lambda t). Between spikes
    d(dx)/dt = Df dx. At a spike of neuron s, with threshold h(x) = 0, reset g and action G on
    a target,

        lag  = (grad h . dx_s) / (grad h . f(x_s))
        dx_s = Dg dx_s + [f(g(x_s)) - Dg f(x_s)] lag
        dx_j = DG dx_j + [f(G(x_j)) - DG f(x_j)] lag

    with f just before and after the jump (saltation). While a neuron is refractory the lag is
    what it remembers. Vectors are orthonormalised every ``t_qr``; exponents are slopes of the log
    growth (:func:`~analysis.lyapunov.result.slope_mean`).

    ``event``
        Exact from spike to spike (``lif_exp``, ``lif_delta``, ``qif``); the oracle.
    ``saltation``
        On a clock. For ``lif_exp`` and ``lif_delta`` the spikes of a step are located inside it
        and resolved earliest first, through exact propagators: no bias from the grid. For other
        models and for a user's own Brian2 objects tangent equations and jumps are derived from the
        text of the model and run as replicas through Brian2, with spikes on the grid: take
        dt = 0.01 ms or less, and look at ``same_step_share``.
    ``perturbed``
        Displaced copies that share one frozen input, renormalised (``lif_exp``, and ``qif`` on
        the exact engine): slower, and independent of any tangent equation.

    Cost: event and saltation of linear models some times the plain run for ten exponents, growing
    as k times the synaptic events; replicas about (k + 1) plain runs; perturbed (k + 1) runs.
    Memory grows as n k.

    References
    ----------
    Benettin et al. 1980, 10.1007/BF02128236; Zhou, Sun, Rangan & Cai 2010,
    10.1007/s10827-009-0201-3; Bizzarri, Brambilla & Storti Gajani 2013,
    10.1007/s10827-013-0448-6; Monteforte & Wolf 2010, 10.1103/PhysRevLett.105.268104.

    Examples
    --------
    Two neurons that inhibit each other and lock: one exponent is 0, along the flow.

    >>> net = HRSNN("lif_exp", 2, i=[0, 1], j=[1, 0], w=-0.5, tau_m=[0.02, 0.018], i_ext=[1.5, 1.4])
    >>> found = lyapunov_spectrum(net, k=2, duration="10 s")
    >>> found.method, bool(abs(found.exponents[0]) < 0.01)
    ('event', True)
    """
    if method not in METHODS:
        raise ParameterError("method", "one of " + ", ".join(METHODS), method)
    seed = check_seed(seed)
    if isinstance(system, (Flow, Map)):
        if method not in ("auto", "saltation"):
            raise CapabilityError(
                "method", "auto for a smooth system", method, "It has no spikes to resolve"
            )
        if stimulus is not None:
            raise ParameterError("stimulus", "nothing for a smooth system", type(stimulus).__name__)
        return smooth_spectrum(
            system, k=k, duration=duration, dt=dt, transient=transient, t_qr=t_qr, seed=seed,
            progress=progress,
            reason=f"auto: a smooth {type(system).__name__.lower()}, by its Jacobian",
        )  # fmt: skip
    common = {"k": k, "duration": duration, "dt": dt, "transient": transient, "t_qr": t_qr}
    if isinstance(system, HRSNN):
        return _network(system, stimulus, method, initial_state, seed, progress, **common)
    group, synapses = _brian_objects(system, stimulus)
    if method not in ("auto", "saltation"):
        raise CapabilityError(
            "method", "saltation for a Brian2 model of one's own", method,
            "A hard reset on the grid erases a finite displacement, and event needs closed forms",
        )  # fmt: skip
    if initial_state is not None:
        raise ParameterError("initial_state", "nothing: the group holds its own", initial_state)
    model = BrianModel.from_objects(group, synapses, namespace=namespace, level=1)
    reason = "auto: a Brian2 model of one's own, by tangent replicas" if method == "auto" else ""
    return _replicas(model, None, None, seed, progress, reason, **common)


def _brian_objects(system: Any, second: Any) -> tuple[NeuronGroup, list[Synapses]]:
    """Group and Synapses of a user, however they were handed over."""
    parts = list(system) if isinstance(system, (tuple, list)) else [system]
    parts += list(second) if isinstance(second, (tuple, list)) else [second]
    parts = [part for part in parts if part is not None]
    if not parts or not isinstance(parts[0], NeuronGroup):
        raise ParameterError(
            "system",
            "an HRSNN, a NeuronGroup with its Synapses, a Flow or a Map",
            type(parts[0] if parts else system).__name__,
        )
    for part in parts[1:]:
        if not isinstance(part, Synapses):
            raise ParameterError("synapses", "Brian2 Synapses", type(part).__name__)
    return parts[0], parts[1:]


def _times(
    stimulus: Stimulus | None, duration: Any, transient: Any, t_qr: Any
) -> tuple[float, float, float]:
    """Seconds averaged over, discarded before, and between orthonormalisations."""
    step = positive_seconds("10 ms" if t_qr is None else t_qr, "t_qr")
    given = None if transient is None else seconds(transient, "transient")
    if given is not None and given < 0:
        raise ParameterError("transient", "a time of at least 0 s", transient)
    if stimulus is None:
        length = positive_seconds("10 s" if duration is None else duration, "duration")
        before = max(2.0, length / 4) if given is None else given
    else:
        whole_input = stimulus.duration
        if duration is None:
            before = min(2.0, whole_input / 5) if given is None else given
            length = whole_input - before
            if length <= 0:
                raise ParameterError(
                    "transient", f"less than the stimulus ({whole_input:g} s)", transient
                )
        else:
            length = positive_seconds(duration, "duration")
            before = min(2.0, max(0.0, whole_input - length)) if given is None else given
        if before + length > whole_input + 1e-9:
            raise ParameterError(
                "duration", f"with the transient at most the stimulus ({whole_input:g} s)",
                f"{before:g} + {length:g} s",
            )  # fmt: skip
    # Whole intervals, and none beyond the end of the input.
    before = np.floor(before / step + 1e-6) * step
    length = np.floor(length / step + 1e-6) * step
    intervals(length, step)
    return float(length), float(before), step


def _step(dt: Any, default: float, t_qr: float, stimulus: Stimulus | None) -> float:
    """Time step, checked to divide the interval of orthonormalisation and the input's hold."""
    step = default if dt is None else positive_seconds(dt, "dt")
    ratio = t_qr / step
    if abs(ratio - round(ratio)) > 1e-6 or round(ratio) < 1:
        raise ParameterError("dt", f"a divisor of t_qr ({t_qr:g} s)", f"{step:g} s")
    if stimulus is not None:
        check_hold(stimulus, step)
    return step


def _pick(net: HRSNN, stimulus: Stimulus | None) -> tuple[str, str]:
    """Method for a network, and why."""
    if net.model not in KINDS:
        return "saltation", f"auto: {net.model} has no closed form, so its text is differentiated"
    if net.model == "qif":
        return "event", "auto: qif has closed forms between spikes, so events are exact"
    if net.n <= EVENT_NEURONS and stimulus is None:
        return (
            "event",
            f"auto: {net.n} neurons without changing input, so events are exact and fast",
        )
    why = "a changing input" if stimulus is not None else f"more than {EVENT_NEURONS} neurons"
    return "saltation", f"auto: {net.model} with {why}, so the ordered clock is exact and faster"


def _network(
    net: HRSNN,
    stimulus: Stimulus | None,
    method: str,
    initial_state: Mapping[str, Any] | None,
    seed: int,
    progress: Progress | None,
    *,
    k: int | None,
    duration: Any,
    dt: Any,
    transient: Any,
    t_qr: Any,
) -> LyapunovResult:
    if stimulus is not None and not isinstance(stimulus, Stimulus):
        raise ParameterError("stimulus", "a Stimulus", type(stimulus).__name__)
    reason = "asked for"
    if method == "auto":
        method, reason = _pick(net, stimulus)
    if method == "event" and net.model not in KINDS:
        raise CapabilityError(
            "method", "saltation for " + net.model, "event",
            "It has no closed form between spikes: take method='saltation'",
        )  # fmt: skip
    if method == "saltation" and net.model not in ("lif_exp", "lif_delta"):
        step = GRID_STEP if dt is None else positive_seconds(dt, "dt")
        state = initial_states([net], None if initial_state is None else [initial_state], 1, seed)
        model = brian_model_of(net, step, state)
        return _replicas(
            model, net, stimulus, seed, progress, reason,
            k=k, duration=duration, dt=dt, transient=transient, t_qr=t_qr,
        )  # fmt: skip
    dimension = net.n * (2 if net.model == "lif_exp" else 1)
    length, before, interval = _times(stimulus, duration, transient, t_qr)
    step = _step(dt, 1e-4, interval, stimulus)
    if method == "perturbed":
        return perturbed_spectrum(
            net, stimulus, k=how_many(k, dimension), duration=length, dt=step,
            transient=before, t_qr=interval, seed=seed, initial_state=initial_state,
            progress=progress, reason=reason,
        )  # fmt: skip
    return engine_spectrum(
        net, stimulus, method=method, k=how_many(k, dimension), duration=length,
        dt=0.0 if method == "event" else step, transient=before, t_qr=interval, seed=seed,
        initial_state=initial_state, progress=progress, reason=reason,
    )  # fmt: skip


def _replicas(
    model: BrianModel,
    net: HRSNN | None,
    stimulus: Stimulus | None,
    seed: int,
    progress: Progress | None,
    reason: str,
    *,
    k: int | None,
    duration: Any,
    dt: Any,
    transient: Any,
    t_qr: Any,
) -> LyapunovResult:
    length, before, interval = _times(stimulus, duration, transient, t_qr)
    return replica_spectrum(
        model, k=k, duration=length, dt=_step(dt, GRID_STEP, interval, stimulus),
        transient=before, t_qr=interval, seed=seed, stimulus=stimulus, net=net,
        progress=progress, reason=reason,
    )  # fmt: skip
