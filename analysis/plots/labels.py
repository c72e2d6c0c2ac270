"""Figure of a classification: which label was taken for which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.plots import _style as style
from models_eq.errors import ParameterError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST = 12  # labels whose numbers are written into the cells


def confusion(truth: Any, prediction: Any, ax: Axes | None = None) -> Axes:
    """Confusion matrix: how many trials of each label were given which label.

    Parameters
    ----------
    truth, prediction : array_like, shape (trials,)
        Labels, integers or text.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default the axes of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Rows are true labels, columns predicted ones; shades are shares of a row, numbers (for up
        to 12 labels) are trials. The title gives the accuracy.

    Raises
    ------
    ParameterError
        For no trials, or shapes that differ.

    Examples
    --------
    >>> confusion([0, 0, 1], [0, 1, 1]).get_title()
    'accuracy 0.667'
    """
    true, pred = np.asarray(truth), np.asarray(prediction)
    if true.ndim != 1 or true.size == 0:
        raise ParameterError("truth", "labels of shape (trials,), not empty", true.shape)
    if pred.shape != true.shape:
        raise ParameterError("prediction", f"the shape of the truth {true.shape}", pred.shape)
    labels = np.union1d(true, pred)
    count = np.zeros((labels.size, labels.size), dtype=int)
    np.add.at(count, (np.searchsorted(labels, true), np.searchsorted(labels, pred)), 1)
    share = count / np.maximum(1, count.sum(axis=1, keepdims=True))
    ax = style.axes_or_new(ax, height=style.COLUMN)
    ax.imshow(share, cmap="Blues", vmin=0.0, vmax=1.0, interpolation="nearest")
    style.dress(ax, "predicted label", "true label", f"accuracy {(true == pred).mean():.3f}")
    ax.spines[["top", "right"]].set_visible(True)
    if labels.size <= _MOST:
        ax.set_xticks(range(labels.size), [str(label) for label in labels])
        ax.set_yticks(range(labels.size), [str(label) for label in labels])
        for row, column in zip(*np.nonzero(count), strict=True):
            ax.text(
                column, row, str(count[row, column]), ha="center", va="center",
                fontsize=style.SMALL - 1, color="white" if share[row, column] > 0.6 else "black",
            )  # fmt: skip
    return ax
