"""run_experiment: end to end, resumed, in processes, refused; and means over seeds."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from brain_lnp import experiment as module
from brain_lnp import units
from brain_lnp.config import Experiment, parse_experiment
from brain_lnp.evaluation import evaluate
from brain_lnp.experiment import ExperimentResult, quick_demo_experiment, run_experiment
from brain_lnp.iteration import PruningRun
from brain_lnp.runfolder import RunFolder
from brain_lnp.summary import summarise
from brain_lnp.tasks import trivial
from brain_lnp.units import Cell, cells, check_options, make_tasks, task_names
from models_eq.device import use_device
from models_eq.errors import BudgetError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.spec import sample_hrsnn
from models_eq.storage import load

TEXT = """
[experiment]
name = "tiny"
seeds = [3, 5]
device = "numpy"
[network]
n = 60
[prune]
methods = ["dense", "none", "random_gain", "activity", "lnp_calibrated"]
synapses = [0.2]
n_iter = 1
[prune.options.lnp_calibrated]
noise_duration = "150 ms"
[[tasks]]
name = "lorenz63"
horizon = 2
washout = 20
n_train = 100
n_validation = 30
n_test = 50
[[tasks]]
name = "lorenz63"
horizon = 4
washout = 20
n_train = 100
n_validation = 30
n_test = 50
[[tasks]]
name = "digits"
n_train = 60
n_validation = 20
n_test = 20
"""
SMALL = (
    TEXT[: TEXT.index('[[tasks]]\nname = "digits"')]
    .replace('"none", ', "")
    .replace('"activity", ', "")
)
METHODS = ("dense", "none", "random_gain", "activity", "lnp_calibrated")
TASKS = ("lorenz63_x_to_xyz_h2", "lorenz63_x_to_xyz_h4", "digits")


@pytest.fixture(scope="module")
def tiny() -> Experiment:
    return parse_experiment(TEXT)


@pytest.fixture(scope="module")
def told() -> list[tuple[str, int, int]]:
    return []


@pytest.fixture(scope="module")
def finished(
    tiny: Experiment, told: list[tuple[str, int, int]], tmp_path_factory: pytest.TempPathFactory
) -> ExperimentResult:
    """One whole run with one process; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("run") / "tiny"
    return run_experiment(tiny, folder, progress=lambda *what: told.append(what), jobs=1)


@pytest.fixture(scope="module")
def small() -> Experiment:
    """Three methods and one kind of task."""
    return parse_experiment(SMALL)


@pytest.fixture(scope="module")
def small_results(small: Experiment, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    result = run_experiment(small, tmp_path_factory.mktemp("small"), jobs=1)
    assert len(result.rows) == 2 * 3 * 2
    return (result.folder / "results.json").read_bytes()


def copied(finished: ExperimentResult, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.folder, tmp_path / "copy"))


def units_of(folder: Path) -> dict[str, Path]:
    return {json.loads(p.read_bytes())["key"]: p for p in (folder / "units").glob("*.json")}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# -- end to end --------------------------------------------------------------------------------


def test_there_is_one_row_for_each_seed_network_and_task(finished: ExperimentResult) -> None:
    found = {(row["seed"], row["method"], row["task"]) for row in finished.rows}
    assert found == {(s, m, t) for s in (3, 5) for m in METHODS for t in TASKS}
    assert len(finished.rows) == 30
    for row in finished.rows:
        expected = {"dense": 720, "none": 0}.get(row["method"], 144)
        assert row["n_synapses"] == expected
        assert (row["nrmse"] is None) == (row["task"] == "digits") != (row["accuracy"] is None)
        assert row["error"] == (1 - row["accuracy"] if row["nrmse"] is None else row["nrmse"])
        assert (row["sops_per_second"] == 0) == (row["method"] == "none")
        assert row["mean_rate"] > 0


def test_a_row_is_what_evaluate_says(tiny: Experiment, finished: ExperimentResult) -> None:
    nets = sorted((finished.folder / "networks").glob("lnp_calibrated_*_seed5-*.npz"))
    assert len(nets) == 1
    net = load(nets[0], HRSNN)
    with use_device("numpy"):
        for task in make_tasks(tiny, 5)[1:]:
            found = evaluate(net, task, seed=5).to_dict()
            (row,) = (
                r
                for r in finished.rows
                if (r["seed"], r["method"], r["task"]) == (5, "lnp_calibrated", task.name)
            )
            assert {key: row[key] for key in found} == found


