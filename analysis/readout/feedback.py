"""A linear readout whose output is the next input: one ridge solve for many penalties."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg
from sklearn.exceptions import NotFittedError

from models_eq.checks import floats
from models_eq.errors import ParameterError


class FeedbackReadout:
    """Ridge readout that predicts the next input row from a state and the present input row.

    Parameters
    ----------
    difference : bool
        Predict the change of the input rather than its next value: what the readout does not
        know then leaves the input as it is.
    direct : bool
        Let the readout see the present input row beside the state.
    square : bool
        Let it see the squares of every other state variable as well.

    Attributes
    ----------
    coef_ : ndarray, shape (features, c)
        Coefficients of the penalty in use.
    intercept_ : ndarray, shape (c,)
        What is predicted where all features are 0.

    Notes
    -----
    ``u(t+1) = [u(t)] + B f(x(t), u(t)) + b``, the bracket with ``difference``. ``B`` minimises
    ``|Y - Z B|^2 + alpha n v |B|^2`` with Z the centred features, n rows and v their mean
    variance. One eigendecomposition of ``Z'Z`` serves every penalty (:meth:`use`).

    References
    ----------
    Jaeger & Haas 2004, Science 304, 78-80, doi:10.1126/science.1091277 (readout fed back);
    Pathak et al. 2018, doi:10.1103/PhysRevLett.120.024102 (squares of half of the states).
    """

    def __init__(
        self, *, difference: bool = True, direct: bool = True, square: bool = False
    ) -> None:
        self.difference = bool(difference)
        self.direct = bool(direct)
        self.square = bool(square)
        self.coef_: np.ndarray | None = None
        self.intercept_: np.ndarray | None = None

    def features(self, state: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Features of states and present inputs.

        Parameters
        ----------
        state : ndarray, shape (rows, n)
            States at the ends of rows.
        present : ndarray, shape (rows, c)
            The rows that the network was fed with last.

        Returns
        -------
        ndarray, shape (rows, features)
        """
        parts = [np.asarray(state, dtype=float)]
        if self.square:
            parts.append(parts[0][:, ::2] ** 2)
        if self.direct:
            parts.append(np.asarray(present, dtype=float))
        return np.hstack(parts)

    def fit(self, state: Any, present: Any, following: Any, alpha: float = 1e-6) -> FeedbackReadout:
        """Fit to states, present inputs and the true next inputs.

        Parameters
        ----------
        state : array_like, shape (rows, n)
            States at the ends of rows.
        present, following : array_like, shape (rows, c)
            What was fed (noise included), and what truly comes next.
        alpha : float
            Relative penalty; see :meth:`use`.

        Raises
        ------
        ParameterError
            For shapes that do not fit, values that are not finite, or states that do not vary.
        """
        arrays = {"state": state, "present": present, "following": following}
        checked = {}
        for name, value in arrays.items():
            array = floats(value, name)
            if array.ndim != 2 or 0 in array.shape or len(array) != len(np.asarray(state)):
                raise ParameterError(name, "shape (rows, columns), equal rows", array.shape)
            if not np.isfinite(array).all():
                raise ParameterError(name, "finite values", "NaN or infinity")
            checked[name] = array
        if checked["present"].shape != checked["following"].shape:
            raise ParameterError(
                "following", f"shape {checked['present'].shape}", checked["following"].shape
            )
        target = checked["following"]
        if self.difference:
            target = target - checked["present"]
        z = self.features(checked["state"], checked["present"])
        self._mean, self._target = z.mean(axis=0), target.mean(axis=0)
        z -= self._mean
        self._unit = len(z) * float(np.mean(z**2))
        if not self._unit > 0:
            raise ParameterError("state", "features that vary", "constant ones")
        self._eigenvalues, self._vectors = linalg.eigh(z.T @ z)
        self._projected = self._vectors.T @ (z.T @ (target - self._target))
        return self.use(alpha)

    def use(self, alpha: float) -> FeedbackReadout:
        """Switch to another penalty without another fit.

        Parameters
        ----------
        alpha : float
            Penalty relative to rows times the mean variance of the features.

        Raises
        ------
        ParameterError
            For a penalty that is not above 0.
        """
        if not (np.isfinite(alpha) and alpha > 0):
            raise ParameterError("alpha", "a finite number above 0", alpha)
        if not hasattr(self, "_projected"):
            raise NotFittedError("Call fit first")
        shrunk = np.maximum(self._eigenvalues, 0.0) + alpha * self._unit
        self.coef_ = self._vectors @ (self._projected / shrunk[:, None])
        self.intercept_ = self._target - self._mean @ self.coef_
        self.alpha_ = float(alpha)
        return self

    def predict(self, state: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Predict the next inputs.

        Parameters
        ----------
        state : ndarray, shape (rows, features)
            Filtered traces.
        present : ndarray, shape (rows, c)
            Inputs at the same moments.

        Returns
        -------
        ndarray, shape (rows, c)
        """
        if self.coef_ is None or self.intercept_ is None:
            raise NotFittedError("Call fit first")
        change = self.features(state, present) @ self.coef_ + self.intercept_
        return present + change if self.difference else change
