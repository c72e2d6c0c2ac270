"""Figure of a network with its neurons in place, coloured by their exponents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from analysis.lyapunov.nodes import NodeExponents
from analysis.plots import _style as style
from models_eq.checks import whole
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GOLDEN = np.pi * (3 - np.sqrt(5))
# Room around the disc of a cluster, in units of its radius.
_ROOM = 1.12


def neuron_positions(net: HRSNN) -> np.ndarray:
    """Place neurons on a plane, each cluster on a disc of its own.

    Parameters
    ----------
    net : HRSNN
        The network.

    Returns
    -------
    ndarray, shape (n, 2)
        Positions; every neuron takes an area of about pi. Nothing is drawn at random.

    Notes
    -----
    Within a disc the neurons follow the spiral of a sunflower, those with most synapses in the
    middle. The discs stand in a ring, in the order of the cluster labels.

    References
    ----------
    Vogel 1979, 10.1016/0025-5564(79)90080-4.
    """
    degree = net.in_degree + net.out_degree
    _, member = np.unique(net.cluster, return_inverse=True)
    radius = np.sqrt(np.bincount(member))
    place = np.empty((net.n, 2))
    for disc, centre in enumerate(_ring(radius)):
        mine = np.flatnonzero(member == disc)
        mine = mine[np.argsort(-degree[mine], kind="stable")]
        turn = _GOLDEN * np.arange(mine.size)
        out = np.sqrt(np.arange(mine.size) + 0.5) if mine.size > 1 else np.zeros(1)
        place[mine] = centre + out[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])
    return place


def _ring(radius: np.ndarray) -> np.ndarray:
    """Centres of discs side by side in a ring, shape (discs, 2)."""
    if radius.size == 1:
        return np.zeros((1, 2))
    need = _ROOM * radius
    # Seen from the middle, a disc at distance R takes the angle 2 arcsin(need/R).
    low, high = float(need.max()), float(need.sum())
    for _ in range(60):
        half = (low + high) / 2
        if np.arcsin(np.minimum(need / half, 1)).sum() > np.pi:
            low = half
        else:
            high = half
    width = 2 * np.arcsin(np.minimum(need / high, 1))
    width += (2 * np.pi - width.sum()) / width.size
    angle = np.pi / 2 - (np.cumsum(width) - width / 2)
    return high * np.column_stack([np.cos(angle), np.sin(angle)])


def strongest_synapses(net: HRSNN, most: int) -> np.ndarray:
    """Indices of the strongest synapses, of either sign in proportion to its number.

    Parameters
    ----------
    net : HRSNN
        The network.
    most : int
        How many at most.

    Returns
    -------
    ndarray of int, shape (at most ``most``,)
        The weakest first. Inhibition is usually several times stronger than excitation, and a
        common threshold would leave nothing of the latter.
    """
    up, down = np.flatnonzero(net.w > 0), np.flatnonzero(net.w < 0)
    share = min(1.0, most / max(up.size + down.size, 1))
    count = round(share * up.size)
    chosen = []
    for index, some in ((up, count), (down, min(most - count, down.size))):
        order = np.argsort(-np.abs(net.w[index]), kind="stable")
        chosen.append(index[order[:some]])
    found = np.concatenate(chosen)
    return found[np.argsort(np.abs(net.w[found]), kind="stable")]


def node_exponents_on_network(
    net: HRSNN, exponents: NodeExponents, ax: Axes | None = None, *, edges: int = 2000
) -> Axes:
    """Neurons in place, coloured by exponent, with the strongest synapses between them.

    Parameters
    ----------
    net : HRSNN
        The network.
    exponents : NodeExponents
        One exponent per neuron.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default the axes of a new figure.
    edges : int, optional
        How many synapses to draw at most, see :func:`strongest_synapses`.

    Returns
    -------
    matplotlib.axes.Axes
        Circles excite and triangles inhibit; silent neurons are open. Synapses that excite are
        red, those that inhibit blue. Colours span the 2nd to the 98th percentile.

    Raises
    ------
    ParameterError
        If the number of exponents is not that of the neurons, or none is finite.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import LineCollection
    from matplotlib.colors import Normalize, to_rgba

    value = exponents.exponents
    if value.size != net.n:
        raise ParameterError("exponents", f"one for each of {net.n} neurons", value.size)
    finite = value[np.isfinite(value)]
    if finite.size == 0:
        raise ParameterError("exponents", "at least one finite exponent", "none")
    edges = whole(edges, "edges", least=0)
    place = neuron_positions(net)
    drawn = strongest_synapses(net, edges)
    ax = style.axes_or_new(ax, height=3.2)

    w = net.w[drawn]
    # Few lines may be dark; many would bury the neurons.
    alpha = float(np.clip(60 / max(drawn.size, 1), 0.1, 0.6))
    lines = LineCollection(
        np.stack([place[net.i[drawn]], place[net.j[drawn]]], axis=1).tolist(),
        colors=[to_rgba(style.EXCITATORY if x > 0 else style.INHIBITORY, alpha) for x in w],
        linewidths=0.5,
        zorder=1,
    )
    ax.add_collection(lines)
    low, high = np.quantile(finite, (0.02, 0.98))
    norm = Normalize(low, high) if high > low else Normalize(low - 0.5, low + 0.5)
    colours = colormaps["viridis"](norm(np.clip(value, norm.vmin, norm.vmax)))
    centre = (place.min(axis=0) + place.max(axis=0)) / 2
    reach = float(np.abs(place - centre).max()) * 1.03 + 0.8
    window = ax.get_window_extent()
    points = min(window.width, window.height) * 72 / ax.figure.dpi
    # Less than the distance of about sqrt(pi) between neighbours.
    size = float(np.clip((1.35 * points / (2 * reach)) ** 2, 3, 80))
    silent = exponents.cycles == 0
    kinds = [("excitatory", "o", net.is_exc), ("inhibitory", "^", ~net.is_exc)]
    for name, marker, kind in kinds:
        for quiet in (False, True):
            mine = kind & (silent == quiet)
            if not mine.any():
                continue
            ax.scatter(
                place[mine, 0], place[mine, 1], s=size, marker=marker, zorder=2,
                facecolors="white" if quiet else colours[mine],
                edgecolors=colours[mine] if quiet else "white",
                linewidths=0.8 if quiet else 0.2,
            )  # fmt: skip
            # The legend has a size and a colour of its own.
            ax.plot(
                [], [], linestyle="none", marker=marker, markersize=4.5, color=style.GREY,
                markerfacecolor="white" if quiet else style.GREY,
                label=f"{name}, silent" if quiet else name,
            )  # fmt: skip
    ax.set_aspect("equal")
    ax.set_axis_off()
    ax.set_xlim(centre[0] - reach, centre[0] + reach)
    ax.set_ylim(centre[1] - reach, centre[1] + reach)
    shown = "" if drawn.size == net.n_synapses else f"{drawn.size} of "
    title = f"{net.n} neurons, {shown}{net.n_synapses} synapses"
    ax.set_title(title, fontsize=style.SMALL, pad=2)
    style.legend(ax, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2)
    beyond = (bool((value < low).any()), bool((value > high).any()))
    ends = {(True, True): "both", (True, False): "min", (False, True): "max"}.get(beyond, "neither")
    bar = ax.figure.colorbar(
        ScalarMappable(norm, "viridis"), ax=ax, extend=ends, aspect=18, shrink=0.8, pad=0.02
    )
    bar.set_label("exponent (1/s)", fontsize=style.SMALL)
    bar.ax.tick_params(labelsize=style.SMALL)
    return ax
