"""Makes trajectories and node exponents known to :func:`models_eq.storage.save`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from analysis.lyapunov.nodes import NodeExponents
from models_eq.packing import _KINDS, Held, register
from models_eq.trajectory import Trajectory

# The wall-clock time would make equal runs unequal files.
_LEFT_OUT = ("run_seconds",)


def _encode(value: Any) -> tuple[Held, Mapping[str, Any]]:
    arrays, meta = {}, {}
    for item in fields(value):
        content = getattr(value, item.name)
        if item.name in _LEFT_OUT:
            continue
        if isinstance(content, np.ndarray):
            arrays[item.name] = content
        else:
            meta[item.name] = dict(content) if isinstance(content, Mapping) else content
    return arrays, meta


for _cls in (Trajectory, NodeExponents):
    if _cls.__name__ not in _KINDS:
        register(_cls.__name__, _cls, _encode, lambda arrays, meta, cls=_cls: cls(**arrays, **meta))
