"""Stratified random parts of labelled trials: training, validation and test."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from brain_lnp.tasks.task import whole
from models_eq.errors import ParameterError
from models_eq.rng import stream

# Child of the input stream that draws the split; child () draws the input weights.
_SPLIT = 1


def split_parts(
    labels: Sequence[np.ndarray], wanted: Sequence[int | None], seed: int, what: str
) -> tuple[list[int], list[np.ndarray]]:
    """Sizes of the three parts, and which trials of each source are taken, in which order.

    Parameters
    ----------
    labels : one or two arrays
        Labels of all trials, or of those to train on and of a test part that is kept apart.
    wanted : three of int or None
        Sizes of training, validation and test part. None: 60, 20 and 20 %, or 80 and 20 % of the
        first and all of the second array.
    seed : int
        Seed of the split.
    what : str
        What errors call the trials.

    Raises
    ------
    ParameterError
        For sizes that are no parts of what is there.
    """
    rng = stream(seed, "input", _SPLIT)
    if len(labels) == 1:
        sizes = _sizes(len(labels[0]), wanted, (0.6, 0.2, 0.2), what)
        return sizes, [np.concatenate(_stratified(labels[0], sizes, rng))]
    sizes = _sizes(len(labels[0]), wanted[:2], (0.8, 0.2), f"training {what}")
    order = np.concatenate(_stratified(labels[0], sizes, rng))
    sizes += _sizes(len(labels[1]), wanted[2:], (1.0,), f"test {what}", first=2)
    return sizes, [order, _stratified(labels[1], sizes[2:], rng)[0]]


def _stratified(
    labels: np.ndarray, sizes: Sequence[int], rng: np.random.Generator
) -> list[np.ndarray]:
    """Disjoint random parts in which every class has its share, up to about one sample."""
    shuffled = rng.permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels[shuffled] == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    # Sorted by their place within their own class, any stretch of images is stratified.
    order = shuffled[np.argsort(place, kind="stable")]
    edges = np.cumsum([0, *sizes])
    return [rng.permutation(order[a:b]) for a, b in pairwise(edges)]


def _sizes(
    n: int, wanted: Sequence[int | None], shares: Sequence[float], what: str, first: int = 0
) -> list[int]:
    """Sizes of the parts; what is not given takes its share, rounded down but for the last."""
    names = ("n_train", "n_validation", "n_test")[first : first + len(wanted)]
    cuts = np.round(np.cumsum([0.0, *shares]) * n).astype(int)
    sizes = [
        int(cuts[k + 1] - cuts[k]) if value is None else whole(value, names[k], 1)
        for k, value in enumerate(wanted)
    ]
    if sum(sizes) > n or min(sizes) < 1:
        raise ParameterError(", ".join(names), f"parts of the {n} {what}", sizes)
    return sizes
