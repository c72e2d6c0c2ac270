"""Programs: compiled once, run with other numbers, and the same spikes as everywhere else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models_eq import HRSNN, SpikeInput, Stimulus, Trajectory, simulate, toolchain, use_device
from models_eq.builds import VARIABLE, cache_folder, clear_cache, compiled, project_digest
from models_eq.compiling import SINGLE_STEPS, Program, compile_program
from models_eq.errors import DeviceError, ParameterError
from models_eq.program import execute

N = 60
RECORD = ["spike_state", "v", "i_stim"]
RUN: dict[str, Any] = {"record": RECORD, "sample_dt": "10 ms", "copies": 2}
needs_compiler = pytest.mark.skipif(toolchain.compiler() is None, reason="no C++ compiler")


def network(seed: int, density: float = 0.2) -> HRSNN:
    rng = np.random.default_rng(seed)
    i, j = np.nonzero((rng.random((N, N)) < density) & ~np.eye(N, dtype=bool))
    return HRSNN(
        "lif_exp", N, i=i, j=j, w=rng.normal(0, 0.1, i.size), tau_m=rng.uniform(0.01, 0.03, N),
        i_ext=rng.uniform(0.8, 1.5, N), t_ref=0.002,
    )  # fmt: skip


def trials(seed: int, spikes: int = 3, rows: int = 10) -> Stimulus:
    rng = np.random.default_rng(seed)
    given = SpikeInput(
        t=np.linspace(0.012, 0.05, spikes), channel=np.arange(spikes) % 2,
        weights=rng.normal(0, 0.5, (2, N)), trial=np.arange(spikes) % 3,
    )  # fmt: skip
    return Stimulus(rng.normal(0, 0.5, (3, rows, N)), "10 ms", given)


@pytest.fixture(scope="module")
def program() -> Program:
    """One program for the whole file; what the cache has is not compiled again."""
    with use_device("cpp_standalone"):
        return compile_program(network(4), trials(6), **RUN)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    yield cache_folder()


def same(a: Trajectory, b: Trajectory) -> None:
    assert a.n_spikes > 50
    for name in ("t", "i", "trial"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for group in ("at_spike", "release", "samples", "final_state"):
        old, new = getattr(a, group), getattr(b, group)
        assert set(old) == set(new)
        for name, value in old.items():
            np.testing.assert_allclose(new[name], value, rtol=1e-12, atol=1e-12)


@needs_compiler
class TestRuns:
    """One program, and what NumPy makes of the same network."""

    @pytest.mark.parametrize(
        ("net", "stimulus", "seed"),
        [
            (network(4), trials(6), 1),
            (network(5, 0.5), trials(6), 1),  # another structure, more synapses
            (network(4).keep_edges(np.arange(network(4).n_synapses) % 10 == 0), trials(6), 1),
            (network(4).keep_edges([]), trials(6), 1),
            (network(4).replace(tau_m=network(9).tau_m * 2, i_ext=1.4), trials(6), 2),
            (network(4), trials(7, spikes=20), 1),
            (network(4), trials(7, spikes=0), 1),
        ],
        ids=["same", "denser", "masked", "empty", "slower", "more spikes", "no spikes"],
    )
    def test_other_numbers_give_the_spikes_of_numpy(
        self, program: Program, net: HRSNN, stimulus: Stimulus, seed: int
    ) -> None:
        run = program.run(net, stimulus, seed=seed)
        with use_device("numpy"):
            expected = simulate(net, stimulus, seed=seed, **RUN)
        same(expected, run)
        assert run.digest == net.digest and run.device == "cpp_standalone"

    def test_an_initial_state_reaches_the_program(self, program: Program) -> None:
        state = {"v": np.linspace(0, 0.9, N), "s": np.full(N, 0.3)}
        with use_device("numpy"):
            expected = simulate(network(4), trials(6), initial_state=state, **RUN)
        same(expected, program.run(initial_state=state))
        # The negative control: another state is another run.
        assert program.run(seed=3).n_spikes != expected.n_spikes

    def test_simulate_takes_what_was_compiled(self, program: Program) -> None:
        before = set(cache_folder().iterdir())
        with use_device("cpp_standalone"):
            run = simulate(network(5), trials(6), seed=1, **RUN)
        assert set(cache_folder().iterdir()) == before
        same(run, program.run(network(5), seed=1))

    def test_nothing_is_left(
        self, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        program.run()
        with pytest.raises(DeviceError):
            execute(Path("/bin/false"), program.layout, program._plan, {})
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("net", "stimulus", "field"),
        [
            (network(4).keep_neurons(np.arange(50)), None, "neurons"),
            (HRSNN("lif_delta", N, i=[], j=[], w=[], tau_m=0.02), None, "model"),
            (None, trials(6, rows=11), "steps"),
            (None, Stimulus(trials(6).current, "10 ms"), "input spike channels"),
            (None, Stimulus(trials(6).current[:2], "10 ms", trials(6, 2).spikes), "rounds"),
        ],
    )
    def test_what_has_another_shape_is_refused(
        self, program: Program, net: HRSNN | None, stimulus: Stimulus | None, field: str
    ) -> None:
        with pytest.raises(ParameterError) as caught:
            program.run(net, stimulus)
        assert field in caught.value.field

    def test_an_array_of_the_wrong_size_is_not_swallowed(self, program: Program) -> None:
        layout = program.layout
        dtype, size = layout.arguments["hrsnn.v"]
        shorter = {**layout.arguments, "hrsnn.v": (dtype, size - 1)}
        with pytest.raises(ParameterError, match=r"hrsnn\.v.*119 values.*120"):
            execute(program.binary, replace(layout, arguments=shorter), program._plan, {})

    def test_brian_itself_would_go_on_with_what_it_was_compiled_with(
        self, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The program exits with 0 and a complaint, which is taken for what it is."""
        import models_eq.program as module

        right = module.values_for(program._plan, program.layout)
        right[0]["hrsnn.v"] = right[0]["hrsnn.v"][:-1]
        monkeypatch.setattr(module, "values_for", lambda *_: right)
        with pytest.raises(DeviceError, match="does not match expected size"):
            program.run()

    def test_another_process_finds_the_program(self, program: Program) -> None:
        code = (
            "from tests.test_program import *\n"
            "with use_device('cpp_standalone'):\n"
            "    found = compile_program(network(5), trials(7), **RUN)\n"
            "print(found.binary)\n"
        )
        root = Path(__file__).resolve().parents[1]
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root,
            env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(root)},
        )  # fmt: skip
        assert done.stdout.strip() == str(program.binary)

    def test_single_precision_is_refused_where_it_would_miscount(self) -> None:
        with use_device("cpp_standalone", precision="single"):
            with pytest.raises(ParameterError, match=r"precision.*double"):
                compile_program(network(4), duration=f"{SINGLE_STEPS + 1} ms", dt="1 ms")


