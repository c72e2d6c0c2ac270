"""Figures of what a network is: its weights before and after pruning, and their spectrum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import linalg

from analysis.plots import _style as style
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Pair = tuple[HRSNN, ...]


def _pair(before: HRSNN, after: HRSNN | None) -> Pair:
    if after is not None and after.n_origin != before.n_origin:
        raise ParameterError(
            "after", f"a network that descends from {before.n_origin} neurons", after.n_origin
        )
    return (before,) if after is None else (before, after)


def _names(nets: Pair) -> tuple[str, ...]:
    return ("network",) if len(nets) == 1 else ("before", "after")


def _share(nets: Pair, k: int) -> str:
    """What is left of the first network's synapses, in words; empty for the first."""
    if k == 0 or nets[0].n_synapses == 0:
        return ""
    return f" ({100 * nets[k].n_synapses / nets[0].n_synapses:.2g} %)"


def binned_weights(net: HRSNN, bins: int) -> tuple[np.ndarray, int]:
    """Weights on the original indices, at most ``bins`` by ``bins`` of them.

    Parameters
    ----------
    net : HRSNN
        The network.
    bins : int
        Largest number of rows and columns.

    Returns
    -------
    image : ndarray, shape (rows, rows)
        (post, pre). A bin holds the weight of largest magnitude among its pairs, with its sign:
        a mean would let single synapses fade. 0 where no pair is connected, NaN where all
        neurons of the bin's row or column were removed.
    width : int
        Neurons in a bin, along one side.
    """
    width = -(-net.n_origin // bins)
    rows = -(-net.n_origin // width)
    image = np.zeros((rows, rows))
    order = np.argsort(np.abs(net.w), kind="stable")  # of several writes to a bin, the last stays
    post, pre = net.ids[net.j] // width, net.ids[net.i] // width
    image[post[order], pre[order]] = net.w[order]
    gone = np.ones(rows, dtype=bool)
    gone[net.ids // width] = False
    image[gone, :] = image[:, gone] = np.nan
    return image, width


def weight_matrix(
    before: HRSNN,
    after: HRSNN | None = None,
    axes: Axes | Sequence[Axes] | None = None,
    *,
    bins: int = 150,
) -> tuple[Axes, ...]:
    """Weights as images, (post, pre), on the original indices.

    Parameters
    ----------
    before : HRSNN
        The network, or what it was before pruning.
    after : HRSNN, optional
        The pruned network, drawn beside it with the same colours.
    axes : Axes or sequence of Axes, optional
        Where to draw, one for each network; by default a new figure.
    bins : int, optional
        Networks of more neurons are drawn in blocks; a block shows its strongest weight.

    Returns
    -------
    tuple of matplotlib.axes.Axes
        One for each network.

    Raises
    ------
    ParameterError
        If the networks have different origins, or the number of axes is not theirs.

    Notes
    -----
    Red excites, blue inhibits, the palest tone is no synapse, grey a removed neuron. The scale is
    ``asinh(w / median |w|)``, symmetric about 0: inhibition is several times stronger than
    excitation and kept weights several times stronger than pruned ones, so that on a linear
    scale the weaker half would look empty. Weights beyond the 99.5th percentile of the blocks
    take the last colour.
    """
    from matplotlib import colormaps
    from matplotlib.axes import Axes
    from matplotlib.colors import AsinhNorm

    nets = _pair(before, after)
    if isinstance(bins, bool) or bins < 1:
        raise ParameterError("bins", "at least 1", bins)
    images = [binned_weights(net, bins) for net in nets]
    if axes is None:
        from matplotlib import pyplot

        size = (style.COLUMN, 2.0) if len(nets) == 2 else (style.COLUMN, 2.8)
        made = pyplot.subplots(1, len(nets), figsize=size, layout="constrained", squeeze=False)[1]
        drawn: tuple[Axes, ...] = tuple(made[0])
    else:
        drawn = (axes,) if isinstance(axes, Axes) else tuple(np.ravel(np.asarray(axes, object)))
        if len(drawn) != len(nets):
            raise ParameterError("axes", f"{len(nets)} axes", len(drawn))
    present = np.abs(
        np.concatenate([image[np.isfinite(image) & (image != 0)] for image, _ in images])
    )
    limit = float(np.quantile(present, 0.995)) if present.size else 1.0
    middle = float(np.median(present)) if present.size else 1.0
    norm = AsinhNorm(linear_width=middle, vmin=-limit, vmax=limit)
    cmap = colormaps[style.DIVERGING].with_extremes(bad=style.LIGHT)
    for k, (ax, net, name, (image, width)) in enumerate(
        zip(drawn, nets, _names(nets), images, strict=True)
    ):
        edge = len(image) * width - 0.5
        shown = ax.imshow(
            image,
            norm=norm,
            cmap=cmap,
            origin="upper",
            extent=(-0.5, edge, edge, -0.5),
            interpolation="nearest",
        )
        title = f"{net.n} neurons\n{net.n_synapses} synapses{_share(nets, k)}"
        if len(nets) > 1:
            title = f"{name}: {title}"
        style.dress(ax, "presynaptic neuron", "postsynaptic neuron" if k == 0 else "", title)
        ax.title.set_fontsize(style.SMALL)
        ax.locator_params(nbins=4, integer=True)
        ax.spines[["top", "right"]].set_visible(True)
        if k:
            ax.tick_params(labelleft=False)
    bar = drawn[0].figure.colorbar(
        shown, ax=list(drawn), extend="both", aspect=18, shrink=0.8, pad=0.02
    )
    bar.set_label("weight (dimensionless)", fontsize=style.SMALL)
    _few_ticks(bar, limit)
    return drawn


def _few_ticks(bar: Any, limit: float) -> None:
    """Ticks at 0 and at one or two round values on either side."""
    top = 10.0 ** np.floor(np.log10(limit))
    top *= max(step for step in (1, 2, 5) if step * top <= limit * (1 + 1e-9))
    ticks = [-top, 0.0, top]
    low = top / 10
    if float(bar.norm(low)) > 0.6:  # else their labels run into that of 0
        ticks += [-low, low]
    labels = [f"{value:g}".replace("-", "\u2212") for value in ticks]
    bar.set_ticks(ticks, labels=labels)
    bar.ax.tick_params(labelsize=style.SMALL)
    bar.ax.minorticks_off()


def weight_histogram(
    before: HRSNN, after: HRSNN | None = None, ax: Axes | None = None, *, bins: int = 40
) -> Axes:
    """Magnitudes of the weights before and after pruning, by sign.

    Parameters
    ----------
    before : HRSNN
        The network, or what it was before pruning (filled).
    after : HRSNN, optional
        The pruned network (outlined).
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default the axes of a new figure.
    bins : int, optional
        Number of bins, equally wide in ``log |w|`` and common to all.

    Returns
    -------
    matplotlib.axes.Axes
        Numbers of synapses on a logarithmic scale. Weights of exactly 0 have no magnitude to
        show; the label counts them.

    Raises
    ------
    ParameterError
        If the networks have different origins.
    """
    nets = _pair(before, after)
    size = np.concatenate([np.abs(net.w[net.w != 0]) for net in nets])
    zeros = [int((net.w == 0).sum()) for net in nets]
    ax = style.axes_or_new(ax)
    style.dress(ax, "|weight| (dimensionless)", "synapses")
    if size.size == 0:
        style.note(ax, "no weights" if any(zeros) else "no synapses")
        return ax
    low, high = float(size.min()), float(size.max())
    if high <= low * (1 + 1e-9):  # all equal: one bin about it
        low, high = low / 1.5, high * 1.5
    # The last edge is a product of rounded factors: half a percent more keeps the largest in.
    edges = np.geomspace(low * 0.995, high * 1.005, bins + 1)
    sides = (("w > 0", style.EXCITATORY, 1), ("w < 0", style.INHIBITORY, -1))
    for k, (net, name) in enumerate(zip(nets, _names(nets), strict=True)):
        for sign, colour, factor in sides:
            w = factor * net.w[factor * net.w > 0]
            if w.size == 0:
                continue
            count = np.histogram(w, edges)[0]
            label = f"{name}, {sign}" if len(nets) > 1 else sign
            if zeros[k]:
                label += f" ({zeros[k]} zeros left out)"
                zeros[k] = 0  # said once
            look: dict[str, Any] = {"fill": True, "alpha": 0.3} if k == 0 else {"linewidth": 1.3}
            # From 0 on a logarithmic axis: the fill reaches the lower edge of the frame.
            ax.stairs(count, edges, color=colour, baseline=0.5, label=label, **look)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.5)
    top = ax.get_ylim()[1]
    ax.set_ylim(top=top * 2)
    style.legend(ax, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return ax


def eigenvalue_spectrum(
    nets: HRSNN | Mapping[str, HRSNN],
    ax: Axes | None = None,
    *,
    kind: Literal["weights", "linear"] = "weights",
) -> Axes:
    """Eigenvalues of networks in the complex plane.

    Parameters
    ----------
    nets : HRSNN or Mapping of str to HRSNN
        Networks by name, such as ``{"dense": net, "LNP 2 %": pruned}``; drawn in this order.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default the axes of a new figure.
    kind : {'weights', 'linear'}, optional
        ``weights``: of W, shape (post, pre), dimensionless. ``linear``: of the rate network
        ``dx/dt = (-x + W x) / tau_m``, 1/s.

    Returns
    -------
    matplotlib.axes.Axes
        A dashed line marks where the rate network loses its stability: a real part of 1 for
        ``weights`` (for equal ``tau_m``), of 0 for ``linear``.

    Raises
    ------
    ParameterError
        For an unknown kind, or no network.

    Notes
    -----
    All eigenvalues of a dense matrix: about a second at n = 1000, and growing as n^3.
    """
    if kind not in ("weights", "linear"):
        raise ParameterError("kind", "'weights' or 'linear'", kind)
    named = {"": nets} if isinstance(nets, HRSNN) else dict(nets)
    if not named:
        raise ParameterError("nets", "at least one network", "none")
    spectra = {}
    for name, net in named.items():
        matrix = net.weights.toarray()
        if kind == "linear":
            matrix = (matrix - np.eye(net.n)) / net.tau_m[:, None]
        spectra[name] = linalg.eigvals(matrix)
    ax = style.axes_or_new(ax, height=2.9)
    ax.axvline(float(kind == "weights"), color=style.GREY, linewidth=0.8, linestyle="--")
    ax.axhline(0, color=style.LIGHT, linewidth=0.6, zorder=0)
    for k, (name, values) in enumerate(spectra.items()):
        ax.plot(
            values.real,
            values.imag,
            linestyle="none",
            marker="o^sDvPX"[k % 7],
            markersize=2.6,
            markeredgewidth=0,
            alpha=0.6,
            color=style.CYCLE[k % len(style.CYCLE)],
            label=name or None,
        )
    ax.set_aspect("equal", adjustable="datalim")
    unit = "dimensionless" if kind == "weights" else "1/s"
    ax.locator_params(nbins=6)
    style.dress(ax, rf"Re $\lambda$ ({unit})", rf"Im $\lambda$ ({unit})")
    style.legend(
        ax, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(3, len(named)), markerscale=2
    )
    return ax
