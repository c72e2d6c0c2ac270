"""A TOML file as a validated experiment: five sections, every error with its dotted key."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any

from brian2.units.fundamentalunits import DIMENSIONLESS
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from brain_lnp.tables import (
    build,
    kinds,
    law,
    one_of,
    plain,
    read_text,
    toml_key,
    toml_value,
    translated,
)
from models_eq.errors import FormatError, ParameterError
from models_eq.neurons import neuron_model
from models_eq.spec import HRSNNSpec
from models_eq.topology import Topology
from models_eq.units import TIME, to_si

METHODS = (
    "dense", "none", "random", "random_gain", "random_matched", "fresh", "sparse", "magnitude",
    "noise", "activity", "activity_trained", "activity_no_gain", "lnp_literal", "lnp_calibrated",
    "lnp",
)  # fmt: skip
DEVICES = ("auto", "numpy", "cython", "cpp_standalone")
_COMMON = ("n_train", "n_validation", "n_test", "hold", "input_sd")
_SERIES = ("horizon", "washout", *_COMMON)
_IMAGES = ("blank", "centre", *_COMMON)
# Keys of each task: arguments of its function (units.task_of) but the seed, the experiment's own.
TASKS: Mapping[str, tuple[str, ...]] = {
    "lorenz63": ("observe", "predict", "sample", *_SERIES),
    "rossler": ("observe", "predict", "sample", *_SERIES),
    "mackey_glass": ("tau", "sample", *_SERIES),
    "csv": ("path", "column", "predict", "time", "gaps", "transform", *_SERIES),
    "digits": _IMAGES,
    "images": ("path", *_IMAGES),
    "events": ("path", "limit", "pool", "duration", *_COMMON),
}
_NEEDED = {"csv": ("path", "column"), "images": ("path",), "events": ("path",)}


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _distinct(values: tuple[Any, ...]) -> None:
    for k, value in enumerate(values):
        if value in values[:k]:
            raise ParameterError(str(k), "each entry once", value)


Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Fractions = Annotated[tuple[Fraction, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


class Section(BaseModel):
    """A table of a file: unknown keys and other types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ExperimentSection(Section):
    """``[experiment]``: name, seeds (a list, or how many from 0 on), device and processes."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    device: str = "auto"
    jobs: Count = 1

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> Any:
        if type(value) is int:
            if not 1 <= value <= 10_000:
                raise ParameterError("", "a list of seeds, or how many (1..10000)", value)
            return tuple(range(value))
        return _as_tuple(value)

    @field_validator("seeds")
    @classmethod
    def _each_once(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        _distinct(value)
        return value

    @field_validator("device")
    @classmethod
    def _device(cls, value: str) -> str:
        return one_of(value, DEVICES)


class NetworkSection(Section):
    """``[network]``: the fields of :class:`~models_eq.HRSNNSpec`; what is left out is its default.

    A law is a table such as ``{kind = "gamma", shape = 3, mean = "20 ms"}`` or one value; kinds
    are read without regard to case and underscores.
    """

    n: Count = 400
    model: str = "lif_exp"
    topology: dict[str, Any] | None = None
    tau_m: Any = None
    tau_syn: Any = None
    t_ref: Any = None
    fraction_exc: Number | None = None
    coupling: Number | None = None
    coupling_k: Number | None = None
    weight_cv: Number | None = None
    inhibition: Number | None = None
    i_ext: Any = None
    v_rest: Number | None = None
    v_th: Number | None = None
    v_reset: Number | None = None
    params: dict[str, Any] | None = None
    cluster_tau_m: list[Any] | None = None

    def to_spec(self) -> HRSNNSpec:
        """Build the spec.

        Raises
        ------
        UnitError
            For a bare number or a wrong unit, naming the key (``network.tau_m.mean``).
        ParameterError
            For any other value that is out of range.
        """
        given = {k: v for k, v in dict(self).items() if v is not None}
        values, at = dict(given), "network"
        units = build(lambda: neuron_model(self.model).param_units, at, given)
        for name in ("tau_m", "tau_syn", "t_ref", "i_ext"):
            if name in given:
                dimension = DIMENSIONLESS if name == "i_ext" else TIME
                values[name] = law(given[name], dimension, f"{at}.{name}")
        if self.topology is not None:
            table, place = kinds(self.topology, Topology), f"{at}.topology"
            values["topology"] = build(lambda: Topology.from_dict(table, place), place, table)
        if self.cluster_tau_m is not None:
            laws = enumerate(self.cluster_tau_m)
            values["cluster_tau_m"] = tuple(
                law(v, TIME, f"{at}.cluster_tau_m.{k}") for k, v in laws
            )
        for key, value in (self.params or {}).items():
            place = f"{at}.params.{key}"
            if not units:
                raise ParameterError(place, f"no parameters, as {self.model} has none", key)
            one_of(key, tuple(units), place)
            dimension = TIME if units[key] == "second" else DIMENSIONLESS
            values["params"] = {**values["params"], key: law(value, dimension, place)}
        return build(lambda: HRSNNSpec(**values), at, kinds(given, Topology))


class PruneSection(Section):
    """``[prune]``: methods, fractions kept, iterations, and options as one table a method."""

    methods: Texts
    synapses: Fractions = (1.0,)
    neurons: Fractions = (1.0,)
    n_iter: Annotated[int, Field(ge=1, le=100)] = 5
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)

    @field_validator("methods")
    @classmethod
    def _methods(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for k, name in enumerate(value):
            one_of(name, METHODS, str(k))
        _distinct(value)
        return value

    @field_validator("synapses", "neurons")
    @classmethod
    def _each_once(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        _distinct(value)
        return value

    @field_validator("options")
    @classmethod
    def _options(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            one_of(name, METHODS, name)
        toml_value(value, "")
        return value


class TaskSection(Section):
    """One ``[[tasks]]``: its name and its arguments; what is left out is the task's default."""

    name: str
    observe: Annotated[str, Field(pattern="^(x|y|z|xy|xz|yz|xyz)$")] | None = None
    horizon: Count | None = None
    predict: Any = None
    tau: Positive | None = None
    sample: Positive | None = None
    path: Text | None = None
    column: Any = None
    time: Text | None = None
    gaps: Text | None = None
    transform: Text | None = None
    limit: Count | None = None
    pool: Count | None = None
    duration: str | None = None
    blank: Annotated[int, Field(ge=0)] | None = None
    centre: bool | None = None
    washout: Annotated[int, Field(ge=0)] | None = None
    n_train: Count | None = None
    n_validation: Count | None = None
    n_test: Count | None = None
    hold: str | None = None
    input_sd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        return one_of(value, tuple(TASKS))

    @field_validator("predict", "column")
    @classmethod
    def _names(cls, value: Any) -> Any:
        texts = value if isinstance(value, list) else [value]
        if not texts or not all(isinstance(text, str) and text for text in texts):
            raise ParameterError("", "a text or a list of texts", value)
        return _as_tuple(value)

    @field_validator("hold", "duration", mode="before")
    @classmethod
    def _time(cls, value: Any) -> Any:
        if not to_si(value, TIME, "") > 0:
            raise ParameterError("", "a time above 0", value)
        return value

    def arguments(self) -> dict[str, Any]:
        """What the file gives beside the name."""
        return {k: v for k, v in dict(self).items() if k != "name" and v is not None}


