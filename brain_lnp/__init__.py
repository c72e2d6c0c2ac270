"""Lyapunov Noise Pruning of heterogeneous recurrent spiking networks, on Brian2."""

from __future__ import annotations

import importlib as _importlib
import importlib.util as _util
import logging as _logging
from pathlib import Path as _Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis import (
        LinearClassifier,
        LinearReadout,
        LyapunovResult,
        NodeExponents,
        PruneResult,
        STDPReadout,
        lyapunov_spectrum,
        node_exponents,
    )
    from brain_lnp import tasks
    from brain_lnp.closedloop import ClosedLoop, closed_loop
    from brain_lnp.evaluation import Evaluation, evaluate, evaluate_batch
    from brain_lnp.lnp import LNP
    from brain_lnp.methods import prune
    from brain_lnp.reservoir import SpikingReservoir
    from brain_lnp.usermodel import PrunedModel, prune_model
    from models_eq import (
        HRSNN,
        Gamma,
        HRSNNSpec,
        LogNormal,
        Stimulus,
        load,
        sample_hrsnn,
        save,
        simulate,
        to_brian2,
        use_device,
    )

__version__ = "0.1.0"

# A stray analysis.py beside a user's script would shadow ours and fail far from its cause.
for _sibling in ("analysis", "models_eq"):
    _found = _util.find_spec(_sibling)
    if _found is None or not _found.origin:
        raise ImportError(f"brain_lnp needs its own package {_sibling!r}, which is not installed")
    if _Path(_found.origin).resolve().parent.parent != _Path(__file__).resolve().parent.parent:
        raise ImportError(
            f"brain_lnp needs its own package {_sibling!r}, but {_found.origin} is in the way: "
            "rename that file or run from another folder"
        )
_logging.getLogger("brain_lnp").addHandler(_logging.NullHandler())

# Where each public name lives. They are imported when first asked for: Brian2 alone takes over a
# second, which a command line that only prints its help should not cost.
_HOMES = {
    "analysis": ("LinearClassifier", "LinearReadout", "LyapunovResult", "NodeExponents",
                 "PruneResult", "STDPReadout", "lyapunov_spectrum", "node_exponents"),
    "brain_lnp.closedloop": ("ClosedLoop", "closed_loop"),
    "brain_lnp.evaluation": ("Evaluation", "evaluate", "evaluate_batch"),
    "brain_lnp.lnp": ("LNP",),
    "brain_lnp.methods": ("prune",),
    "brain_lnp.reservoir": ("SpikingReservoir",),
    "brain_lnp.usermodel": ("PrunedModel", "prune_model"),
    "models_eq": ("HRSNN", "Gamma", "HRSNNSpec", "LogNormal", "Stimulus", "load",
                  "sample_hrsnn", "save", "simulate", "to_brian2", "use_device"),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "HRSNN",
    "LNP",
    "ClosedLoop",
    "Evaluation",
    "Gamma",
    "HRSNNSpec",
    "LinearClassifier",
    "LinearReadout",
    "LogNormal",
    "LyapunovResult",
    "NodeExponents",
    "PruneResult",
    "PrunedModel",
    "STDPReadout",
    "SpikingReservoir",
    "Stimulus",
    "closed_loop",
    "evaluate",
    "evaluate_batch",
    "load",
    "lyapunov_spectrum",
    "node_exponents",
    "prune",
    "prune_model",
    "sample_hrsnn",
    "save",
    "simulate",
    "tasks",
    "to_brian2",
    "use_device",
]


def __getattr__(name: str) -> Any:
    if name == "tasks":
        return _importlib.import_module("brain_lnp.tasks")
    if name not in _HOME:
        raise AttributeError(f"module 'brain_lnp' has no attribute {name!r}")
    value = getattr(_importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
