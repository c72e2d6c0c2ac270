"""Networks in and out: NIR, SciPy, NetworkX, NEST and PyNN scripts."""

from __future__ import annotations

from brain_lnp.exchange.files import convert, read_network
from brain_lnp.exchange.graphs import from_networkx, from_scipy, to_networkx, to_scipy
from brain_lnp.exchange.losses import FormatWarning
from brain_lnp.exchange.nir_export import to_nir
from brain_lnp.exchange.nir_import import NIRNetwork, from_nir, read_nir
from brain_lnp.exchange.scripts import to_script

__all__ = [
    "FormatWarning",
    "NIRNetwork",
    "convert",
    "from_networkx",
    "from_nir",
    "from_scipy",
    "read_network",
    "read_nir",
    "to_networkx",
    "to_nir",
    "to_script",
    "to_scipy",
]
