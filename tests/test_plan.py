"""Plans: the cost model fits what it should, predicts small runs, and says what does not fit."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import pytest
from threadpoolctl import threadpool_limits

from brain_lnp import plan as module
from brain_lnp.cli import main
from brain_lnp.config import parse_experiment
from brain_lnp.costmeasure import benchmark, cache_file, judged_size, model_for_here
from brain_lnp.costmodel import CostModel, Size, features_of, fit, shipped_model
from brain_lnp.experiment import run_experiment
from brain_lnp.plan import FACTOR, available_memory, free_disk, plan
from brain_lnp.sweepfile import parse_sweep
from brain_lnp.tasks import lorenz63
from models_eq.errors import FormatError, ParameterError

TEXT = """
[experiment]
name = "small"
device = "numpy"
seeds = 2
[network]
n = 120
[prune]
methods = ["dense", "random_gain", "lnp_calibrated"]
synapses = [0.3]
neurons = [0.8]
n_iter = 2
[prune.options.lnp_calibrated]
noise_duration = "600 ms"
[[tasks]]
name = "lorenz63"
washout = 20
n_train = 400
n_validation = 80
n_test = 100
[[tasks]]
name = "digits"
n_train = 200
n_validation = 60
n_test = 60
"""


@pytest.fixture(scope="module")
def model() -> CostModel:
    """The shipped model, scaled to this machine."""
    return shipped_model().scaled(*benchmark())


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAIN_LNP_CACHE", str(tmp_path / "cache"))


# -- the model -------------------------------------------------------------------------------------


def test_a_fit_finds_the_coefficients_of_exact_costs() -> None:
    sizes = [Size(n, m, s) for n in (50, 100, 400) for m in (500, 9000) for s in (100, 2000)]
    costs = [(z, 0.02 + 3e-6 * z.steps + 2e-9 * z.steps * z.m) for z in sizes]
    found = fit("exponents", costs, resolution=0.0)
    # Simulations cost the same whatever the neurons here: no such feature is made up.
    assert found.get("steps_n", 0.0) * 400 * 2000 < 1e-6
    assert found["one"] == pytest.approx(0.02) and found["steps"] == pytest.approx(3e-6)
    assert found["steps_m"] == pytest.approx(2e-9)
    cubic = [(Size(n, 0), 1e-9 * n**3) for n in (100, 200, 400)]
    assert fit("step I", cubic, 0.0)["n3"] == pytest.approx(1e-9)


def test_costs_never_shrink_as_work_grows(model: CostModel) -> None:
    for device, parts in model.seconds.items():
        for part, found in parts.items():
            assert set(found) <= set(features_of(part)) and min(found.values()) >= 0
            small, large = Size(100, 2000, 500, 100), Size(200, 8000, 1000, 200)
            assert model.time(device, part, large) >= model.time(device, part, small) >= 0
    assert model.bytes(n2=5000**2) > 8 * 5000**2 + model.bytes()


def test_a_machine_of_half_the_pace_takes_twice_as_long() -> None:
    one = shipped_model()
    two = one.scaled(2 * one.algebra, 2 * one.pace)
    size = Size(300, 9000, 1000, 100)
    for part in one.seconds["numpy"]:
        assert two.time("numpy", part, size) == pytest.approx(2 * one.time("numpy", part, size))
    assert two.memory == one.memory


@pytest.mark.parametrize(
    "change", [{"algebra": -1.0}, {"pace": float("nan")}, {"seconds": {}}, {"memory": None}]
)
def test_a_damaged_model_is_refused(change: dict[str, Any]) -> None:
    data = {**shipped_model().to_dict(), **change}
    with pytest.raises(FormatError, match="cost model"):
        CostModel.from_dict(data, "costs.json")


def test_what_was_measured_is_kept_and_a_damaged_record_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = model_for_here()
    assert cache_file().is_file()
    monkeypatch.setattr("brain_lnp.costmeasure.benchmark", lambda: (1.0, 1.0))
    assert model_for_here() == first
    cache_file().write_text("{")
    assert model_for_here().algebra == 1.0


# -- against reality -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "what"),
    [
        (TEXT, "small"),
        (TEXT.replace("n = 120", "n = 240").replace("seeds = 2", "seeds = 1"), "240"),
    ],
)
def test_the_prediction_is_right_within_its_factor(
    text: str, what: str, model: CostModel, tmp_path: Path
) -> None:
    experiment = parse_experiment(text)
    run_experiment(parse_experiment(TEXT.replace("seeds = 2", "seeds = [9]")), tmp_path / "warm")
    # The best of two: what else the machine does can only add.
    took = []
    for k in range(2):
        begun = time.process_time()
        with threadpool_limits(limits=1):
            run_experiment(experiment, tmp_path / f"run{k}", jobs=1)
        took.append(time.process_time() - begun)
    predicted = plan(experiment, model).core_seconds
    assert predicted / FACTOR < min(took) < FACTOR * predicted, (what, predicted, took)


def test_every_unit_of_an_experiment_is_planned(model: CostModel, tmp_path: Path) -> None:
    experiment = parse_experiment(TEXT)
    found = plan(experiment, model, folder=tmp_path)
    times = {part.name: part.count for part in found.parts}
    assert times["draw"] == 2 * 3 and times["prune random_gain"] == 2
    # An LNP run looks at the dense network and at what each of two iterations leaves.
    assert times["exponents"] == 2 * 3 and times["step I"] == times["step II"] == 2 * 2
    assert times["series"] == times["images"] == 2
    assert found.core_seconds == pytest.approx(sum(part.seconds for part in found.parts))
    assert found.problems == () and found.device == "numpy"


def test_the_size_of_an_evaluation_is_that_of_its_simulations() -> None:
    task = lorenz63(washout=20, n_train=100, n_validation=30, n_test=50, seed=0)

    @dataclasses.dataclass
    class Net:
        n: int
        n_synapses: int

    size = judged_size([Net(40, 100), Net(40, 300)], [task, task])
    assert (size.n, size.m) == (pytest.approx(40), 200)
    assert size.steps == 2 * 200 * round(task.hold / 1e-3) and size.rows == 200 * 2 * 2


def test_processes_share_the_work(model: CostModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "cpu_count", lambda: 8)
    experiment = parse_experiment(TEXT.replace("seeds = 2", "seeds = 8"))
    one, four = (plan(experiment, model, processes=k) for k in (1, 4))
    assert one.core_seconds == four.core_seconds
    assert one.seconds == pytest.approx(one.core_seconds + module.START_S)
    assert 0.249 < (four.seconds - module.START_S) / one.core_seconds < 1 / 3
    assert four.memory == pytest.approx(4 * one.memory)


def test_a_sweep_is_the_sum_of_its_experiments(model: CostModel) -> None:
    lines = ["[sweep]\nname = 's'\nseeds = 3\n[grid]\nnetwork.n = [60, 120]"]
    base = (
        TEXT.replace("\n[", "\n[base.").replace("\n[base.[", "\n[[base.").replace("seeds = 2", "")
    )
    sweep = parse_sweep("\n".join([*lines, base]))
    found = plan(sweep, model)
    alone = [plan(sweep.experiment(point, 0), model) for point in sweep.points()]
    assert found.experiments == 6
    assert found.core_seconds == pytest.approx(3 * sum(one.core_seconds for one in alone))
    assert found.memory == max(one.memory for one in alone)


# -- what does not fit -----------------------------------------------------------------------------


def test_what_does_not_fit_is_said(model: CostModel, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = parse_experiment(TEXT)
    need = plan(experiment, model).memory
    assert plan(experiment, model, memory=1.01 * need).problems == ()
    (problem,) = plan(experiment, model, memory=0.99 * need).problems
    assert problem.startswith("memory: expected at most") and "\n" not in problem
    monkeypatch.setattr(module, "free_disk", lambda folder: 10.0)
    (problem,) = plan(experiment, model, memory=1e15).problems
    assert problem.startswith("disk: expected at most")
    with pytest.raises(ParameterError, match="jobs"):
        plan(experiment, model, processes=0)


def test_what_there_is() -> None:
    memory = available_memory()
    assert memory is None or 1e7 < memory < 1e14
    assert free_disk(Path("no/such/folder")) == pytest.approx(free_disk(Path.cwd()), rel=0.1)


def test_the_verb_and_its_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "e.toml"
    file.write_text(TEXT)
    argv = ["plan", str(file), "-o", str(tmp_path / "out")]
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert "step I" in said and "on the clock" in said
    assert main([*argv, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["problems"] == [] and data["core_seconds"] > 0
    monkeypatch.setattr(module, "available_memory", lambda: 1e8)
    assert main(argv) == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("error: memory: expected at most the 100 MB that are free, got")
    assert "\n" not in err and not (tmp_path / "out").exists()
