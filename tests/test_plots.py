"""Figures: what is drawn is the data, with units; nothing leaks and nothing global changes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from analysis import plots
from analysis.lyapunov.nodes import NodeExponents
from analysis.plots import _style as style
from analysis.plots.structure import binned_weights
from models_eq.errors import ParameterError, UnitError
from models_eq.hrsnn import HRSNN
from models_eq.trajectory import Trajectory

# Neurons 0, 2 and 3 excite, 1 inhibits.
NET = HRSNN(
    "lif_exp", 4, i=[0, 1, 2, 3], j=[1, 2, 3, 0], w=[0.5, -2.0, 0.25, 1.0],
    tau_m=[0.01, 0.02, 0.03, 0.04],
)  # fmt: skip
ONE = HRSNN("lif_exp", 1, i=[], j=[], w=[], tau_m=0.02)
UNWIRED = HRSNN("lif_exp", 5, i=[], j=[], w=[], tau_m=0.02)


def trajectory(spikes: list[tuple[float, int]], n: int = 4, trials: list[int] | None = None) -> Any:
    """A trajectory of 0.1 s with the given (time, neuron) spikes."""
    return Trajectory(
        t=np.array([t for t, _ in spikes], dtype=float),
        i=np.array([i for _, i in spikes], dtype=np.int64),
        trial=np.array(trials or [0] * len(spikes), dtype=np.int64),
        n=n,
        n_trials=1 + max(trials or [0]),
        duration=0.1,
        dt=0.001,
        device="numpy",
        digest="",
    )


RUN = trajectory([(0.001, 0), (0.002, 1), (0.05, 3), (0.06, 3), (0.099, 2)])
EMPTY = trajectory([])
EXPONENTS = NodeExponents(
    exponents=np.array([-100.0, -20.0, -30.0, -5.0]),
    stderr=np.array([0.0, 2.0, 3.0, 0.5]),
    cycles=np.array([0, 9, 9, 9]),
)


def row(method: str, sops: float, value: float, **more: Any) -> dict[str, Any]:
    """A row of a summary."""
    base = {"task": "lorenz63", "synapses": 0.1, "neurons": 1.0, "value_stderr": 0.01}
    return {
        **base, "method": method, "value_mean": value, "sops_mean": sops, "sops_stderr": 0.1 * sops,
        **more,
    }  # fmt: skip


SUMMARY = [
    row("lnp", 2e4, 0.25), row("lnp", 1e5, 0.2), row("lnp", 5e3, 0.4), row("dense", 1e6, 0.22),
    row("none", 0.0, 0.5), row("random", 9e4, 0.35),
]  # fmt: skip

CALLS: dict[str, Callable[..., Any]] = {
    "raster": lambda ax=None: plots.raster(RUN, NET, ax),
    "raster_without_net": lambda ax=None: plots.raster(RUN, ax=ax),
    "rate_histogram": lambda ax=None: plots.rate_histogram(RUN, NET, ax),
    "node_exponents": lambda ax=None: plots.node_exponents(EXPONENTS, NET, ax),
    "node_exponents_without_net": lambda ax=None: plots.node_exponents(EXPONENTS, ax=ax),
    "weight_matrix": lambda ax=None: plots.weight_matrix(NET, axes=ax)[0],
    "weight_histogram": lambda ax=None: plots.weight_histogram(NET, NET, ax),
    "eigenvalue_spectrum": lambda ax=None: plots.eigenvalue_spectrum(NET, ax),
    "error_against_sops": lambda ax=None: plots.error_against_sops(SUMMARY, ax),
    "prediction": lambda ax=None: plots.prediction(np.arange(5.0), np.ones(5), ax=ax),
}
# What stands on the two axes.
LABELS = {
    "raster": ("time (ms)", "neuron (by type)"),
    "raster_without_net": ("time (ms)", "neuron"),
    "rate_histogram": ("firing rate (Hz)", "neurons"),
    "node_exponents": (r"membrane time constant $\tau_m$ (ms)", "exponent (1/s)"),
    "node_exponents_without_net": ("exponent (1/s)", "neurons"),
    "weight_matrix": ("presynaptic neuron", "postsynaptic neuron"),
    "weight_histogram": ("|weight| (dimensionless)", "synapses"),
    "eigenvalue_spectrum": (r"Re $\lambda$ (dimensionless)", r"Im $\lambda$ (dimensionless)"),
    "error_against_sops": ("synaptic operations (1/s)", "NRMSE"),
    "prediction": ("row", "value"),
}


def labelled(ax: Axes) -> dict[str, Any]:
    """Lines of an axes by their label."""
    return {str(line.get_label()): line for line in ax.lines}


def bars(ax: Axes) -> dict[str, ErrorbarContainer]:
    """Error bar plots of an axes by their label."""
    return {str(c.get_label()): c for c in ax.containers if isinstance(c, ErrorbarContainer)}


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


@pytest.mark.parametrize("name", ["raster", "error_against_sops", "weight_matrix"])
def test_nothing_is_cut_off_in_one_column_beside_another_panel(name: str) -> None:
    figure = Figure(figsize=(6.8, 3.2), layout="constrained")
    left, _ = figure.subplots(1, 2)
    CALLS[name](left)
    for _ in range(2):  # a fixed aspect takes the layout two rounds
        figure.draw_without_rendering()
    box, page = left.get_tightbbox(), figure.bbox
    assert box.x0 >= page.x0 - 1 and box.y0 >= page.y0 - 1 and box.y1 <= page.y1 + 1


def test_matplotlib_is_not_imported_before_a_figure_is_asked_for() -> None:
    # Brian2 imports pylab itself; behind an empty stand-in for it the rest can be seen.
    code = """
