"""brian2cuda: what it needs here, its preferences, and its makefile."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models_eq.errors import DeviceError
from models_eq.toolchain import CudaToolkit, best_gpu, cuda_toolkit, driver, gpus

PREFIX = "devices.cuda_standalone.cuda_backend."
# For code that is compiled without a GPU at hand: Hopper (H100).
ELSEWHERE = 9.0
LEAST = 5.0
PACKAGE = "pip install 'brain-lnp[gpu]' (Python 3.12 or later)"
_DEFAULT_CLOCK = "defaultclock.timestep[0]"
_HOST_FLAGS = ["-w", "-O3", "-ffast-math", "-fno-finite-math-only", "-march=native"]


def missing_for_compiling() -> tuple[str, ...]:
    """What stands in the way of compiling for CUDA, each with the way out; empty for nothing."""
    package: tuple[str, ...] = ()
    if importlib.util.find_spec("brian2cuda") is None:
        package = (f"brian2cuda is not installed: {PACKAGE}",)
    return (*package, *cuda_toolkit().missing)


def missing_for_running() -> tuple[str, ...]:
    """What stands in the way of running on CUDA, each with the way out; empty for nothing."""
    found = list(missing_for_compiling())
    serves, version = driver(), cuda_toolkit().version
    if serves is None and not gpus():
        found.append("no NVIDIA driver found: install it, on a machine with an NVIDIA GPU")
    elif not gpus():
        found.append("the NVIDIA driver sees no GPU")
    else:
        if serves is not None and version is not None and int(version) > int(serves):
            found.append(
                f"the NVIDIA driver serves CUDA {serves:g}, the toolkit is {version:g}: update the "
                f"driver, or install a toolkit of version {int(serves)}"
            )
        if best_gpu().compute_capability < LEAST:
            found.append(f"{best_gpu().name} is too old for brian2cuda (below {LEAST:g})")
    return tuple(found)


def preferences(options: Mapping[str, Any]) -> dict[str, Any]:
    """Preferences of Brian2 under which brian2cuda compiles with the toolkit of this machine.

    Parameters
    ----------
    options : Mapping of str to object
        Of :func:`~models_eq.use_device`: ``gpu`` and ``compute_capability`` where given.

    Raises
    ------
    DeviceError
        If something is missing, or there is no such GPU.
    """
    toolkit = cuda_toolkit()
    missing = missing_for_compiling()
    if missing:
        raise DeviceError("device", "all that CUDA needs", "less", "; ".join(missing))
    index = options.get("gpu")
    chosen = None
    if gpus():
        chosen = best_gpu()
        if index is not None:
            chosen = next((one for one in gpus() if one.index == index), None)
            if chosen is None:
                known = ", ".join(f"{one.index} ({one.name})" for one in gpus())
                raise DeviceError("gpu", f"one of {known}", str(index))
    capability = options.get("compute_capability")
    if capability is None:
        capability = ELSEWHERE if chosen is None else chosen.compute_capability
    include = toolkit.curand_include
    return {
        # Both would run programs that come with a full toolkit only.
        PREFIX + "detect_gpus": False,
        PREFIX + "detect_cuda": False,
        PREFIX + "gpu_id": 0 if chosen is None else chosen.index,
        PREFIX + "compute_capability": float(capability),
        PREFIX + "cuda_runtime_version": toolkit.version,
        PREFIX + "cuda_path": str(toolkit.root),
        # Not -use_fast_math, which rounds double precision too little to see and single too much.
        PREFIX + "extra_compile_args_nvcc": ["-w"],
        "codegen.cpp.extra_compile_args": list(_HOST_FLAGS),
        "codegen.cpp.include_dirs": [] if include is None else [str(include)],
        "codegen.cpp.library_dirs": ["."],
        "codegen.cpp.runtime_library_dirs": [],
        "codegen.cpp.extra_link_args": [],
    }


def mend(project: Path) -> None:
    """Make a project of brian2cuda one that CUDA 12 and 13 compile.

    brian2cuda's makefile asks for C++11, which Thrust of CUDA 13 refuses, and links cuRAND by a
    name that pip's package of it does not have. Its synapses count the steps of their delay on the
    default clock, which is not part of a program whose objects all have a clock of their own.
    """
    objects = (project / "objects.h").read_text()
    makefile = project / "makefile"
    text = makefile.read_text()
    makefile.write_text(text.replace("-std=c++11", "-std=c++17"))
    for path in sorted((project / "code_objects").glob("*.cu")):
        source = path.read_text()
        if _DEFAULT_CLOCK in source and "Clock defaultclock" not in objects:
            own = re.search(r"\b(?!defaultclock\b)(\w+)\.timestep\[0\],", source)
            if own is None:
                raise DeviceError("device", f"a clock in {path.name}", "none")
            path.write_text(source.replace(_DEFAULT_CLOCK, f"{own[1]}.timestep[0]"))
    library = cuda_toolkit().curand_library
    link = project / "libcurand.so"
    if library is not None and not link.exists():
        link.symlink_to(library)


def environment(toolkit: CudaToolkit | None = None) -> dict[str, str]:
    """Variables for a compiled program, so that it finds cuRAND."""
    library = (toolkit or cuda_toolkit()).curand_library
    return {} if library is None else {"LD_LIBRARY_PATH": str(library.parent)}
