"""Devices: the same spikes on each, and nothing left behind."""

from __future__ import annotations

import importlib
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import brian2
import numpy as np
import pytest
from brian2 import ms
from brian2.devices.device import get_device, reset_device, runtime_device, set_device

from models_eq import toolchain
from models_eq.device import (
    DEVICES,
    best_device,
    capabilities,
    capability,
    current_device,
    running,
    use_device,
)
from models_eq.errors import DeviceError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.simulate import simulate
from models_eq.stimulus import SpikeInput, Stimulus
from models_eq.trajectory import Trajectory

# As an attribute of the package the name is the function.
SIMULATE = importlib.import_module("models_eq.simulate")
COMPILING = importlib.import_module("models_eq.compiling")


def needs(name: str) -> None:
    found = capability(name)
    if not found.available:
        pytest.skip(f"{name}: {found.reason}")


def preferences() -> dict[str, Any]:
    return {name: brian2.prefs[name] for name in brian2.prefs}


@pytest.fixture
def restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Check afterwards that Brian2 is as it was, and no build folder left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    old = brian2.defaultclock.dt
    brian2.defaultclock.dt = 0.3 * ms
    before, choice, cwd = preferences(), current_device(), os.getcwd()
    level = logging.getLogger("brian2").level
    yield folder
    assert get_device() is runtime_device
    assert preferences() == before
    assert current_device() == choice
    assert logging.getLogger("brian2").level == level
    assert brian2.defaultclock.dt == 0.3 * ms
    assert os.getcwd() == cwd
    assert list(folder.glob("brain_lnp*")) == []  # Brian2 keeps logs of its own there
    brian2.defaultclock.dt = old


def random_net(model: str = "lif_exp", n: int = 60) -> HRSNN:
    rng = np.random.default_rng(4)
    i, j = np.nonzero((rng.random((n, n)) < 0.2) & ~np.eye(n, dtype=bool))
    return HRSNN(
        model,
        n,
        i=i,
        j=j,
        w=rng.normal(0, 0.1, i.size),
        tau_m=rng.uniform(0.01, 0.03, n),
        i_ext=rng.uniform(0.8, 1.5, n),
        t_ref=0.002,
    )


NET = random_net()
CURRENT = Stimulus(np.random.default_rng(5).normal(0, 0.5, (80, 60)), "10 ms")


def plain(name: str, **options: Any) -> Trajectory:
    with use_device(name, **options):
        return simulate(NET, CURRENT, seed=1)


def trials(name: str, **options: Any) -> Trajectory:
    """Three trials in two rounds with spike input; state at spikes, releases and samples."""
    rng = np.random.default_rng(6)
    spikes = SpikeInput(
        t=[0.012, 0.05, 0.05], channel=[0, 0, 1], weights=rng.normal(0, 0.5, (2, 60)),
        trial=[0, 1, 2],
    )  # fmt: skip
    stimulus = Stimulus(rng.normal(0, 0.5, (3, 10, 60)), "10 ms", spikes)
    record = ["spike_state", "v", "i_stim"]
    with use_device(name, **options):
        return simulate(NET, stimulus, record=record, sample_dt="10 ms", copies=2, seed=1)


def agree(a: Trajectory, b: Trajectory) -> None:
    """The same spikes for 100 ms, and then the same rates within the error of counting."""
    early_a, early_b = a.t < 0.1 - 1e-9, b.t < 0.1 - 1e-9
    assert early_a.sum() > 50
    np.testing.assert_array_equal(a.i[early_a], b.i[early_b])
    np.testing.assert_array_equal(a.t[early_a], b.t[early_b])
    late_a, late_b = (~early_a).sum(), (~early_b).sum()
    assert late_a > 500
    assert abs(late_a - late_b) < 4 * np.sqrt(late_a + late_b)
    assert b.digest == a.digest


def test_cython_agrees_with_numpy(restored: Path) -> None:
    needs("cython")
    run = plain("cython")
    assert run.device == "cython"
    agree(plain("numpy"), run)


