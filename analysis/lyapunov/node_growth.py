"""Node exponents from tangent vectors: of displacements of single neurons, and by participation."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.lyapunov.engine import Engine
from analysis.lyapunov.eventdriven import event_engine
from analysis.lyapunov.nodes import NodeExponents
from analysis.lyapunov.ordered import ordered_engine
from analysis.lyapunov.spectrum import lyapunov_spectrum
from models_eq.checks import whole
from models_eq.errors import CapabilityError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.rng import check_seed
from models_eq.stimulus import Stimulus
from models_eq.units import positive_seconds

VARIABLES = {"lif_exp": ("v", "s"), "lif_delta": ("v",), "qif": ("theta",)}


def perturbed_exponents(
    net: HRSNN,
    stimulus: Stimulus | None = None,
    *,
    duration: Any = None,
    horizon: Any = "0.1 s",
    windows: int = 5,
    variable: str | None = None,
    dt: Any = "0.1 ms",
    seed: int = 0,
) -> NodeExponents:
    """Growth of a displacement of each neuron alone, over a stated horizon.

    Parameters
    ----------
    net : HRSNN
        A ``lif_exp``, ``lif_delta`` or ``qif`` network.
    stimulus : Stimulus, optional
        Frozen input, without trials.
    duration : Quantity or str, optional
        Time over which the windows are spread; by default that of the stimulus, or 3 s. The first
        fifth is left to settle.
    horizon : Quantity or str
        T, over which a displacement grows.
    windows : int
        Windows averaged over.
    variable : str, optional
        What is displaced: ``v`` or ``s`` (``theta`` for ``qif``); by default the membrane. Of a
        refractory neuron it is the time of release.
    dt : Quantity or str
        Time step of the leaky models, which does not matter to the result (``qif`` has none).
    seed : int
        Seed of the initial state.

    Returns
    -------
    NodeExponents
        ``cycles`` counts the windows; standard errors are from the scatter between them.

    Raises
    ------
    CapabilityError
        For another model.
    ParameterError
        For windows that do not fit into the duration, or an unknown variable.

    Notes
    -----
    Lambda_i(T) = (1/T) log |dx(T)| for dx(0) = e_i, with the Euclidean norm over all state
    variables of all neurons (the membrane of a refractory neuron counts as
    lag (v_th - v_reset)/tau). Displacements are infinitesimal: they are the columns of the tangent
    map. For T to infinity every Lambda_i tends to the leading exponent of the network, and
    T (Lambda_i - lambda_1) to the logarithm of the adjoint leading vector, so that T is part of
    the definition: 0.05 to 0.2 s in a network of 20 ms membranes.

    Cost: n tangent vectors over ``windows * horizon``, memory 16 n^2 bytes.
    """
    if net.model not in VARIABLES:
        raise CapabilityError(
            "definition", "'conditional' or 'weighted' for " + net.model, "'perturbed'",
            "It has no compiled tangent flow",
        )  # fmt: skip
    names = VARIABLES[net.model]
    if variable is not None and variable not in names:
        raise ParameterError("variable", "one of " + ", ".join(names), variable)
    if duration is not None:
        total = positive_seconds(duration, "duration")
    else:
        total = 3.0 if stimulus is None else stimulus.duration
    span, step = positive_seconds(horizon, "horizon"), positive_seconds(dt, "dt")
    count = whole(windows, "windows", 2)
    settle = total / 5
    if settle + count * span > total + 1e-9:
        raise ParameterError(
            "horizon", f"{count} windows within {total - settle:g} s", f"{span:g} s each",
            "Take a shorter horizon, fewer windows or a longer duration",
        )  # fmt: skip
    seed = check_seed(seed)
    engine: Engine
    if net.model == "qif":
        engine = event_engine(net, stimulus, seed=seed)
    else:
        engine = ordered_engine(net, stimulus, dt=step, seed=seed)
    spacing = (total - settle - span) / (count - 1)
    column = 0 if variable is None else names.index(variable)
    growth = np.empty((count, net.n))
    for window in range(count):
        engine.advance_to(settle + window * spacing)
        begin = engine.time
        engine.carry(net.n)
        engine.y[:, column, :] = np.eye(net.n)
        engine.advance_to(begin + span)
        size = np.linalg.norm(engine.tangents, axis=0)
        # A displacement may be erased for good, by a spike that a kick has forced.
        with np.errstate(divide="ignore"):
            growth[window] = np.log(size) / (engine.time - begin)
        engine.carry(0)
    finite = np.isfinite(growth).all(axis=0)
    spread = np.where(finite, growth, 0.0).std(axis=0, ddof=1) / np.sqrt(count)
    return NodeExponents(
        growth.mean(axis=0),
        np.where(finite, spread, np.inf),
        np.full(net.n, count),
        "perturbed",
        span,
    )


def weighted_exponents(
    net: HRSNN,
    stimulus: Stimulus | None = None,
    *,
    duration: Any = None,
    dt: Any = None,
    seed: int = 0,
) -> NodeExponents:
    """Mean of the exponents of the network, weighted by a neuron's part in their vectors.

    Parameters
    ----------
    net, stimulus, duration, dt, seed
        As in :func:`~analysis.lyapunov.spectrum.lyapunov_spectrum`.

    Returns
    -------
    NodeExponents
        ``cycles`` counts the orthonormalisation intervals.

    Raises
    ------
    CapabilityError
        For a network with exponents of -infinity, whose mean says nothing.

    Notes
    -----
    sum_k q_ik^2 lambda_k over the whole spectrum, q_ik^2 the mean squared component of the k-th
    orthonormal vector on neuron i, summed over its variables. It depends on the coordinates (which
    unit each variable has). Summed over neurons it is the sum of all exponents.

    Cost: as many tangent vectors as state variables: time grows as n^3, memory as n^2.
    """
    variables = len(VARIABLES.get(net.model, ("v", "s", "a")))
    found = lyapunov_spectrum(
        net, stimulus, k=variables * net.n, duration=duration, dt=dt, seed=seed
    )  # fmt: skip
    if not np.isfinite(found.exponents).all() or found.participation is None:
        raise CapabilityError(
            "definition", "a spectrum of finite exponents", "exponents of -infinity",
            "Spikes forced by a kick keep nothing of a perturbation: take 'conditional'",
        )  # fmt: skip
    part = found.participation
    return NodeExponents(
        part @ found.exponents,
        np.sqrt(part**2 @ found.stderr**2),
        np.full(net.n, len(found.local)),
        "weighted",
    )
