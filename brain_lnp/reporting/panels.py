"""Panels: the figures of a report, one picture each, so that they stack on a narrow screen."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from analysis import plots
from analysis.lyapunov.nodes import conditional_exponents
from analysis.lyapunov.spectrum import lyapunov_spectrum
from analysis.metrics import accuracy, nrmse
from analysis.readout import LinearReadout
from brain_lnp.evaluation import task_features, task_stimulus
from brain_lnp.report import TITLES
from brain_lnp.reporting.numbers import short
from brain_lnp.reporting.paired import reference_method
from brain_lnp.reporting.record import RunRecord
from brain_lnp.tasks import Task
from brain_lnp.units import CONTROLS, Cell, cells, make_tasks, task_names
from models_eq.device import use_device
from models_eq.errors import BrainLNPError
from models_eq.hrsnn import HRSNN
from models_eq.rng import stream
from models_eq.simulate import simulate, simulate_batch
from models_eq.spec import sample_hrsnn
from models_eq.stimulus import noise_stimulus, slow_stimulus

Progress = Callable[[str, int, int], None]
Draw = Callable[[Any], Any]
# Beyond, an eigenvalue decomposition (n^3) or a spectrum would take minutes.
_MOST_NEURONS = 1500
_SPECTRUM_MODELS = ("lif_exp", "lif_delta")
_EXPONENTS = 10
_ROWS = 200  # of a prediction, beyond which lines run into each other


@dataclass(frozen=True)
class Panel:
    """One picture of a report.

    Attributes
    ----------
    section, title, caption : str
        Where it stands, what it is called, and what it shows and how it was made.
    png : bytes
        The picture.
    """

    section: str
    title: str
    caption: str
    png: bytes


class Wanted(NamedTuple):
    """A picture to be drawn: ``draw`` gets the axes."""

    title: str
    caption: str
    draw: Draw


class PanelMaker:
    """Draws the panels of one run; what fails or would take too long becomes a note.

    Parameters
    ----------
    record : RunRecord
        The run.
    method : str, optional
        Whose networks are drawn beside the dense one; by default LNP's, or the last method's.
    progress : callable, optional
        Called as ``progress(text, done, total)``.

    Attributes
    ----------
    panels : list of Panel
        What was drawn.
    notes : list of str
        What was not, and why.
    """

    def __init__(
        self, record: RunRecord, method: str | None = None, progress: Progress | None = None
    ) -> None:
        self.record, self.method = record, method or reference_method(record.methods)
        self.progress = progress or (lambda text, done, total: None)
        self.panels: list[Panel] = []
        self.notes: list[str] = []
        self.seed = record.seeds[0] if record.seeds else 0

    def draw(self) -> None:
        """Draw everything, the devices of the caller left as they are."""
        steps: tuple[tuple[str, Callable[[], None]], ...] = (
            ("errors", self._errors),
            ("networks", self._networks),
            ("rasters", self._rasters),
            ("exponents of neurons", self._node_exponents),
            ("spectra", self._spectra),
            ("predictions", self._predictions),
        )
        self.nets = self._chosen()
        for k, (name, step) in enumerate(steps):
            self.progress(name, k, len(steps))
            try:
                with use_device("numpy"):
                    step()
            except BrainLNPError as error:
                self.notes.append(f"No {name}: {error}")
        self.progress("done", len(steps), len(steps))

    def _chosen(self) -> dict[str, HRSNN]:
        """The dense network of the first seed, and the method's, by what they are called."""
        found: dict[str, HRSNN] = {}
        asked = self.record.experiment
        if asked is None:
            self.notes.append("No figures of networks: the folder has no config.toml.")
            return found
        found["dense"] = sample_hrsnn(asked.network.to_spec(), seed=self.seed)
        for cell in cells(asked):
            if cell.seed != self.seed or cell.method != self.method or len(found) > 3:
                continue
            net = self.record.network(cell)
            if net is None:
                self.notes.append(f"The network {cell.key} is not in the folder.")
            else:
                found[label(cell)] = net
        return found

    def add(self, section: str, *wanted: Wanted, height: float = 3.0, scale: bool = False) -> None:
        """Draw pictures side by side; with ``scale`` all have the limits of the widest."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figures = []
        for one in wanted:
            # Not through pyplot: no window is opened and no figure stays in memory.
            figure = Figure(figsize=(4.2, height), layout="constrained")
            FigureCanvasAgg(figure)
            one.draw(figure.subplots())
            figures.append(figure)
        if scale and figures:
            every = [figure.axes[0] for figure in figures]
            reach = max(abs(end) for ax in every for end in (*ax.get_xlim(), *ax.get_ylim()))
            for ax in every:
                ax.set_aspect("equal", adjustable="box")
                ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
        for one, figure in zip(wanted, figures, strict=True):
            file = io.BytesIO()
            figure.savefig(file, dpi=160, format="png")
            self.panels.append(Panel(section, one.title, one.caption, file.getvalue()))

    # -- what is drawn ---------------------------------------------------------------------------

    def _errors(self) -> None:
        metric = {row["task"]: row["metric"] for row in self.record.rows}
        self.add(
            "Error against synaptic operations",
            *(
                Wanted(
                    task.replace("_", " "),
                    "Mean and standard error over seeds; horizontal lines are predictors without "
                    "a network.",
                    partial(_error_axes, self.record, task, metric[task]),
                )
                for task in self.record.tasks
            ),
            height=4.2,
        )

    def _networks(self) -> None:
        names, nets = list(self.nets), list(self.nets.values())
        said = "Postsynaptic over presynaptic neuron; red excites, blue inhibits, grey was removed."
        wanted = [
            Wanted(f"Weights: {name}", said, partial(plots.weight_matrix, net, None))
            for name, net in self.nets.items()
        ]
        self.add("Networks before and after", *wanted, height=3.6)
        if len(nets) > 1:
            said = f"Filled: dense. Lines: {names[-1]}."
            draw = partial(plots.weight_histogram, nets[0], nets[-1])
            self.add("Networks before and after", Wanted("Magnitudes of the weights", said, draw))
        if nets and nets[0].n > _MOST_NEURONS:
            self.notes.append(f"No eigenvalues: more than {_MOST_NEURONS} neurons.")
            return
        said = (
            "Of the matrix of recurrent weights, all on one scale; right of the dashed line a rate "
            "network would lose its stability."
        )
        wanted = [
            Wanted(name, said, partial(plots.eigenvalue_spectrum, net))
            for name, net in self.nets.items()
        ]
        self.add("Eigenvalues of the weights", *wanted, height=3.8, scale=True)

    def _rasters(self) -> None:
        for name, net in self.nets.items():
            stimulus = slow_stimulus(net.n_origin, 50, rng=stream(0, "input", 2))
            draw = partial(plots.raster, simulate(net, stimulus), net)
            self.add("Rasters", Wanted(name, "Under one and the same slow random input.", draw))

    def _node_exponents(self) -> None:
        for name, net in self.nets.items():
            frozen = noise_stimulus(net, "2 s", sd=0.35, seed=self.seed)
            run = simulate(net, frozen, record=["spike_state"], seed=self.seed)
            found = conditional_exponents(net, run)
            said = (
                "One conditional Lyapunov exponent a neuron, 2 s under frozen noise; mean "
                f"{short(float(found.exponents.mean()))} 1/s."
            )
            draw = partial(plots.node_exponents, found, net)
            self.add("Exponents of neurons", Wanted(name, said, draw))

    def _spectra(self) -> None:
        if not self.nets:
            return
        first = next(iter(self.nets.values()))
        hint = "Measure it with: brain-lnp lyapunov NET --spectrum 10"
        if first.model not in _SPECTRUM_MODELS or first.n > _MOST_NEURONS:
            self.notes.append(f"No Lyapunov spectra of {first}: they take minutes. {hint}")
            return
        found = {}
        for name, net in self.nets.items():
            frozen = noise_stimulus(net, "3 s", sd=0.35, seed=self.seed)
            found[name] = lyapunov_spectrum(
                net, frozen, k=min(_EXPONENTS, net.n), duration="2 s", transient="1 s",
                seed=self.seed,
            )  # fmt: skip
        said = "Of the whole network under frozen noise, 2 s after 1 s; with standard errors."
        draw = partial(plots.lyapunov_spectrum, found)
        self.add("Lyapunov spectra", Wanted(f"The {_EXPONENTS} largest exponents", said, draw))

    def _predictions(self) -> None:
        if not self.nets or self.record.experiment is None:
            return
        asked = self.record.experiment
        for name, task in zip(task_names(asked), make_tasks(asked, self.seed), strict=True):
            for title, test in predictions(self.nets, task, self.seed).items():
                self._prediction(name, title, task, test)

    def _prediction(self, name: str, title: str, task: Task, predicted: np.ndarray) -> None:
        truth = task.targets[task.split.test]
        section = f"Predictions against truth: {name.replace('_', ' ')}"
        if task.metric == "nrmse":
            rows = min(_ROWS, len(truth))
            error = float(nrmse(truth, predicted))
            said = f"The first {rows} rows of the test part; NRMSE {error:.4f} on all of it."
            draw: Draw = partial(plots.prediction, truth[:rows], predicted[:rows], None)
        else:
            said = f"The test part; accuracy {float(accuracy(truth, predicted)):.4f}."
            draw = partial(plots.confusion, truth, predicted)
        height = 3.0 if task.metric == "nrmse" else 4.0
        self.add(section, Wanted(title, said, draw), height=height)


def _error_axes(record: RunRecord, task: str, metric: str, ax: Any) -> None:
    """Error against operations of one task, ticks where a small picture has room for them."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    trivial = {
        row["baseline"].replace("_", " "): row["error_mean"]
        for row in record.result.baselines
        if row["task"] == task
    }
    plots.error_against_sops(
        record.result.summary, ax, task=task, baselines=trivial, value="error",
        metric="NRMSE" if metric == "nrmse" else "share of wrong labels",
        sops="sops_per_second", names=TITLES,
    )  # fmt: skip
    ax.set_title("")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))


def label(cell: Cell) -> str:
    """What a network is called: its method, and what it kept."""
    name = TITLES.get(cell.method, cell.method)
    if cell.method in CONTROLS:
        return name
    part = "" if cell.neurons == 1 else f", {100 * cell.neurons:.3g} % of neurons"
    return f"{name}, {100 * cell.synapses:.3g} % of synapses{part}"


def predictions(nets: Mapping[str, HRSNN], task: Task, seed: int) -> dict[str, np.ndarray]:
    """What the linear readout of each network predicts on the test part of a task."""
    stimulus = task_stimulus(task, next(iter(nets.values())).n_origin)
    train, validation, test = task.split
    found = {}
    for name, net in nets.items():
        features = task_features(simulate_batch([net], stimulus, seed=seed)[0], task, 0.05, net)
        readout = LinearReadout().for_targets(task.targets)
        y = task.targets
        readout.fit(features[train], y[train], features[validation], y[validation])
        found[name] = readout.predict(features[test])
    return found
