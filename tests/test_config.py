"""Experiments as TOML: what is read, what is recorded, and the exact key of every error."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from brain_lnp import config, tables, tasks
from brain_lnp.config import (
    Experiment,
    NetworkSection,
    demo_experiment,
    load_experiment,
    parse_experiment,
)
from models_eq.distributions import Clipped, Gamma
from models_eq.errors import FormatError, MissingFileError, ParameterError, UnitError
from models_eq.spec import HRSNNSpec, sample_hrsnn

TEXT = """
[experiment]
name = "small"
seeds = 3

[network]
n = 60
model = "alif"
topology = {kind = "small_world", k = 0.2, rewire = 0.3}
tau_m = {kind = "gamma", shape = 3, mean = "20 ms"}
i_ext = {kind = "uniform", low = 0.6, high = 1.3}
coupling = 0.06

[network.params]
tau_a = "200 ms"

[prune]
methods = ["dense", "lnp"]
synapses = [0.1, 1]

[prune.options.lnp]
alpha = 0.5

[[tasks]]
name = "lorenz63"
observe = "x"
horizon = 10

[[tasks]]
name = "digits"
hold = "10 ms"
"""


def test_what_is_read() -> None:
    e = parse_experiment(TEXT)
    assert e.experiment.seeds == (0, 1, 2) and e.experiment.device == "auto"
    assert e.prune.methods == ("dense", "lnp") and e.prune.synapses == (0.1, 1.0)
    assert e.prune.neurons == (1.0,) and e.prune.options == {"lnp": {"alpha": 0.5}}
    assert e.tasks[0].arguments() == {"observe": "x", "horizon": 10}
    assert e.tasks[1].arguments() == {"hold": "10 ms"}
    spec = e.network.to_spec()
    assert spec.n == 60 and spec.tau_m == Gamma(3, "20 ms")
    assert spec.params["tau_a"].mean == pytest.approx(0.2)
    assert spec.tau_syn == HRSNNSpec().tau_syn
    assert sample_hrsnn(spec, 1).n == 60


def test_the_network_section_mirrors_the_spec() -> None:
    assert set(NetworkSection.model_fields) == {f.name for f in fields(HRSNNSpec)}
    defaults = NetworkSection().to_spec()
    assert defaults == HRSNNSpec()


@pytest.mark.parametrize("kind", ["small_world", "SmallWorld", "smallworld", "SMALL_WORLD"])
def test_kinds_are_read_without_regard_to_case(kind: str) -> None:
    assert (
        parse_experiment(TEXT.replace("small_world", kind)).digest == parse_experiment(TEXT).digest
    )


def test_clipped_laws_and_clusters() -> None:
    base = '{kind = "gamma", shape = 3, mean = "20 ms"}'
    law = f'{{kind = "clipped", base = {base}, low = "3 ms", high = "0.15 s"}}'
    text = TEXT.replace(base, law)
    tau_m = parse_experiment(text).network.to_spec().tau_m
    assert isinstance(tau_m, Clipped) and tau_m.support == (0.003, 0.15)
    clustered = '{kind = "clustered", n_clusters = 2, k = 6, inside = 0.8}'
    clustered += '\ncluster_tau_m = ["10 ms", "30 ms"]'
    text = TEXT.replace('{kind = "small_world", k = 0.2, rewire = 0.3}', clustered)
    laws = parse_experiment(text).network.to_spec().cluster_tau_m
    assert laws is not None and [law.mean for law in laws] == [0.01, 0.03]
    with pytest.raises(UnitError) as caught:
        parse_experiment(text.replace('"30 ms"', "30"))
    assert caught.value.field == "network.cluster_tau_m.1"


def test_task_keys_are_arguments_of_the_task_functions() -> None:
    functions = {"csv": tasks.csv_series, "images": tasks.load_npz_images,
                 "events": tasks.load_events}  # fmt: skip
    shared = {
        name: set(inspect.signature(maker).parameters)
        for name, maker in (("events", tasks.event_task), ("images", tasks.image_task))
    }
    for name, keys in config.TASKS.items():
        signature = inspect.signature(functions.get(name) or getattr(tasks, name))
        known = set(signature.parameters) | (
            shared.get(name, shared["images"]) if "settings" in signature.parameters else set()
        )
        assert set(keys) <= known and set(keys) <= set(config.TaskSection.model_fields), name


def test_the_demo() -> None:
    e = demo_experiment()
    assert e.network.to_spec() == HRSNNSpec() and e.network.n == 400
    assert e.experiment.seeds == (11, 12, 13)
    wanted = "dense none random_gain random_matched activity activity_no_gain lnp"
    assert e.prune.methods == tuple(wanted.split())
    assert e.prune.synapses == (0.1, 0.02) and e.prune.neurons == (1.0, 0.5)
    found = [(t.name, t.observe, t.horizon) for t in e.tasks]
    lorenz = [("lorenz63", "x", 1), ("lorenz63", "x", 10), ("lorenz63", "xyz", 10)]
    assert found == [*lorenz, ("digits", None, None)]


@pytest.mark.parametrize("text", [TEXT, None])
def test_the_record_reads_back(text: str | None) -> None:
    e = demo_experiment() if text is None else parse_experiment(text)
    again = parse_experiment(e.to_toml())
    assert again.digest == e.digest and again.to_toml() == e.to_toml()
    assert again.to_dict() == e.to_dict()


def test_odd_text_survives_the_record() -> None:
    odd = 'quote " back \\\\ slash \x7f \u00e9 \U0001f600 \\n'.replace('"', '\\"').replace(
        "\x7f", "\\u007f"
    )
    text = TEXT.replace(
        "alpha = 0.5", f'"a key" = "{odd}"\nx = [1, [true, 2.5e-9]]\ny = {{z = 1e16}}'
    )
    e = parse_experiment(text)
    assert parse_experiment(e.to_toml()).prune.options == e.prune.options
    assert "\U0001f600" in e.prune.options["lnp"]["a key"]


def test_digest_follows_what_determines_the_results() -> None:
    digest = parse_experiment(TEXT).digest
    same = (
        ("seeds = 3", "seeds = [0, 1, 2]\njobs = 4"),
        ('"20 ms"', '"0.02 s"'),
        ("n = 60", "n = 60\ninhibition = 5"),
        ("[prune]", "[output]\nfigures = false\n[prune]"),
    )
    for old, new in same:
        assert parse_experiment(TEXT.replace(old, new)).digest == digest, new
    other = (
        ("seeds = 3", "seeds = 4"),
        ('"20 ms"', '"21 ms"'),
        ("n = 60", "n = 61"),
        ("horizon = 10", "horizon = 9"),
        ("alpha = 0.5", "alpha = 0.6"),
    )
    for old, new in other:
        assert parse_experiment(TEXT.replace(old, new)).digest != digest, new


def test_it_is_frozen() -> None:
    e = parse_experiment(TEXT)
    with pytest.raises(ValidationError):
        e.prune.n_iter = 3  # type: ignore[misc]


LAW = 'tau_m = {kind = "gamma", shape = 3, mean = "20 ms"}'
NORMAL = 'tau_m = {kind = "normal", mean = "20 ms", sd = "5 ms"}'
TWICE = '"lorenz63"\nobserve = "x"\nhorizon = 10'
ERRORS: list[tuple[str, str, str, type[Exception], str]] = [
    ('mean = "20 ms"', "mean = 20", "network.tau_m.mean", UnitError, "20 ms"),
    ('mean = "20 ms"', 'mean = "20 mV"', "network.tau_m.mean", UnitError, "dimension"),
    ('mean = "20 ms"', 'mean = "20 parsec"', "network.tau_m.mean", UnitError, "known unit"),
    ('mean = "20 ms"', 'mean = "-20 ms"', "network.tau_m.mean", ParameterError, "above 0"),
    ('mean = "20 ms"', "mean = true", "network.tau_m.mean", UnitError, ""),
    ('mean = "20 ms"', 'meen = "20 ms"', "network.tau_m.meen", ParameterError, "'mean'"),
    (', mean = "20 ms"', "", "network.tau_m.mean", ParameterError, "nothing"),
    ("shape = 3", 'shape = "3 ms"', "network.tau_m.shape", UnitError, ""),
    ('"gamma"', '"gama"', "network.tau_m.kind", ParameterError, "'Gamma'"),
    (LAW, "tau_m = 20", "network.tau_m", UnitError, "20"),
    (LAW, 'tau_m = "-3 ms"', "network.tau_m", ParameterError, "above 0"),
    (LAW, NORMAL, "network.tau_m", ParameterError, "low"),
    (LAW, "tau_m = []", "network.tau_m", ParameterError, ""),
    ("low = 0.6", 'low = "6 ms"', "network.i_ext.low", UnitError, "dimensionless"),
    ("high = 1.3", "high = 0.1", "network.i_ext.high", ParameterError, "above low"),
    ("k = 0.2", "k = 1.5", "network.topology.k", ParameterError, "fraction"),
    ("k = 0.2", "k = 60", "network.topology.k", ParameterError, "60"),
    ("rewire", "rewrie", "network.topology.rewrie", ParameterError, "'rewire'"),
    ("small_world", "small_word", "network.topology.kind", ParameterError, "'SmallWorld'"),
    ("n = 60", "n = 0", "network.n", ParameterError, "1"),
    ("n = 60", "n = 60.0", "network.n", ParameterError, "integer"),
    ("n = 60", "n = true", "network.n", ParameterError, "integer"),
    ("n = 60", "m = 60", "network.m", ParameterError, "one of the keys"),
    ('"alif"', '"alf"', "network.model", ParameterError, "'alif'"),
    ("tau_a =", "tau_b =", "network.params.tau_b", ParameterError, "'tau_a'"),
    ('"200 ms"', "0.2", "network.params.tau_a", UnitError, ""),
    ('"alif"', '"qif"', "network.params.tau_a", ParameterError, "qif"),
    ("coupling = 0.06", "copling = 0.06", "network.copling", ParameterError, "'coupling'"),
    ("coupling = 0.06", "coupling = -1", "network.coupling", ParameterError, "at least 0"),
    ("coupling = 0.06", "coupling = nan", "network.coupling", ParameterError, "finite"),
    ("coupling = 0.06", 'coupling = "6"', "network.coupling", ParameterError, "number"),
    ("coupling = 0.06", "v_th = -1", "network.v_th", ParameterError, "v_reset"),
    ("coupling = 0.06", "fraction_exc = 2", "network.fraction_exc", ParameterError, "0..1"),
    ('name = "small"', "", "experiment.name", ParameterError, "nothing"),
    ('name = "small"', 'name = "../x"', "experiment.name", ParameterError, "../x"),
    ("seeds = 3", "seeds = 0", "experiment.seeds", ParameterError, "1..10000"),
    ("seeds = 3", "seeds = []", "experiment.seeds", ParameterError, "at least 1"),
    ("seeds = 3", "seeds = [1, -1]", "experiment.seeds.1", ParameterError, "-1"),
    ("seeds = 3", "seeds = [1, 1]", "experiment.seeds.1", ParameterError, "once"),
    ("seeds = 3", "seeds = true", "experiment.seeds", ParameterError, "list"),
    ("seeds = 3", 'device = "gpu"', "experiment.device", ParameterError, "cpp_standalone"),
    ("seeds = 3", "jobs = 0", "experiment.jobs", ParameterError, "1"),
    ('"lnp"]', '"lmp"]', "prune.methods.1", ParameterError, "'lnp'"),
    ('"lnp"]', '"dense"]', "prune.methods.1", ParameterError, "once"),
    ('["dense", "lnp"]', "[]", "prune.methods", ParameterError, "at least 1"),
    ("[0.1, 1]", "[0.1, 1.5]", "prune.synapses.1", ParameterError, "1"),
    ("[0.1, 1]", "[0]", "prune.synapses.0", ParameterError, "greater than 0"),
    ("[0.1, 1]", "[nan]", "prune.synapses.0", ParameterError, ""),
    ("[0.1, 1]", "0.1", "prune.synapses", ParameterError, "list"),
    ("[0.1, 1]", "[0.1, 0.1]", "prune.synapses.1", ParameterError, "once"),
    ("options.lnp", "options.lmp", "prune.options.lmp", ParameterError, "'lnp'"),
    ("alpha = 0.5", "alpha = 2020-01-01", "prune.options.lnp.alpha", ParameterError, ""),
    ("alpha = 0.5", "alpha = nan", "prune.options.lnp.alpha", ParameterError, ""),
    ('"lorenz63"', '"lorentz"', "tasks.0.name", ParameterError, "'lorenz63'"),
    ('observe = "x"', 'observe = "w"', "tasks.0.observe", ParameterError, "w"),
    ("horizon = 10", "horizn = 10", "tasks.0.horizn", ParameterError, "'horizon'"),
    ("horizon = 10", "horizon = 0", "tasks.0.horizon", ParameterError, "0"),
    ('hold = "10 ms"', "hold = 10", "tasks.1.hold", UnitError, ""),
    ('hold = "10 ms"', 'hold = "-1 ms"', "tasks.1.hold", ParameterError, "above 0"),
    ('hold = "10 ms"', "horizon = 3", "tasks.1.horizon", ParameterError, "n_train"),
    ('"digits"\nhold = "10 ms"', '"csv"', "tasks.1.path", ParameterError, "nothing"),
    ('"digits"', '"csv"\npath = "a.csv"', "tasks.1.column", ParameterError, "nothing"),
    ('"digits"', '"csv"\npath = "a.csv"\ncolumn = [1]', "tasks.1.column", ParameterError, "texts"),
    ('"digits"', '"images"', "tasks.1.path", ParameterError, "nothing"),
    ('"digits"\nhold = "10 ms"', TWICE, "tasks.1", ParameterError, "once"),
    ("[prune.options", "[prun.options", "prun", ParameterError, "'prune'"),
    ("[experiment]", "[experiments]", "experiments", ParameterError, "'experiment'"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "field", "kind", "word"), ERRORS)
def test_errors_name_the_key(old: str, new: str, field: str, kind: Any, word: str) -> None:
    assert old in TEXT
    with pytest.raises(ParameterError) as caught:
        parse_experiment(TEXT.replace(old, new, 1))
    assert caught.value.field == field, str(caught.value)
    assert isinstance(caught.value, kind) and word in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value) and "pydantic" not in str(caught.value)


def test_of_two_laws_of_one_kind_the_right_one_is_named() -> None:
    two = LAW + '\ntau_syn = {kind = "gamma", shape = -1, mean = "5 ms"}'
    with pytest.raises(ParameterError) as caught:
        parse_experiment(TEXT.replace(LAW, two))
    assert caught.value.field == "network.tau_syn.shape"


def test_a_file_reads_as_its_text(tmp_path: Path) -> None:
    path = tmp_path / "e.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert load_experiment(path).digest == parse_experiment(TEXT).digest
    assert isinstance(load_experiment(str(path)), Experiment)


def test_bad_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingFileError, match="none"):
        load_experiment(tmp_path / "none.toml")
    with pytest.raises(FormatError):
        load_experiment(tmp_path)
    path = tmp_path / "e.toml"
    path.write_text(TEXT.replace("[prune]", "[prune"))
    with pytest.raises(FormatError, match="line 17") as caught:
        load_experiment(path)
    assert caught.value.field == str(path)
    path.write_bytes(TEXT.encode() + "\n# caf\u00e9".encode("latin-1"))
    with pytest.raises(FormatError, match=f"UTF-8.*line {TEXT.count(chr(10)) + 2}"):
        load_experiment(path)
    for junk in (bytes(range(256)) * 20, b"\0" * 100, b"x = " + b"[" * 100_000, b"a = 1\na = 2"):
        path.write_bytes(junk)
        with pytest.raises(FormatError):
            load_experiment(path)
    path.write_bytes(b"")
    with pytest.raises(ParameterError) as missing:
        load_experiment(path)
    assert missing.value.field == "experiment"
    monkeypatch.setattr(tables, "_MAX_BYTES", 10)
    path.write_text(TEXT)
    with pytest.raises(FormatError, match=f"1 MiB, got.*{len(TEXT)} bytes"):
        load_experiment(path)