class OutputSection(Section):
    """``[output]``: what is written beside the results."""

    figures: bool = True


class Experiment(Section):
    """A whole experiment. Two that ask for the same computation have the same ``digest``."""

    experiment: ExperimentSection
    network: NetworkSection = NetworkSection()
    prune: PruneSection
    tasks: Annotated[tuple[TaskSection, ...], BeforeValidator(_as_tuple), Field(min_length=1)]
    output: OutputSection = OutputSection()

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, network defaults and SI times spelled out."""
        return {
            "experiment": plain(dict(self.experiment)),
            "network": self.network.to_spec().to_dict(),
            "prune": plain(dict(self.prune)),
            "tasks": [{"name": task.name, **plain(task.arguments())} for task in self.tasks],
            "output": dict(self.output),
        }

    def to_toml(self) -> str:
        """``to_dict`` as TOML; reading it back gives an experiment with the same digest."""
        lines = []
        for section, content in self.to_dict().items():
            many = isinstance(content, list)
            for table in content if many else [content]:
                lines.append(f"[[{section}]]" if many else f"[{section}]")
                lines += [f"{toml_key(k)} = {toml_value(v, k)}" for k, v in table.items()]
                lines.append("")
        return "\n".join(lines)

    @property
    def digest(self) -> str:
        """SHA-256 of what determines the results: all but the number of jobs and the output."""
        data = self.to_dict()
        del data["experiment"]["jobs"], data["output"]
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


_MODELS: Mapping[str, type[BaseModel]] = {
    "": Experiment, "experiment": ExperimentSection, "network": NetworkSection,
    "prune": PruneSection, "tasks": TaskSection, "output": OutputSection,
}  # fmt: skip


def parse_experiment(text: str, source: str = "experiment") -> Experiment:
    """Read an experiment from TOML text; ``source`` names it in errors.

    Raises
    ------
    FormatError
        If the text is not TOML; names the line.
    ParameterError
        For what is wrong inside; ``field`` is the dotted key, such as ``network.tau_m.mean``.
    """
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise FormatError(source, "a TOML file", str(error)) from None
    try:
        experiment = Experiment(**data)
    except ValidationError as failure:
        raise translated(failure, _MODELS) from None
    for k, task in enumerate(experiment.tasks):
        for key in task.arguments():
            one_of(key, TASKS[task.name], f"tasks.{k}.{key}")
        for key in _NEEDED.get(task.name, ()):
            if getattr(task, key) is None:
                raise ParameterError(f"tasks.{k}.{key}", "a value", "nothing")
        if task in experiment.tasks[:k]:
            raise ParameterError(f"tasks.{k}", "each task once", "one given before")
    experiment.network.to_spec()
    return experiment


def load_experiment(path: str | os.PathLike[str]) -> Experiment:
    """Read an experiment from a TOML file.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is no UTF-8 text, no TOML (names the line), or larger than 1 MiB.
    ParameterError
        If it cannot be read, or for what is wrong inside, with the dotted key as ``field``.
    """
    return parse_experiment(read_text(path), str(path))


def demo_experiment(name: str = "demo.toml") -> Experiment:
    """The experiment of ``brain-lnp demo`` (``quick.toml``: of its quick form)."""
    text = (resources.files("brain_lnp") / "data" / name).read_text(encoding="utf-8")
    return parse_experiment(text, name)
