"""use_device: the only place that touches Brian2's device and code generation preferences."""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

import brian2
import numpy as np
from brian2.devices.device import (
    Device,
    all_devices,
    get_device,
    reset_device,
    runtime_device,
    set_device,
)

from models_eq import cuda, toolchain
from models_eq.builds import compiled
from models_eq.capability import (
    DEVICES,
    Capability,
    best_device,
    capabilities,
    capability,
)
from models_eq.checks import floats, whole
from models_eq.errors import DeviceError, ParameterError

__all__ = [
    "DEVICES",
    "Capability",
    "DeviceChoice",
    "best_device",
    "build_and_run",
    "capabilities",
    "capability",
    "current_device",
    "program_environment",
    "project",
    "running",
    "use_device",
]

brian2_logger = logging.getLogger("brian2")

_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "numpy": (),
        "cython": (),
        "cpp_standalone": ("threads", "precision", "directory"),
        "cuda_standalone": (
            "precision", "gpu", "compute_capability", "compile_only", "directory",
        ),
    }
)  # fmt: skip
_PREFERENCES = (
    "codegen.target",
    "core.default_float_dtype",
    "core.stop_on_keyboard_interrupt",
    "devices.cpp_standalone.openmp_threads",
)


@dataclass(frozen=True)
class DeviceChoice:
    """A device and its options, usable as a context manager that restores on exit.

    Attributes
    ----------
    name : str
        Name of the device, or ``"auto"``.
    options : Mapping of str to object
        What :func:`use_device` was given.
    previous : DeviceChoice or None
        The choice that it took over from.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    previous: DeviceChoice | None = field(default=None, repr=False, compare=False)

    def __enter__(self) -> DeviceChoice:
        _state["current"] = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        _state["current"] = self.previous or _DEFAULT


_DEFAULT = DeviceChoice("auto")
_state: dict[str, DeviceChoice] = {"current": _DEFAULT}


def use_device(name: str, **options: Any) -> DeviceChoice:
    """Choose the device of all following simulations.

    Parameters
    ----------
    name : str
        ``"numpy"``, ``"cython"``, ``"cpp_standalone"``, ``"cuda_standalone"``, or ``"auto"``
        (cython where there is a C++ compiler, numpy otherwise).
    **options
        ``cpp_standalone``: ``threads`` (OpenMP threads, 0 for none). ``cuda_standalone``: ``gpu``
        (its number; by default the one of the highest compute capability),
        ``compute_capability`` (by default that of the GPU), ``compile_only`` (compile without a
        GPU; nothing runs). Both: ``precision`` (``"double"`` or ``"single"``) and ``directory``
        (where to generate the sources; by default a temporary folder that is removed).

    Returns
    -------
    DeviceChoice
        Use it in a ``with`` statement to return to the previous choice at its end.

    Raises
    ------
    ParameterError
        For an unknown device or option.
    DeviceError
        If the device cannot run on this machine; the message says why.

    Examples
    --------
    >>> with use_device("numpy"):
    ...     current_device().name
    'numpy'
    """
    found = capability(name)
    if options.get("compile_only") is True and name == "cuda_standalone":
        missing = cuda.missing_for_compiling()
        found = Capability(name, not missing, "; ".join(missing))
    if not found.available:
        raise DeviceError("device", "one that runs here", name, found.reason)
    allowed = () if name == "auto" else _OPTIONS[name]
    unknown = set(options) - set(allowed)
    if unknown:
        raise ParameterError(
            f"use_device({name!r})",
            "options " + (", ".join(allowed) or "none"),
            ", ".join(sorted(unknown)),
        )
    _check_options(options)
    choice = DeviceChoice(name, MappingProxyType(dict(options)), _state["current"])
    _state["current"] = choice
    return choice


def _check_options(options: dict[str, Any]) -> None:
    for name in ("threads", "gpu"):
        if name in options:
            options[name] = whole(options[name], name, 0)
    if options.get("precision", "double") not in ("single", "double"):
        raise ParameterError("precision", "'single' or 'double'", options["precision"])
    if "compute_capability" in options:
        value = floats(options["compute_capability"], "compute_capability")
        if value.ndim or not value >= cuda.LEAST:
            raise ParameterError("compute_capability", f"at least {cuda.LEAST}", value)
        options["compute_capability"] = float(value)
    if not isinstance(options.get("compile_only", False), bool):
        raise ParameterError("compile_only", "True or False", options["compile_only"])
    directory = options.get("directory")
    if directory is not None and not isinstance(directory, (str, os.PathLike)):
        raise ParameterError("directory", "the path of a folder", directory)


def current_device() -> DeviceChoice:
    """The device that the next simulation will run on, with ``auto`` resolved."""
    choice = _state["current"]
    if choice.name == "auto":
        return DeviceChoice(best_device(), {}, choice)
    return choice


@contextmanager
def running(choice: DeviceChoice) -> Iterator[str]:
    """Set Brian2 up for one simulation on ``choice``; restore everything on exit.

    Yields
    ------
    str
        The device name.

    Raises
    ------
    DeviceError
        If a script has set Brian2 itself to the standalone device that is asked for.
    """
    wanted: dict[str, Any] = {}
    if choice.name == "cuda_standalone":
        importlib.import_module("brian2cuda")  # it registers the device and its preferences
        wanted = cuda.preferences(choice.options)
    if choice.options.get("precision") == "single":
        wanted["core.default_float_dtype"] = np.float32
    saved = {name: brian2.prefs[name] for name in (*_PREFERENCES, *wanted)}
    before = get_device()
    level = brian2_logger.level
    step = before.defaultclock.dt
    with ExitStack() as stack:
        stack.callback(_restore, saved, level, before, step)
        # Brian2 logs a line at INFO for each method it picks; a simulation of ours is not the
        # place where a user looks for it.
        brian2_logger.setLevel(logging.ERROR)
        # Otherwise Brian2 ends the run early on Ctrl-C and goes on: the spikes of half a run
        # would be taken for those of the whole.
        brian2.prefs["core.stop_on_keyboard_interrupt"] = False
        for name, value in wanted.items():
            brian2.prefs[name] = value
        if choice.name in ("numpy", "cython"):
            brian2.prefs["codegen.target"] = choice.name
            if before is not runtime_device:
                set_device("runtime")
        else:
            _prepare_standalone(choice, stack)
        yield choice.name


def _prepare_standalone(choice: DeviceChoice, stack: ExitStack) -> None:
    device = all_devices[choice.name]
    if get_device() is device:
        # There is one such object, and it holds what the script has recorded so far.
        raise DeviceError(
            "device",
            f"Brian2's device not to be {choice.name} already",
            "a script that has called set_device",
            "Call use_device('numpy') before simulate",
        )
    folder = choice.options.get("directory")
    if folder is None:
        folder = tempfile.mkdtemp(prefix="brain_lnp_")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
    brian2.prefs["devices.cpp_standalone.openmp_threads"] = int(choice.options.get("threads", 0))
    stack.callback(device.reinit)
    set_device(choice.name, build_on_run=False, directory=os.fspath(folder))


def _restore(saved: Mapping[str, Any], level: int, before: Device, step: Any) -> None:
    if get_device() is not before:
        reset_device()
    before.defaultclock.dt = step
    for name, value in saved.items():
        brian2.prefs[name] = value
    brian2_logger.setLevel(level)


def _compile(choice: DeviceChoice) -> tuple[Any, Path, Path]:
    """Generate the project of what was collected and compile it, unless the cache has it."""
    device, is_cuda = get_device(), choice.name == "cuda_standalone"
    folder = Path(device.build_options["directory"])
    device.build(compile=False, run=False, clean=False, **device.build_options)
    if is_cuda:
        cuda.mend(folder)
    cxx = toolchain.compiler() or "c++"
    tools = f"{cxx} {toolchain.version(cxx)}"
    if is_cuda:
        nvcc = str(toolchain.cuda_toolkit().nvcc)
        tools += f"\n{nvcc} {toolchain.version(nvcc)}"
    return device, folder, compiled(folder, tools, {"CXX": cxx})


def build_and_run() -> None:
    """Compile and run what was collected, on a standalone device; nothing on the others.

    Raises
    ------
    DeviceError
        If the program cannot be compiled or fails.
    """
    if get_device() is runtime_device:
        return
    choice = current_device()
    if choice.options.get("compile_only"):
        raise DeviceError("device", "one that runs", "compile_only", "Call compile_program")
    device, folder, binary = _compile(choice)
    if not (folder / binary.name).exists():
        shutil.copy2(binary, folder / binary.name)
    try:
        device.run_environment_variables.update(program_environment(choice))
        device.run(str(folder), "results", with_output=False)
    except (RuntimeError, OSError) as error:
        raise DeviceError(
            "device", "a program that runs", str(error), "Try use_device('numpy')"
        ) from error


def project(choice: DeviceChoice) -> tuple[Path, dict[str, bytes]]:
    """Compile what was collected on a standalone device, to be run by itself.

    Returns
    -------
    binary : Path
        The program, in the cache.
    static : dict of str to bytes
        Static arrays that it reads.
    """
    _, folder, binary = _compile(choice)
    static = {path.name: path.read_bytes() for path in (folder / "static_arrays").iterdir()}
    return binary, static


def program_environment(choice: DeviceChoice) -> dict[str, str]:
    """Variables that programs compiled for a device are started with."""
    if choice.name == "cuda_standalone":
        return cuda.environment()
    threads = int(choice.options.get("threads", 0))
    return {"OMP_NUM_THREADS": str(threads)} if threads else {}
