"""What the command line builds from text: a spec from a TOML file, a task from its options."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from brain_lnp.config import TASKS, Experiment, ExperimentSection, NetworkSection, TaskSection
from brain_lnp.tables import one_of, translated
from brain_lnp.units import task_of
from models_eq.errors import FormatError, MissingFileError, ParameterError
from models_eq.spec import HRSNNSpec

if TYPE_CHECKING:
    from brain_lnp.tasks import Task


class _Holder(BaseModel):
    """Gives errors of a spec file the dotted keys that they have in an experiment file."""

    model_config = ConfigDict(extra="forbid", strict=True)
    network: NetworkSection


def load_spec(path: Path) -> HRSNNSpec:
    """Read a spec: the keys of ``[network]`` at the top of a TOML file, or below ``[network]``.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is no TOML; names the line.
    ParameterError
        For what is wrong inside, with the dotted key (``network.tau_m.mean``).
    """
    if not path.is_file():
        raise MissingFileError(str(path), "an existing TOML file", "none")
    try:
        data = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except PermissionError as error:
        raise ParameterError(str(path), "a file that can be read", str(error.strerror)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise FormatError(str(path), "a TOML file", str(error)) from None
    if "network" in data:
        for key in data:
            one_of(key, tuple(Experiment.model_fields), key)
        data = data["network"]
    try:
        section = _Holder.model_validate({"network": data}).network
    except ValidationError as failure:
        raise translated(failure, {"": _Holder, "network": NetworkSection}) from None
    return section.to_spec()


def make_task(given: dict[str, Any], seed: int) -> Task:
    """Build a task from its name and its arguments.

    Raises
    ------
    ParameterError
        For an unknown task, or an argument that it does not have or that is out of range.
    """
    name = one_of(given["name"], tuple(TASKS), "task")
    for key in given:
        if key != "name":
            one_of(key, TASKS[name], key)
    try:
        section = TaskSection(**given)
    except ValidationError as failure:
        raise translated(failure, {"": TaskSection}) from None
    for key in ("path", "column"):
        if key in TASKS[name] and getattr(section, key) is None:
            raise ParameterError(key, f"a value for task {name}", "nothing")
    return task_of(section, seed)


def changed(experiment: Experiment, **changes: Any) -> Experiment:
    """The experiment with other fields of ``[experiment]``; None leaves a field as it is."""
    values = dict(experiment.experiment) | {k: v for k, v in changes.items() if v is not None}
    try:
        section = ExperimentSection(**values)
    except ValidationError as failure:
        raise translated(failure, {"": ExperimentSection}) from None
    return experiment.model_copy(update={"experiment": section})
