"""What a mask costs and how to pay it back: gains, mean shift, capacity tuning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from analysis.capacity import capacity
from analysis.spikes import mean_drive, rates
from models_eq.errors import ParameterError, SilentNetworkError
from models_eq.hrsnn import HRSNN
from models_eq.rng import stream
from models_eq.simulate import simulate
from models_eq.stimulus import noise_stimulus, slow_stimulus

Treatment = Literal["none", "variance", "shift", "tuned"]
# Below 1 too: few neurons with many inputs each are best below the variance that they had.
GAINS = (0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 4.0, 5.5)


def rows_of(parent: HRSNN, child: HRSNN) -> np.ndarray:
    """Index in ``parent`` of every neuron of ``child``, shape (child.n,).

    Raises
    ------
    ParameterError
        If ``child`` has neurons that ``parent`` lacks.
    """
    position = np.full(parent.n_origin, -1, dtype=np.int64)
    position[parent.ids] = np.arange(parent.n)
    if child.n_origin != parent.n_origin or (position[child.ids] < 0).any():
        raise ParameterError("child", "a network that descends from the parent", child)
    return position[child.ids]


def variance_gains(parent: HRSNN, child: HRSNN) -> tuple[float, float]:
    """Gains (excitatory, inhibitory) that keep the variance of the recurrent input.

    Parameters
    ----------
    parent, child : HRSNN
        Before and after; the child may lack neurons, its weights are its parent's.

    Returns
    -------
    tuple of float
        ``g = sqrt(sum of w^2 before / sum of w^2 kept)`` for each sign, over the rows kept
        (inputs from removed neurons count before); 1 where a sign has nothing to scale.
    """
    kept_row = np.zeros(parent.n, dtype=bool)
    kept_row[rows_of(parent, child)] = True
    before = parent.w[kept_row[parent.j]]
    gains = []
    for sign in (1, -1):
        had = float(np.sum(before[before * sign > 0] ** 2))
        has = float(np.sum(child.w[child.w * sign > 0] ** 2))
        gains.append(float(np.sqrt(had / has)) if had > 0 and has > 0 else 1.0)
    return gains[0], gains[1]


def apply_gains(net: HRSNN, excitatory: float, inhibitory: float) -> HRSNN:
    """Multiply the weights of each sign by a factor.

    Parameters
    ----------
    net : HRSNN
        The network.
    excitatory, inhibitory : float
        Factor of the weights above and of those below 0.

    Returns
    -------
    HRSNN
        The network with the new weights.
    """
    return net.replace(w=np.where(net.w > 0, net.w * excitatory, net.w * inhibitory))


def mean_shift(parent: HRSNN, child: HRSNN, rate: np.ndarray) -> HRSNN:
    """Give back as constant drive the mean input that ``child`` lacks.

    Parameters
    ----------
    parent, child : HRSNN
        Before and after; ``i_ext`` of the parent is the reference.
    rate : ndarray, shape (parent.n,), Hz
        Rates of the parent under a task-agnostic drive.

    Returns
    -------
    HRSNN
        ``i_ext_i += sum_j (W_ij - W'_ij) tau nu_j`` with removed neurons counted in the first
        sum.
    """
    rows = rows_of(parent, child)
    lost = mean_drive(parent, rate)[rows] - mean_drive(child, np.asarray(rate)[rows])
    return child.replace(i_ext=parent.i_ext[rows] + lost)


def noise_rates(net: HRSNN, *, seed: int, duration: str = "3 s", dt: str = "1 ms") -> np.ndarray:
    """Rates under task-agnostic white noise.

    Parameters
    ----------
    net : HRSNN
        The network.
    seed : int
        Seed of the noise and of the initial state.
    duration, dt : str
        Length of the noise, and time step.

    Returns
    -------
    ndarray, shape (n,), Hz

    Raises
    ------
    SilentNetworkError
        If not a single neuron spikes.
    """
    run = simulate(net, noise_stimulus(net, duration, seed=seed), dt=dt, seed=seed)
    return _spiking(rates(run), "noise")


def slow_rates(net: HRSNN, *, seed: int, rows: int = 500, dt: str = "1 ms") -> np.ndarray:
    """Rates under a task-agnostic slow random three-channel input.

    Parameters
    ----------
    net : HRSNN
        The network.
    seed : int
        Seed of the input and of the initial state.
    rows : int
        Length of the input, in samples of 10 ms.
    dt : str
        Time step.

    Returns
    -------
    ndarray, shape (n,), Hz

    Raises
    ------
    SilentNetworkError
        If not a single neuron spikes.
    """
    stimulus = slow_stimulus(net.n_origin, rows, rng=stream(seed, "prune", 80))
    return _spiking(rates(simulate(net, stimulus, dt=dt, seed=seed)), "slow random input")


def _spiking(rate: np.ndarray, what: str) -> np.ndarray:
    if not rate.any():
        hint = "Raise i_ext or lower v_th"
        raise SilentNetworkError("net", f"a network that spikes under {what}", "no spike", hint)
    return rate


@dataclass(frozen=True)
class Compensation:
    """How a mask is paid back, the same for every method.

    Attributes
    ----------
    treatment : {'none', 'variance', 'shift', 'tuned'}
        Nothing; the variance-keeping gain; that and the mean shift; those and one more gain
        factor, chosen by the capacity on fresh random input.
    seed : int
        Seed of everything random in it.
    grid : tuple of float
        Gain factors to try.
    tolerance : float
        The smallest factor whose mean capacity lies within this share of the best is taken:
        capacity is flat near its top, and a smaller gain means fewer spikes and hence fewer
        synaptic operations. 0 takes the best.
    rows : tuple of int
        Samples of washout, training and test for the capacity.

    Raises
    ------
    ParameterError
        For an unknown treatment, an empty grid, or numbers out of range.
    """

    treatment: Treatment
    seed: int
    grid: tuple[float, ...] = GAINS
    tolerance: float = 0.02
    rows: tuple[int, int, int] = (100, 1500, 700)

    def __post_init__(self) -> None:
        if self.treatment not in ("none", "variance", "shift", "tuned"):
            raise ParameterError("treatment", "none, variance, shift or tuned", self.treatment)
        if not self.grid or any(not g > 0 for g in self.grid):
            raise ParameterError("grid", "gain factors above 0", self.grid)
        if not 0 <= self.tolerance < 1:
            raise ParameterError("tolerance", "a share of at least 0 and below 1", self.tolerance)

    def __call__(
        self, parent: HRSNN, child: HRSNN, rate: Callable[[], np.ndarray] | None = None
    ) -> tuple[HRSNN, dict[str, Any]]:
        """Compensate ``child``, a masked ``parent``.

        Parameters
        ----------
        parent, child : HRSNN
            Before and after; the child still has its parent's weights.
        rate : callable, optional
            Gives the parent's rates, shape (parent.n,), Hz, for the mean shift; by default
            those under the slow random input.

        Returns
        -------
        net : HRSNN
        diagnostics : dict
            Gains; for ``tuned`` the factors that were tried, and their capacities.
        """
        if self.treatment == "none":
            return child, {"treatment": self.treatment}
        gains = variance_gains(parent, child)
        scaled = apply_gains(child, *gains)
        found: dict[str, Any] = {
            "treatment": self.treatment,
            "gain_exc": gains[0],
            "gain_inh": gains[1],
        }
        if self.treatment == "variance":
            return scaled, found
        parent_rate = rate() if rate is not None else slow_rates(parent, seed=self.seed)
        if self.treatment == "shift":
            return mean_shift(parent, scaled, parent_rate), found
        # Without synapses every factor is the same network.
        grid = sorted(set(self.grid)) if child.n_synapses else [1.0]
        nets = [mean_shift(parent, apply_gains(scaled, g, g), parent_rate) for g in grid]
        scores = capacity(nets, seed=self.seed, rows=self.rows).mean(axis=1)
        # The whole grid, since capacity can have a second top where the rate is many times higher.
        best = int(np.argmax(scores >= (1 - self.tolerance) * scores.max()))
        found |= {"factor": grid[best], "grid": grid, "capacity": scores.tolist()}
        return nets[best], found
