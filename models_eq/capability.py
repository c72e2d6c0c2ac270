"""Which devices run on this machine, and what the others lack."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass

from models_eq import cuda, toolchain
from models_eq.errors import ParameterError

DEVICES = ("numpy", "cython", "cpp_standalone", "cuda_standalone")


@dataclass(frozen=True)
class Capability:
    """Whether a device runs on this machine, and if not, why and what would help."""

    device: str
    available: bool
    reason: str


def capability(device: str) -> Capability:
    """Say whether ``device`` runs here.

    Raises
    ------
    ParameterError
        For an unknown device.
    """
    if device == "auto":
        device = best_device()
    if device not in DEVICES:
        raise ParameterError("device", "one of " + ", ".join(DEVICES) + " or auto", device)
    if device == "numpy":
        return Capability(device, True, "always runs; no compiler needed")
    if device in ("cython", "cpp_standalone"):
        if toolchain.compiler() is None:
            return Capability(device, False, "no C++ compiler found: install g++ (or clang++)")
        if device == "cython" and importlib.util.find_spec("Cython") is None:
            return Capability(device, False, "Cython is not installed: pip install cython")
        if device == "cpp_standalone" and shutil.which("make") is None:
            return Capability(device, False, "make was not found: install make")
        return Capability(device, True, f"C++ compiler found ({toolchain.compiler()})")
    missing = cuda.missing_for_running()
    if missing:
        reason = "; ".join(missing)
        if not cuda.missing_for_compiling():
            reason += " (compiling alone works: compile_only=True)"
        return Capability(device, False, reason)
    gpu, toolkit = toolchain.best_gpu(), toolchain.cuda_toolkit()
    found = f"{gpu.name} (compute capability {gpu.compute_capability:g})"
    return Capability(device, True, f"{found}, CUDA {toolkit.version:g} in {toolkit.root}")


def capabilities() -> list[Capability]:
    """Capability of every device, in the order of ``DEVICES``.

    Returns
    -------
    list of Capability
        One for each device.
    """
    return [capability(device) for device in DEVICES]


def best_device() -> str:
    """``cython`` where there is a C++ compiler, ``numpy`` otherwise."""
    return "cython" if capability("cython").available else "numpy"