class TestStandalone:
    """C++ standalone; each run builds a program."""

    def test_trials_states_and_a_folder_of_ones_own(self, restored: Path, tmp_path: Path) -> None:
        needs("cpp_standalone")
        folder = tmp_path / "mine"
        run, expected = trials("cpp_standalone", directory=folder), trials("numpy")
        assert run.device == "cpp_standalone"
        assert expected.n_spikes > 100
        for name in ("t", "i", "trial"):
            np.testing.assert_array_equal(getattr(run, name), getattr(expected, name))
        for group in ("at_spike", "release", "samples", "final_state"):
            old, new = getattr(expected, group), getattr(run, group)
            assert set(old) == set(new)
            for name, value in old.items():
                np.testing.assert_allclose(new[name], value, rtol=1e-12, atol=1e-12)
        assert (folder / "main.cpp").is_file(), "a folder that was given is the user's to keep"

    def test_a_second_run_in_one_process_on_two_threads(self, restored: Path) -> None:
        needs("cpp_standalone")
        run = plain("cpp_standalone", threads=2)
        agree(plain("numpy"), run)
        assert set(run.final_state) == {"v", "s"}

    @pytest.mark.slow
    @pytest.mark.parametrize("model", ["lif_delta", "qif", "alif"])
    def test_silence_and_one_neuron_without_synapses(self, restored: Path, model: str) -> None:
        needs("cpp_standalone")
        net = HRSNN(model, 1, i=[], j=[], w=[], tau_m=0.02, i_ext=-1.0)
        with use_device("cpp_standalone"):
            run = simulate(net, duration="20 ms", record=["spike_state"])
        assert run.n_spikes == 0
        assert all(value.size == 0 for value in run.release.values())
        agree_on = random_net(model)
        runs = []
        for name in ("numpy", "cpp_standalone"):
            with use_device(name):
                runs.append(simulate(agree_on, CURRENT, seed=1))
        agree(*runs)

    def test_a_build_that_fails_restores_everything(
        self, restored: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        needs("cpp_standalone")

        known = set(SIMULATE._programs)
        # Not a compiler, but something that runs: make fails with what it says.
        monkeypatch.setattr(toolchain, "compiler", lambda: "/bin/false")
        with use_device("cpp_standalone"):
            with pytest.raises(DeviceError, match=r"make failed.*numpy"):
                simulate(NET, duration="10 ms")
        assert set(SIMULATE._programs) == known, "a failure must not be remembered"

    @pytest.mark.parametrize("moment", ["build", "compile"])
    def test_an_exception_on_the_way_restores_everything(
        self, restored: Path, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        needs("cpp_standalone")
        raised = KeyboardInterrupt if moment == "compile" else ZeroDivisionError

        def fail(*args: Any, **kwargs: Any) -> None:
            raise raised

        monkeypatch.setattr(COMPILING, {"build": "build", "compile": "project"}[moment], fail)
        with use_device("cpp_standalone", threads=3):
            with pytest.raises(raised):
                simulate(NET, duration="10 ms")

    def test_a_device_that_a_script_has_set_is_left_alone(self, tmp_path: Path) -> None:
        needs("cpp_standalone")
        set_device("cpp_standalone", directory=str(tmp_path / "script"), build_on_run=False)
        standalone = get_device()
        try:
            group = brian2.NeuronGroup(3, "v : 1", namespace={})
            run = plain("numpy")
            assert get_device() is standalone
            assert standalone.build_options == {"directory": str(tmp_path / "script")}
            assert not standalone.build_on_run
            assert any(group.name in name for name in standalone.arrays.values())
            with use_device("cpp_standalone"):
                with pytest.raises(DeviceError, match="set_device"):
                    simulate(NET, duration="10 ms")
            assert get_device() is standalone
        finally:
            standalone.reinit()
            reset_device()
        assert get_device() is runtime_device
        assert run.n_spikes == plain("numpy").n_spikes


@pytest.mark.parametrize("name", ["numpy", "cython"])
def test_an_exception_restores_the_preferences(
    restored: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    needs(name)

    def fail(*args: Any, **kwargs: Any) -> None:
        assert brian2.prefs["codegen.target"] == name
        raise ZeroDivisionError

    monkeypatch.setattr(SIMULATE, "build", fail)
    with pytest.raises(ZeroDivisionError):
        with use_device(name):
            simulate(NET, duration="10 ms")


def test_choices_nest_and_return() -> None:
    start = current_device().name
    with use_device("numpy") as outer:
        assert current_device() is outer
        with use_device("auto"):
            assert current_device().name == best_device()
            with use_device("numpy"):
                assert current_device().name == "numpy"
        with pytest.raises(ZeroDivisionError):
            with use_device("auto"):
                raise ZeroDivisionError
        assert current_device() is outer
    assert current_device().name == start


def test_a_choice_can_be_used_again() -> None:
    start = current_device()
    choice = use_device("numpy")
    with use_device("auto"):
        with choice:
            assert current_device() is choice
    with choice:
        assert current_device() is choice
    assert current_device() == start


def test_cuda_says_why_it_does_not_run() -> None:
    found = capability("cuda_standalone")
    assert not found.available
    with pytest.raises(DeviceError) as caught:
        use_device("cuda_standalone")
    assert found.reason in str(caught.value)
    assert caught.value.field == "device"


def test_without_a_compiler_numpy_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "compiler", lambda: None)
    for name in ("cython", "cpp_standalone"):
        assert "compiler" in capability(name).reason
        with pytest.raises(DeviceError, match="compiler"):
            use_device(name)
    assert best_device() == "numpy"
    with use_device("auto"):
        assert current_device().name == "numpy"


def test_every_device_gives_a_reason() -> None:
    found = capabilities()
    assert [c.device for c in found] == list(DEVICES)
    assert all(c.reason and "None" not in c.reason for c in found)
    assert found[0].available


@pytest.mark.parametrize("name", ["gpu", "", "CPU", None, 3, ["numpy"]])
def test_unknown_devices_are_refused(name: Any) -> None:
    before = current_device()
    for function in (use_device, capability):
        with pytest.raises(ParameterError, match=r"device.*cpp_standalone"):
            function(name)
    assert current_device() == before


@pytest.mark.parametrize(
    ("name", "options", "field"),
    [
        ("numpy", {"threads": 2}, "use_device"),
        ("auto", {"directory": "x"}, "use_device"),
        ("cpp_standalone", {"openmp": 2}, "use_device"),
        ("cpp_standalone", {"threads": -1}, "threads"),
        ("cpp_standalone", {"threads": 1.5}, "threads"),
        ("cpp_standalone", {"threads": True}, "threads"),
        ("cpp_standalone", {"directory": 3}, "directory"),
    ],
)
def test_unknown_options_are_refused(name: str, options: dict[str, Any], field: str) -> None:
    needs(name)
    before = current_device()
    with pytest.raises(ParameterError) as caught:
        use_device(name, **options)
    assert caught.value.field.startswith(field)
    assert current_device() == before


def test_running_yields_the_name_and_hides_the_log(restored: Path) -> None:
    with use_device("numpy") as choice:
        with running(choice) as name:
            assert name == "numpy"
            assert brian2.prefs["codegen.target"] == "numpy"
            assert logging.getLogger("brian2").level == logging.ERROR
