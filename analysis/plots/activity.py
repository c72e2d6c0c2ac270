"""Figures of what a network does: spikes, rates, exponents of its neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.lyapunov.nodes import NodeExponents
from analysis.plots import _style as style
from analysis.spikes import rates
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.trajectory import Trajectory
from models_eq.units import seconds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Height of spikes and rate strip together, in units of that of the spikes.
STRIP = 1.35

Group = tuple[str, str, np.ndarray]


def _groups(n: int, net: HRSNN | None) -> list[Group]:
    """Name, colour and neurons of each type present; one group where types are unknown."""
    if net is None:
        return [("all", style.BLACK, np.arange(n))]
    if net.n != n:
        raise ParameterError("net", f"a network of {n} neurons", net)
    both = [
        ("excitatory", style.EXCITATORY, np.flatnonzero(net.is_exc)),
        ("inhibitory", style.INHIBITORY, np.flatnonzero(~net.is_exc)),
    ]
    return [group for group in both if group[2].size]


def _window(window: tuple[Any, Any] | None, duration: float) -> tuple[float, float]:
    if window is None:
        return 0.0, duration
    if isinstance(window, str) or len(window) != 2:
        raise ParameterError("window", "a start and an end, as in ('0 ms', '500 ms')", window)
    low, high = (seconds(value, "window") for value in window)
    if not 0 <= low < high:
        raise ParameterError("window", "a start of at least 0 s before its end", window)
    if low >= duration:
        raise ParameterError("window", f"a start below the duration ({duration:g} s)", window)
    return low, min(high, duration)


def raster(
    trajectory: Trajectory,
    net: HRSNN | None = None,
    ax: Axes | None = None,
    *,
    trial: int = 0,
    window: tuple[Any, Any] | None = None,
    rate: bool = True,
) -> Axes:
    """Spikes of one trial, below a strip with the rate of each population.

    Parameters
    ----------
    trajectory : Trajectory
        What ran.
    net : HRSNN, optional
        The network that ran: neurons are then sorted by type (excitatory below) and coloured.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default the axes of a new figure.
    trial : int, optional
        Which trial (or copy).
    window : pair of Quantity or str, optional
        Start and end of the stretch shown, such as ``("0 ms", "500 ms")``; by default all.
    rate : bool, optional
        Whether to draw the strip: spikes per neuron and second in about a hundred bins.

    Returns
    -------
    matplotlib.axes.Axes
        The axes of the spikes; the strip lies within them.

    Raises
    ------
    ParameterError
        If the network is of another size, or for a trial or window that does not exist.
    UnitError
        For a window without units.
    """
    if not 0 <= trial < trajectory.n_trials:
        raise ParameterError("trial", f"0..{trajectory.n_trials - 1}", trial)
    groups = _groups(trajectory.n, net)
    low, high = _window(window, trajectory.duration)
    # Times lie on the grid, so half a step tells them apart from the ends whatever the rounding.
    half = trajectory.dt / 2
    shown = (trajectory.trial == trial) & (trajectory.t > low - half) & (trajectory.t < high - half)
    t, neuron = trajectory.t[shown], trajectory.i[shown]
    place = np.empty(trajectory.n, dtype=np.int64)
    place[np.concatenate([members for _, _, members in groups])] = np.arange(trajectory.n)

    ax = style.axes_or_new(ax)
    unit, scale = ("ms", 1e3) if high - low <= 1 else ("s", 1.0)
    points = ax.get_window_extent().height * 72 / ax.figure.dpi
    top = trajectory.n * (STRIP if rate else 1.0)
    tick = float(np.clip(points / top, 0.9, 6))
    for name, colour, members in groups:
        mine = np.isin(neuron, members)
        ax.plot(
            t[mine] * scale,
            place[neuron[mine]],
            linestyle="none",
            marker="|",
            markersize=tick,
            markeredgewidth=0.6,
            color=colour,
            label=name,
            rasterized=True,
        )
    ax.set_xlim(low * scale, high * scale)
    ax.set_ylim(-0.5, top - 0.5)
    label = "neuron" if net is None else "neuron (by type)"
    style.dress(ax, f"time ({unit})", label)
    if t.size == 0:
        style.note(ax, "no spikes")
    ax.locator_params(axis="y", integer=True)
    if rate:
        ticks = ax.yaxis.get_major_locator().tick_values(0, trajectory.n - 1)
        ax.set_yticks([tick for tick in ticks if 0 <= tick < trajectory.n])
        ax.yaxis.label.set_y(0.5 / STRIP)
        ax.spines["left"].set_bounds(-0.5, trajectory.n - 0.5)
        _rate_strip(ax, t, neuron, groups, (low, high), trajectory.dt, scale)
    return ax


def _rate_strip(
    ax: Axes,
    t: np.ndarray,
    neuron: np.ndarray,
    groups: list[Group],
    window: tuple[float, float],
    dt: float,
    scale: float,
) -> None:
    low, high = window
    # Whole steps in a bin: otherwise bins hold now one grid point more, now one less.
    width = max(1, round((high - low) / 100 / dt)) * dt
    n_bins = max(1, int((high - low) / width + 1e-6))
    edges = low - dt / 2 + width * np.arange(n_bins + 1)
    # Inside the frame: what sticks out in proportion to it is cut off by constrained layouts.
    bottom = 1 / STRIP + 0.03
    strip = ax.inset_axes((0.0, bottom, 1.0, 0.93 - bottom), label="rate")
    for (name, colour, members), side in zip(groups, ("left", "right"), strict=False):
        mine = t[np.isin(neuron, members)]
        count = np.histogram(mine, edges)[0]
        values = count / (members.size * width)
        strip.stairs(values, edges * scale, color=colour, linewidth=0.9, label=name, baseline=None)
        mean = mine.size / (members.size * (high - low))
        title = f"{name} {mean:.1f} Hz"
        strip.set_title(title, fontsize=style.SMALL, color=colour, loc=side, pad=2)  # type: ignore[arg-type]
    style.dress(strip, "", "Hz")
    strip.set_xlim(low * scale, high * scale)
    strip.set_ylim(bottom=0)
    strip.locator_params(axis="y", nbins=2)
    strip.tick_params(labelbottom=False)


def rate_histogram(
    trajectory: Trajectory, net: HRSNN | None = None, ax: Axes | None = None, *, bins: int = 30
) -> Axes:
    """Mean firing rates of the neurons, as a histogram for each type.

    Parameters
    ----------
    trajectory : Trajectory
        What ran; all trials count.
    net : HRSNN, optional
        The network that ran, to tell types apart.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default the axes of a new figure.
    bins : int, optional
        Number of bins from 0 to the highest rate.

    Returns
    -------
    matplotlib.axes.Axes
        Triangles at the top mark the means.

    Raises
    ------
    ParameterError
        If the network is of another size.
    """
    groups = _groups(trajectory.n, net)
    rate = rates(trajectory)
    edges = np.linspace(0, max(float(rate.max()), 1.0), bins + 1)
    ax = style.axes_or_new(ax)
    for name, colour, members in groups:
        mean = float(rate[members].mean())
        label = f"{name} (mean {mean:.1f} Hz)"
        count = np.histogram(rate[members], edges)[0]
        ax.stairs(count, edges, fill=True, alpha=0.25, color=colour)
        ax.stairs(count, edges, color=colour, linewidth=1.2, label=label)
        ax.plot(mean, 0.98, "v", color=colour, markersize=5, transform=ax.get_xaxis_transform())
    ax.set_xlim(0, edges[-1])
    ax.set_ylim(0, ax.get_ylim()[1] * 1.12)  # room for the triangles
    style.dress(ax, "firing rate (Hz)", "neurons")
    style.legend(ax)
    return ax


def node_exponents(
    exponents: NodeExponents,
    net: HRSNN | None = None,
    ax: Axes | None = None,
    *,
    bins: int = 30,
) -> Axes:
    """Exponents of the neurons: a histogram, or against the membrane time constant.

    Parameters
    ----------
    exponents : NodeExponents
        One exponent per neuron.
    net : HRSNN, optional
        The network that they belong to. With it, each neuron is a point at its ``tau_m`` (with
        its standard error), coloured by type, beside the curve ``-1/tau_m`` of a neuron that
        never spikes; without it, a histogram is drawn.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default the axes of a new figure.
    bins : int, optional
        Number of bins of the histogram.

    Returns
    -------
    matplotlib.axes.Axes
        Neurons without an inter-spike interval are marked as silent (grey).

    Raises
    ------
    ParameterError
        If the network is of another size.
    """
    value, silent = exponents.exponents, exponents.cycles == 0
    groups = _groups(value.size, net)
    ax = style.axes_or_new(ax)
    n_silent = int(silent.sum())
    if net is None:
        edges = np.histogram_bin_edges(value, bins)
        stack = [value[~silent], value[silent]]
        names = [f"spiking ({value.size - n_silent})", f"silent ({n_silent})"]
        use = [k for k in (0, 1) if stack[k].size]
        ax.hist(
            [stack[k] for k in use],
            bins=edges.tolist(),
            stacked=True,
            color=[(style.BLUE, style.LIGHT)[k] for k in use],
            edgecolor="white",
            linewidth=0.3,
            label=[names[k] for k in use],
        )
        ax.axvline(0, color=style.GREY, linewidth=0.8, linestyle=":")
        style.dress(ax, "exponent (1/s)", "neurons")
        style.legend(ax)
        return ax
    tau = net.tau_m * 1e3
    for name, colour, members in groups:
        mine = members[~silent[members]]
        if mine.size:
            ax.errorbar(
                tau[mine],
                value[mine],
                yerr=exponents.stderr[mine],
                linestyle="none",
                marker="o",
                markersize=2.5,
                markeredgewidth=0,
                elinewidth=0.6,
                alpha=0.7,
                color=colour,
                label=name,
            )
    if n_silent:
        ax.plot(
            tau[silent],
            value[silent],
            linestyle="none",
            marker="o",
            markersize=4,
            markerfacecolor="white",
            markeredgecolor=style.GREY,
            label=f"silent ({n_silent})",
        )
    curve = np.geomspace(tau.min() * 0.9, tau.max() * 1.1, 100)
    low = min(float(value.min()), 0.0)
    # Fast neurons would stretch the curve, and with it the axis, far below the data.
    floor = low - 0.08 * max(max(float(value.max()), 0.0) - low, 1.0)
    ax.plot(curve, -1e3 / curve, "--", color=style.GREY, linewidth=0.9, label=r"$-1/\tau_m$")
    ax.axhline(0, color=style.GREY, linewidth=0.8, linestyle=":")
    ax.set_xscale("log")
    ax.set_ylim(bottom=floor)
    _plain_log_ticks(ax, float(curve[0]), float(curve[-1]))
    style.dress(ax, r"membrane time constant $\tau_m$ (ms)", "exponent (1/s)")
    style.legend(ax, loc="lower right")
    return ax


def _plain_log_ticks(ax: Axes, low: float, high: float) -> None:
    """Ticks at 1, 2, 5 times powers of ten, written out: time constants span few decades."""
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    ticks = np.outer(10.0**decades, [1, 2, 5]).ravel()
    ticks = ticks[(ticks >= low) & (ticks <= high)]
    ax.set_xlim(low, high)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xticks([], minor=True)
