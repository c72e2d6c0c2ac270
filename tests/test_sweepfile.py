"""A sweep file: every point as it was asked for, seeded draws, one clear error for a mistake."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from brain_lnp.sweepaxes import draw
from brain_lnp.sweepfile import Sweep, is_sweep, load_sweep, parse_sweep
from models_eq.errors import FormatError, MissingFileError, ParameterError
from models_eq.rng import stream

BASE = """
[base.experiment]
device = "numpy"
[base.network]
n = 40
[base.prune]
methods = ["dense", "random"]
synapses = [0.5]
[[base.tasks]]
name = "lorenz63"
horizon = 2
[[base.tasks]]
name = "rossler"
horizon = 2
"""
HEAD = '[sweep]\nname = "s"\n'
RANDOM = '[random]\n"network.coupling" = {kind = "uniform", low = 0.0, high = 1.0}\n'


def sweep(more: str = "", head: str = HEAD) -> Sweep:
    return parse_sweep(head + BASE + more)


def values(found: Sweep) -> list[dict[str, object]]:
    return [point.values for point in found.points()]


# -- points ----------------------------------------------------------------------------------------


def test_a_grid_is_every_combination() -> None:
    found = sweep('[grid]\nnetwork.n = [40, 50]\n"prune.n_iter" = [1, 2, 3]')
    wanted = [{"network.n": n, "prune.n_iter": k} for n in (40, 50) for k in (1, 2, 3)]
    assert values(found) == wanted
    for point, want in zip(found.points(), wanted, strict=True):
        made = found.experiment(point, seed=7)
        assert made.experiment.seeds == (7,)
        assert (made.network.n, made.prune.n_iter) == (want["network.n"], want["prune.n_iter"])
        assert made.tasks == found.base.tasks
    assert len({point.name for point in found.points()}) == 6


def test_without_axes_there_is_one_point() -> None:
    found = sweep()
    (point,) = found.points()
    assert found.experiment(point, 0).network.to_spec() == found.base.network.to_spec()
    assert found.seeds == (0,) and parse_sweep('[sweep]\nname="s"\nseeds=3\n' + BASE).seeds == (
        0, 1, 2,
    )  # fmt: skip


def test_one_value_stands_for_a_list_of_one() -> None:
    found = sweep('[grid]\n"prune.synapses" = [0.5, [0.2, 0.1]]\n"prune.methods" = ["noise"]')
    made = [found.experiment(point).prune for point in found.points()]
    assert [one.synapses for one in made] == [(0.5,), (0.2, 0.1)]
    assert {one.methods for one in made} == {("noise",)}


def test_tasks_by_number_or_all() -> None:
    found = sweep('[grid]\n"tasks.*.horizon" = [3]\n"tasks.1.sample" = [0.5]')
    tasks = found.experiment(found.points()[0]).tasks
    assert [task.horizon for task in tasks] == [3, 3]
    assert [task.sample for task in tasks] == [None, 0.5]


def test_defaults_and_new_tables_can_be_reached() -> None:
    found = sweep('[grid]\n"network.topology.k" = [0.3]\n"prune.options.lnp.trials" = [4]')
    made = found.experiment(found.points()[0])
    assert made.network.to_spec().topology.to_dict()["k"] == 0.3
    assert made.prune.options == {"lnp": {"trials": 4}}
    whole = sweep('[grid]\nnetwork.topology = [{kind = "erdos_renyi", p = 0.1}]')
    topology = whole.experiment(whole.points()[0]).network.to_spec().topology
    assert type(topology).__name__ == "ErdosRenyi"


# -- draws -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("law", "mean", "var"),
    [
        ({"kind": "uniform", "low": 1.0, "high": 3.0}, 2.0, 4 / 12),
        # log x is uniform on (0, 3): the mean of x is (e^3 - 1) / 3
        ({"kind": "log_uniform", "low": 1.0, "high": np.e**3}, (np.e**3 - 1) / 3, None),
        ({"kind": "integer", "low": 1, "high": 6}, 3.5, 35 / 12),
        ({"kind": "choice", "values": [0, 1, 1, 1]}, 0.75, 0.1875),
    ],
)
def test_a_law_has_its_mean_and_variance(law: dict, mean: float, var: float | None) -> None:
    count = 40_000
    x = np.array(draw(law, stream(3, "sweep", 1), count), dtype=float)
    spread = x.std() if var is None else var**0.5
    assert abs(x.mean() - mean) < 5 * spread / count**0.5
    if var is not None:
        assert abs(x.var() - var) < 0.05 * var
    if law["kind"] == "integer":
        assert set(Counter(x)) == {1, 2, 3, 4, 5, 6}


def test_times_are_drawn_with_their_unit() -> None:
    law = {"kind": "uniform", "low": "10 ms", "high": "0.03 s"}
    found = [float(text.removesuffix(" s")) for text in draw(law, stream(3, "sweep", 1), 500)]
    assert 0.01 <= min(found) < 0.012 and 0.028 < max(found) <= 0.03
    text = '[random]\n"network.t_ref.value" = {kind = "uniform", low = "1 ms", high = "2 ms"}'
    made = sweep(text, HEAD + "samples = 3\n")
    assert len({repr(made.experiment(p).network.to_spec().t_ref) for p in made.points()}) == 3


def test_draws_come_from_the_seed_and_stay_as_a_sweep_grows() -> None:
    four = values(sweep(RANDOM, HEAD + "samples = 4\n"))
    six = values(sweep(RANDOM, HEAD + "samples = 6\n"))
    other = values(sweep(RANDOM, HEAD + "samples = 4\nseed = 1\n"))
    assert six[:4] == four and not any(value in four for value in other)
    more = RANDOM + '"network.weight_cv" = {kind = "uniform", low = 0.0, high = 1.0}\n'
    both = values(sweep(more, HEAD + "samples = 4\n"))
    assert [{"network.coupling": v["network.coupling"]} for v in both] == four
    assert all(v["network.coupling"] != v["network.weight_cv"] for v in both)


def test_every_combination_of_a_grid_meets_the_same_draws() -> None:
    found = values(sweep(RANDOM + "[grid]\nnetwork.n = [40, 50]", HEAD + "samples = 3\n"))
    drawn = [v["network.coupling"] for v in found]
    assert drawn[:3] == drawn[3:] and len(set(drawn)) == 3


def test_points_know_themselves_by_their_values() -> None:
    a = {p.name for p in sweep("[grid]\nnetwork.n = [40, 50]").points()}
    b = {p.name for p in sweep("[grid]\nnetwork.n = [60, 50, 40]").points()}
    assert a < b
    digests = {sweep().digest, sweep("[grid]\nnetwork.n = [50]").digest}
    assert len(digests) == 1 and sweep().digest != sweep().on("cython").digest


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "head", "field"),
    [
        ("[grid]\nnetwork.n = 40", HEAD, "grid.network.n"),
        ("[grid]\nnetwork.n = []", HEAD, "grid.network.n"),
        ("[grid]\nnetwork.n = [40, 40]", HEAD, "grid.network.n"),
        ("[grid]\nnetwork.m = [40]", HEAD, "network.m"),
        ("[grid]\nnetwork.n = [40, 0]", HEAD, "network.n"),
        ('[grid]\nnetwork.tau_m = ["20 ms", 20]', HEAD, "network.tau_m"),
        ("[grid]\nnetwork.n.x = [1]", HEAD, "network.n.x"),
        ('[grid]\n"tasks.5.horizon" = [1]', HEAD, "tasks.5.horizon"),
        ('[grid]\nexperiment.seeds = [[1]]', HEAD, "grid.experiment.seeds"),
        ("[grid]\noutput.figures = [true]", HEAD, "grid.output.figures"),
        ("[grid]\nprune.options.random.colour = [1]", HEAD, "prune.options.random.colour"),
        ("[grid]\nnetwork = {}", HEAD, "grid.network"),
        (RANDOM, HEAD, "sweep.samples"),
        ("", HEAD + "samples = 3\n", "sweep.samples"),
        ("", HEAD + "seeds = 0\n", "sweep.seeds"),
        ("", HEAD + "seeds = [1, 1]\n", "sweep.seeds.1"),
        ("", HEAD + "sedes = 2\n", "sweep.sedes"),
        ("", '[sweep]\nname = "a b"\n', "sweep.name"),
        ("", "", "sweep"),
        ("[gird]\nnetwork.n = [1]", HEAD, "gird"),
        ('[cluster]\nkind = "pbs"', HEAD, "cluster.kind"),
        ("[random]\nnetwork.n = [1]", HEAD + "samples = 1\n", "random.network.n"),
        (RANDOM.replace("uniform", "gauss"), HEAD + "samples = 1\n",
         "random.network.coupling.kind"),
        (RANDOM.replace("1.0", "0.0"), HEAD + "samples = 1\n", "random.network.coupling.high"),
        (RANDOM.replace("uniform", "log_uniform"), HEAD + "samples = 1\n",
         "random.network.coupling.low"),
        (RANDOM.replace("high = 1.0", 'high = "1 s"'), HEAD + "samples = 1\n",
         "random.network.coupling"),
        (RANDOM.replace("high", "top"), HEAD + "samples = 1\n", "random.network.coupling.top"),
        (RANDOM + "[grid]\nnetwork.coupling = [1.0]", HEAD + "samples = 1\n",
         "random.network.coupling"),
        ("[grid]\nnetwork.n = " + str(list(range(1, 400))) + "\nprune.n_iter = "
         + str(list(range(1, 400))), HEAD, "grid"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(more: str, head: str, field: str) -> None:
    with pytest.raises(ParameterError) as caught:
        sweep(more, head)
    assert caught.value.field == field and "\n" not in str(caught.value)


def test_an_error_says_at_which_point() -> None:
    with pytest.raises(ParameterError, match=r"At the point network\.n = 0"):
        sweep("[grid]\nnetwork.n = [40, 0]")


def test_errors_of_the_base_say_so(tmp_path: Path) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_sweep(HEAD + BASE.replace("n = 40", "n = 0"))
    assert caught.value.field == "base.network.n"
    (tmp_path / "s.toml").write_text('base = "none.toml"\n' + HEAD)
    with pytest.raises(MissingFileError, match="none"):
        load_sweep(tmp_path / "s.toml")
    with pytest.raises(FormatError, match="line"):
        parse_sweep("base = \n[sweep]")


def test_a_base_in_a_file_of_its_own_is_sought_beside_the_sweep(tmp_path: Path) -> None:
    text = BASE.replace("[base.experiment]", '[base.experiment]\nname = "b"').replace("base.", "")
    (tmp_path / "b.toml").write_text(text)
    (tmp_path / "s.toml").write_text('base = "b.toml"\n' + HEAD)
    assert load_sweep(tmp_path / "s.toml").base.network.n == 40
    assert is_sweep(tmp_path / "s.toml") and not is_sweep(tmp_path / "b.toml")
    assert not is_sweep(tmp_path / "none.toml") and tomllib.loads(text)
