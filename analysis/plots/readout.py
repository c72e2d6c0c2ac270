"""Figures of readouts: what an output layer has learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.plots._style import DIVERGING, SMALL, axes_or_new, dress
from models_eq.errors import ParameterError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def readout_weights(readout: Any, *, order: Any = None, ax: Axes | None = None) -> Axes:
    """Weights of a fitted readout as an image, one row for each output.

    Parameters
    ----------
    readout : STDPReadout, LinearClassifier or LinearReadout
        A fitted one.
    order : array_like of int, shape (features,), optional
        Order of the features from left to right. Default: by the output that each excites
        most, so that the features of one output lie together, strongest first.
    ax : Axes, optional
        Where to draw; a new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    ParameterError
        For a readout that is not fitted, or an order that does not fit.
    """
    coef = getattr(readout, "coef_", None)
    if coef is None:
        raise ParameterError("readout", "a fitted readout", readout)
    weights = np.atleast_2d(np.asarray(coef, dtype=float))
    features = weights.shape[1]
    if order is None:
        # Ascending by output; within one, descending by weight.
        order = np.lexsort((-weights.max(axis=0), weights.argmax(axis=0)))
    order = np.asarray(order)
    if order.shape != (features,) or not np.array_equal(np.sort(order), np.arange(features)):
        raise ParameterError("order", f"a permutation of {features} features", order)
    ax = axes_or_new(ax)
    # A few strong weights must not wash out the rest.
    limit = float(np.quantile(np.abs(weights), 0.99)) or 1.0
    image = ax.imshow(
        weights[:, order], aspect="auto", cmap=DIVERGING, vmin=-limit, vmax=limit,
        interpolation="nearest",
    )  # fmt: skip
    bar = ax.figure.colorbar(image, ax=ax, pad=0.01)
    bar.set_label("weight", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    classes = getattr(readout, "classes_", None)
    if classes is not None and len(weights) % len(classes) == 0:
        each = len(weights) // len(classes)
        ax.set_yticks(each * np.arange(len(classes)) + (each - 1) / 2, [str(c) for c in classes])
    dress(ax, "presynaptic neuron", "output neuron" if classes is None else "class")
    return ax
