"""What can compile and run programs on this machine: compilers, CUDA toolkit, GPUs."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from models_eq.errors import DeviceError

_STANDARD = (Path("/usr/local/cuda"), Path("/opt/cuda"))


def _output(*command: str) -> str:
    """What a command prints, or nothing where it is missing or fails."""
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


@lru_cache(maxsize=1)
def compiler() -> str | None:
    """Path of the C++ compiler: ``$CXX``, else g++, clang++ or c++; None where there is none."""
    named = os.environ.get("CXX", "").split()
    for name in (*named[:1], "g++", "clang++", "c++"):
        found = shutil.which(name)
        if found:
            return found
    return None


@lru_cache(maxsize=4)
def version(program: str) -> str:
    """What a program says of its version, as one line."""
    return " ".join(_output(program, "--version").split())


@dataclass(frozen=True)
class CudaToolkit:
    """A CUDA toolkit that can compile what brian2cuda writes, or what it lacks.

    Attributes
    ----------
    root : Path or None
        Folder that holds ``bin/nvcc``.
    version : float or None
        Such as 13.0.
    curand_include, curand_library : Path or None
        Folder of cuRAND's headers, and its library, of the toolkit or of an installed package.
    missing : tuple of str
        What is missing, each with the way to get it. Empty where it is complete.
    """

    root: Path | None = None
    version: float | None = None
    curand_include: Path | None = None
    curand_library: Path | None = None
    missing: tuple[str, ...] = field(default=())

    @property
    def nvcc(self) -> Path | None:
        """The compiler."""
        return None if self.root is None else self.root / "bin" / "nvcc"


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes
    ----------
    index : int
        Its number.
    name : str
        Its name.
    compute_capability : float
        Such as 9.0.
    memory : int
        Bytes.
    """

    index: int
    name: str
    compute_capability: float
    memory: int


def _packages() -> list[Path]:
    """Folders that pip's NVIDIA packages are installed in."""
    spec = importlib.util.find_spec("nvidia")
    found = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    found.append(Path(sysconfig.get_paths()["purelib"]) / "nvidia")
    folders: list[Path] = []
    for base in dict.fromkeys(found):
        if base.is_dir():
            folders += sorted((path for path in base.iterdir() if path.is_dir()), reverse=True)
    return folders


def _roots() -> Iterator[Path]:
    """Folders that may hold a toolkit, the user's own choice first."""
    for name in ("CUDA_PATH", "CUDA_HOME"):
        if os.environ.get(name):
            yield Path(os.environ[name]).expanduser()
    nvcc = shutil.which("nvcc")
    if nvcc:
        yield Path(nvcc).resolve().parents[1]
        # It may be a script that calls the real one, which knows where it lies.
        top = re.search(r"^#\$ TOP=(.+)$", _dry_run(nvcc), re.MULTILINE)
        if top:
            yield Path(top[1].strip()).resolve()
    yield from _STANDARD
    yield from _packages()


def _dry_run(nvcc: str) -> str:
    try:
        done = subprocess.run(
            [nvcc, "--dryrun", "x.cu"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


@lru_cache(maxsize=1)
def cuda_toolkit() -> CudaToolkit:
    """The CUDA toolkit of this machine, and what is missing in it."""
    # One that lacks something, such as a script that stands for nvcc, gives way to a later one.
    found = [_toolkit(root) for root in dict.fromkeys(_roots()) if _runs(root / "bin" / "nvcc")]
    if not found:
        return CudaToolkit(missing=(_NO_NVCC,))
    return min(found, key=lambda one: len(one.missing))


_NO_NVCC = (
    "no CUDA compiler found (nvcc): install the CUDA toolkit 12 or 13 and set CUDA_PATH to its "
    "folder, or pip install nvidia-cuda-nvcc nvidia-cuda-runtime nvidia-cuda-cccl nvidia-curand"
)


def _runs(nvcc: Path) -> bool:
    return os.access(nvcc, os.X_OK) and bool(_output(str(nvcc), "--version"))


def _toolkit(root: Path) -> CudaToolkit:
    release = re.search(r"release (\d+\.\d+)", _output(str(root / "bin" / "nvcc"), "--version"))
    number = float(release[1]) if release else None
    missing = []
    if _holding(root, "cuda_runtime.h") is None:
        missing.append(
            f"{root} has no headers of the CUDA runtime (cuda_runtime.h): install the whole "
            "toolkit, or pip install nvidia-cuda-runtime"
        )
    if _holding(root, "thrust/version.h") is None:
        missing.append(f"{root} has no Thrust: install the whole toolkit, or nvidia-cuda-cccl")
    include = next(filter(None, (_holding(x, "curand_kernel.h") for x in _curand(root))), None)
    library = next(filter(None, (_library(x) for x in _curand(root))), None)
    if include is None or library is None:
        suffix = "" if number is None or number >= 13 else "-cu12"
        part = "headers" if include is None else "library"
        missing.append(f"no cuRAND {part} found: pip install nvidia-curand{suffix}")
    return CudaToolkit(root, number, include, library, tuple(missing))


def _curand(root: Path) -> Iterator[Path]:
    yield root
    yield from _packages()


def _holding(root: Path, header: str) -> Path | None:
    for name in ("include", "targets/x86_64-linux/include", "include/cccl"):
        if (root / name / header).is_file():
            return root / name
    return None


def _library(root: Path) -> Path | None:
    for name in ("lib64", "lib", "targets/x86_64-linux/lib"):
        for file in ("libcurand.so", "libcurand.so.10"):
            if (root / name / file).exists():
                return root / name / file
    return None


@lru_cache(maxsize=1)
def driver() -> float | None:
    """Newest CUDA version that the NVIDIA driver serves, or None where there is no driver."""
    found = re.search(r"CUDA Version: *(\d+\.\d+)", _output("nvidia-smi"))
    return float(found[1]) if found else None


@lru_cache(maxsize=1)
def gpus() -> tuple[Gpu, ...]:
    """GPUs that the NVIDIA driver sees."""
    query = "--query-gpu=index,name,compute_cap,memory.total"
    found = []
    for line in _output("nvidia-smi", query, "--format=csv,noheader,nounits").splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        try:
            found.append(Gpu(int(cells[0]), cells[1], float(cells[2]), int(cells[3]) * 2**20))
        except (IndexError, ValueError):
            continue
    return tuple(found)


def best_gpu() -> Gpu:
    """The GPU of the highest compute capability, the first of several.

    Raises
    ------
    DeviceError
        If there is none.
    """
    if not gpus():
        raise DeviceError("device", "an NVIDIA GPU and its driver", "none found")
    return max(gpus(), key=lambda one: (one.compute_capability, -one.index))


def forget() -> None:
    """Look again when asked the next time: something was installed since."""
    for function in (compiler, version, cuda_toolkit, driver, gpus):
        function.cache_clear()