import sys, types
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("matplotlib", "pylab"):
            imported.append(name)
            raise ImportError(name)
imported = []
sys.meta_path.insert(0, Refuse())
import brian2
import networkit
imported.clear()
import analysis
from analysis import plots
if imported:
    sys.exit("imported " + ", ".join(imported))
try:
    plots.prediction([1.0, 2.0], [1.0, 2.0])
except ImportError:
    sys.exit(0)
sys.exit("drew without matplotlib")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_raster_sorts_by_type_and_colours() -> None:
    ax = plots.raster(RUN, NET)
    lines = labelled(ax)
    excitatory, inhibitory = lines["excitatory"], lines["inhibitory"]
    # Excitatory neurons 0, 2, 3 come to rows 0, 1, 2; the inhibitory one to row 3.
    np.testing.assert_allclose(excitatory.get_xdata(), [1, 50, 60, 99])
    np.testing.assert_array_equal(excitatory.get_ydata(), [0, 2, 2, 1])
    np.testing.assert_allclose(inhibitory.get_xdata(), [2])
    np.testing.assert_array_equal(inhibitory.get_ydata(), [3])
    assert to_hex(excitatory.get_color()).upper() == style.EXCITATORY
    assert to_hex(inhibitory.get_color()).upper() == style.INHIBITORY


def test_raster_rates_are_spikes_per_neuron_and_second() -> None:
    ax = plots.raster(RUN, NET)
    (strip,) = ax.child_axes
    values, edges, _ = strip.patches[0].get_data()
    # Four spikes of three neurons: the integral over time is 4/3.
    assert np.sum(values * np.diff(edges / 1e3)) == pytest.approx(4 / 3)
    assert strip.get_title(loc="left") == "excitatory 13.3 Hz"
    assert strip.get_title(loc="right") == "inhibitory 10.0 Hz"
    assert strip.get_xlim() == ax.get_xlim()
    assert plots.raster(RUN, NET, rate=False).child_axes == []


