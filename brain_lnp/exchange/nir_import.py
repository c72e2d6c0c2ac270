"""NIR graphs as networks."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from brain_lnp.exchange.losses import tell
from brain_lnp.exchange.nir_export import CARRIED, OWN, OWN_VERSION
from brain_lnp.exchange.nir_files import Tree, read_tree
from brain_lnp.exchange.nir_graph import CUBA, Flat, Route, flatten, numbers
from models_eq.errors import BrainLNPError, CapabilityError, FormatError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.packing import check

MAX_NEURONS = 100_000


@dataclass(frozen=True, eq=False, repr=False)
class NIRNetwork:
    """What a NIR graph holds.

    Attributes
    ----------
    net : HRSNN
        Populations of neurons one after the other, numbered in ``cluster``.
    input_weights : ndarray, shape (c, n)
        Kick of a spike on each input channel, all Input nodes one after the other.
    populations : tuple of str
        Names of the populations, in the order of their numbers.
    """

    net: HRSNN
    input_weights: np.ndarray
    populations: tuple[str, ...]

    def __repr__(self) -> str:
        return f"NIRNetwork({self.net!r}, {self.input_weights.shape[0]} input channels)"


def from_nir(source: Any) -> HRSNN:
    """Read a network from a NIR file or graph; its inputs are left out.

    Parameters
    ----------
    source : path-like or nir.NIRGraph

    Returns
    -------
    HRSNN

    Raises
    ------
    MissingFileError, FormatError
        For a file that is not there, damaged or foreign.
    CapabilityError
        For nodes that a network of ours cannot hold, by name: convolutions, delays, pools,
        integrators without leak or threshold.

    See Also
    --------
    read_nir : The inputs as well, and how a graph is read.
    """
    return read_nir(source).net


def read_nir(source: Any) -> NIRNetwork:
    """Read a network and its input weights from a NIR file or graph.

    Parameters
    ----------
    source : path-like or nir.NIRGraph

    Returns
    -------
    NIRNetwork

    Raises
    ------
    MissingFileError, FormatError, CapabilityError
        As of :func:`from_nir`.

    Warns
    -----
    FormatWarning
        For what is taken approximately: a bias behind a synaptic filter counts as settled.

    Notes
    -----
    Nodes LIF, CubaLIF, Linear, Affine, Scale, Input, Output and graphs within graphs, joined in
    any way; chains of linear nodes are multiplied out. A weight W onto a LIF becomes the kick
    ``r W/tau`` of ``lif_delta``, onto a CubaLIF the jump ``r w_in W/tau_syn`` of ``lif_exp``;
    a bias becomes ``i_ext``. Metadata of our own restore the rest, unless they contradict it.
    """
    if isinstance(source, (str, os.PathLike)):
        where, tree = str(source), read_tree(source)
    elif hasattr(source, "to_dict") and hasattr(source, "nodes"):
        where, tree = "graph", source.to_dict()
    else:
        raise ParameterError("source", "a path or a nir.NIRGraph", type(source).__name__)
    try:
        return _network(tree)
    except CapabilityError:
        raise
    except BrainLNPError as error:
        raise FormatError(where, "a NIR graph of spiking neurons", str(error)) from error
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        why = f"{type(error).__name__}: {error}"
        raise FormatError(where, "a NIR graph of spiking neurons", why) from error


def _network(tree: Tree) -> NIRNetwork:
    flat = flatten(tree)
    names = flat.populations()
    check(bool(names), "nodes", "neurons (LIF or CubaLIF)", "none")
    kinds = {flat.nodes[name]["type"] for name in names}
    if len(kinds) > 1:
        raise CapabilityError(
            "nodes", "neurons of one kind, as a network of ours has one model",
            " and ".join(sorted(kinds)), "Write each as a graph of its own",
        )  # fmt: skip
    neurons = {name: _parameters(flat, name) for name in names}
    sizes = {name: neurons[name]["tau_m"].size for name in names}
    n = sum(sizes.values())
    check(0 < n <= MAX_NEURONS, "nodes", f"1..{MAX_NEURONS} neurons", n)
    starts = dict(zip(names, np.cumsum([0, *sizes.values()])[:-1].tolist(), strict=True))
    inputs = flat.inputs()
    channels = {name: flat.size_of_input(name) for name in inputs}
    check(sum(channels.values()) <= MAX_NEURONS, "nodes", f"{MAX_NEURONS} channels", "more")
    at = dict(zip(inputs, np.cumsum([0, *channels.values()])[:-1].tolist(), strict=True))
    route = Route(flat, {**sizes, **channels})
    i, j, w, ins = [], [], [], []
    settled = False
    for name in names:
        arriving, bias = route.into(name)
        own = neurons[name]
        if bias is not None:
            settled = settled or kinds == {CUBA}
            own["i_ext"] = own["i_ext"] + own.pop("per_bias") * bias
        else:
            del own["per_bias"]
        scale = own.pop("per_spike")
        for origin, matrix in arriving.items():
            block = sparse.coo_array(matrix)
            kick = block.data * scale[block.coords[0]]
            if origin in starts:
                i.append(block.coords[1] + starts[origin])
                j.append(block.coords[0] + starts[name])
                w.append(kick)
            else:
                ins.append((block.coords[1] + at[origin], block.coords[0] + starts[name], kick))
    if settled:
        tell(["the filter of a bias through a synapse, which is taken as settled"], "lif_exp",
             strict=False, stacklevel=4)  # fmt: skip
    empty = np.zeros(0, dtype=np.int64)
    fields: dict[str, Any] = {
        key: np.concatenate([neurons[name][key] for name in names]) for key in neurons[names[0]]
    }
    net = HRSNN(
        "lif_exp" if kinds == {CUBA} else "lif_delta", n,
        i=np.concatenate([empty, *i]), j=np.concatenate([empty, *j]),
        w=np.concatenate([np.zeros(0), *w]),
        cluster=np.repeat(np.arange(len(names)), list(sizes.values())), **fields,
    )  # fmt: skip
    dense = np.zeros((sum(channels.values()), n))
    for row, column, kick in ins:
        np.add.at(dense, (row, column), kick)
    return NIRNetwork(_restored(net, tree), dense, tuple(names))


def _parameters(flat: Flat, name: str) -> dict[str, np.ndarray]:
    """Fields of HRSNN, and what a spike and a bias count for."""
    node = flat.nodes[name]
    cuba = node["type"] == CUBA
    tau = numbers(node, "tau_mem" if cuba else "tau", name).ravel()
    shaped = {key: numbers(node, key, name) for key in ("r", "v_leak", "v_threshold")}
    for key in ("v_reset", "tau_syn", "w_in"):
        if key in node:
            shaped[key] = numbers(node, key, name)
    for key, value in shaped.items():
        fine = value.size in (1, tau.size)
        check(fine, f"{name}.{key}", f"{tau.size} numbers, as tau", value.shape)
    n = tau.size
    full = {
        key: np.broadcast_to(value.ravel(), (n,)).astype(float) for key, value in shaped.items()
    }
    found = {
        "tau_m": tau.astype(float), "v_rest": full["v_leak"], "v_th": full["v_threshold"],
        "v_reset": full.get("v_reset", np.zeros(n)), "i_ext": np.zeros(n), "per_bias": full["r"],
    }  # fmt: skip
    bad = ~(tau > 0)
    check(not bad.any(), f"{name}.tau", "time constants above 0 s", "others")
    if not cuba:
        return {**found, "per_spike": _ratio(full["r"], found["tau_m"])}
    check("tau_syn" in full, f"{name}.tau_syn", "a time constant", "none")
    check(bool((full["tau_syn"] > 0).all()), f"{name}.tau_syn", "values above 0 s", "others")
    w_in = full.get("w_in", np.ones(n))
    found |= {"tau_syn": full["tau_syn"], "per_bias": full["r"] * w_in}
    return {**found, "per_spike": full["r"] * _ratio(w_in, full["tau_syn"])}


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.where(above == below, 1.0, above / below)


def _restored(net: HRSNN, tree: Tree) -> HRSNN:
    """The network with what our own metadata say, where they fit the graph."""
    metadata = tree.get("metadata")
    own = metadata.get(OWN) if isinstance(metadata, Mapping) else None
    if not isinstance(own, Mapping):
        return net
    version = numbers(own, "version", "metadata")
    if version.shape != () or int(version) != OWN_VERSION:
        tell(
            [f"metadata of version {version}, which are left out"], OWN, strict=False, stacklevel=6
        )
        return net
    values: dict[str, Any] = {name: numbers(own, name, "metadata") for name in CARRIED}
    values["is_exc"] = numbers(own, "is_exc", "metadata").astype(bool)
    fits = all(np.shape(v) == (net.n,) for v in values.values()) and own.get("model") == net.model
    fits = fits and np.array_equal(values["v_rest"] + values["i_ext"], net.v_rest)
    if net.model == "lif_exp":
        fits = fits and np.array_equal(values["tau_syn"], net.tau_syn)
    if not fits:
        tell(
            ["metadata that contradict the graph and are left out"], OWN, strict=False, stacklevel=6
        )
        return net
    if "zero_i" in own:
        zero = numbers(own, "zero_i", "metadata"), numbers(own, "zero_j", "metadata")
        net = net.add_edges(*zero, 0.0)
    history = json.loads(str(own.get("history", "[]")))
    return net.replace(
        **values, n_origin=int(numbers(own, "n_origin", "metadata")), history=tuple(history)
    )
