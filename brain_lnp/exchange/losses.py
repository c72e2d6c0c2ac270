"""What a foreign format cannot carry of a network, said rather than dropped in silence."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from models_eq.errors import CapabilityError


class FormatWarning(UserWarning):
    """A format does not carry everything; the text lists the fields and what follows from it."""


def tell(losses: Sequence[str], where: str, *, strict: bool, stacklevel: int = 3) -> None:
    """Warn of what is lost, or refuse where it must not be.

    Parameters
    ----------
    losses : sequence of str
        Each names a field and what becomes of it. Nothing happens for none.
    where : str
        Name of the format.
    strict : bool
        Raise instead of warning.
    stacklevel : int
        As of :func:`warnings.warn`.

    Raises
    ------
    CapabilityError
        With ``strict``, listing the fields.
    """
    if not losses:
        return
    text = "; ".join(losses)
    if strict:
        raise CapabilityError(
            where, "a network that the format carries whole", text,
            "Pass strict=False to write what it does carry",
        )  # fmt: skip
    warnings.warn(f"{where} does not carry {text}", FormatWarning, stacklevel=stacklevel)
