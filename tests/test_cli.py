"""The command line: exit status, one clear line for wrong input, equal files for equal seeds."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import typer.main

from brain_lnp.cli import _VERBS, app, main
from brain_lnp.cli_shell import Shell, duration, jsonable, shell
from models_eq import HRSNN, HRSNNSpec, Trajectory, load, sample_hrsnn, save
from models_eq.errors import ConvergenceError

ROOT = Path(__file__).resolve().parents[1]
VERBS = [verb.__name__ for verb, _ in _VERBS]
SMALL = ["--n-train", "200", "--n-validation", "60", "--n-test", "60", "--washout", "40"]
FAST = ["--device", "numpy"]

EXPERIMENT = """
[experiment]
name = "small"
device = "numpy"
seeds = 2
[network]
n = 40
[prune]
methods = ["dense", "random"]
synapses = [0.5]
[[tasks]]
name = "lorenz63"
n_train = 200
n_validation = 60
n_test = 60
washout = 40
[output]
figures = FIGURES
"""


class Said(NamedTuple):
    """What one call of the program left behind."""

    status: int
    out: str
    err: str


Call = Callable[..., Said]


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Run ``main`` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Said:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return Said(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network that spikes."""
    return save(
        sample_hrsnn(HRSNNSpec(n=60), seed=1), tmp_path_factory.mktemp("cli") / "network.npz"
    )


