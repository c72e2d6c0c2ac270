from __future__ import annotations

import json
import logging
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from analysis.capacity import capacity
from analysis.lyapunov.nodes import node_exponents
from analysis.pruning import timescales
from analysis.pruning.compensate import noise_rates
from analysis.pruning.search import (
    Axis,
    Trial,
    ask,
    best_of,
    search,
    study_of,
)
from analysis.pruning.timescales import TimescaleSearch, apply_timescales
from models_eq.errors import (
    FormatError,
    MissingFileError,
    ParameterError,
    SilentNetworkError,
    UnitError,
)
from models_eq.hrsnn import HRSNN
from models_eq.neurons import MODELS
from models_eq.spec import HRSNNSpec, sample_hrsnn
from models_eq.stimulus import noise_stimulus

ROWS = (20, 40, 20)
FAST: dict[str, Any] = {
    "trials": 9, "batch": 4, "noise_duration": "0.2 s", "rows": ROWS, "spread": (0, 2),
    "gain": (0.5, 2),
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("numpy_device")


@pytest.fixture(scope="module")
def net() -> HRSNN:
    return sample_hrsnn(HRSNNSpec(n=30), seed=1)


def free(tau: float = 0.02, t_ref: float = 0.0) -> HRSNN:
    """Uncoupled neurons: two that stay below threshold, two that spike regularly."""
    return HRSNN("lif_exp", 4, [], [], [], tau, t_ref=t_ref, i_ext=[0.5, 0.6, 1.5, 1.6])


# -- the map -----------------------------------------------------------------------------------


def test_map_by_hand() -> None:
    net = HRSNN("lif_exp", 2, i=[0, 1], j=[1, 0], w=[0.5, -0.2], tau_m=[0.010, 0.030])
    assert np.allclose(apply_timescales(net, 2.0, 0.0).tau_m, [0.040, 0.040])
    assert np.allclose(apply_timescales(net, 1.0, 2.0).tau_m, [0.005, 0.045])
    assert np.allclose(apply_timescales(net, 0.5, 1.0).tau_m, [0.005, 0.015])
    assert np.allclose(apply_timescales(net, 0.5, 2.0).tau_m, [0.0025, 0.0225])
    assert np.allclose(apply_timescales(net, 1.0, 1.0, 3.0).w, [1.5, -0.6])
    assert np.array_equal(apply_timescales(net, 2.0, 0.3).w, net.w)


def test_map_is_taken_within_each_cluster() -> None:
    tau = np.array([0.010, 0.030, 0.050, 0.150])
    net = HRSNN("lif_exp", 4, [], [], [], tau, cluster=[7, 7, 2, 2])
    assert np.allclose(apply_timescales(net, 1.0, 0.0).tau_m, [0.02, 0.02, 0.1, 0.1])
    # One value for each, in the order of the labels: 2 comes before 7.
    one_each = apply_timescales(net, [1.0, 3.0], [2.0, 0.0]).tau_m
    assert np.allclose(one_each, [0.06, 0.06, 0.025, 0.225])
    whole = apply_timescales(net.replace(cluster=0), 1.0, 0.0).tau_m
    assert np.allclose(whole, 0.06), "with one cluster the mean is that of all"


def test_identity_is_exact(net: HRSNN) -> None:
    assert apply_timescales(net, 1.0, 1.0) == net
    for tau in (1e-4, 2.0):  # outside the bounds
        odd = net.replace(tau_m=np.where(np.arange(net.n) == 3, tau, net.tau_m))
        assert apply_timescales(odd, 1.0, 1.0) == odd


def test_maps_compose(net: HRSNN) -> None:
    bounds = ("1 ns", "1000 s")
    twice = apply_timescales(
        apply_timescales(net, 2.0, 1.0, bounds=bounds), 0.3, 1.0, bounds=bounds
    )
    assert np.allclose(twice.tau_m, apply_timescales(net, 0.6, 1.0, bounds=bounds).tau_m)
    # The unit of time does not matter.
    slow = apply_timescales(net.replace(tau_m=10 * net.tau_m), 0.7, 1.6, bounds=bounds)
    assert np.allclose(slow.tau_m, 10 * apply_timescales(net, 0.7, 1.6, bounds=bounds).tau_m)


def test_time_constants_are_clipped() -> None:
    net = HRSNN("lif_exp", 3, [], [], [], [0.002, 0.020, 0.400])
    assert np.allclose(apply_timescales(net, 0.1, 1.0).tau_m, [0.001, 0.002, 0.040])
    assert np.allclose(apply_timescales(net, 3.0, 1.0).tau_m, [0.006, 0.060, 0.500])
    narrow = apply_timescales(net, 1.5, 1.0, bounds=("10 ms", "100 ms")).tau_m
    # Those that lie outside already: below comes nearer, above goes no further.
    assert np.allclose(narrow, [0.003, 0.030, 0.400])


@pytest.mark.parametrize("model", sorted(MODELS))
def test_only_membranes_and_weights_change(net: HRSNN, model: str) -> None:
    before = net.replace(model=model)
    after = apply_timescales(before, 0.5, 1.3, 2.0)
    assert np.allclose(after.w, 2 * before.w) and not np.allclose(after.tau_m, before.tau_m)
    assert after.replace(tau_m=before.tau_m, w=before.w) == before


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"scale": 0.0}, "scale"),
        ({"scale": math.nan}, "scale"),
        ({"scale": [1.0, 1.0]}, "scale"),
        ({"scale": "fast"}, "scale"),
        ({"spread": -0.1}, "spread"),
        ({"gain": 0.0}, "gain"),
        ({"gain": math.inf}, "gain"),
        ({"bounds": ("5 ms", "1 ms")}, "bounds"),
        ({"bounds": (0.001, 0.5)}, "bounds"),
    ],
)
def test_bad_maps_are_refused(net: HRSNN, arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(ParameterError, match=f"^{field}"):
        apply_timescales(net, **{"scale": 1.0, "spread": 1.0, **arguments})
    if arguments.get("bounds") == (0.001, 0.5):
        with pytest.raises(UnitError):
            apply_timescales(net, 1.0, 1.0, **arguments)


# -- a case with a known optimum ---------------------------------------------------------------


def known(**changes: Any) -> TimescaleSearch:
    """No noise: a spiking neuron has exponent 0 and a rate ~ 1/m, a silent one has -1/(m tau)."""
    settings = {
        "trials": 30, "batch": 10, "noise_sd": 0.0, "noise_duration": "0.6 s", "spread": (0, 2),
        "gain": (0.5, 2), **changes,
    }  # fmt: skip
    return TimescaleSearch(**settings)


def test_known_optimum() -> None:
    best, found = known(rate_bound=math.inf)(free(), seed=1)
    # Mean |lambda| is (2/4) / (m tau): 25 at the start, 25/m in general, best at the lowest m.
    assert found["value_start"] == pytest.approx(25, rel=1e-9)
    assert found["value"] == pytest.approx(25 / found["scale"], rel=1e-9)
    assert 0.3 <= found["scale"] < 0.36
    assert np.allclose(best.tau_m, found["scale"] * 0.02)
    assert found["infeasible"] == 0 and found["rate_limit"] is None
    assert found["spread"] == found["gain"] == 1.0, "what cannot matter is not searched"


def test_rate_bound_is_honoured() -> None:
    _, loose = known(rate_bound=math.inf)(free(), seed=1)
    _, found = known()(free(), seed=1)
    assert loose["rate"] > 1.5 * loose["rate_start"], "without the bound a faster one wins"
    assert found["rate"] <= found["rate_limit"] == pytest.approx(1.5 * found["rate_start"])
    assert found["infeasible"] > 0
    # The rate goes with 1/m, so that the bound puts the optimum at m = 1/1.5.
    assert 1 / 1.5 * 0.97 < found["scale"] < 1 / 1.5 * 1.15


def test_rate_alone_is_a_control() -> None:
    _, found = known(objective="rate")(free(), seed=1)
    assert 2.5 < found["scale"] <= 3.0 and found["rate"] < 0.45 * found["rate_start"]
    assert found["value"] == pytest.approx(1 / found["rate"])


# -- any network -------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", timescales.OBJECTIVES)
def test_never_worse_than_the_start(net: HRSNN, objective: str) -> None:
    for bound in (1.0, 1.5):
        best, found = TimescaleSearch(objective=objective, rate_bound=bound, **FAST)(net, seed=3)
        assert found["feasible"] and found["value"] >= found["value_start"]
        assert 0 < found["rate"] <= found["rate_limit"]
        assert found["trials"] == found["evaluations"] == 9
        again = apply_timescales(net, found["scale"], found["spread"], found["gain"])
        assert best == again and best.history == net.history
        json.dumps(found, allow_nan=False)


def test_values_are_what_they_say(net: HRSNN) -> None:
    for objective in ("exponents", "capacity"):
        best, found = TimescaleSearch(objective=objective, **FAST)(net, seed=3)  # type: ignore[arg-type]
        for one, end in ((net, "_start"), (best, "")):
            noise = noise_stimulus(one, "0.2 s", seed=3)
            if objective == "exponents":
                value = np.abs(node_exponents(one, noise, seed=3).exponents).mean()
            else:
                value = capacity([one], seed=3, rows=ROWS).mean()
            rate = noise_rates(one, seed=3, duration="0.2 s")
            assert found[f"value{end}"] == pytest.approx(float(value), rel=1e-9)
            assert found[f"rate{end}"] == pytest.approx(rate.mean(), rel=1e-12)
            assert found[f"operations{end}"] == pytest.approx(float(rate @ one.out_degree))


def test_a_candidate_is_measured_the_same_in_any_company(net: HRSNN) -> None:
    alone = TimescaleSearch(**{**FAST, "batch": 1, "trials": 2})(net, seed=3)[1]
    company = TimescaleSearch(**FAST)(net, seed=3)[1]
    for name in ("value_start", "rate_start", "operations_start"):
        assert alone[name] == company[name]


def test_a_bound_that_nothing_meets_leaves_the_network_alone(
    net: HRSNN, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="brain_lnp"):
        best, found = TimescaleSearch(**FAST)(net, seed=3, reference_rate=1e-3)
    assert best == net and not found["feasible"] and found["infeasible"] == 9
    assert found["value"] is None and "bound" in caplog.text
    wide = TimescaleSearch(**FAST)(net, seed=3, reference_rate=1e6)[1]
    assert wide["infeasible"] == 0 and wide["rate_limit"] == 1.5e6


def test_silence_is_no_solution() -> None:
    """Driven below threshold, without noise: nothing spikes, whatever the time constants."""
    net = HRSNN("lif_exp", 2, i=[0], j=[1], w=[0.5], tau_m=0.02, i_ext=0.5)
    with pytest.raises(SilentNetworkError, match="noise"):
        known()(net, seed=0)
    best, found = known(trials=4, batch=2)(net, seed=0, reference_rate=10.0)
    assert best == net and found["infeasible"] == 4


def test_clusters_have_their_own(net: HRSNN) -> None:
    three = net.replace(cluster=np.arange(net.n) % 3 + 5)
    best, found = TimescaleSearch(**FAST)(three, seed=1)
    assert found["clusters"] == [5, 6, 7]
    assert len(found["scale"]) == len(found["spread"]) == 3
    assert best == apply_timescales(three, found["scale"], found["spread"], found["gain"])
    many = net.replace(cluster=np.arange(net.n) % 9)
    best, found = TimescaleSearch(**{**FAST, "batch": 9})(many, seed=1)
    assert "clusters" not in found and isinstance(found["scale"], float)
    assert best == apply_timescales(many, found["scale"], found["spread"], found["gain"])


def test_the_search_can_be_narrowed(net: HRSNN) -> None:
    narrow = {**FAST, "spread": (1, 1), "gain": (1, 1)}
    default = TimescaleSearch()
    assert (default.spread, default.gain) == ((1.0, 1.0), (1.0, 1.0))
    alone = TimescaleSearch(objective="rate", **narrow)
    best, found = alone(net, seed=1)
    assert found["spread"] == found["gain"] == 1.0 and found["scale"] != 1.0
    assert np.allclose(best.tau_m, found["scale"] * net.tau_m) and np.array_equal(best.w, net.w)
    fixed = TimescaleSearch(scale=(1, 1), **narrow)
    best, found = fixed(net, seed=1)
    assert best == net and found["trials"] == 1


@pytest.mark.parametrize("model", ["lif_delta", "qif", "alif"])
def test_other_models(net: HRSNN, model: str) -> None:
    other = net.replace(model=model, w=0.1 * net.w)
    best, found = TimescaleSearch(trials=4, batch=4, noise_duration="0.3 s")(other, seed=1)
    assert found["value"] >= found["value_start"] > 0
    assert best.model == model and np.array_equal(best.tau_syn, other.tau_syn)


# -- reproducible and resumable ----------------------------------------------------------------


def test_the_seed_decides(net: HRSNN) -> None:
    settings = TimescaleSearch(**FAST)
    np.random.seed(1)  # noqa: NPY002
    first = settings(net, seed=1)
    np.random.seed(2)  # noqa: NPY002
    assert settings(net, seed=1) == first, "no global state plays a part"
    other = settings(net, seed=2)
    assert other[1]["scale"] != first[1]["scale"]


class Killed(BaseException):
    """Stands for a signal: nothing may catch it on the way."""


def test_resumed_between_batches_is_identical(net: HRSNN, tmp_path: Path) -> None:
    settings = TimescaleSearch(**FAST)
    plain = settings(net, seed=5)
    whole = tmp_path / "whole.json"
    assert settings(net, seed=5, storage=whole) == plain
    record = whole.read_bytes()
    assert settings(net, seed=5, storage=whole) == plain and whole.read_bytes() == record
    for batch in range(3):

        def stop(text: str, done: int, total: int, at: int = 4 * batch) -> None:
            if done == at:
                raise Killed

        path = tmp_path / f"{batch}.json"
        with pytest.raises(Killed):
            settings(net, seed=5, storage=path, progress=stop)
        assert len(json.loads(path.read_bytes())["trials"]) == 4 * batch
        assert settings(net, seed=5, storage=path) == plain and path.read_bytes() == record


@pytest.mark.parametrize(
    ("objective", "inside"),
    [
        ("exponents", "simulate_batch"),
        ("exponents", "conditional_exponents"),
        ("capacity", "capacity"),
    ],
)
def test_resumed_within_a_batch_is_identical(
    net: HRSNN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: Any, inside: str
) -> None:
    settings = TimescaleSearch(objective=objective, **FAST)
    whole, path, calls = tmp_path / "whole.json", tmp_path / "torn.json", 0
    plain = settings(net, seed=5, storage=whole)
    genuine = getattr(timescales, inside)

    def killed_now_and_then(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        value = genuine(*args, **kwargs)
        if calls in (1, 3):
            raise KeyboardInterrupt
        return value

    monkeypatch.setattr(timescales, inside, killed_now_and_then)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            settings(net, seed=5, storage=path)
    assert settings(net, seed=5, storage=path) == plain
    assert path.read_bytes() == whole.read_bytes()


def test_a_write_that_fails_leaves_the_record(
    net: HRSNN, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, path = TimescaleSearch(objective="rate", **FAST), tmp_path / "search.json"
    plain, replace, calls = settings(net, seed=5), os.replace, 0

    def torn(source: Any, target: Any) -> None:
        nonlocal calls
        calls += str(target) == str(path)
        if calls == 3:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", torn)
        with pytest.raises(KeyboardInterrupt):
            settings(net, seed=5, storage=path)
    assert [p.name for p in tmp_path.iterdir()] == ["search.json"]
    assert len(json.loads(path.read_bytes())["trials"]) == 4
    assert settings(net, seed=5, storage=path) == plain


def test_a_record_of_another_search_is_refused(net: HRSNN, tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    settings = TimescaleSearch(**FAST)
    settings(net, seed=1, storage=path)
    before = path.read_bytes()
    others = [
        (settings, net, {"seed": 2}, "seed"),
        (settings, apply_timescales(net, 1.0, 1.0, 1.1), {"seed": 1}, "net"),
        (settings, net, {"seed": 1, "reference_rate": 9.0}, "reference_rate"),
        (TimescaleSearch(**{**FAST, "trials": 10}), net, {"seed": 1}, "trials"),
        (TimescaleSearch(objective="rate", **FAST), net, {"seed": 1}, "objective"),
        (TimescaleSearch(rate_bound=math.inf, **FAST), net, {"seed": 1}, "rate_bound"),
    ]
    for search_, one, arguments, name in others:
        with pytest.raises(ParameterError, match=rf"search\.json.*differs in {name}\b") as caught:
            search_(one, storage=path, **arguments)
        assert caught.value.field == "storage"
    assert path.read_bytes() == before
    endless = tmp_path / "endless.json"
    loose = TimescaleSearch(rate_bound=math.inf, **FAST)
    assert loose(net, seed=1, storage=endless) == loose(net, seed=1, storage=endless)


def test_damaged_records_are_refused(net: HRSNN, tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    settings = TimescaleSearch(**FAST)
    settings(net, seed=1, storage=path)
    whole = json.loads(path.read_bytes())
    broken: list[Any] = [
        b"{",
        b"[]",
        b"{}",
        {**whole, "format": "another"},
        {**whole, "version": 99},
        {**whole, "trials": whole["trials"][:3]},
        {**whole, "trials": [*whole["trials"], whole["trials"][0]]},
        {**whole, "trials": [{**whole["trials"][0], "params": {"scale": 1.0}}]},
        {**whole, "trials": [{**whole["trials"][0], "score": None}]},
    ]
    for one in broken:
        path.write_bytes(one if isinstance(one, bytes) else json.dumps(one).encode())
        with pytest.raises(FormatError, match=r"search\.json"):
            settings(net, seed=1, storage=path)
    with pytest.raises(FormatError):
        settings(net, seed=1, storage=tmp_path)
    with pytest.raises(MissingFileError):
        settings(net, seed=1, storage=tmp_path / "nowhere" / "search.json")
    with pytest.raises(MissingFileError):
        study_of(tmp_path / "none.json")


def test_optuna_can_look_at_a_search(net: HRSNN, tmp_path: Path) -> None:
    path = tmp_path / "search.json"
    level = optuna.logging.get_verbosity()
    settings = TimescaleSearch(**FAST)
    _, found = settings(net, seed=1, storage=path)
    study = study_of(path)
    assert optuna.logging.get_verbosity() == level
    assert isinstance(study, optuna.study.Study) and len(study.trials) == 9
    assert study.best_value == found["value"] and study.best_params["scale"] == found["scale"]
    assert study.trials[0].params == {"scale": 1.0, "spread": 1.0, "gain": 1.0}
    assert study.best_trial.user_attrs["rate"] == found["rate"]
    out = [t for t in study.trials if not t.user_attrs["feasible"]]
    assert len(out) == found["infeasible"] and all(t.value < 0 for t in out)
    kept = study_of(path, optuna.storages.InMemoryStorage(), "mine")
    assert kept.study_name == "mine" and kept.best_value == found["value"]


# -- the search itself -------------------------------------------------------------------------


def bowl(asked: Any, known: Any) -> list[Trial]:
    return [Trial(p, -(math.log(p["a"] / 0.5) ** 2) - (p["b"] - 1.5) ** 2, {}) for p in asked]


AXES = [Axis("a", 0.1, 10.0, log=True), Axis("b", 0.0, 2.0)]


def test_search_learns() -> None:
    lately, at_first = [], []
    for seed in range(5):
        trials = search(AXES, bowl, start={"a": 1.0, "b": 1.0}, trials=48, batch=8, seed=seed)
        assert trials[0].params == {"a": 1.0, "b": 1.0} and len(trials) == 48
        assert len({t.params["a"] for t in trials}) == 48
        lately.append(np.median([t.score for t in trials[-16:]]))
        at_first.append(np.median([t.score for t in trials[1:9]]))
        assert best_of(trials).score == max(t.score for t in trials) > -0.1
    assert np.mean(lately) > 0.5 * np.mean(at_first), "later candidates lie nearer the top"


def test_ties_go_to_the_first() -> None:
    trials = [Trial({"a": k}, score, {}) for k, score in enumerate((0.0, 1.0, 1.0))]
    assert best_of(trials).params == {"a": 1}


def test_an_answer_depends_on_what_is_known_and_the_seed_alone() -> None:
    known = bowl(ask(AXES, [], 12, seed=0), [])
    first = ask(AXES, known, 4, seed=1)
    ask(AXES, known, 3, seed=9)
    assert ask(AXES, known, 4, seed=1) == first != ask(AXES, known, 4, seed=2)
    assert ask(AXES, known[:6], 4, seed=1) != first


def test_progress_is_told() -> None:
    told: list[tuple[str, int, int]] = []
    search(
        AXES, bowl, start={"a": 1.0, "b": 1.0}, trials=5, batch=2, seed=0,
        progress=lambda *args: told.append(args),
    )  # fmt: skip
    assert told == [
        ("batch 1 of 3", 0, 5), ("batch 2 of 3", 2, 5), ("batch 3 of 3", 4, 5), ("done", 5, 5),
    ]  # fmt: skip


# -- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trials", 0), ("trials", 2.5), ("batch", 0), ("batch", True), ("objective", "error"),
        ("scale", (1.5, 3.0)), ("scale", (0.0, 3.0)), ("scale", (0.5, 0.9)), ("scale", 1.0),
        ("spread", (-1.0, 2.0)), ("spread", (0.0, math.inf)), ("gain", (0.0, 2.0)),
        ("gain", (2.0, 0.5)), ("gain", ("a", "b")), ("rate_bound", 0.0), ("rate_bound", math.nan),
        ("rate_bound", None), ("noise_duration", 3.0), ("dt", "-1 ms"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=name):
        TimescaleSearch(**{name: value})


def test_bad_arguments_are_refused(net: HRSNN) -> None:
    with pytest.raises(ParameterError, match="sd"):
        TimescaleSearch(noise_sd=-1.0)
    for rate in (0.0, -3.0, math.inf, math.nan):
        with pytest.raises(ParameterError, match="reference_rate"):
            TimescaleSearch(**FAST)(net, seed=1, reference_rate=rate)
    with pytest.raises(ParameterError, match="seed"):
        TimescaleSearch(**FAST)(net, seed=-1)
