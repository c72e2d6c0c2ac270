"""closed_loop: a network goes on by itself, its readout's prediction fed back as the next input."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from brian2 import NetworkOperation, SpikeMonitor, second

from analysis.rowwise import RowwiseRun
from analysis.spikes import gamma_kernel
from models_eq.checks import floats, whole
from models_eq.device import current_device, running
from models_eq.errors import DeviceError, ParameterError
from models_eq.frozen import named_clock
from models_eq.hrsnn import HRSNN
from models_eq.inputs import check_hold
from models_eq.network import build
from models_eq.plan import initial_states
from models_eq.rng import check_seed
from models_eq.stimulus import Stimulus
from models_eq.units import positive_seconds

Predictor = Callable[[np.ndarray, np.ndarray], np.ndarray]
# A prediction further out than this has left every attractor (inputs are standardised); held
# there, it cannot drive membranes to infinity while other starts go on.
LIMIT = 20.0
ENGINES = ("brian2", "compiled")


@dataclass(frozen=True, eq=False)
class ClosedLoop:
    """Free-running predictions from several starts.

    Attributes
    ----------
    prediction : ndarray, shape (starts, steps, c)
        Row k is the prediction of the row k after the end of the warm-up. Rows beyond the limit
        are clipped to it.
    traces : ndarray, shape (starts, rows, features), float32, or None
        Filtered spike trains at the end of each row fed, where they were asked for.
    mean_rate : float, Hz
        Mean firing rate, warm-up included.
    sops_per_row : float
        Recurrent synaptic operations a row and start, warm-up included.
    """

    prediction: np.ndarray
    traces: np.ndarray | None
    mean_rate: float
    sops_per_row: float


class _Traces:
    """Filtered spike trains of a running simulation, kept from the spikes that are new."""

    def __init__(
        self,
        monitor: SpikeMonitor,
        shape: tuple[int, int],
        hold: float,
        dt: float,
        taus: Sequence[float],
        order: int,
    ) -> None:
        self.monitor, self.shape, self.hold, self.dt, self.taus = monitor, shape, hold, dt, taus
        self.order = order
        self.read = 0
        self.count = np.zeros(shape[0] * shape[1], dtype=np.int64)
        self.values = [np.zeros((order, shape[0] * shape[1])) for _ in taus]

    def advance(self, end: float) -> np.ndarray:
        """Traces at ``end``, shape (starts, len(taus) * n); spikes of a step count at its end."""
        total = int(self.monitor.variables["N"].item())
        neuron = self.monitor.variables["i"].get_value()[self.read : total]
        age = end - (self.monitor.variables["t"].get_value()[self.read : total] + self.dt)
        self.read = total
        self.count += np.bincount(neuron, minlength=self.count.size)
        for k, tau in enumerate(self.taus):
            kept = gamma_kernel(np.array(self.hold / tau), self.order)
            before = self.values[k].copy()
            for stage, weight in enumerate(gamma_kernel(age / tau, self.order)):
                new = np.bincount(neuron, weight, self.count.size)
                self.values[k][stage] = new + kept[stage::-1] @ before[: stage + 1]
        return np.concatenate([value[-1].reshape(self.shape) for value in self.values], axis=1)


class _Loop:
    """What happens at the start of each row: read the traces, predict, set the input."""

    def __init__(
        self,
        predict: Predictor,
        teacher: np.ndarray,
        steps: int,
        weights: np.ndarray,
        record: bool,
    ) -> None:
        self.predict, self.teacher = predict, teacher
        self.weights, self.row, self.warm = weights, 0, teacher.shape[1] - steps
        self.prediction = np.zeros((len(teacher), steps, teacher.shape[2]))
        self.free = ~np.isfinite(teacher[:, self.warm :]).all(axis=(0, 2))
        self.recorded: list[np.ndarray] | None = [] if record else None
        self.fed = teacher[:, 0]

    def __call__(self, state: np.ndarray | None) -> np.ndarray:
        """Read the traces at the end of a row (None at the start); return the next input."""
        ahead = self.row - self.warm
        if state is not None:
            if self.recorded is not None:
                self.recorded.append(state.astype(np.float32))
            if 0 <= ahead < self.prediction.shape[1]:
                guess = np.asarray(self.predict(state, self.fed), dtype=float)
                if guess.shape != self.fed.shape:
                    raise ParameterError("predict", f"shape {self.fed.shape}", guess.shape)
                guess = np.nan_to_num(guess, nan=LIMIT, posinf=LIMIT, neginf=-LIMIT)
                self.prediction[:, ahead] = np.clip(guess, -LIMIT, LIMIT)
        if self.row < self.teacher.shape[1]:
            own = ahead >= 0 and self.free[ahead]
            self.fed = self.prediction[:, ahead] if own else self.teacher[:, self.row]
        self.row += 1
        return self.fed @ self.weights


def closed_loop(
    net: HRSNN,
    warmup: Any,
    predict: Predictor,
    weights: Any,
    hold: Any,
    *,
    steps: int,
    tau: Any = "50 ms",
    order: int = 1,
    teacher: Any = None,
    record: bool = False,
    dt: Any = "1 ms",
    seed: int = 0,
    engine: str = "brian2",
) -> ClosedLoop:
    """Let a network predict freely from many starts side by side, in one run.

    Parameters
    ----------
    net : HRSNN
        The network; one copy for each start.
    warmup : array_like, shape (starts, rows, c)
        True inputs that bring each copy to the state from which it goes on alone.
    predict : callable
        ``predict(state, present) -> following`` with ``state`` of shape (starts, features), the
        filtered spike trains at the end of a row (all neurons at the first time constant, then
        at the second ...), and ``present`` and ``following`` of shape (starts, c), the row that
        was fed and the next: such as ``FeedbackReadout.predict``.
    weights : array_like, shape (c, n_origin)
        Input weights, drawn for the original neurons.
    hold : Quantity or str
        How long a row is held.
    steps : int
        Rows to predict.
    tau : Quantity or str, or a sequence of these
        Time constants of the filters.
    order : int
        Order of the filters, as :func:`~analysis.spikes.filtered_traces` has it.
    teacher : array_like, shape (starts, steps, c), optional
        Feed these rows in place of the predictions: an open loop through the same code.
    record : bool
        Keep the traces.
    dt : Quantity or str
        Time step.
    seed : int
        Seed of the initial state, the same draw as :func:`~models_eq.simulate.simulate` makes.
    engine : {'brian2', 'compiled'}
        ``'brian2'`` runs any model on the current device; ``'compiled'`` is a loop over the same
        exact map on the same clock, for ``lif_exp`` (:class:`~analysis.rowwise.RowwiseRun`).
        They agree until rounding separates them, which the feedback then amplifies.

    Returns
    -------
    ClosedLoop

    Raises
    ------
    ParameterError
        Naming the argument that is wrong.
    DeviceError
        On a standalone device, which cannot return to Python at every row.
    CapabilityError
        If the compiled engine is asked for another model than ``lif_exp``.

    Notes
    -----
    ``x_i(T) = sum over spikes t <= T of k((T - t) / tau)``, as
    :func:`~analysis.spikes.filtered_traces` has it. At the end T of a row, the prediction of the
    next row becomes its input current, held until ``T + hold``.
    """
    if not isinstance(net, HRSNN):
        raise ParameterError("net", "an HRSNN", type(net).__name__)
    start = _finite(warmup, "warmup", 3)
    steps, seed = whole(steps, "steps"), check_seed(seed)
    if teacher is None:
        rest = np.full((len(start), steps, start.shape[2]), np.nan)
    else:
        rest = _finite(teacher, "teacher", 3)
        if rest.shape != (len(start), steps, start.shape[2]):
            raise ParameterError(
                "teacher", f"shape {(len(start), steps, start.shape[2])}", rest.shape
            )
    first = Stimulus.from_signal(start[:1], weights, hold)
    step = positive_seconds(dt, "dt")
    check_hold(first, step)
    projected = np.asarray(weights, dtype=float)[:, first.columns(net)]
    if engine not in ENGINES:
        raise ParameterError("engine", " or ".join(ENGINES), engine)
    filters = [positive_seconds(value, "tau") for value in _several(tau)], whole(order, "order")
    fed = np.concatenate([start, rest], axis=1)
    copies, rows = fed.shape[:2]
    loop = _Loop(predict, fed, steps, projected, record)
    run = _run_compiled if engine == "compiled" else _run_brian
    count = run(net, loop, fed.shape[:2], first.hold, step, filters, seed)
    per_start = count / copies
    return ClosedLoop(
        loop.prediction,
        None if loop.recorded is None else np.stack(loop.recorded, axis=1),
        float(per_start.mean() / ((rows - 1) * first.hold)),
        float(per_start @ net.out_degree / (rows - 1)),
    )


def _run_compiled(
    net: HRSNN,
    loop: _Loop,
    shape: tuple[int, int],
    hold: float,
    dt: float,
    filters: tuple[list[float], int],
    seed: int,
) -> np.ndarray:
    """Spikes of each neuron, over all copies."""
    text, order = [f"{tau!r} s" for tau in filters[0]], filters[1]
    network = RowwiseRun(net, shape[0], f"{hold!r} s", text, order=order, dt=f"{dt!r} s", seed=seed)
    current = loop(None)
    for _ in range(shape[1] - 1):
        current = loop(network(current))
    return network.counts


def _run_brian(
    net: HRSNN,
    loop: _Loop,
    shape: tuple[int, int],
    hold: float,
    dt: float,
    filters: tuple[list[float], int],
    seed: int,
) -> np.ndarray:
    """Spikes of each neuron, over all copies."""
    device, (copies, rows) = current_device(), shape
    if device.name not in ("numpy", "cython"):
        raise DeviceError(
            "device", "numpy or cython", device.name, "Only these return to Python at every row"
        )
    with running(device):
        state = initial_states((net,), None, copies, seed)
        built = build((net,), dt=dt, copies=copies, state=state)
        monitor = SpikeMonitor(built.group, name=f"{built.group.name}_spikes")
        traces = _Traces(monitor, (copies, net.n), hold, dt, *filters)
        stimulus = built.group.variables["i_stim"]

        def answer() -> None:
            state = traces.advance(loop.row * hold) if loop.row else None
            stimulus.set_value(loop(state).ravel())

        each_row = NetworkOperation(
            answer,
            clock=named_clock(f"{built.group.name}_rows_clock", hold),
            when="start",
            order=1,
            name=f"{built.group.name}_rows",
        )
        # The last input is not needed: the prediction of the last row ends the run.
        built.network(monitor, each_row).run((rows - 1) * hold * second, namespace={})
        loop(traces.advance(loop.row * hold))
    return traces.count.reshape(copies, net.n).sum(axis=0)


def _several(tau: Any) -> Sequence[Any]:
    return tau if isinstance(tau, (list, tuple)) and tau else [tau]


def _finite(value: Any, name: str, ndim: int) -> np.ndarray:
    array = floats(value, name)
    if array.ndim != ndim or 0 in array.shape:
        raise ParameterError(name, "shape (starts, rows, c), not empty", f"shape {array.shape}")
    if not np.isfinite(array).all():
        raise ParameterError(name, "finite values", "NaN or infinity")
    return array
