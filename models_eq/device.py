"""use_device: the only place that touches Brian2's device and code generation preferences."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType, TracebackType
from typing import Any

import brian2
from brian2.devices.device import (
    Device,
    all_devices,
    get_device,
    reset_device,
    runtime_device,
    set_device,
)

from models_eq.checks import whole
from models_eq.errors import DeviceError, ParameterError

brian2_logger = logging.getLogger("brian2")

DEVICES = ("numpy", "cython", "cpp_standalone", "cuda_standalone")
_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "numpy": (),
        "cython": (),
        "cpp_standalone": ("threads", "directory"),
        "cuda_standalone": ("directory",),
    }
)
_PREFERENCES = (
    "codegen.target",
    "devices.cpp_standalone.openmp_threads",
    "core.stop_on_keyboard_interrupt",
)


@dataclass(frozen=True)
class Capability:
    """Whether a device runs on this machine, and if not, why and what would help."""

    device: str
    available: bool
    reason: str


@lru_cache(maxsize=1)
def _compiler() -> str | None:
    return shutil.which("g++") or shutil.which("clang++") or shutil.which("c++")


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
        if _compiler() is None:
            return Capability(device, False, "no C++ compiler found: install g++ (or clang++)")
        if device == "cython" and importlib.util.find_spec("Cython") is None:
            return Capability(device, False, "Cython is not installed: pip install cython")
        return Capability(device, True, f"C++ compiler found ({_compiler()})")
    if importlib.util.find_spec("brian2cuda") is None:
        return Capability(
            device,
            False,
            "brian2cuda is not installed: pip install 'brain-lnp[gpu]' (Python 3.12+)",
        )
    if shutil.which("nvidia-smi") is None:
        return Capability(device, False, "no NVIDIA driver found (nvidia-smi is missing)")
    return Capability(
        device, False, "simulate does not drive brian2cuda yet: use to_brian2 in a script"
    )


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
        ``cpp_standalone``: ``threads`` (OpenMP threads, 0 for none) and ``directory`` (where to
        build; by default a temporary folder that is removed).

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
    if not found.available:
        raise DeviceError("device", f"one that runs here, not {name}", found.reason)
    allowed = () if name == "auto" else _OPTIONS[name]
    unknown = set(options) - set(allowed)
    if unknown:
        raise ParameterError(
            f"use_device({name!r})",
            "options " + (", ".join(allowed) or "none"),
            ", ".join(sorted(unknown)),
        )
    if "threads" in options:
        options["threads"] = whole(options["threads"], "threads", 0)
    directory = options.get("directory")
    if directory is not None and not isinstance(directory, (str, os.PathLike)):
        raise ParameterError("directory", "the path of a folder", directory)
    choice = DeviceChoice(name, MappingProxyType(dict(options)), _state["current"])
    _state["current"] = choice
    return choice


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
    saved = {name: brian2.prefs[name] for name in _PREFERENCES}
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


def build_and_run() -> None:
    """Compile and run what was collected, on a standalone device; nothing on the others.

    Raises
    ------
    DeviceError
        If the program cannot be compiled or fails.
    """
    device = get_device()
    if device is runtime_device:
        return
    options = dict(device.build_options)
    try:
        device.build(compile=True, run=True, clean=False, **options)
    except (RuntimeError, OSError) as error:
        raise DeviceError(
            "device", "a program that compiles and runs", str(error), "Try use_device('numpy')"
        ) from error
