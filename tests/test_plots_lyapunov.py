"""Figures of Lyapunov exponents: what is drawn is the result, with units; nothing leaks."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from analysis import plots
from analysis.lyapunov.nodes import NodeExponents
from analysis.lyapunov.result import LyapunovResult, slope_mean
from analysis.plots import _style as style
from analysis.plots.network import neuron_positions, strongest_synapses
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN


def result(mean: Any, m: int = 40, seed: int = 1, **more: Any) -> LyapunovResult:
    """A result whose local exponents scatter about the given values."""
    value = np.array(mean, dtype=float)
    local = value + np.random.default_rng(seed).standard_normal((m, value.size))
    full: dict[str, Any] = {
        "exponents": slope_mean(local), "stderr": np.linspace(0.1, 0.2, value.size),
        "local": local, "t_qr": 0.5, "transient": 1.0, "duration": 0.5 * m, "dt": 0.001,
        "method": "saltation", "reason": "", "system": "HRSNN", "dimension": 2 * value.size,
        "conditional": False,
    }  # fmt: skip
    return LyapunovResult(**{**full, **more})


RESULT = result([9.0, 0.0, -5.0, -20.0])
LONG = result(np.linspace(5, -50, 100))
LOST = result(
    [2.0, -3.0], exponents=np.array([2.0, -np.inf]), local=np.c_[[2.0] * 40, [-np.inf] * 40]
)
T = np.linspace(0.01, 0.5, 50)
GROWTH = SimpleNamespace(
    t=T,
    distance=1e-6 * np.exp(20 * T) * np.array([[0.5], [2.0], [1.0]]),
    displacement=1e-6,
    rate=20.0,
)
# Neurons 0, 2 and 3 excite, 1 inhibits; 3 stands apart in a cluster of its own.
NET = HRSNN(
    "lif_exp", 4, i=[0, 1, 2, 3], j=[1, 2, 3, 0], w=[0.5, -2.0, 0.25, 1.0], tau_m=0.02,
    cluster=[7, 7, 7, 9],
)  # fmt: skip
ONE = HRSNN("lif_exp", 1, i=[], j=[], w=[], tau_m=0.02)
EXPONENTS = NodeExponents(
    np.array([-100.0, -20.0, -30.0, -5.0]), np.zeros(4), np.array([0, 9, 9, 9])
)

CALLS: dict[str, Callable[..., Axes]] = {
    "lyapunov_spectrum": lambda ax=None: plots.lyapunov_spectrum(RESULT, ax),
    "two_spectra": lambda ax=None: plots.lyapunov_spectrum(
        {"before": LONG, "after": RESULT}, ax, relative=True
    ),
    "convergence": lambda ax=None: plots.convergence(RESULT, ax),
    "local_exponents": lambda ax=None: plots.local_exponents(RESULT, ax),
    "displacement_growth": lambda ax=None: plots.displacement_growth(GROWTH, ax),
    "node_exponents_on_network": lambda ax=None: plots.node_exponents_on_network(
        NET, EXPONENTS, ax
    ),
}
# What stands on the two axes.
LABELS = {
    "lyapunov_spectrum": ("index", "Lyapunov exponent (1/s)"),
    "two_spectra": ("index / dimension", "Lyapunov exponent (1/s)"),
    "convergence": ("time (s)", "exponent up to then (1/s)"),
    "local_exponents": ("time (s)", "local exponent (1/s)"),
    "displacement_growth": ("time (ms)", "distance from the base"),
    "node_exponents_on_network": ("", ""),
}


def labelled(ax: Axes) -> dict[str, Any]:
    """Lines of an axes by their label."""
    return {str(line.get_label()): line for line in ax.lines}


def bars(ax: Axes) -> list[ErrorbarContainer]:
    """Error bar plots of an axes in order."""
    return [c for c in ax.containers if isinstance(c, ErrorbarContainer)]


@pytest.mark.parametrize("name", CALLS)
def test_axes_come_back_labelled_and_one_figure_is_made(name: str) -> None:
    ax = CALLS[name]()
    assert isinstance(ax, Axes)
    assert len(plt.get_fignums()) == 1
    assert (ax.get_xlabel(), ax.get_ylabel()) == LABELS[name]
    ax.figure.draw_without_rendering()


@pytest.mark.parametrize("name", CALLS)
def test_the_given_axes_are_used_without_pyplot_or_a_change_of_settings(name: str) -> None:
    ax = Figure(layout="constrained").subplots()
    before = dict(mpl.rcParams)
    assert CALLS[name](ax) is ax
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before
    ax.figure.draw_without_rendering()


@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_cut_off_in_one_column_beside_another_panel(name: str) -> None:
    figure = Figure(figsize=(6.8, 3.2), layout="constrained")
    left, _ = figure.subplots(1, 2)
    CALLS[name](left)
    for _ in range(2):  # a fixed aspect takes the layout two rounds
        figure.draw_without_rendering()
    box, page = left.get_tightbbox(), figure.bbox
    assert box is not None
    assert box.x0 >= page.x0 - 1 and box.y0 >= page.y0 - 1 and box.y1 <= page.y1 + 1


def test_a_spectrum_shows_exponents_and_their_errors_against_the_index() -> None:
    (drawn,) = bars(plots.lyapunov_spectrum(RESULT))
    line, _, (error,) = drawn
    np.testing.assert_allclose(line.get_xydata(), np.c_[1:5, RESULT.exponents])
    lengths = [np.ptp(segment[:, 1]) for segment in error.get_segments()]
    np.testing.assert_allclose(lengths, 2 * RESULT.stderr)


def test_spectra_of_different_size_compare_by_fraction() -> None:
    small = result([9.0, 0.0], dimension=2)
    ax = plots.lyapunov_spectrum({"before": RESULT, "after": small}, relative=True)
    first, second = (drawn[0] for drawn in bars(ax))
    np.testing.assert_allclose(first.get_xdata(), (np.arange(4) + 0.5) / 8)
    np.testing.assert_allclose(second.get_xdata(), [0.25, 0.75])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["before", "after"]
    assert first.get_color() != second.get_color() and first.get_marker() != second.get_marker()


def test_a_long_spectrum_is_a_line_in_its_band() -> None:
    ax = plots.lyapunov_spectrum({"dense": LONG})
    assert bars(ax) == []
    np.testing.assert_allclose(labelled(ax)["dense"].get_xydata(), np.c_[1:101, LONG.exponents])
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    assert corners[:, 1].max() == pytest.approx((LONG.exponents + LONG.stderr).max())
    assert corners[:, 1].min() == pytest.approx((LONG.exponents - LONG.stderr).min())


def test_what_is_annihilated_is_counted_and_not_drawn() -> None:
    ax = plots.lyapunov_spectrum({"net": LOST})
    np.testing.assert_allclose(bars(ax)[0][0].get_xydata(), [[1, 2]])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["net (1 at \u2212\u221e)"]
    assert len(plots.convergence(LOST).lines) == 1
    assert len(plots.local_exponents(LOST).lines) == 2


def test_spectra_of_different_units_and_none_at_all_are_refused() -> None:
    for wrong in ({"a": RESULT, "b": result([1.0], unit="1/step")}, {}):
        with pytest.raises(ParameterError) as caught:
            plots.lyapunov_spectrum(wrong)
        assert caught.value.field == "results"
    assert plt.get_fignums() == []


def test_convergence_ends_at_the_exponents_within_their_bands() -> None:
    ax = plots.convergence(RESULT, k=2)
    t, running = RESULT.convergence
    for index, line in enumerate(ax.lines):
        np.testing.assert_allclose(line.get_xydata(), np.c_[t, running[:, index]])
        assert line.get_ydata()[-1] == pytest.approx(RESULT.exponents[index])
        band = ax.patches[index]
        middle, error = RESULT.exponents[index], RESULT.stderr[index]
        assert (band.get_y(), band.get_height()) == pytest.approx((middle - error, 2 * error))
        assert to_hex(band.get_facecolor()) == to_hex(line.get_color())
    assert len(ax.lines) == 2
    value = f"{RESULT.exponents[0]:.1f}"
    assert ax.get_legend().get_texts()[0].get_text() == rf"$\lambda_{{1}}$ = {value} ± 0.1"
    # The wild beginning is cut off; the bands are not.
    low, high = ax.get_ylim()
    assert low < (RESULT.exponents - RESULT.stderr)[:2].min()
    assert high > (RESULT.exponents + RESULT.stderr)[:2].max()
    assert high < running[0].max() + 10 and len(plots.convergence(RESULT).lines) == 4


def test_a_long_record_is_thinned_and_still_ends_at_the_exponents() -> None:
    long = result([3.0, -3.0], m=12345)
    line = plots.convergence(long).lines[0]
    assert 500 < line.get_xdata().size < 2100
    assert line.get_xdata()[-1] == pytest.approx(long.duration)
    assert line.get_ydata()[-1] == pytest.approx(long.exponents[0])


def test_many_exponents_are_shades_and_name_the_first_and_last() -> None:
    ax = plots.convergence(LONG, k=20)
    texts = [text.get_text().split(" =")[0] for text in ax.get_legend().get_texts()]
    assert texts == [r"$\lambda_{1}$", r"$\lambda_{20}$"]
    assert len({to_hex(line.get_color()) for line in ax.lines}) == 20
    assert len(plots.local_exponents(LONG, k=20).get_legend().get_texts()) == 2


def test_local_exponents_are_averaged_in_whole_groups() -> None:
    ax = plots.local_exponents(RESULT, k=1, points=15)
    local, final = ax.lines
    # 40 intervals of 0.5 s in 13 groups of 3; the last one is left over.
    assert local.get_xdata().size == 13
    np.testing.assert_allclose(local.get_xdata()[:2], [0.75, 2.25])
    np.testing.assert_allclose(local.get_ydata()[1], RESULT.local[3:6, 0].mean())
    np.testing.assert_allclose(final.get_ydata(), RESULT.exponents[0])
    whole = plots.local_exponents(RESULT, k=1).lines[0]
    np.testing.assert_allclose(whole.get_ydata(), RESULT.local[:, 0])


@pytest.mark.parametrize("draw", [plots.convergence, plots.local_exponents])
def test_more_exponents_than_there_are_cannot_be_drawn(draw: Callable[..., Axes]) -> None:
    for k in (5, 0):
        with pytest.raises(ParameterError) as caught:
            draw(RESULT, k=k)
        assert caught.value.field == "k"
    gone = result([1.0], exponents=np.array([-np.inf]), local=np.full((40, 1), -np.inf))
    with pytest.raises(ParameterError, match="result"):
        draw(gone)
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("unit", "label"), [("1/step", "steps"), ("1/time", "time (dimensionless)")]
)
def test_time_has_the_unit_of_the_system(unit: str, label: str) -> None:
    ax = plots.convergence(result([1.0, -2.0], unit=unit))
    assert ax.get_xlabel() == label and unit in ax.get_ylabel()


def test_copies_are_thin_their_geometric_mean_thick_and_the_slope_dashed() -> None:
    ax = plots.displacement_growth(GROWTH)
    lines = labelled(ax)
    np.testing.assert_allclose(lines["3 copies"].get_xydata(), np.c_[1e3 * T, GROWTH.distance[0]])
    mean, slope = lines["geometric mean"], lines[r"slope of $\lambda_{1}$ = 20 1/s"]
    np.testing.assert_allclose(mean.get_ydata(), 1e-6 * np.exp(20 * T))
    np.testing.assert_allclose(slope.get_ydata(), 1e-6 * np.exp(slope.get_xdata() / 50))
    assert mean.get_linewidth() > 2 * lines["3 copies"].get_linewidth()
    assert slope.get_linestyle() == "--" and ax.get_yscale() == "log"
    assert len(ax.lines) == 5
    (first, *_) = ax.get_legend().get_lines()
    assert first.get_alpha() == 1


def test_a_slope_beyond_saturation_does_not_stretch_the_axis() -> None:
    distance = np.minimum(GROWTH.distance * np.exp(20 * T), 1e-3)
    wild = SimpleNamespace(t=T, distance=distance, displacement=1e-6, rate=5000.0)
    ax = plots.displacement_growth(wild)
    assert ax.get_ylim()[1] < 0.01
    assert labelled(ax)[r"slope of $\lambda_{1}$ = 5e+03 1/s"].get_ydata().max(initial=0) < 0.01


def test_one_copy_stands_for_itself_and_merged_ones_are_counted() -> None:
    alone = SimpleNamespace(t=T, distance=GROWTH.distance[0], displacement=1e-6, rate=None)
    assert list(labelled(plots.displacement_growth(alone))) == ["1 copy"]
    distance = GROWTH.distance.copy()
    distance[1, 20:] = 0.0
    merging = SimpleNamespace(t=T, distance=distance, displacement=1e-6, rate=None)
    lines = labelled(plots.displacement_growth(merging))
    mean = lines["geometric mean"].get_ydata()
    assert "3 copies (1 merged)" in lines
    np.testing.assert_allclose(mean[30], np.sqrt(distance[0, 30] * distance[2, 30]))
    merging.distance = np.zeros_like(distance)
    assert plots.displacement_growth(merging).texts[0].get_text() == "all copies merged"


def test_gaps_between_a_spike_and_its_copy_are_bridged() -> None:
    distance = GROWTH.distance.copy()
    distance[0, [3, 20, 21, 22, 40]] = np.nan
    distance[1, [0, 10, 49]] = np.nan
    gaps = SimpleNamespace(t=T, distance=distance, displacement=1e-6, rate=20.0)
    lines = labelled(plots.displacement_growth(gaps))
    # Growth is exponential here, so that nothing is lost inside.
    np.testing.assert_allclose(lines["3 copies"].get_ydata(), GROWTH.distance[0])
    mean = lines["geometric mean"].get_ydata()
    np.testing.assert_allclose(mean[1:-1], 1e-6 * np.exp(20 * T[1:-1]))
    assert np.isfinite(mean).all()


def test_distances_that_do_not_fit_their_times_are_refused() -> None:
    wrong = SimpleNamespace(t=T[:-1], distance=GROWTH.distance, displacement=1e-6, rate=None)
    with pytest.raises(ParameterError, match="growth"):
        plots.displacement_growth(wrong)
    assert plt.get_fignums() == []


def test_neurons_stand_in_place_with_colour_by_exponent_and_marker_by_type() -> None:
    ax = plots.node_exponents_on_network(NET, EXPONENTS)
    place = neuron_positions(NET)
    points = [c for c in ax.collections if isinstance(c, PathCollection)]
    spiking, silent, inhibitory = points
    np.testing.assert_allclose(spiking.get_offsets(), place[[2, 3]])
    np.testing.assert_allclose(silent.get_offsets(), place[[0]])
    np.testing.assert_allclose(inhibitory.get_offsets(), place[[1]])
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["excitatory", "excitatory, silent", "inhibitory"]
    # The open one has its colour on the edge: the lowest exponent, the first of the scale.
    assert to_hex(silent.get_facecolor()[0]) == "#ffffff"
    assert to_hex(silent.get_edgecolor()[0]) == to_hex(mpl.colormaps["viridis"](0.0))
    assert to_hex(spiking.get_facecolor()[1]) == to_hex(mpl.colormaps["viridis"](1.0))
    assert ax.get_title() == "4 neurons, 4 synapses" and ax.get_aspect() == 1
    (bar,) = (other for other in ax.figure.axes if other is not ax)
    assert bar.get_ylabel() == "exponent (1/s)"


def test_synapses_join_their_neurons_in_the_colour_of_their_sign() -> None:
    ax = plots.node_exponents_on_network(NET, EXPONENTS)
    (lines,) = (c for c in ax.collections if isinstance(c, LineCollection))
    place = neuron_positions(NET)
    found = {
        tuple(np.round(np.ravel(segment), 9)): to_hex(colour)
        for segment, colour in zip(lines.get_segments(), lines.get_colors(), strict=True)
    }
    wanted = {
        tuple(np.round(np.r_[place[i], place[j]], 9)): to_hex(
            to_rgba(style.EXCITATORY if w > 0 else style.INHIBITORY)
        )
        for i, j, w in zip(NET.i, NET.j, NET.w, strict=True)
    }
    assert found == wanted


def test_the_strongest_synapses_of_either_sign_in_proportion() -> None:
    rng = np.random.default_rng(5)
    i, j = np.nonzero(~np.eye(40, dtype=bool))
    w = np.where(i < 32, 1.0, -8.0) * rng.gamma(2, 0.1, i.size)
    net = HRSNN("lif_exp", 40, i=i, j=j, w=w, tau_m=0.02)
    chosen = strongest_synapses(net, 156)
    assert chosen.size == 156 and (net.w[chosen] > 0).sum() == 125  # 80 % of 156
    for side in (net.w > 0, net.w < 0):
        mine = np.intersect1d(chosen, np.flatnonzero(side))
        left = np.setdiff1d(np.flatnonzero(side), chosen)
        assert np.abs(net.w[mine]).min() >= np.abs(net.w[left]).max()
    assert (np.diff(np.abs(net.w[chosen])) >= 0).all()
    assert strongest_synapses(net, 10**6).size == net.n_synapses
    assert strongest_synapses(net, 0).size == 0
    exponents = NodeExponents(np.linspace(-9, -1, 40), np.zeros(40), np.ones(40))
    ax = plots.node_exponents_on_network(net, exponents, edges=156)
    assert ax.get_title() == "40 neurons, 156 of 1560 synapses"


@pytest.mark.parametrize("clusters", [1, 2, 5, 400])
def test_neurons_keep_their_distance_and_clusters_apart(clusters: int) -> None:
    n = 400
    cluster = np.sort(np.arange(n) ** 2 % clusters)  # of unequal size
    net = HRSNN("lif_exp", n, i=[0, 5], j=[1, 1], w=0.1, tau_m=0.02, cluster=cluster)
    place = neuron_positions(net)
    np.testing.assert_array_equal(place, neuron_positions(net))
    gap = np.linalg.norm(place[:, None] - place[None], axis=-1) + 100 * np.eye(n)
    assert gap.min() > 1.2
    # Discs of different clusters do not overlap.
    labels = np.unique(cluster)
    discs = [place[cluster == label] for label in labels]
    radius = [np.sqrt(len(disc)) for disc in discs]
    if len(discs) < 10:
        centres = [disc[:1].mean(axis=0) for disc in discs]
        for a in range(len(discs)):
            for b in range(a):
                far = np.linalg.norm(centres[a] - centres[b])
                assert far > radius[a] + radius[b] - 2


def test_the_most_connected_neuron_stands_in_the_middle() -> None:
    net = HRSNN("lif_exp", 50, i=[7] * 20, j=np.arange(20, 40), w=0.1, tau_m=0.02)
    place = neuron_positions(net)
    assert np.argmin(np.linalg.norm(place - place.mean(axis=0), axis=1)) == 7


def test_exponents_of_another_network_are_refused() -> None:
    with pytest.raises(ParameterError) as caught:
        plots.node_exponents_on_network(ONE, EXPONENTS)
    assert caught.value.field == "exponents"
    gone = NodeExponents(np.array([-np.inf]), np.zeros(1), np.zeros(1))
    with pytest.raises(ParameterError, match="finite"):
        plots.node_exponents_on_network(ONE, gone)
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.lyapunov_spectrum(result([1.0])),
        lambda: plots.lyapunov_spectrum(result([1.0, -1.0], stderr=np.full(2, np.inf))),
        lambda: plots.lyapunov_spectrum(LOST),
        lambda: plots.convergence(result([1.0], m=1)),
        lambda: plots.convergence(
            result([0.0], local=np.zeros((20, 1)), exponents=np.zeros(1), stderr=np.zeros(1))
        ),
        lambda: plots.convergence(result([1.0, -1.0], stderr=np.full(2, np.inf))),
        lambda: plots.local_exponents(result([1.0], m=1), points=1),
        lambda: plots.displacement_growth(
            SimpleNamespace(t=np.zeros(1), distance=np.ones((2, 1)), displacement=1.0, rate=1.0)
        ),
        lambda: plots.node_exponents_on_network(
            ONE, NodeExponents(np.array([-50.0]), np.zeros(1), np.zeros(1))
        ),
        lambda: plots.node_exponents_on_network(
            NET, NodeExponents(np.array([-np.inf, -5.0, -6.0, -5.0]), np.zeros(4), np.ones(4))
        ),
        lambda: plots.node_exponents_on_network(NET, EXPONENTS, edges=0),
    ],
)
@pytest.mark.filterwarnings("error")
def test_little_to_draw_draws(draw: Callable[[], Axes]) -> None:
    ax = draw()
    assert isinstance(ax, Axes)
    ax.figure.draw_without_rendering()
