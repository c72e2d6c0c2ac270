"""The nodes and edges of a NIR graph, graphs within it unfolded, and the way between neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from models_eq.errors import CapabilityError
from models_eq.packing import check

LIF, CUBA = "LIF", "CubaLIF"
_LINEAR = ("Linear", "Affine", "Scale")
_THROUGH = ("Input", "Output", "Through")
MAX_NODES, MAX_DEPTH = 500, 8


def numbers(node: Mapping[str, Any], key: str, name: str) -> np.ndarray:
    """Finite numbers of a node, or FormatError."""
    check(key in node, f"{name}.{key}", "numbers", "none")
    value = np.asarray(node[key])
    check(value.dtype.kind in "biuf", f"{name}.{key}", "numbers", str(value.dtype))
    check(bool(np.isfinite(value).all()), f"{name}.{key}", "finite numbers", "others")
    return value


@dataclass(frozen=True, eq=False)
class Flat:
    """A graph without graphs in it.

    Attributes
    ----------
    nodes : dict of str to Mapping
        Nodes as their dicts, each with ``type``.
    into : dict of str to list of str
        Nodes from which edges lead into each.
    outer : set of str
        Input nodes of the outermost graph, which are the only sources from outside.
    """

    nodes: dict[str, Mapping[str, Any]]
    into: dict[str, list[str]]
    outer: set[str]

    def populations(self) -> list[str]:
        """Names of the neurons, in the order of the graph."""
        return [name for name, node in self.nodes.items() if node["type"] in (LIF, CUBA)]

    def inputs(self) -> list[str]:
        """Names of the inputs."""
        return [name for name in self.nodes if name in self.outer]

    def size_of_input(self, name: str) -> int:
        """Number of channels of an input."""
        node = self.nodes[name]
        shape = node.get("shape", node.get("input_type"))
        shape = shape.get("input") if isinstance(shape, Mapping) else shape
        array = numbers({"shape": shape}, "shape", name).ravel()
        fine = array.size > 0 and bool(((array >= 1) & (array <= 1e6)).all())
        check(fine, f"{name}.shape", "sizes of at least 1", array)
        size = float(np.prod(array.astype(float)))
        check(size <= 1e6, f"{name}.shape", "at most a million channels", size)
        return int(size)


def flatten(tree: Mapping[str, Any]) -> Flat:
    """Unfold graphs within a graph.

    Parameters
    ----------
    tree : Mapping
        Dict of the graph.

    Returns
    -------
    Flat

    Raises
    ------
    FormatError
        For a graph that is not well formed.
    CapabilityError
        For a kind of node that a network of ours cannot hold.
    """
    nodes: dict[str, Mapping[str, Any]] = {}
    edges: list[tuple[str, str]] = []
    outer: set[str] = set()
    _unfold(tree, "", 0, nodes, edges, outer)
    into: dict[str, list[str]] = {name: [] for name in nodes}
    for start, end in edges:
        into[end].append(start)
    return Flat(nodes, into, outer)


def _unfold(
    tree: Mapping[str, Any],
    prefix: str,
    depth: int,
    nodes: dict[str, Mapping[str, Any]],
    edges: list[tuple[str, str]],
    outer: set[str],
) -> None:
    inner = tree.get("nodes")
    check(isinstance(inner, Mapping), f"{prefix}nodes", "nodes by name", type(inner).__name__)
    check(depth <= MAX_DEPTH, prefix, f"graphs at most {MAX_DEPTH} deep", "more")
    assert isinstance(inner, Mapping)
    first: dict[str, str] = {}  # where an edge into a node arrives
    last: dict[str, str] = {}
    for key, node in inner.items():
        name = f"{prefix}{key}"
        check(isinstance(node, Mapping) and isinstance(node.get("type"), str), name, "a node", node)
        kind = node["type"]
        if kind == "NIRGraph":
            for side in ("Input", "Output"):
                nodes[f"{name}/{side}"] = {"type": "Through"}
            first[key], last[key] = f"{name}/Input", f"{name}/Output"
            _unfold(node, f"{name}/", depth + 1, nodes, edges, outer)
            for k, x in node["nodes"].items():
                if x["type"] == "Input":
                    edges.append((f"{name}/Input", f"{name}/{k}"))
                elif x["type"] == "Output":
                    edges.append((f"{name}/{k}", f"{name}/Output"))
        elif kind in (LIF, CUBA, *_LINEAR, *_THROUGH):
            check(name not in nodes, name, "each node once", "twice")
            nodes[name] = node
            first[key] = last[key] = name
            if kind == "Input" and depth == 0:
                outer.add(name)
        else:
            raise CapabilityError(
                name, f"nodes {LIF}, {CUBA}, {', '.join(_LINEAR)}, Input or Output", kind,
                "A network of ours holds spiking neurons with a leak, joined by weights",
            )  # fmt: skip
        check(len(nodes) <= MAX_NODES, "nodes", f"at most {MAX_NODES} nodes", "more")
    listed = tree.get("edges", [])
    pairs = [] if isinstance(listed, np.ndarray) and not listed.size else listed
    check(isinstance(pairs, Sequence), f"{prefix}edges", "pairs of names", type(pairs).__name__)
    for pair in pairs:
        fine = isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) in (0, 2)
        check(fine, f"{prefix}edges", "pairs of names", pair)
        if len(pair) == 2:
            start, end = (str(x) for x in pair)
            known = start in last and end in first
            check(known, f"{prefix}edges", "names of nodes", f"{start} -> {end}")
            edges.append((last[start], first[end]))


class Route:
    """Matrices from neurons and inputs to neurons, chains of linear nodes multiplied out.

    Parameters
    ----------
    flat : Flat
    sizes : Mapping of str to int
        Neurons of each population and channels of each input.
    """

    def __init__(self, flat: Flat, sizes: Mapping[str, int]) -> None:
        self.flat, self.sizes = flat, sizes
        self._done: dict[str, tuple[dict[str, Any], Any, int | None]] = {}
        self._open: set[str] = set()

    def into(self, name: str) -> tuple[dict[str, Any], np.ndarray | None]:
        """Matrices (to, from) of everything that reaches a population, by origin; and the bias."""
        arriving, bias, size = self._sum(name)
        n = self.sizes[name]
        check(size in (None, n), name, f"input of size {n}", size)
        return arriving, bias

    def _sum(self, name: str) -> tuple[dict[str, Any], Any, int | None]:
        total: dict[str, Any] = {}
        bias: Any = None
        size: int | None = None
        for start in self.flat.into[name]:
            matrices, more, width = self._from(start)
            check(size is None or width in (None, size), name, f"input of size {size}", width)
            size = width if size is None else size
            for origin, matrix in matrices.items():
                total[origin] = total[origin] + matrix if origin in total else matrix
            if more is not None:
                bias = more if bias is None else bias + more
        return total, bias, size

    def _from(self, name: str) -> tuple[dict[str, Any], Any, int | None]:
        """What leaves a node."""
        if name in self.sizes:
            width = self.sizes[name]
            return {name: sparse.eye_array(width, format="csr")}, None, width
        if name in self._done:
            return self._done[name]
        check(name not in self._open, name, "no loop without a neuron in it", "one")
        self._open.add(name)
        found = self._through(name, *self._sum(name))
        self._open.discard(name)
        self._done[name] = found
        return found

    def _through(
        self, name: str, matrices: dict[str, Any], bias: Any, size: int | None
    ) -> tuple[dict[str, Any], Any, int | None]:
        node = self.flat.nodes[name]
        kind = node["type"]
        if kind in _THROUGH:
            return matrices, bias, size
        if kind == "Scale":
            scale = numbers(node, "scale", name).ravel().astype(float)
            size = scale.size if size is None else size
            check(scale.size in (1, size), f"{name}.scale", f"{size} numbers", scale.size)
            factor = sparse.diags_array(np.broadcast_to(scale, (size,)), format="csr")
        else:
            weight = numbers(node, "weight", name)
            check(weight.ndim == 2, f"{name}.weight", "a matrix (to, from)", weight.shape)
            wide = size in (None, weight.shape[1])
            check(wide, f"{name}.weight", f"{size} columns", weight.shape)
            factor = sparse.csr_array(weight.astype(float))
            size = weight.shape[0]
        # A product with the identity would add rounding nowhere, but cost.
        out = {origin: sparse.csr_array(factor @ matrix) for origin, matrix in matrices.items()}
        bias = None if bias is None else factor @ bias
        if kind == "Affine":
            own = numbers(node, "bias", name).ravel().astype(float)
            check(own.size in (1, size), f"{name}.bias", f"{size} numbers", own.size)
            own = np.broadcast_to(own, (size,))
            bias = own if bias is None else bias + own
        return out, bias, size
