"""Networks as graphs of the Neuromorphic Intermediate Representation (NIR)."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from brain_lnp.exchange.losses import tell
from brain_lnp.exchange.nir_files import extra, write_graph
from models_eq.checks import floats
from models_eq.errors import CapabilityError, ParameterError
from models_eq.hrsnn import HRSNN

OWN = "brain_lnp"  # key of our metadata in the graph
OWN_VERSION = 1


def to_nir(
    net: HRSNN,
    path: str | os.PathLike[str] | None = None,
    *,
    input_weights: Any = None,
    strict: bool = False,
) -> Any:
    """Turn a network into a NIR graph, and write it to a file.

    Parameters
    ----------
    net : HRSNN
        A ``lif_exp`` (NIR: CubaLIF) or ``lif_delta`` network (NIR: LIF).
    path : path-like, optional
        Where to write it, customarily ``*.nir``.
    input_weights : array_like, shape (c, n), optional
        Kick of a spike on each of ``c`` input channels; by default one channel a neuron and a kick
        of 1.
    strict : bool
        Refuse a network whose dynamics the format does not carry whole.

    Returns
    -------
    nir.NIRGraph
        ``input -> input_weights -> neurons -> output`` and ``neurons -> recurrent -> neurons``.

    Raises
    ------
    CapabilityError
        For models that NIR has no node for, and with ``strict`` for refractory periods.
    ParameterError
        For input weights of the wrong shape, or a file that cannot be written.

    Warns
    -----
    FormatWarning
        Listing what other simulators will not see.

    Notes
    -----
    NIR's CubaLIF is ``tau_syn dI/dt = -I + w_in S``, ``tau_mem dv/dt = v_leak - v + r I`` with S a
    train of delta pulses; ``w_in = tau_syn`` (s) and ``r = 1`` make every weight the jump of I that
    it is in :class:`~models_eq.HRSNN`. NIR's LIF is ``tau dv/dt = v_leak - v + r S``; here
    ``r = tau``. ``v_leak`` is ``v_rest + i_ext``. Refractory periods and labels of neurons have no
    place in NIR; they lie in the graph's metadata, so that :func:`from_nir` restores the network
    exactly. Weights are a dense matrix of shape (post, pre), 8 n^2 bytes before compression.

    References
    ----------
    Pedersen et al. 2024, 10.1038/s41467-024-52259-9.
    """
    if not isinstance(net, HRSNN):
        raise ParameterError("net", "an HRSNN", type(net).__name__)
    if net.model not in ("lif_exp", "lif_delta"):
        raise CapabilityError(
            "model", "lif_exp or lif_delta, which NIR has nodes for", net.model,
            "Save it as npz",
        )  # fmt: skip
    nir = extra("nir")
    tell(nir_losses(net), "NIR", strict=strict)
    neurons = _neurons(nir, net)
    nodes: dict[str, Any] = {"neurons": neurons}
    edges = [("neurons", "output")]
    if input_weights is None:
        nodes["input"] = nir.Input(input_type={"input": np.array([net.n])})
        edges.append(("input", "neurons"))
    else:
        weights = floats(input_weights, "input_weights")
        fine = weights.ndim == 2 and weights.shape[1] == net.n and weights.shape[0] > 0
        if not fine or not np.isfinite(weights).all():
            raise ParameterError("input_weights", f"finite, shape (c, {net.n})", weights.shape)
        nodes["input"] = nir.Input(input_type={"input": np.array([weights.shape[0]])})
        nodes["input_weights"] = nir.Linear(weight=np.ascontiguousarray(weights.T))
        edges += [("input", "input_weights"), ("input_weights", "neurons")]
    if net.n_synapses:
        nodes["recurrent"] = nir.Linear(weight=net.weights.toarray())
        edges += [("neurons", "recurrent"), ("recurrent", "neurons")]
    nodes["output"] = nir.Output(output_type={"output": np.array([net.n])})
    graph = nir.NIRGraph(nodes=nodes, edges=edges, metadata={OWN: _metadata(net)})
    if path is not None:
        write_graph(graph, path)
    return graph


def nir_losses(net: HRSNN) -> list[str]:
    """What other readers of a NIR graph do not see of a network's dynamics."""
    losses = []
    if net.t_ref.any():
        most = float(net.t_ref.max())
        losses.append(f"t_ref (up to {most:g} s): other simulators run without refractoriness")
    return losses


def _neurons(nir: Any, net: HRSNN) -> Any:
    common = {
        "v_leak": net.v_rest + net.i_ext, "v_threshold": net.v_th.copy(),
        "v_reset": net.v_reset.copy(),
    }  # fmt: skip
    if net.model == "lif_delta":
        return nir.LIF(tau=net.tau_m.copy(), r=net.tau_m.copy(), **common)
    return nir.CubaLIF(
        tau_mem=net.tau_m.copy(), tau_syn=net.tau_syn.copy(), r=np.ones(net.n),
        w_in=net.tau_syn.copy(), **common,
    )  # fmt: skip


def _metadata(net: HRSNN) -> dict[str, Any]:
    zero = net.w == 0  # a matrix does not tell them from no synapse
    return {
        "version": OWN_VERSION,
        "model": net.model,
        "n_origin": net.n_origin,
        "history": json.dumps(list(net.history), default=str),
        **({"zero_i": net.i[zero], "zero_j": net.j[zero]} if zero.any() else {}),
        "is_exc": net.is_exc.astype(np.int8),
        **{name: np.array(getattr(net, name)) for name in CARRIED},
    }


CARRIED = ("tau_syn", "t_ref", "v_rest", "i_ext", "cluster", "ids")
