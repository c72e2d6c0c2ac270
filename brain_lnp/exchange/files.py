"""Conversion of network files from one format to another."""

from __future__ import annotations

import os
from pathlib import Path

from brain_lnp.exchange.nir_export import to_nir
from brain_lnp.exchange.nir_import import from_nir
from brain_lnp.exchange.scripts import to_script
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.storage import load, save

READ, WRITE = (".npz", ".nir"), (".npz", ".nir", ".py")


def read_network(path: str | os.PathLike[str]) -> HRSNN:
    """Read a network from an npz or a NIR file, by its suffix.

    Raises
    ------
    ParameterError
        For another suffix.
    MissingFileError, FormatError, CapabilityError
        As of :func:`~models_eq.load` and :func:`~brain_lnp.exchange.from_nir`.
    """
    suffix = _suffix(path, "source", READ)
    if suffix == ".nir":
        return from_nir(path)
    net: HRSNN = load(path, expected=HRSNN)
    return net


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    simulator: str = "nest",
    strict: bool = False,
) -> HRSNN:
    """Convert a network file; the suffixes say from what and to what.

    Parameters
    ----------
    source : path-like
        ``*.npz`` or ``*.nir``.
    target : path-like
        ``*.npz``, ``*.nir`` or a script ``*.py``.
    simulator : {'nest', 'pynn'}
        For which a script is written.
    strict : bool
        Refuse what the target does not carry whole.

    Returns
    -------
    HRSNN
        What was read.

    Raises
    ------
    ParameterError
        For another suffix.
    MissingFileError, FormatError, CapabilityError
        For what cannot be read or written.
    """
    to = _suffix(target, "target", WRITE)
    net = read_network(source)
    if to == ".nir":
        to_nir(net, target, strict=strict)
    elif to == ".py":
        to_script(net, target, simulator, strict=strict)
    else:
        save(net, target)
    return net


def _suffix(path: str | os.PathLike[str], field: str, known: tuple[str, ...]) -> str:
    suffix = Path(path).suffix
    if suffix not in known:
        raise ParameterError(field, f"a file name ending in {', '.join(known)}", str(path))
    return suffix