@pytest.mark.parametrize("name", ["numpy", "cython"])
def test_devices_without_programs_say_so(name: str) -> None:
    if name == "cython" and toolchain.compiler() is None:
        pytest.skip("no C++ compiler")
    with use_device(name):
        with pytest.raises(DeviceError, match=f"{name}.*simulate"):
            compile_program(network(4), duration="1 s")


def fake_project(folder: Path, log: Path, source: str = "x") -> Path:
    folder.mkdir()
    (folder / "main.cpp").write_text(source)
    make = f"all:\n\t@echo made >> {log}; sleep 0.3; cp main.cpp main\n"
    (folder / "makefile").write_text(make)
    return folder


class TestCache:
    """The cache of programs, with projects that are made in no time."""

    def test_a_program_is_made_once(self, cache: Path, tmp_path: Path) -> None:
        log = tmp_path / "log"
        first = compiled(fake_project(tmp_path / "a", log), "tools")
        again = compiled(fake_project(tmp_path / "b", log), "tools")
        assert first == again and first.read_text() == "x"
        assert log.read_text().split() == ["made"]
        assert compiled(tmp_path / "a", "other tools") != first
        assert sorted(p.name for p in cache.iterdir()) == sorted(
            p.parent.name for p in (first, compiled(tmp_path / "a", "other tools"))
        )
        assert clear_cache() == 2 and list(cache.iterdir()) == []

    @pytest.mark.skipif(os.name != "posix", reason="needs a lock")
    def test_two_processes_make_one(self, cache: Path, tmp_path: Path) -> None:
        log = tmp_path / "log"
        code = "import sys; from pathlib import Path; from models_eq.builds import compiled; "
        code += "print(compiled(Path(sys.argv[1]), 'tools').read_text())"
        root = Path(__file__).resolve().parents[1]
        both = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(fake_project(tmp_path / name, log))],
                stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)},
            )
            for name in ("a", "b")
        ]  # fmt: skip
        assert [one.communicate()[0].strip() for one in both] == ["x", "x"]
        assert log.read_text().split() == ["made"]

    def test_data_do_not_count_and_sources_do(self, tmp_path: Path) -> None:
        project = fake_project(tmp_path / "a", tmp_path / "log")
        before = project_digest(project, "tools")
        for name in ("static_arrays", "results"):
            (project / name).mkdir()
            (project / name / "x.cpp").write_text("1")
        (project / "main.o").write_text("1")
        assert project_digest(project, "tools") == before
        (project / "more.cpp").write_text("1")
        assert project_digest(project, "tools") != before

    def test_only_lines_whose_order_means_nothing_are_sorted(self, tmp_path: Path) -> None:
        clocks = ["    _array_a_clock_t[0] = 0.0;", "    _array_b_clock_timestep[0] = 0;"]
        runs = ["network.add(&a, _run_x);", "network.add(&a, _run_y);"]
        texts = [clocks + runs, clocks[::-1] + runs, clocks + runs[::-1]]
        digests = [
            project_digest(fake_project(tmp_path / str(k), tmp_path / "log", "\n".join(t)), "")
            for k, t in enumerate(texts)
        ]
        assert digests[0] == digests[1]
        assert digests[0] != digests[2]

    def test_numbers_of_what_is_in_memory_do_not_count(self, tmp_path: Path) -> None:
        texts = ["run_a_codeobject();", "run_a_codeobject_1();", "run_b_codeobject();"]
        digests = [
            project_digest(fake_project(tmp_path / str(k), tmp_path / "log", text), "")
            for k, text in enumerate(texts)
        ]
        assert digests[0] == digests[1] != digests[2]

    def test_what_does_not_compile_is_told_and_not_kept(self, cache: Path, tmp_path: Path) -> None:
        project = fake_project(tmp_path / "a", tmp_path / "log")
        (project / "makefile").write_text("all:\n\t@echo 'x.cpp: error: no such thing'; exit 1\n")
        with pytest.raises(DeviceError, match="no such thing"):
            compiled(project, "tools")
        assert list(cache.iterdir()) == []

    def test_a_cache_that_cannot_be_written_is_replaced_with_a_warning(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv(VARIABLE, str(tmp_path / "file"))
        with caplog.at_level("WARNING", "brain_lnp"):
            found = cache_folder()
        assert found.is_dir() and "cannot be written" in caplog.text
