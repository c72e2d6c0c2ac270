"""Presynaptic homeostasis: each trace measured against its own long-run mean and spread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Share of the common deviation that is added to a feature's own: a neuron that hardly spiked so
# far has a tiny deviation, and its next spike would be blown up without bounds.
_FLOOR = 0.3


@dataclass(frozen=True, eq=False)
class Balance:
    """Running mean and sum of squares of every feature.

    Attributes
    ----------
    count : int
        Values seen of each feature.
    mean, squares : ndarray, shape (features,)
        Mean, and sum of squared deviations from it.
    """

    count: int
    mean: np.ndarray
    squares: np.ndarray

    @classmethod
    def empty(cls, features: int) -> Balance:
        """Nothing seen."""
        return cls(0, np.zeros(features), np.zeros(features))

    def joined(self, X: np.ndarray) -> Balance:
        """With more samples, shape (..., features), as if all had been seen at once.

        Chan, Golub & LeVeque 1983, doi:10.1080/00031305.1983.10483115.
        """
        flat = X.reshape(-1, X.shape[-1])
        n, mean = len(flat), flat.mean(axis=0)
        total = self.count + n
        shift = mean - self.mean
        squares = self.squares + ((flat - mean) ** 2).sum(axis=0)
        squares = squares + shift**2 * (self.count * n / total)
        return Balance(total, self.mean + shift * (n / total), squares)

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Balanced traces, shape (samples, rows, features), of mean squared norm 1 so far."""
        if X.ndim == 2:
            X = X[:, None, :]
        sd = np.sqrt(self.squares / max(self.count, 1))
        divisor = sd + _FLOOR * np.sqrt(np.mean(sd**2))
        scale = np.divide(1.0, divisor, out=np.zeros_like(sd), where=divisor > 0)
        power = float(np.sum((sd * scale) ** 2))
        return (X - self.mean) * (scale / np.sqrt(power) if power > 0 else scale)
