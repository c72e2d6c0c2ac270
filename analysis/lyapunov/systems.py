"""Smooth systems whose exponents are known: strange attractors, a rate network, linear decay."""

from __future__ import annotations

from typing import Any

import numpy as np
from brian2.units.fundamentalunits import Quantity

from analysis.lyapunov.flows import Flow, Map
from models_eq.checks import floats, whole
from models_eq.errors import ParameterError
from models_eq.rng import stream
from models_eq.units import positive_seconds


def lorenz63(sigma: float = 10.0, rho: float = 28.0, beta: float = 8 / 3) -> Flow:
    """Return the system of Lorenz, time without a unit.

    Notes
    -----
    dx/dt = sigma (y - x), dy/dt = x (rho - z) - y, dz/dt = x y - beta z. With the standard values
    the exponents are 0.906, 0 and -14.572; their sum is -(sigma + 1 + beta) for all values.

    References
    ----------
    Lorenz 1963, 10.1175/1520-0469(1963)020<0130:DNF>2.0.CO;2; exponents: Sprott 2003, Chaos and
    Time-Series Analysis.
    """

    def rhs(x: np.ndarray) -> np.ndarray:
        u, v, w = x[..., 0], x[..., 1], x[..., 2]
        return np.stack([sigma * (v - u), u * (rho - w) - v, u * v - beta * w], axis=-1)

    fixed = np.array([[-sigma, sigma, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -beta]])

    def jacobian(x: np.ndarray) -> np.ndarray:
        found = np.empty((*x.shape, 3))
        found[...] = fixed
        found[..., 1, 0] = rho - x[..., 2]
        found[..., 1, 2] = -x[..., 0]
        found[..., 2, :2] = x[..., 1::-1]
        return found

    return Flow(rhs, jacobian, np.array([1.0, 1.0, 20.0]), name="lorenz63")


def rossler(a: float = 0.2, b: float = 0.2, c: float = 5.7) -> Flow:
    """Return the system of Rössler, time without a unit.

    Notes
    -----
    dx/dt = -y - z, dy/dt = x + a y, dz/dt = b + z (x - c). With the standard values the exponents
    are 0.0714, 0 and -5.394.

    References
    ----------
    Rössler 1976, 10.1016/0375-9601(76)90101-8; exponents: Sprott 2003, Chaos and Time-Series
    Analysis.
    """

    def rhs(x: np.ndarray) -> np.ndarray:
        u, v, w = x[..., 0], x[..., 1], x[..., 2]
        return np.stack([-v - w, u + a * v, b + w * (u - c)], axis=-1)

    fixed = np.array([[0.0, -1.0, -1.0], [1.0, a, 0.0], [0.0, 0.0, 0.0]])

    def jacobian(x: np.ndarray) -> np.ndarray:
        found = np.empty((*x.shape, 3))
        found[...] = fixed
        found[..., 2, 0] = x[..., 2]
        found[..., 2, 2] = x[..., 0] - c
        return found

    return Flow(rhs, jacobian, np.array([1.0, -5.0, 0.1]), name="rossler")


def henon(a: float = 1.4, b: float = 0.3) -> Map:
    """Return the map of Hénon.

    Notes
    -----
    (x, y) -> (1 - a x² + y, b x). With the standard values the exponents are 0.4192 and -1.6232;
    their sum is ln |b| for all values.

    References
    ----------
    Hénon 1976, 10.1007/BF01608556; exponents: Sprott 2003, Chaos and Time-Series Analysis.
    """

    def step(x: np.ndarray) -> np.ndarray:
        u, v = x[..., 0], x[..., 1]
        return np.stack([1 - a * u**2 + v, b * u], axis=-1)

    fixed = np.array([[0.0, 1.0], [b, 0.0]])

    def jacobian(x: np.ndarray) -> np.ndarray:
        found = np.empty((*x.shape, 2))
        found[...] = fixed
        found[..., 0, 0] = -2 * a * x[..., 0]
        return found

    return Map(step, jacobian, np.array([0.1, 0.1]), name="henon")


def rate_network(n: int, g: float, seed: int = 0, tau: Any = 1.0) -> Flow:
    """Return a random network of rate neurons, which turns chaotic where the gain exceeds 1.

    Parameters
    ----------
    n : int
        Number of neurons.
    g : float
        Gain.
    seed : int
        Seed of the weights (stream ``"weights"``) and of the initial state (``"v_init"``).
    tau : float, Quantity or str
        Time constant: a bare number for time without a unit, a quantity for time in seconds.

    Raises
    ------
    ParameterError
        If n is not a number of neurons, g is negative, or tau is not above 0.

    Notes
    -----
    tau dx/dt = -x + J tanh(x), the entries of J drawn from N(0, g²/n). Below g = 1 the state decays
    to 0, where the exponents are the real parts of the eigenvalues of (J - 1)/tau; above, large
    networks are chaotic.

    References
    ----------
    Sompolinsky, Crisanti & Sommers 1988, 10.1103/PhysRevLett.61.259; Engelken, Wolf & Abbott 2023,
    10.1103/PhysRevResearch.5.043044.
    """
    n = whole(n, "n", what=" neuron")
    gain = floats(g, "g")
    if gain.ndim or not 0 <= gain < np.inf:
        raise ParameterError("g", "a finite gain of at least 0", g)
    if isinstance(tau, (str, Quantity)):
        slow, time = positive_seconds(tau, "tau"), "s"
    else:
        bare = floats(tau, "tau")
        if bare.ndim or not 0 < bare < np.inf:
            raise ParameterError("tau", "one finite time above 0", tau)
        slow, time = float(bare), ""
    weights = stream(seed, "weights").standard_normal((n, n)) * (float(gain) / np.sqrt(n))
    one = np.arange(n)

    def rhs(x: np.ndarray) -> np.ndarray:
        return (np.tanh(x) @ weights.T - x) / slow

    def jacobian(x: np.ndarray) -> np.ndarray:
        found = weights * ((1 - np.tanh(x) ** 2) / slow)[..., None, :]
        found[..., one, one] -= 1 / slow
        return found

    initial = stream(seed, "v_init").standard_normal(n)
    return Flow(rhs, jacobian, initial, name=f"rate_network(n={n}, g={float(gain):g})", time=time)


def linear(a: Any, time: str = "") -> Flow:
    """Return the linear system dx/dt = A x, whose exponents are known.

    Parameters
    ----------
    a : array_like, shape (n, n), 1/time
        The matrix A. Its exponents are the real parts of its eigenvalues, however far from normal
        it is.
    time : {'', 's'}, optional
        Unit of time.

    Raises
    ------
    ParameterError
        If A is not a square matrix of finite numbers.
    """
    matrix = floats(a, "a").copy()
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
        raise ParameterError("a", "a square matrix", f"shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ParameterError("a", "finite numbers", matrix)

    def rhs(x: np.ndarray) -> np.ndarray:
        return x @ matrix.T

    def jacobian(x: np.ndarray) -> np.ndarray:
        return np.broadcast_to(matrix, (*x.shape, len(matrix)))

    return Flow(rhs, jacobian, np.ones(len(matrix)), name="linear", time=time)
