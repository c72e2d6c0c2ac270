"""LyapunovResult: a spectrum with its errors, its convergence, and what it was taken from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np

from models_eq.packing import Arrays, Held, check, register, take

BLOCKS = (8, 16)


@dataclass(frozen=True, eq=False)
class LyapunovResult:
    """The k largest Lyapunov exponents of a system, largest first.

    Attributes
    ----------
    exponents : ndarray, shape (k,), ``unit``
        The exponents (natural logarithm): slopes of the log growth over time, see
        :func:`slope_mean`.
    stderr : ndarray, shape (k,), ``unit``
        Standard errors from the scatter between blocks of time (the larger from 8 and 16 blocks,
        since blocks shorter than the correlation time promise too much), or between copies where
        there are at least 8.
    local : ndarray, shape (m, k), ``unit``
        Growth rates over each orthonormalisation interval, averaged over copies.
    t_qr, transient, duration : float, s
        Interval between orthonormalisations, time discarded, and time averaged over (for smooth
        systems in their own time, or in steps).
    dt : float, s
        Time step of the base; 0 where it is exact in time.
    method, reason : str
        ``"event"``, ``"saltation"``, ``"perturbed"``, ``"flow"`` or ``"map"``, and why it was
        picked.
    system : str
        What the exponents belong to.
    dimension : int
        Number of exponents that the system has.
    conditional : bool
        Whether a frozen input drives the system. Otherwise it is autonomous, and has an
        exponent 0 as long as it keeps moving.
    n_spikes : int
        Spikes in the time averaged over.
    same_step_share : float or None
        Share of the spikes that fell into one time step with a spike of a connected neuron, whose
        order a grid cannot tell. None where time has no grid.
    volume_rate : float or None
        Sum of all exponents by the rule of the system (decay and jumps along the trajectory), in
        ``unit``; None where no rule is known.
    participation : ndarray, shape (n, k), or None
        Mean squared components of the orthonormal vectors on each neuron (summed over the
        neuron's variables): columns sum to 1.
    unit : str
        ``"1/s"``, or ``"1/step"`` for maps, or ``"1/time"`` for flows without a unit.
    digest : str
        Digest of the network, where there is one.
    seed : int or None
        Seed of initial state and initial vectors.
    """

    exponents: np.ndarray
    stderr: np.ndarray
    local: np.ndarray
    t_qr: float
    transient: float
    duration: float
    dt: float
    method: str
    reason: str
    system: str
    dimension: int
    conditional: bool
    n_spikes: int = 0
    same_step_share: float | None = None
    volume_rate: float | None = None
    participation: np.ndarray | None = None
    unit: str = "1/s"
    digest: str = ""
    seed: int | None = None

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{value:.4g} ± {error:.2g}"
            for value, error in zip(self.exponents[:4], self.stderr[:4], strict=True)
        )
        more = ", ..." if self.exponents.size > 4 else ""
        return (
            f"LyapunovResult({self.method}, {self.system}, "
            f"{self.exponents.size} of {self.dimension}: {shown}{more} {self.unit})"
        )

    @property
    def k(self) -> int:
        """Number of exponents."""
        return int(self.exponents.size)

    @property
    def nearest_zero(self) -> float:
        """The exponent closest to 0: how far an autonomous system is from its neutral direction."""
        return float(self.exponents[np.argmin(np.abs(self.exponents))])

    @property
    def sum_rule_residual(self) -> float | None:
        """Sum of all exponents minus ``volume_rate``; None without a rule or the whole spectrum."""
        if self.volume_rate is None or self.k < self.dimension:
            return None
        if not np.isfinite(self.exponents).all():
            return None
        return float(self.exponents.sum() - self.volume_rate)

    @property
    def kaplan_yorke(self) -> float | None:
        """Kaplan–Yorke dimension; None where the known exponents do not reach down to it.

        Notes
        -----
        D = j + sum_{i<=j} lambda_i / |lambda_{j+1}|, j the largest index up to which the sum of
        the exponents is not negative; 0 where already the first exponent is negative.

        References
        ----------
        Kaplan & Yorke 1979, 10.1007/BFb0064319; Frederickson et al. 1983,
        10.1016/0022-0396(83)90011-6.
        """
        total = np.cumsum(self.exponents)
        below = np.flatnonzero(total < 0)
        if below.size == 0:
            return float(self.dimension) if self.k == self.dimension else None
        j = int(below[0])
        return 0.0 if j == 0 else float(j + total[j - 1] / abs(self.exponents[j]))

    @property
    def entropy_rate(self) -> float | None:
        """Sum of the positive exponents, an upper bound of the entropy rate (Ruelle).

        In nats per unit of time; None where all known exponents are positive and more may be.
        """
        if self.exponents[-1] > 0 and self.k < self.dimension:
            return None
        return float(self.exponents[self.exponents > 0].sum())

    @property
    def convergence(self) -> tuple[np.ndarray, np.ndarray]:
        """Times, shape (m,), and the estimate of each exponent up to then, shape (m, k)."""
        j = np.arange(1.0, len(self.local) + 1)[:, None]
        finite = np.isfinite(self.local)
        local = np.where(finite, self.local, 0.0)
        first, second = (np.cumsum(local * j**p, axis=0) for p in (1, 2))
        weight = (j + 1) * np.cumsum(j, axis=0) - np.cumsum(j**2, axis=0)
        estimate = ((j + 1) * first - second) / weight
        lost = np.logical_or.accumulate(~finite, axis=0)
        return j[:, 0] * self.t_qr, np.where(lost, -np.inf, estimate)

    def leading(self, k: int) -> LyapunovResult:
        """Return the first ``k`` exponents alone."""
        part = None if self.participation is None else self.participation[:, :k]
        return replace(
            self,
            exponents=self.exponents[:k],
            stderr=self.stderr[:k],
            local=self.local[:, :k],
            participation=part,
        )

    def to_dict(self) -> dict[str, Any]:
        """Numbers for a table or JSON: everything but the records over time and per neuron."""
        skip = ("local", "participation")
        data = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in skip}
        data |= {name: data[name].tolist() for name in ("exponents", "stderr")}
        derived = ("nearest_zero", "kaplan_yorke", "entropy_rate", "sum_rule_residual")
        return {**data, **{name: getattr(self, name) for name in derived}}


def slope_mean(local: np.ndarray) -> np.ndarray:
    """Slope of the regression line of the summed growth over time.

    Parameters
    ----------
    local : ndarray, shape (m, ...)
        Growth rates in order of time.

    Returns
    -------
    ndarray, shape (...)

    Notes
    -----
    A mean of the m rates with the weights j (m + 1 - j). What the orientation of the vectors at
    the two ends of the window adds to the growth spoils the plain mean by c/T, this one by c/T^2,
    which is what makes the exponents of locked and periodic networks exact. For uncorrelated rates
    its variance is 6/5 of that of the plain mean.

    References
    ----------
    Das, Saiki, Sander & Yorke 2017, 10.1088/1361-6544/aa84c2 (weighted Birkhoff averages).
    """
    j = np.arange(1.0, len(local) + 1)
    weight = j * (len(local) + 1 - j)
    return np.tensordot(weight / weight.sum(), local, axes=1)


def block_stderr(local: np.ndarray) -> np.ndarray:
    """Standard error of :func:`slope_mean` of correlated values.

    Parameters
    ----------
    local : ndarray, shape (m, ...)
        Values in order of time.

    Returns
    -------
    ndarray, shape (...)
        The larger of the errors from 8 and from 16 blocks; infinite for fewer than 16 values.

    References
    ----------
    Flyvbjerg & Petersen 1989, 10.1063/1.457480.
    """
    m = len(local)
    if m < BLOCKS[-1]:
        return np.full(local.shape[1:], np.inf)
    errors = [block_means(local, b).std(axis=0, ddof=1) / np.sqrt(b) for b in BLOCKS]
    return np.maximum(*errors)


def block_means(local: np.ndarray, count: int) -> np.ndarray:
    """:func:`slope_mean` over ``count`` blocks of (nearly) equal length, shape (count, ...)."""
    edges = np.linspace(0, len(local), count + 1).round().astype(int)
    return np.array([slope_mean(local[first:last]) for first, last in pairwise(edges)])


_PLAIN = [
    f.name
    for f in fields(LyapunovResult)
    if f.name not in ("exponents", "stderr", "local", "participation")
]


def _encode(value: LyapunovResult) -> tuple[Arrays, Mapping[str, Any]]:
    arrays = {name: getattr(value, name) for name in ("exponents", "stderr", "local")}
    if value.participation is not None:
        arrays["participation"] = value.participation
    return arrays, {name: getattr(value, name) for name in _PLAIN}


def _decode(arrays: Held, meta: Mapping[str, Any]) -> LyapunovResult:
    exponents = take(arrays, "exponents", "<f8")
    check(exponents.ndim == 1 and exponents.size > 0, "exponents", "one axis", exponents.shape)
    local = take(arrays, "local", "<f8")
    check(local.shape[1:] == exponents.shape, "local", "one column an exponent", local.shape)
    part = take(arrays, "participation", "<f8") if "participation" in arrays else None
    return LyapunovResult(
        exponents=exponents,
        stderr=take(arrays, "stderr", "<f8", exponents.shape),
        local=local,
        participation=part,
        **{name: meta[name] for name in _PLAIN},
    )


register("LyapunovResult", LyapunovResult, _encode, _decode)
