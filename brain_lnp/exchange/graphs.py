"""Networks as SciPy sparse matrices and NetworkX graphs, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from brain_lnp.exchange.losses import tell
from brain_lnp.exchange.nir_files import extra
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN, PER_NEURON
from models_eq.neurons import neuron_model

_NODE = (*PER_NEURON, "is_exc", "cluster", "ids")
_GRAPH = ("model", "n_origin", "history")


def to_scipy(net: HRSNN, *, strict: bool = False) -> sparse.csr_array:
    """Weights of a network as a CSR array of shape (post, pre).

    Parameters
    ----------
    net : HRSNN
    strict : bool
        Refuse what a matrix does not carry: everything but weights.

    Returns
    -------
    scipy.sparse.csr_array, shape (n, n)
        A copy. Synapses of weight 0 are stored entries.

    Raises
    ------
    CapabilityError
        With ``strict``, always.

    Warns
    -----
    FormatWarning
        That neurons and their parameters stay behind.
    """
    tell([", ".join(_NODE) + ": pass them to from_scipy"], "a matrix", strict=strict)
    return net.weights.copy()


def from_scipy(matrix: Any, *, tau_m: Any, model: str = "lif_exp", **fields: Any) -> HRSNN:
    """Network of a weight matrix.

    Parameters
    ----------
    matrix : sparse or dense array, shape (n, n)
        Weight from neuron ``column`` to neuron ``row``. Stored entries are synapses, those of
        value 0 too; in a dense array what is not 0.
    tau_m : array_like, shape (n,), s, or Quantity
        Membrane time constants.
    model : str
        Neuron model.
    **fields
        Further fields of :class:`~models_eq.HRSNN`.

    Returns
    -------
    HRSNN

    Raises
    ------
    ParameterError
        For a matrix that is not square, a diagonal (self-loops), or what HRSNN refuses.

    Examples
    --------
    >>> from_scipy([[0, 0.5], [0, 0]], tau_m=0.02)
    HRSNN(lif_exp, 2 neurons, 1 synapses, 100 % excitatory)
    """
    try:
        coo = sparse.coo_array(matrix)
        coo = sparse.coo_array(coo.tocsr()) if coo.nnz else coo  # sums what stands twice
    except (TypeError, ValueError) as error:
        raise ParameterError("matrix", "a matrix (post, pre)", str(error)) from None
    if coo.ndim != 2 or coo.shape[0] != coo.shape[1]:
        raise ParameterError("matrix", "shape (n, n)", f"shape {coo.shape}")
    taken = {"n", "i", "j", "w"} & set(fields)
    if taken:
        raise ParameterError("fields", "what the matrix does not say", ", ".join(sorted(taken)))
    post, pre = coo.coords
    return HRSNN(model, coo.shape[0], i=pre, j=post, w=coo.data, tau_m=tau_m, **fields)


def to_networkx(net: HRSNN) -> Any:
    """Network as a NetworkX graph; nothing is lost.

    Parameters
    ----------
    net : HRSNN

    Returns
    -------
    networkx.DiGraph
        Nodes 0..n-1 with every per-neuron array as an attribute (SI), edges with ``weight``; the
        rest as attributes of the graph.

    Raises
    ------
    CapabilityError
        If NetworkX is not installed.
    """
    graph = extra("networkx").DiGraph(**{name: getattr(net, name) for name in _GRAPH})
    columns = {name: getattr(net, name).tolist() for name in _NODE}
    columns |= {name: value.tolist() for name, value in net.params.items()}
    for k in range(net.n):
        graph.add_node(k, **{name: column[k] for name, column in columns.items()})
    edges = zip(net.i.tolist(), net.j.tolist(), net.w.tolist(), strict=True)
    graph.add_weighted_edges_from(edges)
    return graph


def from_networkx(graph: Any, *, weight: str = "weight", **fields: Any) -> HRSNN:
    """Network of a NetworkX graph.

    Parameters
    ----------
    graph : networkx.DiGraph
        Its nodes, in their order, become the neurons; attributes of nodes named like fields of
        :class:`~models_eq.HRSNN` or parameters of the model are taken, others left out.
    weight : str
        Attribute of an edge that holds its weight.
    **fields
        Fields that go before those of the graph; ``tau_m`` must come from one of them.

    Returns
    -------
    HRSNN

    Raises
    ------
    ParameterError
        For an undirected graph, several edges between two nodes, or a field that is missing.

    Warns
    -----
    FormatWarning
        For attributes of nodes that no field takes.
    """
    networkx = extra("networkx")
    if not isinstance(graph, networkx.DiGraph) or graph.is_multigraph():
        raise ParameterError("graph", "a networkx.DiGraph", type(graph).__name__)
    nodes = list(graph.nodes)
    if not nodes:
        raise ParameterError("graph", "at least one node", "none")
    number = {node: k for k, node in enumerate(nodes)}
    try:
        edges = [(number[a], number[b], float(d[weight])) for a, b, d in graph.edges(data=True)]
    except (KeyError, TypeError, ValueError):
        raise ParameterError("weight", f"a number {weight!r} on every edge", "none") from None
    given: dict[str, Any] = {name: graph.graph[name] for name in _GRAPH if name in graph.graph}
    own = {name for node in nodes for name in graph.nodes[node]}
    model = fields.pop("model", given.pop("model", "lif_exp"))
    extras = set(neuron_model(model).params)
    for name in sorted(own & {*_NODE, *extras}):
        missing = [node for node in nodes if name not in graph.nodes[node]]
        if missing:
            raise ParameterError(
                name, "an attribute of every node or of none", f"none at {missing[0]}"
            )
        column = np.array([graph.nodes[node][name] for node in nodes])
        if name in extras:
            given.setdefault("params", {})[name] = column
        else:
            given[name] = column
    left = sorted(str(name) for name in own - {*_NODE, *extras})
    tell(left and [f"node attributes {', '.join(left)}"], "HRSNN", strict=False)
    given |= fields
    if "tau_m" not in given:
        raise ParameterError("tau_m", "an attribute of every node, or an argument", "none")
    columns = np.array(edges).reshape(-1, 3)
    return HRSNN(
        model, len(nodes), i=columns[:, 0].astype(np.int64), j=columns[:, 1].astype(np.int64),
        w=columns[:, 2], **given,
    )  # fmt: skip
