"""Echo-state network: the rate-based reservoir that spiking ones are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from models_eq.checks import floats, whole
from models_eq.errors import ParameterError
from models_eq.rng import stream


class EchoState:
    """Leaky tanh reservoir with sparse random recurrence.

    Parameters
    ----------
    n : int
        Units.
    channels : int
        Input channels c.
    radius : float
        Spectral radius of the recurrent matrix.
    input_scale : float
        Input weights are uniform in ``[-input_scale, input_scale]``.
    leak : float
        Share of a unit's value that is renewed at each step, in (0, 1].
    bias : float
        Biases are uniform in ``[-bias, bias]``.
    density : float
        Share of the n^2 recurrent weights that exist.
    seed : int
        Seed of all weights.

    Attributes
    ----------
    recurrent : sparse matrix, shape (n, n)
        W, rows are the receiving units.
    input_weights : ndarray, shape (c, n)
    biases : ndarray, shape (n,)

    Raises
    ------
    ParameterError
        Naming the argument that is wrong.

    Notes
    -----
    ``x(t) = (1 - a) x(t-1) + a tanh(W x(t-1) + u(t) W_in + b)``.

    References
    ----------
    Jaeger 2001, GMD Report 148; Lukosevicius 2012, doi:10.1007/978-3-642-35289-8_36.
    """

    def __init__(
        self,
        n: int,
        channels: int,
        *,
        radius: float = 0.9,
        input_scale: float = 0.1,
        leak: float = 1.0,
        bias: float = 0.1,
        density: float = 0.02,
        seed: int = 0,
    ) -> None:
        self.n, self.channels = whole(n, "n"), whole(channels, "channels")
        limits = {"radius": np.inf, "input_scale": np.inf, "leak": 1.0, "bias": np.inf,
                  "density": 1.0}  # fmt: skip
        given = {"radius": radius, "input_scale": input_scale, "leak": leak, "bias": bias,
                 "density": density}  # fmt: skip
        for name, most in limits.items():
            value = given[name]
            zero = name in ("leak", "density")
            if not (np.isfinite(value) and 0 <= value <= most) or (zero and value == 0):
                raise ParameterError(name, f"a number of at least 0, at most {most}", value)
        self.leak = float(leak)
        rng = stream(seed, "topology", 7)
        links = max(1, round(density * n * n))
        place = rng.choice(n * n, size=links, replace=False)
        values = rng.uniform(-1.0, 1.0, size=links)
        matrix = sparse.csr_array((values, (place // n, place % n)), shape=(n, n))
        self.recurrent = matrix * (radius / _radius(matrix) if radius else 0.0)
        draw = stream(seed, "input", 7)
        self.input_weights = draw.uniform(-input_scale, input_scale, size=(channels, n))
        self.biases = draw.uniform(-bias, bias, size=n)

    def step(self, state: np.ndarray, row: np.ndarray) -> np.ndarray:
        """Next states of several copies.

        Parameters
        ----------
        state : ndarray, shape (copies, n)
            Present states.
        row : ndarray, shape (copies, c)
            Inputs.

        Returns
        -------
        ndarray, shape (copies, n)
        """
        drive = (self.recurrent @ state.T).T + row @ self.input_weights + self.biases
        return (1.0 - self.leak) * state + self.leak * np.tanh(drive)

    def states(self, inputs: Any, initial: np.ndarray | None = None) -> np.ndarray:
        """States of copies driven by given inputs.

        Parameters
        ----------
        inputs : array_like, shape (copies, rows, c)
            Input rows.
        initial : ndarray, shape (copies, n), optional
            First states; by default 0.

        Returns
        -------
        ndarray, shape (copies, rows, n)
            State after each row.

        Raises
        ------
        ParameterError
            For inputs of another shape.
        """
        rows = floats(inputs, "inputs")
        if rows.ndim != 3 or rows.shape[2] != self.channels:
            raise ParameterError("inputs", f"shape (copies, rows, {self.channels})", rows.shape)
        state = np.zeros((len(rows), self.n)) if initial is None else initial
        result = np.empty((*rows.shape[:2], self.n))
        for k in range(rows.shape[1]):
            state = self.step(state, rows[:, k])
            result[:, k] = state
        return result

    def free_run(
        self,
        warmup: Any,
        predict: Callable[[np.ndarray, np.ndarray], np.ndarray],
        steps: int,
        limit: float = 20.0,
    ) -> np.ndarray:
        """Predict freely after a warm-up, each prediction being the next input.

        Parameters
        ----------
        warmup : array_like, shape (copies, rows, c)
            True inputs.
        predict : callable
            ``predict(state, present) -> following``.
        steps : int
            Rows to predict.
        limit : float
            Predictions are clipped to ``[-limit, limit]``.

        Returns
        -------
        ndarray, shape (copies, steps, c)
        """
        warm = floats(warmup, "warmup")
        state, present = self.states(warm)[:, -1], warm[:, -1]
        result = np.empty((len(warm), whole(steps, "steps"), self.channels))
        for k in range(result.shape[1]):
            if k:
                state = self.step(state, present)
            present = np.clip(np.nan_to_num(predict(state, present)), -limit, limit)
            result[:, k] = present
        return result


def _radius(matrix: sparse.csr_array) -> float:
    """Largest modulus of an eigenvalue."""
    n = matrix.shape[0]
    if n <= 500:
        value = float(np.abs(np.linalg.eigvals(matrix.toarray())).max())
    else:
        first = np.ones(n) / np.sqrt(n)
        found = linalg.eigs(matrix, k=6, v0=first, return_eigenvectors=False, maxiter=20 * n)
        value = float(np.abs(found).max())
    if value == 0:
        raise ParameterError("density", "enough weights for a spectral radius above 0", "none")
    return value
