"""What the figures share: palette, axes, and the look of each method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, told apart with every common kind of colour vision.
BLACK, GREY, LIGHT = "#000000", "#7f7f7f", "#d9d9d9"
BLUE, SKY, GREEN, YELLOW = "#0072B2", "#56B4E9", "#009E73", "#F0E442"
ORANGE, VERMILLION, PURPLE = "#E69F00", "#D55E00", "#CC79A7"
CYCLE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)

# Red stands for what excites and blue for what inhibits, as in the weight images (RdBu_r).
EXCITATORY, INHIBITORY = VERMILLION, BLUE
DIVERGING = "RdBu_r"

COLUMN = 3.4  # width of one printed column, inches
LABEL, SMALL = 8.0, 7.0  # points


class Look(NamedTuple):
    """Colour and marker of a method; both differ, so that a print without colour reads as well."""

    colour: str
    marker: str


# The order is that of the legend; a method keeps its look from figure to figure.
LOOKS = {
    "dense": Look(BLACK, "*"),
    "none": Look(GREY, "<"),
    "random": Look(GREY, "x"),
    "random_gain": Look(GREY, "v"),
    "random_matched": Look(BLUE, "s"),
    "fresh": Look(SKY, "P"),
    "sparse": Look(SKY, "d"),
    "magnitude": Look(PURPLE, "D"),
    "noise": Look(PURPLE, "X"),
    "activity": Look(GREEN, "^"),
    "activity_trained": Look(GREEN, "<"),
    "activity_no_gain": Look(GREEN, ">"),
    "lnp_literal": Look(ORANGE, "h"),
    "lnp_calibrated": Look(ORANGE, "p"),
    "lnp": Look(VERMILLION, "o"),
}
_SPARE = ("d", "8", "H", "+", "1", "2", "3")


def look(method: str, k: int) -> Look:
    """Look of a method; one that is not in the table takes the ``k``-th spare one."""
    return LOOKS.get(method, Look(CYCLE[k % len(CYCLE)], _SPARE[k % len(_SPARE)]))


def axes_or_new(ax: Axes | None, width: float = COLUMN, height: float = 2.5) -> Axes:
    """Return ``ax``, or the axes of one new pyplot figure (inches) where it is None."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def dress(ax: Axes, xlabel: str, ylabel: str, title: str = "") -> None:
    """Label axes, and set sizes for one column; no global setting is touched."""
    ax.set_xlabel(xlabel, fontsize=LABEL)
    ax.set_ylabel(ylabel, fontsize=LABEL)
    if title:
        ax.set_title(title, fontsize=LABEL)
    ax.tick_params(labelsize=SMALL, which="both")
    ax.spines[["top", "right"]].set_visible(False)


def legend(ax: Axes, **options: Any) -> None:
    """Add a legend without a frame; nothing where there is nothing to name."""
    from matplotlib.container import ErrorbarContainer

    pairs = list(zip(*ax.get_legend_handles_labels(), strict=True))
    # matplotlib lists plain lines first; what carries data goes before what helps to read it.
    pairs.sort(key=lambda pair: not isinstance(pair[0], ErrorbarContainer))
    if pairs:
        settings: dict[str, Any] = {
            "fontsize": SMALL,
            "frameon": False,
            "handlelength": 1.6,
            "borderaxespad": 0.3,
        }
        ax.legend([p[0] for p in pairs], [p[1] for p in pairs], **{**settings, **options})


def note(ax: Axes, text: str) -> None:
    """Say inside the axes why there is nothing to see."""
    ax.text(
        0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", fontsize=LABEL, color=GREY
    )
