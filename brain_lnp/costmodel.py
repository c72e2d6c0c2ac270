"""CostModel: what each part of an experiment costs in time and memory, from measured coefficients.

The time of a part is a sum of features of its size, such as ``steps x n`` for a simulation or
``n^3`` for a Lyapunov equation, with coefficients that were fitted to measurements
(:mod:`brain_lnp.costmeasure`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import numpy as np
from scipy.optimize import nnls

from models_eq.errors import FormatError

# Features that the time of each part is made of.
SIMULATION = ("one", "steps", "steps_n", "steps_m")
PARTS: Mapping[str, tuple[str, ...]] = {
    "draw": ("one", "m"),
    "exponents": SIMULATION,
    "step I": ("one", "m", "n2", "n3"),
    "step II": ("one", "n_m"),
    "choice and step III": ("one", "m", "n2", "n3"),
    "compensation": SIMULATION,
    "gain": ("one", "n", "m", "n2"),
    "dense rates": ("one", "n", "m"),
    "step IV": SIMULATION,
    "series": (*SIMULATION, "rows_n2", "n3"),
    "images": (*SIMULATION, "rows_n2", "n3"),
}
BASELINE = ("one", "n", "m", "n2")
# These are linear algebra; the others run at the pace of Python and of single loops.
ALGEBRA = ("step I", "step II", "choice and step III")


@dataclass(frozen=True)
class Size:
    """How large a piece of work is.

    Attributes
    ----------
    n, m : float
        Neurons and synapses.
    steps : float
        Time steps, copies included.
    rows : float
        Rows that readouts are fitted to, counted for each target.
    """

    n: float
    m: float
    steps: float = 0.0
    rows: float = 0.0

    def feature(self, name: str) -> float:
        """The value of one feature."""
        values = {
            "one": 1.0, "n": self.n, "m": self.m, "n2": self.n**2, "n3": self.n**3,
            "n_m": self.n * self.m, "steps": self.steps, "steps_n": self.steps * self.n,
            "steps_m": self.steps * self.m, "rows_n2": self.rows * self.n**2,
        }  # fmt: skip
        return values[name]


def features_of(part: str) -> tuple[str, ...]:
    """Names of the features of a part; baselines are parts of their own."""
    return PARTS.get(part, BASELINE)


@dataclass(frozen=True)
class CostModel:
    """Coefficients, in seconds of one core and bytes.

    Attributes
    ----------
    seconds : dict of str (device) to dict of str (part) to dict of str (feature) to float
    memory : dict of str to float
        Bytes: ``one`` (the program itself), ``m`` and ``n2`` (pruning), ``rows_n`` and ``steps_n``
        (evaluation).
    algebra, pace : float, s
        What the quick benchmarks took where this was measured, see
        :func:`~brain_lnp.costmeasure.benchmark`.
    machine : str
        Where that was.
    """

    seconds: Mapping[str, Mapping[str, Mapping[str, float]]]
    memory: Mapping[str, float]
    algebra: float
    pace: float
    machine: str

    def time(self, device: str, part: str, size: Size) -> float:
        """Seconds of one core for a part."""
        # What was not measured counts as what was: the others differ by a factor of about two.
        known = self.seconds.get(device) or next(iter(self.seconds.values()))
        found = known.get(part)
        if found is None:  # a method that was not measured counts as the dearest that was
            return max(
                (self.time(device, p, size) for p in known if p.startswith("prune ")), default=0.0
            )
        return sum(value * size.feature(name) for name, value in found.items())

    def bytes(self, **amounts: float) -> float:
        """Peak memory of a process that handles these amounts, the program itself included."""
        return self.memory["one"] + sum(self.memory[name] * x for name, x in amounts.items())

    def scaled(self, algebra: float, pace: float) -> CostModel:
        """The model for a machine on which the quick benchmarks take these seconds."""
        factor = {True: algebra / self.algebra, False: pace / self.pace}
        seconds = {
            device: {
                part: {name: x * factor[part in ALGEBRA] for name, x in found.items()}
                for part, found in parts.items()
            }
            for device, parts in self.seconds.items()
        }
        return replace(self, seconds=seconds, algebra=algebra, pace=pace)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "seconds": self.seconds, "memory": self.memory, "algebra": self.algebra,
            "pace": self.pace, "machine": self.machine,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Any, source: str) -> CostModel:
        """Read what :meth:`to_dict` wrote.

        Raises
        ------
        FormatError
            For anything else.
        """
        try:
            model = cls(
                data["seconds"], data["memory"], float(data["algebra"]), float(data["pace"]),
                str(data["machine"]),
            )  # fmt: skip
            probe = Size(10, 100, 100, 10)
            known = [model.time(d, p, probe) for d, found in model.seconds.items() for p in found]
            known += [model.bytes(m=1, n2=1, rows_n=1, steps_n=1), model.time("numpy", "x", probe)]
        except (KeyError, StopIteration, TypeError, ValueError, AttributeError) as error:
            raise FormatError(source, "a cost model", f"{type(error).__name__}: {error}") from None
        if not all(math.isfinite(x) and x >= 0 for x in (*known, model.algebra, model.pace)):
            raise FormatError(source, "a cost model", "negative or infinite costs")
        return model


def shipped_model() -> CostModel:
    """The model that comes with the package, as it was measured on the machine it names."""
    text = (resources.files("brain_lnp") / "data" / "costs.json").read_text(encoding="utf-8")
    return CostModel.from_dict(json.loads(text), "costs.json")


def fit(
    part: str, measured: list[tuple[Size, float]], resolution: float = 0.002
) -> dict[str, float]:
    """Coefficients of a part: least squares of relative errors, none negative.

    Parameters
    ----------
    part : str
    measured : list of (Size, float)
        Size and seconds.
    resolution : float, s
        Differences below this do not count.

    Returns
    -------
    dict of str to float
    """
    names = features_of(part)
    weight = np.array([1.0 / (seconds + resolution) for _, seconds in measured])
    table = np.array([[size.feature(name) for name in names] for size, _ in measured])
    table = table * weight[:, None]
    scale = np.where(table.max(axis=0) > 0, table.max(axis=0), 1.0)
    found, _ = nnls(table / scale, np.array([seconds for _, seconds in measured]) * weight)
    return {name: float(x) for name, x in zip(names, found / scale, strict=True) if x > 0}