@pytest.fixture(scope="session")
def silent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network far below threshold, whatever its input."""
    net = sample_hrsnn(HRSNNSpec(n=60), seed=1).replace(i_ext=-1000.0)
    return save(net, tmp_path_factory.mktemp("cli") / "silent.npz")


def refused(said: Said, *words: str) -> None:
    """Status 2, one line that says what is wrong, and no more."""
    assert said.status == 2, said
    assert said.out == ""
    assert said.err.startswith("error: ") and said.err.endswith("\n")
    assert said.err.count("\n") == 1, said.err
    assert "Traceback" not in said.err
    for word in words:
        assert word in said.err, said.err


def files() -> list[str]:
    """Everything in the working directory, hidden and temporary files as well."""
    return sorted(os.listdir())


# -- help ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_has_an_example_that_parses(
    verb: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    said = call(verb, "--help")
    assert said.status == 0 and said.err == ""
    examples = re.findall(r"Example: brain-lnp (.*)", said.out)
    assert examples, said.out
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    for words in map(shlex.split, examples):
        assert words[0] == verb
        context = command.make_context(verb, words[1:])
        assert context.params["as_json"] is ("--json" in words)
    assert shell.quiet is False


def test_help_lists_every_verb_and_no_argument_means_help(call: Call) -> None:
    said = call("--help")
    assert said.status == 0
    assert all(re.search(rf"^\W*{verb} ", said.out, re.M) for verb in VERBS)
    assert call() == said


def test_completion_knows_the_names_that_the_program_knows() -> None:
    from brain_lnp import config
    from brain_lnp.cli_options import device_names, method_names, task_names

    assert method_names("") == list(config.METHODS) and device_names("") == list(config.DEVICES)
    assert task_names("") == list(config.TASKS)
    assert method_names("lnp_") == ["lnp_literal", "lnp_calibrated"] and task_names("q") == []


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("brain-lnp sim", ["simulate"]),
        ("brain-lnp prune net.npz --synapses 0.1 --method lnp_c", ["lnp_calibrated"]),
        ("brain-lnp simulate net.npz --device cyt", ["cython"]),
        ("brain-lnp evaluate net.npz --task dig", ["digits"]),
        ("brain-lnp prune --chec", ["--checkpoint"]),
        ("brain-lnp prune --method nonsense", []),
    ],
)
def test_a_shell_completes_verbs_options_and_names(
    words: str, found: list[str], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_BRAIN_LNP_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
    said = call()
    assert said.out.split() == found and said.err == ""


def test_a_shell_is_told_how_to_complete(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_BRAIN_LNP_COMPLETE", "source_bash")
    assert "complete -o default -F" in call().out


def test_version(call: Call) -> None:
    said = call("--version")
    assert said.status == 0
    assert re.fullmatch(r"brain-lnp \d+\.\d+\S*\n", said.out)


# -- wrong input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ('tau_m = "0 ms"', ["network.tau_m", "0"]),
        ('tau_m = "-5 ms"', ["network.tau_m"]),
        ('tau_m = {kind = "gamma", shape = 3, mean = "-20 ms"}', ["network.tau_m"]),
        ('tau_m = {kind = "normal", mean = "20 ms", sd = "9 ms"}', ["network.tau_m"]),
        ("tau_m = 0.02", ["network.tau_m", "unit"]),
        ('tau_m = {kind = "gamma", shape = 3, mean = 20}', ["network.tau_m.mean", "unit"]),
        ('tau_syn = "5 mV"', ["network.tau_syn", "another dimension"]),
        ('tau_syn = "5 parsecs"', ["network.tau_syn", "unit"]),
        ('tau_em = "20 ms"', ["network.tau_em", "Did you mean 'tau_m'"]),
        ("[network]\ntau_em = 1", ["network.tau_em"]),
        ("[netwrok]\nn = 60", ["netwrok"]),
        ("[network]\nn = 60\n[prun]\n", ["prun", "Did you mean 'prune'"]),
        ("network = 3", ["network"]),
        ("n = 0", ["network.n"]),
        ("n = true", ["network.n"]),
        ("n = ", ["spec.toml", "a TOML file"]),
        ("n = 40\ntau_m = 20 ms", ["spec.toml", "line 2"]),
        ("n = '\x00'", ["spec.toml", "a TOML file"]),
    ],
)
def test_a_wrong_spec_is_refused(call: Call, spec: str, words: list[str]) -> None:
    Path("spec.toml").write_text(spec)
    refused(call("sample", "--spec", "spec.toml", "-o", "net.npz"), *words)
    assert files() == ["spec.toml"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("prune NET --synapses 1.5", ["synapses", "1.5"]),
        ("prune NET --synapses 100000", ["synapses", "100000"]),
        ("prune NET --synapses 1e-9", ["synapses", "at least 1"]),
        ("prune NET --synapses 0", ["synapses"]),
        ("prune NET --synapses -0.5", ["synapses", "-0.5"]),
        ("prune NET --synapses nan", ["synapses", "nan"]),
        ("prune NET --synapses inf", ["synapses", "inf"]),
        ("prune NET --synapses ten", ["synapses", "ten"]),
        ("prune NET --synapses 0.5 --neurons 1.01", ["neurons", "1.01"]),
        ("prune NET --synapses 0.5 --neurons 0.001", ["neurons"]),
        ("prune NET --synapses 0.5 --method lnpp", ["method", "Did you mean 'lnp'"]),
        ("prune NET --synapses 0.5 --method activity", ["stimulus-task"]),
        ("prune NET --synapses 0.5 --method activity --stimulus-task l63", ["task", "l63"]),
        ("prune NET --synapses 0.5 --method random --n-iter 3", ["n_iter"]),
        ("prune NET --synapses 0.5 --n-iter 0", ["n_iter"]),
        ("prune NET --synapses 0.5 --seed -1", ["seed", "-1"]),
        ("prune SILENT --synapses 0.5", ["a network that spikes under noise"]),
        (
            "prune SILENT --synapses 0.5 --method activity --stimulus-task lorenz63",
            ["a network that spikes under the task"],
        ),
        ("prune NET", ["--synapses"]),
        ("simulate NET --duration 5", ["duration", "unit"]),
        ("simulate NET --duration -5s", ["duration"]),
        ("simulate NET --duration 0ms", ["duration"]),
        ("simulate NET --duration 5s --dt 0ms", ["dt"]),
        ("simulate NET --noise -1", ["sd"]),
        ("simulate NET --noise nan", ["sd"]),
        ("simulate NET --seed one", ["--seed"]),
        ("simulate NET --seed -1", ["seed"]),
        ("lyapunov NET --duration 5", ["duration", "unit"]),
        ("sample --n 0", ["n: "]),
        ("sample --n -3", ["n: "]),
        ("sample --seed -1", ["seed"]),
        ("sample --spec none.toml", ["none.toml", "an existing TOML file"]),
        ("sample --sped x.toml", ["--sped", "--spec"]),
        ("smaple", ["smaple", "Did you mean 'sample'"]),
    ],
)
def test_a_wrong_argument_is_refused_and_nothing_is_written(
    call: Call, network: Path, silent: Path, arguments: str, words: list[str]
) -> None:
    places = {"NET": str(network), "SILENT": str(silent)}
    given = [places.get(word, word) for word in arguments.split()]
    device = [] if given[0] in ("sample", "smaple") else FAST
    refused(call(*given, *device, "-o", "out.npz"), *words)
    assert files() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--task lorenz", ["task", "Did you mean 'lorenz63'"]),
        ("--task lorenz63 --observe w", ["observe", "w"]),
        ("--task lorenz63 --horizon 0", ["horizon", "0"]),
        ("--task lorenz63 --column x", ["column"]),
        ("--task lorenz63 --hold 10", ["hold", "unit"]),
        ("--task csv --column x", ["path", "nothing"]),
        ("--task csv --path none.csv --column x", ["none.csv"]),
        ("--task digits --horizon 3", ["horizon"]),
        ("", ["--task"]),
    ],
)
def test_a_wrong_task_is_refused(
    call: Call, network: Path, arguments: str, words: list[str]
) -> None:
    refused(call("evaluate", network, *arguments.split(), *FAST), *words)


def test_a_silent_network_is_not_evaluated(call: Call, silent: Path) -> None:
    refused(call("evaluate", silent, "--task", "lorenz63", *SMALL, *FAST), "spikes", "Raise i_ext")


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("gpu", ["device", "numpy, cython"]),
        pytest.param(
            "cuda_standalone",
            ["device", "cuda_standalone"],
            marks=pytest.mark.skipif(
                any(name.startswith("nvidia") for name in os.listdir("/dev"))
                if os.path.isdir("/dev")
                else False,
                reason="this machine may run it",
            ),
        ),
    ],
)
@pytest.mark.parametrize("verb", ["simulate", "lyapunov", "prune", "evaluate", "run", "demo"])
def test_a_device_that_cannot_run_here_is_refused(
    call: Call, network: Path, verb: str, device: str, words: list[str]
) -> None:
    Path("small.toml").write_text(EXPERIMENT.replace("FIGURES", "false"))
    more = {
        "prune": ["--synapses", "0.5", "-o", "out.npz"],
        "evaluate": ["--task", "lorenz63", *SMALL],
        "run": ["-o", "out"],
        "demo": ["-o", "out"],
    }
    subject = {"run": ["small.toml"], "demo": ["--quick"]}.get(verb, [str(network)])
    said = call(verb, *subject, *more.get(verb, ["-o", "out.npz"]), "--device", device)
    refused(said, *words)
    assert files() == ["small.toml"]


def _damaged(path: Path, network: Path) -> str:
    data = bytearray(network.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    return "a file of brain_lnp"


def _truncated(path: Path, network: Path) -> str:
    path.write_bytes(network.read_bytes()[:-30])
    return "truncated"


def _foreign(path: Path, network: Path) -> str:
    np.savez(path, w=np.eye(3))
    return "another npz"


def _pickled(path: Path, network: Path) -> str:
    np.savez(path, schema=np.array([{"a": 1}], dtype=object))
    return "a file of brain_lnp"


def _folder(path: Path, network: Path) -> str:
    path.mkdir()
    return "a folder"


def _missing(path: Path, network: Path) -> str:
    return "an existing file"


@pytest.mark.parametrize("make", [_damaged, _truncated, _foreign, _pickled, _folder, _missing])
@pytest.mark.parametrize("verb", ["simulate", "lyapunov", "prune", "evaluate"])
def test_a_file_that_is_no_network_is_refused(
    call: Call, network: Path, verb: str, make: Callable[[Path, Path], str]
) -> None:
    word = make(Path("bad.npz"), network)
    more = {
        "prune": ["--synapses", "0.5", "-o", "out.npz"],
        "evaluate": ["--task", "lorenz63", *SMALL],
    }
    refused(call(verb, "bad.npz", *more.get(verb, ["-o", "out.npz"]), *FAST), "bad.npz", word)
    assert not Path("out.npz").exists()


def test_another_value_than_a_network_is_refused(call: Call, network: Path) -> None:
    assert call("simulate", network, "--duration", "10 ms", "-o", "t.npz", *FAST).status == 0
    refused(call("simulate", "t.npz", *FAST), "t.npz", "HRSNN", "Trajectory")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("nowhere/out.npz", ["output", "folder", "nowhere"]),
        ("out.zip", ["output", ".npz", "out.zip"]),
        ("there.npz", ["output", "exists", "--force"]),
        ("folder.npz", ["output", "the folder folder.npz"]),
    ],
)
@pytest.mark.parametrize(
    "arguments", ["sample", "simulate NET", "lyapunov NET", "prune NET --synapses 0.5"]
)
def test_an_output_that_cannot_be_written_is_refused_first(
    call: Call,
    network: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str,
    target: str,
    words: list[str],
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("computed before the output was checked")

    monkeypatch.setattr(import_module("models_eq.simulate"), "simulate", never)
    monkeypatch.setattr(import_module("models_eq.spec"), "sample_hrsnn", never)
    monkeypatch.setattr(import_module("brain_lnp.methods"), "prune", never)
    Path("there.npz").write_bytes(b"mine")
    Path("folder.npz").mkdir()
    given = [str(network) if word == "NET" else word for word in arguments.split()]
    refused(call(*given, "-o", target), *words)
    assert Path("there.npz").read_bytes() == b"mine"
    assert files() == ["folder.npz", "there.npz"]


def test_force_replaces_a_file(call: Call) -> None:
    Path("net.npz").write_bytes(b"old")
    assert call("sample", "--n", "60", "-o", "net.npz", "--force").status == 0
    assert load("net.npz", expected=HRSNN).n == 60
    assert files() == ["net.npz"]


def test_a_failed_computation_leaves_a_forced_target_as_it_was(call: Call, silent: Path) -> None:
    Path("out.npz").write_bytes(b"old")
    said = call("prune", silent, "--synapses", "0.5", "-o", "out.npz", "--force", *FAST)
    refused(said, "spikes")
    assert Path("out.npz").read_bytes() == b"old"


def test_a_name_with_line_breaks_stays_on_one_line(call: Call) -> None:
    refused(call("simulate", "a\nb\x1b[31m.npz"), "a b\\x1b[31m.npz")


# -- results ---------------------------------------------------------------------------------------


def chain(call: Call, folder: str) -> dict[str, str]:
    """Sample, simulate, lyapunov, prune and evaluate; SHA-256 of all files and outputs."""
    Path(folder).mkdir()
    steps = [
        ["sample", "--n", "60", "--seed", "1", "-o", f"{folder}/net.npz"],
        ["simulate", f"{folder}/net.npz", "-o", f"{folder}/traj.npz", "--duration", "1 s",
         "--noise", "0.35", *FAST],
        ["lyapunov", f"{folder}/net.npz", "-o", f"{folder}/nodes.npz", "--duration", "1 s", *FAST],
        ["prune", f"{folder}/net.npz", "-o", f"{folder}/out.npz", "--synapses", "0.25",
         "--neurons", "0.8", "--method", "lnp_calibrated", "--n-iter", "2",
         *FAST],
        ["evaluate", f"{folder}/out.npz", "--task", "lorenz63", "--observe", "x",
         "--horizon", "10", "--seed", "0", *SMALL, *FAST],
    ]  # fmt: skip
    found = {}
    for step in steps:
        said = call(*step, "--json")
        assert said.status == 0, said
        data = json.loads(said.out)
        assert data.pop("output", None) in (None, *(word for word in step))
        found[step[0]] = json.dumps(data)
    for path in Path(folder).iterdir():
        found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def test_the_chain_gives_the_same_bytes_every_time(call: Call) -> None:
    first, second = chain(call, "a"), chain(call, "b")
    assert sorted(Path("a").iterdir()) and len(first) == 5 + 4
    assert first == second
    net, out = load("a/net.npz", expected=HRSNN), load("a/out.npz", expected=HRSNN)
    assert out.n_synapses == round(0.25 * net.n_synapses) and out.n == 48
    evaluation = json.loads(first["evaluate"])
    assert evaluation["digest"] == out.digest
    assert evaluation["accuracy"] is None and 0 < evaluation["nrmse"] < 1
    run = load("a/traj.npz", expected=Trajectory)
    simulated = json.loads(first["simulate"])
    assert run.digest == net.digest and simulated["spikes"] == run.n_spikes
    assert simulated["mean_rate_hz"] == pytest.approx(run.n_spikes / 60)
    assert simulated["sops_per_second"] == pytest.approx(net.out_degree[run.i].sum())
    nodes, exponents = load("a/nodes.npz"), json.loads(first["lyapunov"])
    np.testing.assert_array_equal(nodes.exponents, exponents["exponents"])
    assert exponents["mean"] == pytest.approx(nodes.exponents.mean())


def test_the_spectrum_of_a_network_and_other_exponents_of_neurons(
    call: Call, network: Path
) -> None:
    short = ["--duration", "0.5 s", "--seed", "3", *FAST]
    said = call("lyapunov", network, "--spectrum", "3", "--transient", "0.1 s", "--json",
                "-o", "spectrum.npz", *short)  # fmt: skip
    data = json.loads(said.out)
    assert data["method"] == "saltation" and data["conditional"] and len(data["stderr"]) == 3
    found = load("spectrum.npz")
    assert data["exponents"] == found.exponents.tolist() and found.duration == 0.5
    said = call("lyapunov", network, "--spectrum", "3", "--noise", "0", "--method", "event",
                "--transient", "0.1 s", *short)  # fmt: skip
    assert said.status == 0 and "±" in said.out and "event" in said.out
    for nodes in (["perturbed", "--horizon", "50 ms"], ["weighted"]):
        said = call("lyapunov", network, "--nodes", *nodes, "--json", *short)
        data = json.loads(said.out)
        assert data["definition"] == nodes[0] and len(data["exponents"]) == data["neurons"]
    for wrong, word in ((["--method", "evnt", "--spectrum", "1"], "event"),
                        (["--nodes", "weighed"], "weighted"),
                        (["--spectrum", "999"], "k: ")):  # fmt: skip
        said = call("lyapunov", network, *wrong, *short)
        assert said.status == 2 and word in said.err


def test_another_seed_gives_another_network(call: Call) -> None:
    for seed in "12":
        assert call("sample", "--n", "60", "--seed", seed, "-o", f"{seed}.npz").status == 0
    assert load("1.npz").digest != load("2.npz").digest


def test_a_silent_network_has_the_exponents_of_its_membranes(call: Call, silent: Path) -> None:
    said = call("lyapunov", silent, "--duration", "100 ms", "--json", *FAST)
    data = json.loads(said.out)
    np.testing.assert_allclose(data["exponents"], -1 / load(silent).tau_m)
    assert data["silent_neurons"] == data["neurons"] == 60
    said = call("simulate", silent, "--duration", "100 ms", "--json", *FAST)
    data = json.loads(said.out)  # NaN would be no JSON
    assert data["cv"] is None and data["spikes"] == 0 and data["sops_per_second"] == 0


def test_a_spec_and_an_experiment_file_give_the_network_of_the_library(call: Call) -> None:
    Path("spec.toml").write_text('n = 30\ntau_m = "10 ms"')
    Path("exp.toml").write_text(EXPERIMENT.replace("FIGURES", "false"))
    assert call("sample", "--spec", "spec.toml", "--seed", "3", "-o", "a.npz").status == 0
    assert load("a.npz") == sample_hrsnn(HRSNNSpec(n=30, tau_m="10 ms"), seed=3)  # type: ignore[arg-type]
    assert call("sample", "--spec", "exp.toml", "-o", "b.npz").status == 0
    assert load("b.npz") == sample_hrsnn(HRSNNSpec(n=40), seed=0)
    assert call("sample", "--spec", "exp.toml", "--n", "50", "-o", "c.npz").status == 0
    assert load("c.npz") == sample_hrsnn(HRSNNSpec(n=50), seed=0)


@pytest.mark.parametrize(("given", "kept"), [("0.25", 180), ("180", 180), ("1.0", 720), ("1", 720)])
def test_a_budget_is_a_share_or_a_count(call: Call, network: Path, given: str, kept: int) -> None:
    said = call("prune", network, "--method", "random", "--synapses", given, "-o", "o.npz", *FAST)
    assert said.status == 0, said
    assert load("o.npz").n_synapses == kept


def test_activity_pruning_sees_a_task_and_lnp_says_that_it_sees_none(
    call: Call, network: Path
) -> None:
    given = ["prune", network, "--synapses", "0.25", "--stimulus-task", "lorenz63", *FAST]
    said = call(*given, "--method", "activity", "-o", "a.npz", "--json")
    assert said.status == 0 and said.err == ""
    assert json.loads(said.out)["neurons"] == load("a.npz").n < 60  # dropped to fit the budget
    said = call(*given, "--method", "random", "-o", "b.npz")
    assert said.status == 0 and said.err.startswith("warning: method random sees no task")
    assert call(*given, "--method", "random", "-o", "c.npz", "-q").err == ""


def test_devices(call: Call) -> None:
    data = json.loads(call("devices", "--json").out)
    listed = {entry["device"]: entry for entry in data["devices"]}
    assert listed["numpy"]["available"] is True
    assert all(entry["reason"] for entry in listed.values())
    table = call("devices").out
    assert all(f"{name} " in table for name in listed)


# -- experiments -----------------------------------------------------------------------------------


def test_a_run_is_resumed_and_reported_from_its_folder(call: Call) -> None:
    Path("small.toml").write_text(EXPERIMENT.replace("FIGURES", "true"))
    first = call("run", "small.toml", "-o", "runs/x", "--jobs", "1", "--json")
    assert first.status == 0, first
    results = Path("runs/x/results.json").read_bytes()
    data = json.loads(first.out)
    assert len(data["rows"]) == 2 * 2 and data["summary"] and data["seconds"] > 0
    figures = [Path(name) for name in data["figures"]]
    assert figures and all(path.stat().st_size > 0 for path in figures)
    Path("runs/x/results.json").unlink()
    second = call("run", "small.toml", "-o", "runs/x", "--json")
    assert second.status == 0, second
    assert Path("runs/x/results.json").read_bytes() == results
    for path in figures:
        path.unlink()
    said = call("report", "runs/x", "--json")
    assert said.status == 0, said
    again = json.loads(said.out)
    assert again["rows"] == data["rows"] and again["summary"] == data["summary"]
    assert all(path.stat().st_size > 0 for path in figures)
    assert Path("runs/x/results.json").read_bytes() == results
    said = call("report", "runs/x")
    assert "random" in said.out and str(figures[0]) in said.out
    refused(call("run", "small.toml", "-o", "runs/x", "--device", "cython"), "same experiment")


def test_demo_takes_seeds_and_its_own_folder(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def stop(experiment: object, folder: Path, **_: object) -> None:
        asked.append((experiment, folder))
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("brain_lnp.experiment"), "run_experiment", stop)
    monkeypatch.setattr(import_module("brain_lnp.cli_runs"), "_check", lambda _: None)  # slow
    said = call("demo", "--quick", "--seed", "4", "--seed", "7", "--jobs", "2", *FAST)
    assert said.status == 130 and said.out == ""
    assert said.err.count("\n") == 1 and "runs/demo-quick" in said.err and "again" in said.err
    said = call("demo", "-o", "here")
    assert said.status == 130 and "here" in said.err
    (quick, folder), (full, other) = asked
    assert quick.experiment.seeds == (4, 7) and quick.experiment.device == "numpy"
    assert folder == Path("runs/demo-quick") and other == Path("here")
    assert len(full.prune.synapses) >= len(quick.prune.synapses)
    refused(call("demo", "--seed", "4", "--seed", "4"), "seeds", "each entry once")
    refused(call("demo", "--jobs", "0"), "--jobs")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("methods =", "mehtods =", ["prune.mehtods", "Did you mean 'methods'"]),
        ('"random"', '"randm"', ["prune.methods.1", "randm"]),
        ("[0.5]", "[1.5]", ["prune.synapses.0", "1.5"]),
        ('"lorenz63"', '"lorenz"', ["tasks.0.name", "Did you mean 'lorenz63'"]),
        ("[0.5]", "[0.5, 1e-9]", ["prune.synapses.1", "at least 1"]),
        ('["dense", "random"]', '["lnp"]\nneurons = [0.001]', ["prune.neurons.0", "at least 1"]),
        ('"lorenz63"', '"csv"\npath = "no.csv"\ncolumn = "a"', ["no.csv"]),
        ("n = 40", 'n = 40\ntau_m = "0 ms"', ["network.tau_m"]),
        ("n = 40", "n = 40\ntau_m = 0.02", ["network.tau_m", "unit"]),
        ('"numpy"', '"gpu"', ["experiment.device", "gpu"]),
        ("[network]", "[network", ["small.toml", "line"]),
    ],
)
def test_a_wrong_experiment_is_refused(call: Call, old: str, new: str, words: list[str]) -> None:
    text = EXPERIMENT.replace("FIGURES", "false")
    assert old in text
    Path("small.toml").write_text(text.replace(old, new, 1))
    refused(call("run", "small.toml", "-o", "runs/x"), *words)
    assert files() == ["small.toml"]


def test_an_experiment_that_fails_before_its_first_result_leaves_no_folder(call: Call) -> None:
    text = EXPERIMENT.replace("FIGURES", "false").replace("n = 40", 'n = 40\ni_ext = "-1000"')
    Path("small.toml").write_text(text.replace('["dense", "random"]', '["lnp"]'))
    refused(call("run", "small.toml", "-o", "x"), "spikes", "Raise i_ext")
    assert files() == ["small.toml"]


def test_a_folder_that_is_no_run_is_refused(call: Call) -> None:
    refused(call("report", "runs/x"), "runs/x", "the folder of a run")
    Path("mine").mkdir()
    refused(call("report", "mine"), "mine", "no results.json")
    for text in ("{", "3", '{"rows": 3}', '{"rows": [3], "baselines": []}', '{"rows": [{}]}'):
        Path("mine/results.json").write_text(text)
        refused(call("report", "mine"), "results.json")
    Path("small.toml").write_text(EXPERIMENT.replace("FIGURES", "false"))
    refused(call("run", "small.toml", "-o", "mine"), "mine", "results.json")
    refused(call("run", "none.toml"), "none.toml")
    assert files() == ["mine", "small.toml"] and os.listdir("mine") == ["results.json"]


# -- faults, log, progress -------------------------------------------------------------------------


def test_a_fault_is_told_in_one_line_and_with_v_in_full(
    call: Call, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a broken\npart")

    monkeypatch.setattr(import_module("models_eq.simulate"), "simulate", broken)
    said = call("simulate", network, "-o", "out.npz", *FAST)
    assert said.status == 1 and said.out == "" and files() == []
    assert said.err.count("\n") == 1 and "Traceback" not in said.err
    assert "RuntimeError: a broken part" in said.err and "-v" in said.err
    for arguments in (["-v", "simulate", network], ["simulate", network, "-v"]):
        said = call(*arguments, *FAST)
        assert said.status == 1 and "Traceback" in said.err and "in broken" in said.err


def test_every_error_of_ours_is_wrong_input_even_with_v(
    call: Call, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsure(*_: object, **__: object) -> None:
        raise ConvergenceError("exponents", "a longer run", "1 s", "Raise duration")

    monkeypatch.setattr(import_module("models_eq.simulate"), "simulate", unsure)
    refused(call("simulate", network, "-v", *FAST), "exponents: expected a longer run, got 1 s")


def test_log_and_warnings_reach_stderr_as_asked_and_nothing_stays_behind(
    call: Call, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brain_lnp.selection import StabilityWarning
    from models_eq.device import capabilities

    logger = logging.getLogger("brain_lnp")
    before = (logger.level, list(logger.handlers), warnings.showwarning)

    def talk() -> list[object]:
        logging.getLogger("brain_lnp.device").info("a detail")
        warnings.warn("shaky\nground", StabilityWarning, stacklevel=2)
        warnings.warn("not ours", DeprecationWarning, stacklevel=2)
        return list(capabilities())

    monkeypatch.setattr(import_module("models_eq.device"), "capabilities", talk)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        plain, quiet, loud = call("devices"), call("devices", "-q"), call("devices", "-v")
    assert plain.err == "warning: shaky ground\n"
    assert quiet.err == "" and quiet.out == plain.out == loud.out
    assert "info: a detail" in loud.err and "DeprecationWarning: not ours" in loud.err
    assert (logger.level, list(logger.handlers), warnings.showwarning) == before


def test_progress_is_a_line_at_times_off_a_terminal_and_nothing_when_quiet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 0.0, 1.0, 20.0, 21.0, 40.0])
    monkeypatch.setattr("brain_lnp.cli_shell.time.monotonic", lambda: next(clock))
    with Shell().progress("demo") as report:
        for done in range(1, 5):
            report("unit", done, 4)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "demo: unit (2 of 4, 20 s left)\ndemo: unit (4 of 4, 0.0 s left)\n"
    with Shell(quiet=True).progress("demo") as report:
        report("unit", 1, 4)
    assert capsys.readouterr().err == ""


def test_units_of_an_earlier_run_do_not_shorten_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Eight units come at once, two more take 20 s each: ten more will take 200 s.
    clock = iter([0.0, 0.0, *(0.01 * k for k in range(8)), 20.07, 40.07])
    monkeypatch.setattr("brain_lnp.cli_shell.time.monotonic", lambda: next(clock))
    with Shell().progress("run") as report:
        for done in range(1, 11):
            report("unit", done, 20)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "run: unit (9 of 20, 3 min 40 s left)"
    assert second == "run: unit (10 of 20, 3 min 20 s left)"


def test_progress_on_a_terminal_is_a_bar_with_the_time_left() -> None:
    import io

    from rich.console import Console

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    with Shell(err=console).progress("demo") as report:
        report("unit", 1, 4)
    assert "demo: unit" in screen.getvalue() and "1/4" in screen.getvalue()
    assert "left" in screen.getvalue()


def test_plain_values() -> None:
    assert [duration(s) for s in (0.25, 42, 185, 7800)] == [
        "0.2 s",
        "42 s",
        "3 min 5 s",
        "2 h 10 min",
    ]
    data = {"a": np.float64("nan"), "b": np.arange(2), 3: (np.inf, None, True), "p": Path("x")}
    assert jsonable(data) == {"a": None, "b": [0, 1], "3": [None, None, True], "p": "x"}


# -- as a process ----------------------------------------------------------------------------------


def process(*arguments: str, code: str = "", **options: object) -> subprocess.Popen[str]:
    """The program in a process of its own."""
    command = [sys.executable, *(["-c", code] if code else ["-m", "brain_lnp"]), *arguments]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.Popen(
        command, text=True, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path},
        **options,
    )  # type: ignore[call-overload,no-any-return]  # fmt: skip


def test_the_module_runs_and_a_reader_that_leaves_is_no_fault(tmp_path: Path) -> None:
    running = process("devices", stdout=subprocess.PIPE, cwd=tmp_path)
    running.stdout.close()  # type: ignore[union-attr]
    running.stdout = None
    assert running.communicate(timeout=60)[1] == ""
    assert running.returncode == 0


def test_wrong_input_ends_the_process_with_2(tmp_path: Path) -> None:
    running = process("simulate", "none.npz", stdout=subprocess.PIPE, cwd=tmp_path)
    out, err = running.communicate(timeout=60)
    refused(Said(running.returncode, out, err), "none.npz: expected an existing file")


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_an_interrupt_in_the_middle_of_a_simulation_leaves_no_file(
    tmp_path: Path, network: Path
) -> None:
    # Left to itself, Brian2 would end the run early, and half of it would be saved as all of it.
    code = """
import os, signal, sys, threading, time
import brian2
from brain_lnp.cli import main

def interrupt():
    while not brian2.Network._globally_running:
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
sys.exit(main(sys.argv[1:]))
"""
    running = process(
        "simulate", str(network), "--duration", "60 s", "-o", "traj.npz", *FAST,
        code=code, stdout=subprocess.PIPE, cwd=tmp_path,
    )  # fmt: skip
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert out == "" and err == "interrupted: nothing was written; run it again\n"
    assert os.listdir(tmp_path) == []
