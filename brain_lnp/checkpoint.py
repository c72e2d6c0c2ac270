"""Checkpoint: all that one pruning run needs to go on after an interruption."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.lyapunov.nodes import NodeExponents
from analysis.pruning.result import PruneStep
from models_eq.errors import FormatError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.packing import Arrays, Held, check, register, take
from models_eq.storage import load, save

if TYPE_CHECKING:
    from brain_lnp.lnp import LNP


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """State of a pruning run between two iterations.

    Attributes
    ----------
    run : str
        Digest of what is run, see :func:`run_digest`.
    done : int
        Iterations that are over.
    raw, paid : HRSNN
        The network with the weights as drawn, and its compensated twin.
    found : NodeExponents
        Exponents of the twin, with which the next iteration begins.
    rate : ndarray, shape (n,), Hz
        Its rates under the same noise.
    steps : tuple of PruneStep
        What was recorded so far.
    """

    run: str
    done: int
    raw: HRSNN
    paid: HRSNN
    found: NodeExponents
    rate: np.ndarray
    steps: tuple[PruneStep, ...]


def run_digest(settings: LNP, net: HRSNN, target: int, size: int, seed: int) -> str:
    """SHA-256 of the settings, the dense network, the budget and the seed."""
    what = [asdict(settings), net.digest, int(target), int(size), int(seed)]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def checked_path(path: Any) -> Path:
    """A place for a checkpoint, refused before anything is computed if it is none.

    Raises
    ------
    ParameterError
        For a name that does not end in ``.npz``, or a folder that does not exist.
    """
    target = Path(path)
    if target.suffix != ".npz":
        raise ParameterError("checkpoint", "a file name ending in .npz", str(target))
    if not target.parent.is_dir():
        raise ParameterError("checkpoint", "a file in an existing folder", str(target))
    return target


def resume(path: Path, run: str) -> Checkpoint | None:
    """The checkpoint at ``path``, or None where there is none yet.

    Raises
    ------
    FormatError
        For a damaged or foreign file.
    ParameterError
        If it belongs to another run.
    """
    if not path.exists():
        return None
    state: Checkpoint = load(path, expected=Checkpoint)
    if state.run != run:
        raise ParameterError(
            "checkpoint",
            "one of this network, budget, seed and settings",
            f"{path}, which belongs to another run",
            "Choose another file, or delete this one to begin anew",
        )
    return state


def keep(state: Checkpoint, path: Path) -> None:
    """Write a checkpoint, all or nothing; the one before it stays until then."""
    save(state, path)


def _encode(state: Checkpoint) -> tuple[Arrays, Mapping[str, Any]]:
    arrays = {name: getattr(state.found, name) for name in ("exponents", "stderr", "cycles")}
    meta = {name: getattr(state, name) for name in ("run", "done", "raw", "paid")}
    meta |= {"definition": state.found.definition, "horizon": state.found.horizon}
    steps = [(step.name, step.n, step.n_synapses, dict(step.diagnostics)) for step in state.steps]
    return {**arrays, "rate": state.rate}, {**meta, "steps": steps}


def _decode(arrays: Held, meta: Mapping[str, Any]) -> Checkpoint:
    for name in ("raw", "paid"):
        check(isinstance(meta[name], HRSNN), name, "an HRSNN", type(meta[name]).__name__)
    if type(meta["done"]) is not int or meta["done"] < 1:
        raise FormatError("done", "a number of iterations", meta["done"])
    shape = (meta["paid"].n,)
    given = {name: take(arrays, name, shape=shape) for name in ("exponents", "stderr", "cycles")}
    found = NodeExponents(**given, definition=meta["definition"], horizon=meta["horizon"])
    return Checkpoint(
        meta["run"], meta["done"], meta["raw"], meta["paid"], found,
        take(arrays, "rate", shape=shape), tuple(PruneStep(*step) for step in meta["steps"]),
    )  # fmt: skip


register("Checkpoint", Checkpoint, _encode, _decode)
