"""What a simulation is asked for, checked once and turned into numbers: a Plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models_eq.checks import floats, whole
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.inputs import check_hold
from models_eq.network import default_state
from models_eq.neurons import neuron_model
from models_eq.rng import check_seed, stream
from models_eq.stimulus import Stimulus
from models_eq.units import positive_seconds

# Trials side by side share the overhead of a step, but beyond some thousand neurons a step's own
# work outweighs it and the state leaves the processor's cache (scripts/benchmark_batches.py).
MAX_COPIES, NEURONS_SIDE_BY_SIDE = 64, 8_000


@dataclass(frozen=True)
class Plan:
    """A checked simulation of several networks side by side.

    Attributes
    ----------
    nets : tuple of HRSNN
        Networks of one model.
    stimuli : tuple of Stimulus
        One for each network, or none at all.
    dt : float, s
        Time step.
    copies, rounds : int
        Copies (or trials) side by side, and rounds of trials one after the other.
    n_trials : int
        Trials, or copies where the stimulus has no trials.
    n_steps : int
        Time steps of a round.
    states : dict of str to ndarray, shape (total,)
        Initial state of all copies of all networks.
    spike_state : bool
        Whether the state is recorded at spikes and releases.
    sampled : tuple of str
        Variables to sample, every ``interval`` seconds.
    interval : float, s
        Sampling interval.
    """

    nets: tuple[HRSNN, ...]
    stimuli: tuple[Stimulus, ...]
    dt: float
    copies: int
    rounds: int
    n_trials: int
    n_steps: int
    states: dict[str, np.ndarray]
    spike_state: bool
    sampled: tuple[str, ...]
    interval: float

    @property
    def state_names(self) -> tuple[str, ...]:
        """State variables of the model."""
        return neuron_model(self.nets[0].model).state


def make_plan(
    nets: Sequence[HRSNN],
    stimulus: Stimulus | Sequence[Stimulus] | None,
    *,
    duration: Any,
    dt: Any,
    initial_state: Sequence[Mapping[str, Any]] | None,
    record: Sequence[str],
    sample_dt: Any,
    copies: int | None,
    seed: int,
) -> Plan:
    """Check the arguments of :func:`~models_eq.simulate.simulate_batch`.

    Raises
    ------
    ParameterError
        Naming the argument that is wrong.
    """
    nets = _nets(nets)
    step = positive_seconds(dt, "dt")
    seed = check_seed(seed)
    stimuli = _stimuli(stimulus, len(nets))
    for net, given in zip(nets, stimuli, strict=False):
        given.columns(net)
    copies, rounds, n_steps = _layout(stimuli, duration, copies, step, sum(one.n for one in nets))
    spike_state, sampled = _recorded(record, neuron_model(nets[0].model).state)
    return Plan(
        nets=nets,
        stimuli=stimuli,
        dt=step,
        copies=copies,
        rounds=rounds,
        n_trials=(stimuli[0].n_trials if stimuli else 0) or copies,
        n_steps=n_steps,
        states=initial_states(nets, initial_state, copies, seed),
        spike_state=spike_state,
        sampled=sampled,
        interval=_interval(sample_dt, step, n_steps if rounds > 1 else 0),
    )


def _nets(nets: Sequence[HRSNN]) -> tuple[HRSNN, ...]:
    nets = (nets,) if isinstance(nets, HRSNN) else tuple(nets)
    if not nets:
        raise ParameterError("nets", "at least one network", "none")
    for net in nets:
        if not isinstance(net, HRSNN):
            raise ParameterError("net", "an HRSNN", type(net).__name__)
    return nets


def _stimuli(stimulus: Stimulus | Sequence[Stimulus] | None, count: int) -> tuple[Stimulus, ...]:
    if stimulus is None:
        return ()
    one = isinstance(stimulus, Stimulus)
    if not one and not isinstance(stimulus, (list, tuple)):
        raise ParameterError("stimulus", "a Stimulus", type(stimulus).__name__)
    stimuli = (stimulus,) * count if isinstance(stimulus, Stimulus) else tuple(stimulus)
    for given in stimuli:
        if not isinstance(given, Stimulus):
            raise ParameterError("stimulus", "a Stimulus", type(given).__name__)
    if len(stimuli) != count:
        raise ParameterError("stimulus", f"one for all or {count}", f"{len(stimuli)}")
    shapes = {(s.hold, s.n_rows, s.n_trials) for s in stimuli}
    if len(shapes) != 1:
        raise ParameterError("stimulus", "one hold, row count and trial count", sorted(shapes))
    return stimuli


def _layout(
    stimuli: Sequence[Stimulus], duration: Any, copies: int | None, step: float, n: int
) -> tuple[int, int, int]:
    """Copies side by side, rounds one after the other, and the steps of a round."""
    if copies is not None:
        copies = whole(copies, "copies")
    trials = stimuli[0].n_trials if stimuli else 0
    if stimuli:
        check_hold(stimuli[0], step)
    if trials:
        if duration is not None:
            raise ParameterError("duration", "nothing where the stimulus has trials", duration)
        usual = min(MAX_COPIES, max(1, NEURONS_SIDE_BY_SIDE // n))
        copies = min(trials, copies or usual)
        return copies, -(-trials // copies), round(stimuli[0].duration / step)
    if duration is None:
        if not stimuli:
            raise ParameterError("duration", "a time such as 2*second", "nothing")
        length = stimuli[0].duration
    else:
        length = positive_seconds(duration, "duration")
    if length < step * (1 - 1e-6):
        raise ParameterError("duration", f"at least one step of {step:g} s", f"{length:g} s")
    if stimuli and length > stimuli[0].duration * (1 + 1e-9):
        raise ParameterError(
            "duration", f"at most the stimulus ({stimuli[0].duration:g} s)", f"{length:g} s"
        )
    return copies or 1, 1, round(length / step)


def _interval(sample_dt: Any, step: float, steps_of_round: int) -> float:
    if sample_dt is None:
        return step
    interval = positive_seconds(sample_dt, "sample_dt")
    ratio = interval / step
    if abs(ratio - round(ratio)) > 1e-6 or round(ratio) < 1:
        raise ParameterError("sample_dt", f"a multiple of dt ({step:g} s)", f"{interval:g} s")
    if steps_of_round % round(ratio):
        # Sampling times would otherwise differ from round to round.
        raise ParameterError(
            "sample_dt",
            f"a divisor of the trial ({steps_of_round * step:g} s)",
            f"{interval:g} s",
            "Or run all trials side by side (copies)",
        )
    return round(ratio) * step


def _recorded(record: Sequence[str], state: tuple[str, ...]) -> tuple[bool, tuple[str, ...]]:
    expected = "spikes, spike_state, i_stim or " + ", ".join(state)
    try:
        names = [record] if isinstance(record, str) else list(record)
    except TypeError:
        raise ParameterError("record", expected, record) from None
    unknown = [name for name in names if name not in (*state, "i_stim", "spike_state", "spikes")]
    if unknown:
        raise ParameterError("record", expected, ", ".join(map(str, unknown)))
    sampled = dict.fromkeys(n for n in names if n not in ("spike_state", "spikes"))
    return "spike_state" in names, tuple(sampled)


def initial_states(
    nets: Sequence[HRSNN],
    given: Sequence[Mapping[str, Any]] | None,
    copies: int,
    seed: int,
) -> dict[str, np.ndarray]:
    """Initial state of all copies of all networks, each of shape (total,), checked.

    Parameters
    ----------
    nets : sequence of HRSNN
        The networks.
    given : sequence of Mapping, or None
        State variables by name for each network, of shape (n,) or (copies, n). The membrane is
        drawn from ``seed`` where it is not given, all else is 0.
    copies : int
        Copies of each network.
    seed : int
        Seed of what is drawn.

    Raises
    ------
    ParameterError
        For unknown variables, wrong shapes or values that are not finite.
    """
    if given is not None and len(given) != len(nets):
        raise ParameterError("initial_state", f"one for each of {len(nets)} networks", len(given))
    parts: dict[str, list[np.ndarray]] = {}
    for k, net in enumerate(nets):
        own = {} if given is None else given[k]
        if not isinstance(own, Mapping):
            raise ParameterError("initial_state", "a mapping of names to arrays", own)
        fraction = stream(seed, "v_init").random(net.n_origin)[net.ids]
        if neuron_model(net.model).state[0] == "v":
            membrane = net.v_reset + fraction * (net.v_th - net.v_reset)
        else:
            membrane = np.pi * (2 * fraction - 1)
        state = default_state(net, membrane)
        for name, value in own.items():
            if name not in state:
                raise ParameterError("initial_state", "variables " + ", ".join(state), str(name))
            state[name] = floats(value, f"initial_state[{name!r}]")
        for name, value in state.items():
            parts.setdefault(name, []).append(_spread(value, copies, net.n, name))
    return {name: np.concatenate(values) for name, values in parts.items()}


def _spread(value: np.ndarray, copies: int, n: int, name: str) -> np.ndarray:
    field = f"initial_state[{name!r}]"
    try:
        full = np.broadcast_to(value, (copies, n))
    except ValueError:
        raise ParameterError(
            field, f"shape ({n},) or ({copies}, {n})", f"shape {value.shape}"
        ) from None
    if not np.isfinite(full).all():
        raise ParameterError(field, "finite values", "NaN or infinity")
    return full.ravel()
