"""Task: inputs, targets and their split as one frozen value; what every family builds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from brian2.units.fundamentalunits import Quantity

from models_eq.errors import ParameterError
from models_eq.rng import stream
from models_eq.stimulus import Stimulus
from models_eq.units import positive_seconds

KINDS = ("series", "images")
METRICS = ("nrmse", "accuracy")


class Split(NamedTuple):
    """Slices ``train``, ``validation`` and ``test`` over the rows of a series, or over trials."""

    train: slice
    validation: slice
    test: slice


def frozen_array(array: np.ndarray) -> np.ndarray:
    """The array where nobody else can write to it, else a copy."""
    array = np.ascontiguousarray(array)
    if array.flags.writeable or array.base is not None:
        array = array.copy()
        array.setflags(write=False)
    return array


def whole(value: Any, name: str, least: int) -> int:
    """``value`` as an int of at least ``least``; ParameterError for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ParameterError(name, f"a whole number of at least {least}", value)
    return int(value)


def _array(value: Any, name: str, ndim: tuple[int, ...], shape: str) -> np.ndarray:
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise ParameterError(name, f"numbers of shape {shape}", value) from None
    if array.ndim not in ndim or array.size == 0:
        raise ParameterError(name, f"shape {shape}, not empty", f"shape {array.shape}")
    bad = int(np.sum(~np.isfinite(array)))
    if bad:
        raise ParameterError(name, "finite numbers", f"{bad} that are NaN or infinite")
    return array


@dataclass(frozen=True, eq=False, repr=False)
class Task:
    """What a network is asked to do, as arrays.

    Parameters
    ----------
    name : str
        Short name, used in tables and file names.
    inputs : array_like, shape (rows, c) or (trials, rows, c)
        Input channels, each row held for ``hold``. A series is one run; of images each trial
        starts from the same initial state.
    targets : array_like, shape (rows,) or (rows, d) for a series, (trials,) for images
        Series: row r is what is to be predicted from the state at the *end* of row r. Images:
        the label of each trial (integers or text).
    kind : {'series', 'images'}
    hold : float (s) or Quantity
        Biological time one row is held.
    washout : int
        Rows dropped before training (0 for images, whose state is reset).
    n_train, n_validation, n_test : int
        Rows (series) or trials (images), in this order after the washout; with it they account
        for every row.
    input_sd : float
        Standard deviation of the weights of each input channel.
    metric : {'nrmse', 'accuracy'}
        ``'nrmse'`` needs real-valued targets, ``'accuracy'`` labels.
    horizon : int
        Rows the target lies ahead of the input (0: not a forecast).
    baselines : Mapping of str to float
        The metric of simple predictors on the test part, where known.
    licence : str
        Terms of the data.
    input_seed : int
        Seed of the input weights.
    sample : float
        Time between two rows of a series in the unit of the system itself.
    lyapunov_time : float, optional
        ``1 / lambda_1`` of the system that generated the series, in the same unit.

    Raises
    ------
    ParameterError
        Naming the field that is wrong.
    """

    name: str
    inputs: np.ndarray
    targets: np.ndarray
    kind: str
    hold: float
    washout: int
    n_train: int
    n_validation: int
    n_test: int
    input_sd: float = 2.0
    metric: str = "nrmse"
    horizon: int = 0
    baselines: Mapping[str, float] = field(default_factory=dict)
    licence: str = ""
    input_seed: int = 0
    sample: float = 1.0
    lyapunov_time: float | None = None

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        if not isinstance(self.name, str) or not self.name:
            raise ParameterError("name", "a text that is not empty", self.name)
        if self.kind not in KINDS:
            raise ParameterError("kind", " or ".join(KINDS), self.kind)
        if self.metric not in METRICS:
            raise ParameterError("metric", " or ".join(METRICS), self.metric)
        series = self.kind == "series"
        shape = "(rows, c)" if series else "(trials, rows, c)"
        inputs = _array(self.inputs, "inputs", (2,) if series else (3,), shape)
        put("inputs", frozen_array(inputs))
        put("targets", frozen_array(self._checked_targets(len(inputs))))
        for name, least in (("washout", 0), ("n_train", 1), ("n_validation", 1), ("n_test", 1)):
            put(name, whole(getattr(self, name), name, least))
        if not series and self.washout:
            raise ParameterError("washout", "0 for images, whose state is reset", self.washout)
        parts = self.washout + self.n_train + self.n_validation + self.n_test
        if parts != len(inputs):
            raise ParameterError(
                "n_train, n_validation, n_test",
                f"parts that, with the washout, add up to the {len(inputs)} rows or trials",
                parts,
            )
        put("horizon", whole(self.horizon, "horizon", 0))
        if self.horizon and not series:
            raise ParameterError("horizon", "0 for images", self.horizon)
        if isinstance(self.hold, (str, Quantity)):
            put("hold", positive_seconds(self.hold, "hold"))
        for name in ("hold", "input_sd", "sample", "lyapunov_time"):
            value = getattr(self, name)
            if value is None and name == "lyapunov_time":
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
                raise ParameterError(name, "a number", value)
            # No input at all (input_sd = 0) is a control worth having.
            if not np.isfinite(value) or value < 0 or (value == 0 and name != "input_sd"):
                raise ParameterError(name, "a finite number above 0", value)
            put(name, float(value))
        put("input_seed", whole(self.input_seed, "input_seed", 0))
        if not isinstance(self.licence, str):
            raise ParameterError("licence", "a text", self.licence)
        try:
            baselines = {str(key): float(value) for key, value in dict(self.baselines).items()}
        except (TypeError, ValueError):
            raise ParameterError("baselines", "names and numbers", self.baselines) from None
        put("baselines", MappingProxyType(baselines))

    def _checked_targets(self, n: int) -> np.ndarray:
        if self.metric == "nrmse":
            targets = _array(self.targets, "targets", (1, 2), "(rows,) or (rows, d)")
        else:
            targets = np.asarray(self.targets)
            if targets.ndim != 1 or targets.dtype.kind not in "iuU":
                raise ParameterError(
                    "targets",
                    "one label each (integers or text)",
                    f"{targets.dtype}, shape {targets.shape}",
                )
        if len(targets) != n:
            raise ParameterError("targets", f"one for each of the {n} inputs", len(targets))
        return targets

    def __repr__(self) -> str:
        what = f"{self.n_train}+{self.n_validation}+{self.n_test}"
        unit = "rows" if self.kind == "series" else f"trials of {self.rows} rows"
        return f"Task({self.name}, {what} {unit}, {self.channels} channels)"

    def __reduce__(self) -> tuple[Any, ...]:
        values = [getattr(self, f.name) for f in fields(self)]
        return type(self), tuple(dict(v) if isinstance(v, MappingProxyType) else v for v in values)

    @property
    def rows(self) -> int:
        """Rows of the series, or of each trial."""
        return self.inputs.shape[-2]

    @property
    def channels(self) -> int:
        """Number of input channels c."""
        return self.inputs.shape[-1]

    @property
    def duration(self) -> float:
        """Biological time of the series or of one trial, in seconds."""
        return self.rows * self.hold

    @property
    def split(self) -> Split:
        """Slices of the training, validation and test part."""
        edges = np.cumsum([self.washout, self.n_train, self.n_validation, self.n_test]).tolist()
        return Split(*(slice(a, b) for a, b in pairwise(edges)))

    def stimulus_weights(self, n_origin: int) -> np.ndarray:
        """Weights from the input channels to every *original* neuron.

        Parameters
        ----------
        n_origin : int
            Size of the network that a (pruned) network descends from.

        Returns
        -------
        ndarray, shape (c, n_origin)
            Normal with standard deviation ``input_sd``. A neuron's weights depend on
            ``input_seed`` and its original index alone: neither on which neurons a pruned
            network kept, nor on ``n_origin``.
        """
        n_origin = whole(n_origin, "n_origin", 1)
        rng = stream(self.input_seed, "input")
        return self.input_sd * rng.standard_normal((n_origin, self.channels)).T

    def stimulus(self, n_origin: int, chosen: slice = slice(None)) -> Stimulus:
        """The input as it reaches a network.

        Parameters
        ----------
        n_origin : int
            Size of the network that a (pruned) network descends from.
        chosen : slice
            Which rows of a series, or which trials.

        Returns
        -------
        Stimulus
            Currents: :meth:`stimulus_weights` times the channels, each row held for ``hold``.
        """
        weights = self.stimulus_weights(n_origin)
        return Stimulus.from_signal(self.inputs[chosen], weights, f"{self.hold!r} s")

    def _hash(self, names: Sequence[str]) -> str:
        sha = hashlib.sha256()
        for name in names:
            value = getattr(self, name)
            if isinstance(value, np.ndarray):
                head, body = f"{value.dtype.str}{value.shape}", value.tobytes()
            else:
                value = dict(value) if isinstance(value, Mapping) else value
                head, body = "", json.dumps(value, sort_keys=True).encode()
            sha.update(f"{name}:{head}:{len(body)}:".encode() + body)
        return sha.hexdigest()

    @cached_property
    def input_digest(self) -> str:
        """Digest of all that decides the stimulus: tasks that share it share a simulation."""
        return self._hash(("inputs", "kind", "hold", "input_sd", "input_seed"))

    @cached_property
    def digest(self) -> str:
        """Digest of the whole task except ``baselines`` and ``licence``, which decide nothing."""
        return self._hash([f.name for f in fields(self) if f.name not in ("baselines", "licence")])


