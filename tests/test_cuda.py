"""CUDA: what is missing is named, code compiles without a GPU, and with one the spikes agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models_eq import HRSNN, Stimulus, capabilities, compile_program, simulate, use_device
from models_eq import cuda as cuda_module
from models_eq.capability import capability
from models_eq.errors import CapabilityError, DeviceError
from models_eq.plastic import train_stdp
from models_eq.plasticity import STDP
from models_eq.toolchain import CudaToolkit, Gpu, cuda_toolkit, forget

N = 40


def network(model: str = "lif_exp") -> HRSNN:
    rng = np.random.default_rng(4)
    i, j = np.nonzero((rng.random((N, N)) < 0.2) & ~np.eye(N, dtype=bool))
    return HRSNN(
        model, N, i=i, j=j, w=rng.normal(0, 0.1, i.size), tau_m=rng.uniform(0.01, 0.03, N),
        i_ext=rng.uniform(0.8, 1.5, N),
    )  # fmt: skip


STIMULUS = Stimulus(np.random.default_rng(5).normal(0, 0.5, (20, N)), "10 ms")
compiles = pytest.mark.skipif(
    bool(cuda_module.missing_for_compiling()), reason="; ".join(cuda_module.missing_for_compiling())
)


@pytest.fixture
def asked_anew() -> Iterator[None]:
    forget()
    yield
    forget()


def toolkit(folder: Path, release: str, *headers: str) -> Path:
    """A folder that looks like a CUDA toolkit."""
    nvcc = folder / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V{release}.1'\n")
    nvcc.chmod(0o755)
    for name in headers:
        path = folder / "include" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return folder


class TestDetection:
    """Toolkits that are files in a temporary folder."""

    @pytest.fixture(autouse=True)
    def _nothing_else(self, asked_anew: None, monkeypatch: pytest.MonkeyPatch) -> None:
        import models_eq.toolchain as module

        monkeypatch.setattr(module, "_packages", list)
        monkeypatch.setattr(module.shutil, "which", lambda name: None)

    def test_a_whole_toolkit_lacks_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = toolkit(tmp_path, "12.6", "cuda_runtime.h", "thrust/version.h", "curand_kernel.h")
        (root / "lib64").mkdir()
        (root / "lib64" / "libcurand.so").write_text("")
        monkeypatch.setenv("CUDA_PATH", str(root))
        found = cuda_toolkit()
        assert found.missing == () and found.version == 12.6 and found.root == root
        assert found.nvcc == root / "bin" / "nvcc"

    @pytest.mark.parametrize(
        ("release", "headers", "words"),
        [
            ("13.0", ["cuda_runtime.h", "thrust/version.h"], ["pip install nvidia-curand"]),
            ("12.4", ["cuda_runtime.h", "thrust/version.h"], ["nvidia-curand-cu12"]),
            ("13.0", ["thrust/version.h"], ["cuda_runtime.h", "nvidia-cuda-runtime"]),
            ("13.0", ["cuda_runtime.h"], ["Thrust", "nvidia-cuda-cccl"]),
        ],
    )
    def test_what_a_toolkit_lacks_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        release: str, headers: list[str], words: list[str],
    ) -> None:  # fmt: skip
        monkeypatch.setenv("CUDA_PATH", str(toolkit(tmp_path, release, *headers)))
        monkeypatch.setattr("models_eq.toolchain._STANDARD", ())
        said = "; ".join(cuda_toolkit().missing)
        assert all(word in said for word in words), said

    def test_no_toolkit_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("CUDA_PATH", "CUDA_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("models_eq.toolchain._STANDARD", ())
        found = cuda_toolkit()
        assert (
            found.root is None and "nvcc" in found.missing[0] and "pip install" in found.missing[0]
        )


class TestRunning:
    """What stands in the way of running, on machines that are made up."""

    @pytest.fixture(autouse=True)
    def _complete(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cuda_module, "missing_for_compiling", lambda: ())
        monkeypatch.setattr(cuda_module, "cuda_toolkit", lambda: CudaToolkit(Path("/x"), 13.0))
        monkeypatch.setattr("models_eq.toolchain.cuda_toolkit", cuda_module.cuda_toolkit)
        gpus = (Gpu(0, "Old", 7.5, 2**34), Gpu(1, "New", 9.0, 2**36))
        for place in ("models_eq.toolchain.gpus", "models_eq.cuda.gpus"):
            monkeypatch.setattr(place, lambda: gpus)
        monkeypatch.setattr(cuda_module, "driver", lambda: 13.0)

    def test_a_machine_that_has_all_runs(self) -> None:
        found = capability("cuda_standalone")
        assert found.available and "New (compute capability 9)" in found.reason

    def test_the_better_gpu_or_the_one_named(self) -> None:
        prefix = cuda_module.PREFIX
        settings = cuda_module.preferences({})
        assert settings[prefix + "compute_capability"] == 9.0 and settings[prefix + "gpu_id"] == 1
        assert cuda_module.preferences({"gpu": 0})[prefix + "compute_capability"] == 7.5
        with pytest.raises(DeviceError, match=r"0 \(Old\), 1 \(New\)"):
            cuda_module.preferences({"gpu": 2})

    def test_a_driver_older_than_the_toolkit_is_named(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cuda_module, "driver", lambda: 12.4)
        found = capability("cuda_standalone")
        assert not found.available and "CUDA 12.4" in found.reason and "13" in found.reason

    def test_no_driver(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cuda_module, "driver", lambda: None)
        monkeypatch.setattr(cuda_module, "gpus", lambda: ())
        found = capability("cuda_standalone")
        assert not found.available and "driver" in found.reason and "compile_only" in found.reason

    def test_synaptic_scaling_is_refused_with_the_reason(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with use_device("cuda_standalone"):
            with pytest.raises(CapabilityError, match=r"normalise.*cpp_standalone"):
                train_stdp(network(), STIMULUS, STDP())


def test_a_project_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "libcurand.so.10"
    library.write_text("")
    monkeypatch.setattr(cuda_module, "cuda_toolkit", lambda: CudaToolkit(curand_library=library))
    project = tmp_path / "project"
    (project / "code_objects").mkdir(parents=True)
    (project / "objects.h").write_text("extern Clock hrsnn_clock;\n")
    (project / "makefile").write_text("NVCCFLAGS = -std=c++11 -Xcompiler '-std=c++11'\n")
    source = project / "code_objects" / "a.cu"
    source.write_text("if (defaultclock.timestep[0] >= delay)\n  hrsnn_clock.timestep[0],\n")
    cuda_module.mend(project)
    assert source.read_text().count("hrsnn_clock.timestep[0]") == 2
    assert "defaultclock" not in source.read_text()
    assert (project / "makefile").read_text().count("-std=c++17") == 2
    assert (project / "libcurand.so").resolve() == library
    # A program that has the default clock keeps it.
    (project / "objects.h").write_text("extern Clock defaultclock;\n")
    source.write_text("if (defaultclock.timestep[0] >= delay)\n")
    cuda_module.mend(project)
    assert "defaultclock" in source.read_text()


@pytest.mark.cuda
@compiles
class TestCompiling:
    """Needs brian2cuda and nvcc, no GPU; minutes, unless the cache has the program."""

    @pytest.mark.parametrize("model", ["lif_exp", "qif"])
    def test_a_simulation_compiles_and_does_not_run(self, model: str) -> None:
        with use_device("cuda_standalone", compile_only=True):
            program = compile_program(network(model), STIMULUS, record=["spike_state"])
            assert program.binary.stat().st_size > 100_000
            with pytest.raises(DeviceError, match="compiled only"):
                program.run()
            with pytest.raises(DeviceError, match="compiled only"):
                simulate(network(model), STIMULUS, record=["spike_state"])

    def test_single_precision_compiles(self) -> None:
        with use_device("cuda_standalone", compile_only=True, precision="single"):
            program = compile_program(network(), STIMULUS)
        assert program.layout.arguments["hrsnn.v"][0] == np.float32


@pytest.mark.cuda
@pytest.mark.gpu
@pytest.mark.skipif(
    not {c.device: c.available for c in capabilities()}["cuda_standalone"],
    reason=capability("cuda_standalone").reason,
)
class TestOnAGpu:
    """The same network on the GPU and on the processor."""

    @pytest.mark.parametrize("model", ["lif_exp", "lif_delta", "qif", "alif"])
    def test_the_same_spikes_as_on_the_processor(self, model: str) -> None:
        runs = []
        for name in ("cpp_standalone", "cuda_standalone"):
            with use_device(name):
                runs.append(simulate(network(model), STIMULUS, record=["spike_state"], seed=1))
        early = [(r.i[r.t < 0.1 - 1e-9], r.t[r.t < 0.1 - 1e-9]) for r in runs]
        np.testing.assert_array_equal(early[0][0], early[1][0])
        np.testing.assert_array_equal(early[0][1], early[1][1])
        assert early[0][0].size > 20
        assert abs(runs[0].n_spikes - runs[1].n_spikes) < 4 * np.sqrt(2 * runs[0].n_spikes)

    def test_one_program_runs_a_network_before_and_after_pruning(self) -> None:
        dense = network()
        with use_device("cuda_standalone"):
            program = compile_program(dense, STIMULUS)
        for net in (
            dense,
            dense.keep_edges(np.arange(dense.n_synapses) % 5 == 0),
            dense.keep_edges([]),
        ):
            with use_device("numpy"):
                expected = simulate(net, STIMULUS, seed=1)
            found = program.run(net, seed=1)
            early = [(r.i[r.t < 0.1 - 1e-9]).tolist() for r in (expected, found)]
            assert early[0] == early[1]

    def test_copies_of_one_launch_are_those_of_single_launches(self) -> None:
        start = {"v": np.random.default_rng(1).random((3, N))}
        with use_device("cuda_standalone"):
            together = simulate(network(), STIMULUS, copies=3, initial_state=start)
            alone = simulate(network(), STIMULUS, initial_state={"v": start["v"][2]})
        third = together.one_trial(2)
        early = [r.i[r.t < 0.1 - 1e-9].tolist() for r in (third, alone)]
        assert early[0] == early[1]