def test_the_dense_network_is_that_of_the_seed(
    tiny: Experiment, finished: ExperimentResult
) -> None:
    for seed in (3, 5):
        net = sample_hrsnn(tiny.network.to_spec(), seed=seed)
        digests = {r["digest"] for r in finished.rows if r["method"] == "dense"}
        assert net.digest in digests and len(digests) == 2


def test_the_folder_holds_everything(finished: ExperimentResult) -> None:
    folder = finished.folder
    names = {p.name for p in folder.iterdir()}
    assert names == {
        "run.json", "config.toml", "environment.json", "units", "networks",
        "results.json", "results.csv",
    }  # fmt: skip
    assert len(list((folder / "networks").glob("*.npz"))) == 10
    assert parse_experiment((folder / "config.toml").read_text()) is not None
    assert json.loads((folder / "environment.json").read_text())["device"] == "numpy"
    data = json.loads((folder / "results.json").read_text())
    assert data["rows"] == finished.rows
    assert (data["summary"], data["baselines"]) == (finished.summary, finished.baselines)
    with (folder / "results.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [r["method"] for r in table] == [r["method"] for r in finished.rows]
    assert [float(r["error"]) for r in table] == [r["error"] for r in finished.rows]
    key = next(key for key in units_of(folder) if key.startswith("lnp_calibrated"))
    unit = json.loads(units_of(folder)[key].read_bytes())["data"]
    assert [s["name"] for s in unit["steps"]] == ["exponents", "synapses", "rewire", "compensate"]
    assert unit["stopped"] is None


def test_progress_counts_every_unit_once(
    finished: ExperimentResult, told: list[tuple[str, int, int]]
) -> None:
    # Ten networks; for each seed one run of the series and two portions of images; baselines.
    total = 10 + 2 * (1 + 2) + 2
    assert [(done, of) for _, done, of in told] == [(k + 1, total) for k in range(total)]
    assert sum(text.startswith("pruned") for text, _, _ in told) == 10


def test_activity_drops_neurons_until_the_budget(finished: ExperimentResult) -> None:
    rows = [row for row in finished.rows if row["method"] == "activity"]
    assert all(row["neurons"] == 1.0 and row["n_neurons"] < 60 for row in rows)
    others = [row for row in finished.rows if row["method"] not in ("activity",)]
    assert all(row["n_neurons"] == 60 for row in others)
    for path in (finished.folder / "networks").glob("activity_*"):
        net = load(path, HRSNN)
        assert net.n_synapses == 144 and net.n < 60
        # One neuron fewer would not have met the budget: hardly a synapse was left to chance.
        unit = units_of(finished.folder)[path.stem.rpartition("-")[0]]
        select = json.loads(unit.read_bytes())["data"]["steps"][0]
        assert select["neurons_by_activity"] == net.n


def test_a_given_share_of_neurons_holds_for_activity_too() -> None:
    text = TEXT.replace("n_iter = 1", "n_iter = 1\nneurons = [0.8]")
    experiment = parse_experiment(text)
    cell = Cell(3, "activity", 0.2, 0.8)
    assert cell in cells(experiment)
    spec = experiment.network.to_spec()
    net = units.prune_cell(spec, cell, experiment.tasks[:1], {}, "numpy")[1]
    assert (net.n, net.n_synapses) == (48, 144)


def test_the_controls_have_no_budget_and_come_once_a_seed() -> None:
    text = TEXT.replace("synapses = [0.2]", "synapses = [0.2, 0.1]\nneurons = [1.0, 0.5]")
    found = [cell.label for cell in cells(parse_experiment(text)) if cell.seed == 3]
    assert found[:2] == [("dense", 1.0, 1.0), ("none", 0.0, 1.0)]
    budgets = [(0.2, 1.0), (0.1, 1.0), (0.2, 0.5), (0.1, 0.5)]
    assert found[2:] == [(m, *b) for m in METHODS[2:] for b in budgets]


def test_trivial_baselines_stand_beside(tiny: Experiment, finished: ExperimentResult) -> None:
    errors: dict[tuple[str, str], list[float]] = {}
    for seed in (3, 5):
        for task in make_tasks(tiny, seed):
            for name, value in trivial.baselines(task).items():
                error = value if task.metric == "nrmse" else 1 - value
                errors.setdefault((task.name, name), []).append(error)
    found = {(row["task"], row["baseline"]): row["error_mean"] for row in finished.baselines}
    assert found == pytest.approx({key: np.mean(both) for key, both in errors.items()})
    assert {task for task, _ in found} == set(TASKS)


# -- means over seeds --------------------------------------------------------------------------


def test_summary_is_mean_and_standard_error(finished: ExperimentResult) -> None:
    assert len(finished.summary) == 15
    for entry in finished.summary:
        mine = [
            row
            for row in finished.rows
            if (row["method"], row["task"]) == (entry["method"], entry["task"])
        ]
        assert entry["seeds"] == len(mine) == 2
        for name in ("error", "sops_per_second", "n_neurons"):
            a, b = (row[name] for row in mine)
            assert entry[f"{name}_mean"] == pytest.approx((a + b) / 2)
            # sqrt(((a - m)^2 + (b - m)^2) / 1) / sqrt(2)
            assert entry[f"{name}_stderr"] == pytest.approx(abs(a - b) / 2)
        assert ("nrmse_mean" in entry) != ("accuracy_mean" in entry)
        assert "seed_mean" not in entry and "digest_mean" not in entry


def test_summarise_by_hand() -> None:
    rows = [
        {"m": "a", "seed": 1, "x": 1.0, "text": "t", "flag": True, "gone": None},
        {"m": "b", "seed": 1, "x": 7.0, "text": "t", "flag": True, "gone": None},
        {"m": "a", "seed": 2, "x": 2.0, "text": "t", "flag": True, "gone": None},
        {"m": "a", "seed": 3, "x": 6.0, "text": "t", "flag": True, "gone": None},
    ]
    a, b = summarise(rows, ("m",))
    assert a == {"m": "a", "seeds": 3, "x_mean": 3.0, "x_stderr": pytest.approx((7 / 3) ** 0.5)}
    assert b == {"m": "b", "seeds": 1, "x_mean": 7.0, "x_stderr": None}
    assert summarise([], ("m",)) == []


def test_tasks_that_differ_in_size_alone_are_not_averaged() -> None:
    more = '[[tasks]]\nname = "digits"\nn_train = 90\nn_validation = 20\nn_test = 20\n'
    names = task_names(parse_experiment(TEXT + more))
    assert names == [*TASKS, "digits_2"]


# -- processes and resuming --------------------------------------------------------------------


def test_two_processes_find_what_one_finds(
    small: Experiment, small_results: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.os, "cpu_count", lambda: 2)
    result = run_experiment(small, tmp_path / "two", jobs=2)
    assert (result.folder / "results.json").read_bytes() == small_results


def test_one_process_computes_with_one_thread_as_two_do(
    small: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    def pruning(spec: Any, cell: Cell, *_: Any) -> Any:
        seen.extend(threads())
        return cell, HRSNN("lif_exp", 2, [], [], [], 0.02), {}

    def judging(*_: Any) -> list[Any]:
        seen.extend(threads())
        return []

    monkeypatch.setattr(module, "prune_cell", pruning)
    monkeypatch.setattr(module, "evaluate_group", judging)
    monkeypatch.setattr(module, "baseline_rows", judging)
    with threadpool_limits(limits=2):
        if (before := threads()) != [2] * len(before):
            pytest.skip("this BLAS cannot be given two threads")
        run_experiment(small, tmp_path / "run", jobs=1)
        assert threads() == before
    assert len(seen) == 10 * len(before) > 0 and set(seen) == {1}


def watched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the units that are computed from now on."""
    computed: list[str] = []
    prune, judge, trivial_rows = module.prune_cell, module.evaluate_group, module.baseline_rows

    def pruning(spec: Any, cell: Cell, *rest: Any) -> Any:
        computed.append(cell.key)
        return prune(spec, cell, *rest)

    def judging(group: Sequence[Any], *rest: Any) -> Any:
        computed.append(f"evaluate seed {group[0][0].seed}")
        return judge(group, *rest)

    def baselines(sections: Any, names: Any, seed: int) -> Any:
        computed.append(f"baselines seed {seed}")
        return trivial_rows(sections, names, seed)

    monkeypatch.setattr(module, "prune_cell", pruning)
    monkeypatch.setattr(module, "evaluate_group", judging)
    monkeypatch.setattr(module, "baseline_rows", baselines)
    return computed


def test_a_finished_run_computes_nothing_again(
    tiny: Experiment, finished: ExperimentResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, computed = copied(finished, tmp_path), watched(monkeypatch)
    result = run_experiment(tiny, folder, jobs=1)
    assert computed == [] and result.rows == finished.rows
    assert contents(folder) == contents(finished.folder)


def test_only_what_is_missing_is_computed_again(
    tiny: Experiment, finished: ExperimentResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, computed = copied(finished, tmp_path), watched(monkeypatch)
    kept = units_of(folder)
    lost = ["lnp_calibrated_s0.2_n1_seed3", "evaluate_t0_seed5_0", "baselines_seed3"]
    for key in lost:
        kept[key].unlink()
    run_experiment(tiny, folder, jobs=1)
    assert sorted(computed) == ["baselines seed 3", "evaluate seed 5", lost[0]]
    before, after = contents(finished.folder), contents(folder)
    assert before.keys() == after.keys()
    assert {k: v for k, v in before.items() if not k.startswith("networks")} == {
        k: v for k, v in after.items() if not k.startswith("networks")
    }


@pytest.mark.parametrize("how", ["deleted", "damaged"])
def test_a_lost_network_is_pruned_again(
    how: str,
    tiny: Experiment,
    finished: ExperimentResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder, computed = copied(finished, tmp_path), watched(monkeypatch)
    (path,) = (folder / "networks").glob("random_gain_*_seed3-*.npz")
    net = load(path, HRSNN)
    if how == "deleted":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    with caplog.at_level(logging.WARNING, "brain_lnp"):
        result = run_experiment(tiny, folder, jobs=1)
    assert computed == ["random_gain_s0.2_n1_seed3"] and "again" in caplog.text
    assert load(path, HRSNN) == net and result.rows == finished.rows


@pytest.mark.parametrize("after", [2, 7])
def test_an_interrupted_run_resumes_to_the_same_results(
    after: int,
    small: Experiment,
    small_results: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, computed = tmp_path / "run", watched(monkeypatch)

    def interrupt(text: str, done: int, total: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_experiment(small, folder, progress=interrupt, jobs=1)
    assert not (folder / "results.json").exists() and not (folder / "run.lock").exists()
    assert len(units_of(folder)) == len(computed) == after
    run_experiment(small, folder, jobs=1)
    assert len(computed) == 6 + 2 + 2, "nothing was computed twice"
    assert (folder / "results.json").read_bytes() == small_results


def test_another_experiment_is_refused_and_nothing_changes(
    finished: ExperimentResult, tmp_path: Path
) -> None:
    folder = copied(finished, tmp_path)
    before = contents(folder)
    other = parse_experiment(TEXT.replace("seeds = [3, 5]", "seeds = [3, 6]"))
    with pytest.raises(ParameterError, match="same experiment"):
        run_experiment(other, folder, jobs=1)
    assert contents(folder) == before


def test_a_folder_in_use_is_refused(tiny: Experiment, tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run", tiny), pytest.raises(ParameterError, match="not in use"):
        run_experiment(tiny, tmp_path / "run", jobs=1)


# -- what is refused before anything is computed -----------------------------------------------


@pytest.mark.parametrize("jobs", [0, -1, True, 1.5])
def test_a_bad_number_of_processes_is_refused(jobs: Any, tiny: Experiment, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="jobs"):
        run_experiment(tiny, tmp_path / "run", jobs=jobs)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("method", "line", "field"),
    [
        ("lnp_calibrated", "speed = 3", "prune.options.lnp_calibrated.speed"),
        ("lnp_calibrated", "seed = 3", "prune.options.lnp_calibrated.seed"),
        ("lnp_calibrated", "synapses = 0.5", "prune.options.lnp_calibrated.synapses"),
        ("lnp_calibrated", 'mode = "tuned"', "prune.options.lnp_calibrated.mode"),
        ("lnp_calibrated", 'add = "much"', "prune.options.lnp_calibrated.add"),
        ("lnp_calibrated", "noise_duration = 3", "prune.options.lnp_calibrated.noise_duration"),
        ("random_gain", "n_iter = 3", "prune.options.random_gain.n_iter"),
        ("random_gain", 'treatment = "magic"', "prune.options.random_gain.treatment"),
        ("dense", "n_iter = 3", "prune.options.dense.n_iter"),
    ],
)
def test_a_bad_option_is_named_before_anything_runs(
    method: str, line: str, field: str, tmp_path: Path
) -> None:
    text = TEXT.replace(
        '[prune.options.lnp_calibrated]\nnoise_duration = "150 ms"',
        f"[prune.options.{method}]\n{line}",
    )
    with pytest.raises(ParameterError) as caught:
        run_experiment(parse_experiment(text), tmp_path / "run", jobs=1)
    assert caught.value.field == field
    assert not (tmp_path / "run").exists()


def test_good_options_pass_and_reach_the_method() -> None:
    text = TEXT + '\n[prune.options.random_gain]\ntreatment = "none"\n'
    experiment = parse_experiment(text)
    check_options(experiment)
    spec = experiment.network.to_spec()
    options = experiment.prune.options["random_gain"]
    cell = Cell(3, "random_gain", 0.2, 1.0)
    net = units.prune_cell(spec, cell, experiment.tasks, options, "numpy")[1]
    assert set(net.w) <= set(sample_hrsnn(spec, seed=3).w), "no gain"


def test_a_budget_below_one_synapse_ends_the_run(tmp_path: Path) -> None:
    text = TEXT.replace("synapses = [0.2]", "synapses = [0.0005]")
    with pytest.raises(BudgetError, match="synapses"):
        run_experiment(parse_experiment(text), tmp_path / "run", jobs=1)
    assert not (tmp_path / "run" / "run.lock").exists()


def test_the_quick_demo_is_small() -> None:
    quick = quick_demo_experiment()
    assert quick.network.n <= 200 and quick.experiment.device == "numpy"
    assert {task.name for task in quick.tasks} == {"lorenz63", "digits"}
    assert len(cells(quick)) <= 21


@pytest.mark.parametrize("spoil", [False, True])
def test_a_network_that_was_being_pruned_goes_on_from_its_last_iteration(
    spoil: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TEXT.replace('"dense", "none", "random_gain", "activity", ', "").replace("[3, 5]", "[3]")
    one = parse_experiment(text.replace("n_iter = 1", "n_iter = 3"))
    whole = run_experiment(one, tmp_path / "whole", jobs=1)
    real, done = PruningRun.iterate, []
    folder = tmp_path / "cut"

    def first(self: PruningRun, k: int, *args: Any, **kwargs: Any) -> Any:
        if k == 2:
            raise KeyboardInterrupt
        return real(self, k, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(PruningRun, "iterate", first)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(one, folder, jobs=1)
    (kept,) = (folder / "checkpoints").glob("*.npz")
    if spoil:
        kept.write_bytes(kept.read_bytes()[:100])
    monkeypatch.setattr(
        PruningRun, "iterate", lambda self, k, *a, **b: (done.append(k), real(self, k, *a, **b))[1]
    )
    again = run_experiment(one, folder, jobs=1)
    assert done == ([0, 1, 2] if spoil else [2])
    assert again.rows == whole.rows and not (folder / "checkpoints").exists()


@pytest.mark.parametrize("field", ["checkpoint", "storage", "net"])
def test_records_of_another_run_are_removed_and_other_errors_are_not_hidden(
    field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = parse_experiment(TEXT)
    kept = tmp_path / "kept.npz"
    record = kept.with_suffix(".timescales.json")
    for path in (kept, record):
        path.write_text("of another run")
    real, calls = units.prune, []

    def refuses(net: HRSNN, method: str, **given: Any) -> Any:
        calls.append(kept.exists() or record.exists())
        if calls[-1] or field == "net":
            raise ParameterError(field, "another", "this")
        return real(net, method, **given)

    monkeypatch.setattr(units, "prune", refuses)
    spec, cell = experiment.network.to_spec(), Cell(3, "random_gain", 0.2, 1.0)
    if field == "net":
        with pytest.raises(ParameterError, match="net"):
            units.prune_cell(spec, cell, experiment.tasks, {}, "numpy", str(kept))
        assert calls == [True] and kept.exists() and record.exists()
    else:
        net = units.prune_cell(spec, cell, experiment.tasks, {}, "numpy", str(kept))[1]
        assert calls == [True, False] and net.n_synapses == 144