def forecast_task(
    name: str,
    values: np.ndarray,
    inputs: Sequence[int],
    targets: Sequence[int],
    *,
    horizon: int,
    washout: int,
    n_train: int,
    **settings: Any,
) -> Task:
    """A forecast of some columns of a series from others, standardised on the training part.

    Parameters
    ----------
    name : str (what the task is called)
    values : ndarray, shape (rows + horizon, v)
        The series in any unit.
    inputs, targets : sequence of int
        Columns seen, and columns to be predicted ``horizon`` rows ahead.
    horizon, washout, n_train : int
        Rows ahead, rows dropped, and rows of the training part.
    **settings
        Further fields of :class:`Task`.

    Returns
    -------
    Task

    Notes
    -----
    Both inputs and targets are centred and divided by the mean and standard deviation that the
    rows of the training part have; nothing after them is looked at.

    Raises
    ------
    ParameterError
        If a column is constant in the training part, or a field is wrong.
    """
    horizon, washout = whole(horizon, "horizon", 1), whole(washout, "washout", 0)
    n_train = whole(n_train, "n_train", 1)
    values = _array(values, "values", (2,), "(rows + horizon, v)")
    if len(values) < washout + n_train + horizon:
        raise ParameterError(
            "n_train", f"a training part within the {len(values) - horizon} rows", n_train
        )
    training = values[washout : washout + n_train]
    for column in {*inputs, *targets}:
        if np.ptp(training[:, column]) == 0:
            raise ParameterError(
                "values", "columns that vary in the training part", f"column {column} is constant"
            )
    sd = training.std(axis=0)
    scaled = (values - training.mean(axis=0)) / np.where(sd == 0, 1.0, sd)
    return Task(
        name,
        scaled[:-horizon][:, list(inputs)],
        scaled[horizon:][:, list(targets)],
        "series",
        washout=washout,
        n_train=n_train,
        horizon=horizon,
        **settings,
    )
