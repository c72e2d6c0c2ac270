"""Named child streams of one seed, so that one choice never shifts another."""

from __future__ import annotations

import numbers
from collections.abc import Mapping

import numpy as np

from models_eq.errors import ParameterError

STREAMS = (
    "topology", "weights", "timescales", "v_init", "input", "noise", "prune", "readout", "sweep",
)  # fmt: skip


def check_seed(seed: int) -> int:
    """Return ``seed`` as an int, or raise ParameterError for anything but an integer >= 0."""
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or seed < 0:
        raise ParameterError("seed", "an integer of at least 0", seed)
    return int(seed)


def streams(seed: int) -> Mapping[str, np.random.Generator]:
    """All named generators of one seed.

    Parameters
    ----------
    seed : int
        Any integer >= 0.

    Returns
    -------
    Mapping of str to numpy.random.Generator
        One independent generator for every name in ``STREAMS``; what one stream draws does
        not depend on what another drew.

    Raises
    ------
    ParameterError
        If the seed is not an integer of at least 0.

    Examples
    --------
    >>> a, b = streams(1), streams(1)
    >>> _ = a["topology"].random(1000)
    >>> float(a["weights"].random()) == float(b["weights"].random())
    True
    """
    seed = check_seed(seed)
    return {
        name: np.random.Generator(
            np.random.PCG64(np.random.SeedSequence(entropy=seed, spawn_key=(index,)))
        )
        for index, name in enumerate(STREAMS)
    }


def stream(seed: int, name: str, *path: int) -> np.random.Generator:
    """One named generator of a seed, optionally a numbered child of it.

    Parameters
    ----------
    seed : int
        Any integer >= 0.
    name : str
        One of ``STREAMS``.
    *path : int
        Numbers that single out a child (an iteration, a repetition).

    Raises
    ------
    ParameterError
        For an unknown name or a bad seed.
    """
    if name not in STREAMS:
        raise ParameterError("stream", "one of " + ", ".join(STREAMS), name)
    key = (STREAMS.index(name), *path)
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(entropy=check_seed(seed), spawn_key=key))
    )
