"""Lyapunov Noise Pruning of heterogeneous recurrent spiking networks, on Brian2."""

from __future__ import annotations

import logging as _logging
from pathlib import Path as _Path

import analysis as _analysis
import models_eq as _models_eq

_HERE = _Path(__file__).resolve().parent.parent
for _sibling in (_analysis, _models_eq):
    _found = _Path(_sibling.__file__ or "").resolve()
    if _found.parent.parent != _HERE:
        raise ImportError(
            f"brain_lnp needs its own package {_sibling.__name__!r}, but {_found} is in the way: "
            "rename that file or run from another folder"
        )
_logging.getLogger("brain_lnp").addHandler(_logging.NullHandler())

from analysis import (  # noqa: E402
    LinearClassifier,
    LinearReadout,
)
from brain_lnp import tasks  # noqa: E402
from brain_lnp.evaluate import Evaluation, evaluate, evaluate_batch  # noqa: E402
from brain_lnp.lnp import LNP, prune  # noqa: E402
from models_eq import (  # noqa: E402
    HRSNN,
    HRSNNSpec,
    Stimulus,
    load,
    sample_hrsnn,
    save,
    simulate,
    to_brian2,
    use_device,
)

__version__ = "0.1.0"

__all__ = [
    "HRSNN",
    "LNP",
    "Evaluation",
    "HRSNNSpec",
    "LinearClassifier",
    "LinearReadout",
    "Stimulus",
    "evaluate",
    "evaluate_batch",
    "load",
    "prune",
    "sample_hrsnn",
    "save",
    "simulate",
    "tasks",
    "to_brian2",
    "use_device",
]