def test_raster_shows_one_trial_and_a_half_open_window() -> None:
    run = trajectory([(0.01, 0), (0.02, 0), (0.03, 0), (0.01, 1)], trials=[0, 0, 0, 1])
    shown = plots.raster(run, window=("10 ms", "30 ms")).lines[0]
    np.testing.assert_allclose(shown.get_xdata(), [10, 20])
    np.testing.assert_array_equal(plots.raster(run, trial=1).lines[0].get_ydata(), [1])


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"trial": 1}, "trial"),
        ({"window": ("20 ms", "10 ms")}, "window"),
        ({"window": ("1 s", "2 s")}, "window"),
        ({"window": "10 ms"}, "window"),
        ({"net": ONE}, "net"),
    ],
)
def test_a_wrong_request_is_refused_before_a_figure_is_made(
    options: dict[str, Any], field: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        plots.raster(RUN, **options)
    assert caught.value.field == field
    assert plt.get_fignums() == []


def test_a_bare_window_is_refused() -> None:
    with pytest.raises(UnitError):
        plots.raster(RUN, window=(0, 0.05))


def test_rate_histogram_counts_each_neuron_once() -> None:
    ax = plots.rate_histogram(RUN, NET)
    counts = {p.get_label(): p.get_data()[0].sum() for p in ax.patches if "mean" in p.get_label()}
    assert counts == {"excitatory (mean 13.3 Hz)": 3, "inhibitory (mean 10.0 Hz)": 1}


def test_exponents_against_tau_with_errors_and_the_silent_apart() -> None:
    ax = plots.node_exponents(EXPONENTS, NET)
    points = bars(ax)
    data, _, (error,) = points["excitatory"]
    np.testing.assert_allclose(data.get_xydata(), [[30, -30], [40, -5]])
    lengths = [np.ptp(segment[:, 1]) for segment in error.get_segments()]
    np.testing.assert_allclose(lengths, [6.0, 1.0])
    np.testing.assert_allclose(points["inhibitory"][0].get_xydata(), [[20, -20]])
    np.testing.assert_allclose(labelled(ax)["silent (1)"].get_xydata(), [[10, -100]])
    curve = labelled(ax)[r"$-1/\tau_m$"]
    np.testing.assert_allclose(curve.get_ydata(), -1e3 / curve.get_xdata())


def test_exponent_histogram_holds_all_neurons() -> None:
    ax = plots.node_exponents(EXPONENTS)
    heights = sum(bar.get_height() for container in ax.containers for bar in container)
    assert heights == 4
    assert {t.get_text() for t in ax.get_legend().get_texts()} == {"spiking (3)", "silent (1)"}


def test_weights_lie_at_post_pre_of_the_original_network() -> None:
    pruned = NET.keep_neurons([0, 2, 3])
    dense, sparse = (ax.images[0] for ax in plots.weight_matrix(NET, pruned))
    np.testing.assert_array_equal(dense.get_array(), NET.weights.toarray())
    image = sparse.get_array()
    assert image.mask[1].all() and image.mask[:, 1].all() and image.mask.sum() == 7
    assert (image[3, 2], image[0, 3], image[2, 0]) == (0.25, 1.0, 0.0)
    norm = dense.norm
    assert norm.vmin == -norm.vmax == sparse.norm.vmin
    assert float(norm(0.0)) == pytest.approx(0.5)


def test_a_single_synapse_of_a_large_network_stays_visible() -> None:
    net = HRSNN("lif_exp", 1000, i=[999, 998, 0], j=[0, 1, 500], w=[-0.3, 0.1, 0.2], tau_m=0.02)
    image, width = binned_weights(net, 150)
    assert width == 7 and image.shape == (143, 143)
    assert np.count_nonzero(image) == 2
    assert image[0, 142] == -0.3  # the stronger of two that share a block
    assert image[500 // 7, 0] == 0.2
    assert plots.weight_matrix(net)[0].get_xlim() == (-0.5, 1000.5)


def test_networks_of_different_origin_are_refused() -> None:
    for function in (plots.weight_matrix, plots.weight_histogram):
        with pytest.raises(ParameterError, match="after"):
            function(NET, ONE)
    assert plt.get_fignums() == []


def test_the_number_of_axes_must_be_that_of_networks() -> None:
    with pytest.raises(ParameterError, match="axes"):
        plots.weight_matrix(NET, NET, Figure().subplots())


def test_weight_histogram_counts_every_synapse_by_sign() -> None:
    rng = np.random.default_rng(3)
    w = np.concatenate([rng.gamma(2, 0.05, 30), -rng.gamma(2, 0.3, 12), [0.0]])
    i, j = np.divmod(np.arange(1, 44), 10)
    i, j = i[i != j], j[i != j]
    net = HRSNN("lif_exp", 10, i=i, j=j, w=w[: i.size], tau_m=0.02)
    ax = plots.weight_histogram(net, net.keep_edges(np.arange(0, i.size, 2)))
    counts = {p.get_label(): p.get_data()[0].sum() for p in ax.patches}
    assert counts["before, w > 0"] == (net.w > 0).sum()
    assert counts["before, w < 0"] == (net.w < 0).sum()
    assert counts["after, w > 0"] == (net.w[::2] > 0).sum()


def test_eigenvalues_of_a_ring_lie_on_its_circle() -> None:
    n, w, tau = 8, 0.5, 0.02
    ring = HRSNN("lif_exp", n, i=np.arange(n), j=(np.arange(n) + 1) % n, w=w, tau_m=tau)
    ax = plots.eigenvalue_spectrum({"ring": ring, "cut": ring.keep_edges([0])})
    lines = labelled(ax)
    z = lines["ring"].get_xdata() + 1j * lines["ring"].get_ydata()
    np.testing.assert_allclose(np.sort(np.angle(z**n)), 0, atol=1e-9)
    np.testing.assert_allclose(np.abs(z), w)
    np.testing.assert_allclose(lines["cut"].get_xydata(), 0, atol=1e-9)
    assert ax.get_aspect() == 1
    linear = plots.eigenvalue_spectrum({"ring": ring}, kind="linear")
    z = labelled(linear)["ring"].get_xdata() + 1j * labelled(linear)["ring"].get_ydata()
    np.testing.assert_allclose(np.abs(z * tau + 1), w)
    assert linear.get_xlabel() == r"Re $\lambda$ (1/s)"


def test_one_line_a_method_through_its_budgets_in_order() -> None:
    ax = plots.error_against_sops(SUMMARY, baselines={"persistence": 0.45, "mean": 7.0})
    drawn = bars(ax)
    assert list(drawn) == ["dense", "none (0 operations)", "random", "lnp"]
    line, _, (across, along) = drawn["lnp"]
    np.testing.assert_allclose(line.get_xydata(), [[5e3, 0.4], [2e4, 0.25], [1e5, 0.2]])
    assert line.get_linestyle() == "-"
    np.testing.assert_allclose(np.ptp(across.get_segments()[2][:, 0]), 2e4)
    np.testing.assert_allclose(np.ptp(along.get_segments()[0][:, 1]), 0.02)
    for name in ("dense", "none (0 operations)", "random"):
        assert drawn[name][0].get_linestyle() == "None"
    assert drawn["none (0 operations)"][0].get_xdata() < 5e3
    assert ax.get_xscale() == "log"
    # The far baseline is named with its value, and does not stretch the axis.
    assert labelled(ax)["persistence"].get_ydata()[0] == 0.45
    assert "mean (7 ↑)" in labelled(ax) and ax.get_ylim()[1] < 1


def test_methods_differ_in_colour_or_marker_and_data_stand_first_in_the_legend() -> None:
    assert len(set(style.LOOKS.values())) == len(style.LOOKS)
    ax = plots.error_against_sops(SUMMARY, baselines={"persistence": 0.45})
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["dense", "none (0 operations)", "random", "lnp", "persistence"]
    assert plots.error_against_sops(SUMMARY, legend=False).get_legend() is None


def test_fractions_of_neurons_have_their_own_lines() -> None:
    half = [row("lnp", 1e4, 0.3, neurons=0.5), row("lnp", 5e4, 0.25, neurons=0.5)]
    ax = plots.error_against_sops([*SUMMARY, *half])
    lines = [c[0] for c in ax.containers if to_hex(c[0].get_color()).upper() == style.VERMILLION]
    assert [line.get_xdata().size for line in lines] == [3, 2]
    assert [line.get_markerfacecolor() for line in lines] == [style.VERMILLION, "white"]
    assert "open: 50 % of neurons" in labelled(ax)


def test_one_seed_has_no_bars_and_a_bar_never_reaches_zero() -> None:
    rows = [row("lnp", 1e4, 0.3, value_stderr=None, sops_stderr=None), row("other", 1e4, 0.2)]
    rows.append(row("noise", 1e4, 0.2, sops_stderr=5e4))
    drawn = bars(plots.error_against_sops(rows))
    assert drawn["lnp"][2] == ()
    assert drawn["noise"][2][0].get_segments()[0][:, 0].min() > 0
    assert "other" in drawn


def test_columns_may_have_other_names_and_rows_without_a_value_are_left_out() -> None:
    rows = [
        {"method": "lnp", "error_mean": 0.3, "sops_per_second_mean": 1e4},
        {"method": "dense", "error_mean": None, "sops_per_second_mean": 1e5},
    ]
    ax = plots.error_against_sops(rows, value="error", sops="sops_per_second", metric="error rate")
    assert list(bars(ax)) == ["lnp"] and ax.get_ylabel() == "error rate"
    ax = plots.error_against_sops(SUMMARY, names={"lnp": "LNP tuned"})
    assert list(bars(ax))[-1] == "LNP tuned"


@pytest.mark.parametrize(
    ("rows", "task", "field"),
    [
        ([], None, "summary"),
        ([{"method": "lnp"}], None, "summary[0]"),
        ([row("lnp", 1e4, 0.3), row("lnp", 1e4, 0.3, task="digits")], None, "task"),
        (SUMMARY, "digits", "task"),
        ([row("lnp", 1e4, None)], None, "summary"),  # type: ignore[arg-type]
    ],
)
def test_a_summary_that_cannot_be_drawn_is_refused(rows: Any, task: Any, field: str) -> None:
    with pytest.raises(ParameterError) as caught:
        plots.error_against_sops(rows, task=task)
    assert caught.value.field == field
    assert plt.get_fignums() == []


def test_prediction_draws_both_and_stacks_components() -> None:
    t = np.linspace(0, 1, 50)
    truth = np.column_stack([np.sin(6 * t), 100 * t])
    one = plots.prediction(truth[:, 0], truth[:, 0] + 1, t, names=["x (m)"])
    np.testing.assert_allclose(labelled(one)["target"].get_xydata(), np.c_[t, truth[:, 0]])
    np.testing.assert_allclose(labelled(one)["prediction"].get_ydata(), truth[:, 0] + 1)
    assert (one.get_xlabel(), one.get_ylabel()) == ("time (s)", "x (m)")
    two = plots.prediction(truth, truth, t, names=["x", "y"])
    assert [tick.get_text() for tick in two.get_yticklabels()] == ["x", "y"]
    first, _, second, _ = (line.get_ydata() for line in two.lines)
    assert first.min() > second.max()
    for wrong in ({"prediction": truth[:9]}, {"t": t[:9]}, {"names": ["x"]}):
        with pytest.raises(ParameterError):
            plots.prediction(**{"truth": truth, "prediction": truth, **wrong})


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.raster(EMPTY, NET),
        lambda: plots.raster(trajectory([], n=1), ONE),
        lambda: plots.rate_histogram(EMPTY, NET),
        lambda: plots.rate_histogram(trajectory([(0.01, 0)], n=1), ONE),
        lambda: plots.weight_matrix(NET, NET.keep_edges([]))[1],
        lambda: plots.weight_matrix(UNWIRED, UNWIRED.keep_neurons([3]))[1],
        lambda: plots.weight_matrix(ONE)[0],
        lambda: plots.weight_histogram(UNWIRED),
        lambda: plots.weight_histogram(NET.replace(w=0.1), NET.keep_edges([])),
        lambda: plots.eigenvalue_spectrum({"unwired": UNWIRED, "one": ONE}, kind="linear"),
        lambda: plots.node_exponents(NodeExponents(*np.array([[-50.0], [0.0]]), np.zeros(1)), ONE),
        lambda: plots.node_exponents(NodeExponents(*np.array([[-50.0], [0.0]]), np.ones(1))),
        lambda: plots.error_against_sops([row("none", 0.0, 0.5, value_stderr=0.0)]),
        lambda: plots.prediction([1.0], [1.0]),
        lambda: plots.prediction(np.zeros((0, 2)), np.zeros((0, 2))),
    ],
)
@pytest.mark.filterwarnings("error")
def test_nothing_to_draw_draws(draw: Callable[[], Axes]) -> None:
    ax = draw()
    assert isinstance(ax, Axes)
    ax.figure.draw_without_rendering()
