"""Lyapunov exponents of smooth systems: flows by Runge–Kutta, maps step by step, copies at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from analysis.lyapunov.flows import Flow, Map, nudged, time_of
from analysis.lyapunov.qr import Progress, follow, intervals, orthonormal_start, summarise
from analysis.lyapunov.result import LyapunovResult
from models_eq.checks import whole
from models_eq.errors import ConvergenceError, ParameterError
from models_eq.rng import check_seed, stream

# Up to this dimension a step costs the same for one copy as for many.
_SMALL, _COPIES = 10, 64


class _Stepper:
    """Base points, shape (copies, n), with tangent vectors, shape (copies, n, k)."""

    def __init__(self, x: np.ndarray, tangents: np.ndarray, steps: int) -> None:
        self.x = np.array(x, dtype=float)
        self._y = np.array(tangents, dtype=float)
        self._steps = steps
        # Steps done, and logarithm of the growth of volume over them, per copy.
        self.done = 0
        self.volume = np.zeros(len(self.x))

    @property
    def tangents(self) -> np.ndarray:
        """Tangent vectors in place, shape (copies, n, k)."""
        return self._y

    def step(self) -> None:
        """Make one step of base and tangents, and add to the volume."""
        raise NotImplementedError

    def advance(self, interval: int) -> None:
        """Move over one interval, and refuse what is no longer finite."""
        # Overflow is looked for below, where it has a name.
        with np.errstate(all="ignore"):
            for _ in range(self._steps):
                self.step()
        self.done += self._steps
        lost = ~np.isfinite(self.x).all(axis=-1)
        if lost.any():
            raise ConvergenceError(
                "trajectory",
                "a trajectory that stays bounded",
                f"infinity or NaN in {int(lost.sum())} of {lost.size} copies by step {self.done}",
                "Take a smaller dt, or start inside the basin of an attractor",
            )
        if not np.isfinite(self._y).all():
            raise ConvergenceError(
                "tangents", "finite tangent vectors", "infinity or NaN", "Take a shorter t_qr"
            )


class FlowStepper(_Stepper):
    """Classical Runge–Kutta steps of a flow and of its variational equations together.

    The tangents are the derivative of the Runge–Kutta map itself, so that they grow as small
    displacements of what is simulated do, at any time step.

    Parameters
    ----------
    system : Flow
        The system.
    x : ndarray, shape (copies, n)
        Base points.
    tangents : ndarray, shape (copies, n, k)
        Tangent vectors.
    dt : float
        Time step, in the system's time.
    steps : int
        Steps in an interval between orthonormalisations.
    """

    def __init__(
        self, system: Flow, x: np.ndarray, tangents: np.ndarray, dt: float, steps: int
    ) -> None:
        super().__init__(x, tangents, steps)
        self._system = system
        self._dt = dt

    def step(self) -> None:
        """Make one step of base and tangents, and add to the volume."""
        x, y, h = self.x, self._y, self._dt
        f, jacobian = self._system.rhs, self._system.jacobian
        jac = jacobian(x)
        a, ya = f(x), jac @ y
        trace = np.trace(jac, axis1=-2, axis2=-1)
        x2 = x + h / 2 * a
        jac = jacobian(x2)
        b, yb = f(x2), jac @ (y + h / 2 * ya)
        middle = np.trace(jac, axis1=-2, axis2=-1)
        x3 = x + h / 2 * b
        jac = jacobian(x3)
        c, yc = f(x3), jac @ (y + h / 2 * yb)
        middle = middle + np.trace(jac, axis1=-2, axis2=-1)
        x4 = x + h * c
        jac = jacobian(x4)
        d, yd = f(x4), jac @ (y + h * yc)
        last = np.trace(jac, axis1=-2, axis2=-1)
        self.x = x + h / 6 * (a + 2 * (b + c) + d)
        self._y = y + h / 6 * (ya + 2 * (yb + yc) + yd)
        self.volume += h / 6 * (trace + 2 * middle + last)


class MapStepper(_Stepper):
    """Steps of a map, and of its tangents by its Jacobian.

    Parameters
    ----------
    system : Map
        The system.
    x : ndarray, shape (copies, n)
        Base points.
    tangents : ndarray, shape (copies, n, k)
        Tangent vectors.
    steps : int
        Steps in an interval between orthonormalisations.
    """

    def __init__(self, system: Map, x: np.ndarray, tangents: np.ndarray, steps: int) -> None:
        super().__init__(x, tangents, steps)
        self._system = system

    def step(self) -> None:
        """Make one step of base and tangents, and add to the volume."""
        jac = self._system.jacobian(self.x)
        self._y = jac @ self._y
        self.volume += np.linalg.slogdet(jac)[1]
        self.x = np.array(self._system.step(self.x), dtype=float)


def smooth_spectrum(
    system: Flow | Map,
    *,
    k: int | None = None,
    duration: Any,
    dt: Any = None,
    transient: Any = None,
    t_qr: Any = None,
    seed: int = 0,
    copies: int | None = None,
    progress: Progress | None = None,
    reason: str = "",
) -> LyapunovResult:
    """Lyapunov exponents of a flow or a map.

    Parameters
    ----------
    system : Flow or Map
        The system.
    k : int, optional
        How many exponents, from the largest on; by default all.
    duration : float
        Time averaged over by each copy, in the system's time (a quantity will do where that is
        the second), or steps of a map.
    dt : float
        Time step of a flow; a map has none.
    transient : float, optional
        Time before, over which points settle and vectors align; by default a tenth of the
        duration.
    t_qr : float, optional
        Time between orthonormalisations, a multiple of the time step; by default 10 steps of a
        flow and one of a map.
    seed : int
        Seed of the copies' initial points and of the initial vectors.
    copies : int, optional
        Trajectories side by side, the first from the system's initial point, the others from
        about one percent beside it; by default as many as there are initial points, or else
        64 up to dimension 10 and one beyond.
    progress : callable, optional
        Called as ``progress(done, total)`` after each interval.
    reason : str, optional
        Why this method was picked, for the result.

    Returns
    -------
    LyapunovResult
        ``volume_rate`` is the mean trace of the Jacobian along the trajectories, or the mean
        log |det| of a map.

    Raises
    ------
    ParameterError
        For a number out of range, or a window of too few intervals.
    UnitError
        For a quantity where time has no unit.
    ConvergenceError
        If a trajectory diverges, growth drifts over the whole window, or a flow that keeps
        moving does not show its exponent 0.

    Notes
    -----
    Tangent vectors obey dY/dt = J(x(t)) Y, or Y -> J(x) Y, and are orthonormalised every ``t_qr``
    (:func:`analysis.lyapunov.qr.follow`). One step costs four evaluations of f and J and four
    products of J with n x k matrices, per copy.

    A flow has an exponent 0 unless it comes to rest, since its own speed is a solution of the
    variational equation: it counts as resting if the speed changes by more than a factor e²
    over the window or is down to rounding errors.

    References
    ----------
    Benettin et al. 1980, 10.1007/BF02128236; Shimada & Nagashima 1979, 10.1143/PTP.61.1605.

    Examples
    --------
    >>> from analysis.lyapunov.systems import henon
    >>> found = smooth_spectrum(henon(), duration=2000, seed=1)
    >>> float(found.exponents.sum().round(10)), float(np.log(0.3).round(10))
    (-1.2039728043, -1.2039728043)
    """
    if not isinstance(system, (Flow, Map)):
        raise ParameterError("system", "a Flow or a Map", type(system).__name__)
    n = system.dimension
    k = n if k is None else whole(k, "k")
    if k > n:
        raise ParameterError("k", f"at most {n} exponents, the dimension of {system.label}", k)
    step = _time_step(system, dt)
    steps, interval = _steps(system, t_qr, step)
    whole_time = time_of(duration, system, "duration")
    keep = intervals(whole_time, interval)
    before = 0.1 * whole_time if transient is None else time_of(transient, system, "transient")
    warm_up = intervals(before, interval, "transient", least=0)
    x = _start(system, copies, seed)
    y = orthonormal_start(n, k, stream(seed, "v_init", 1), len(x))
    stepper: FlowStepper | MapStepper
    if isinstance(system, Flow):
        stepper = FlowStepper(system, x, y, step, steps)
    else:
        stepper = MapStepper(system, x, y, steps)
    watch = _Watch(stepper, system, warm_up)
    growth = follow(watch, warm_up, keep, progress=progress)
    return summarise(
        growth.log,
        interval,
        moving=watch.moving,
        volume=watch.volume,
        transient=warm_up * interval,
        dt=step if isinstance(system, Flow) else 0.0,
        method="flow" if isinstance(system, Flow) else "map",
        reason=reason,
        system=system.label,
        dimension=n,
        conditional=False,
        unit=system.unit,
        seed=seed,
    )


class _Watch:
    """A stepper that is watched: growth of volume in the window, speed at its beginning and end."""

    def __init__(self, stepper: FlowStepper | MapStepper, system: Flow | Map, warm_up: int) -> None:
        self._stepper, self._system, self._warm_up = stepper, system, warm_up
        self._speed = np.zeros(len(stepper.x))
        self._volume: list[float] = []

    @property
    def tangents(self) -> np.ndarray:
        return self._stepper.tangents

    def advance(self, interval: int) -> None:
        if interval == self._warm_up:
            self._speed = self._speed_now()
        self._stepper.volume[:] = 0.0
        self._stepper.advance(interval)
        if interval >= self._warm_up:
            self._volume.append(float(self._stepper.volume.mean()))

    @property
    def volume(self) -> np.ndarray | None:
        """Logarithm of the growth of volume over each interval, shape (m,); None where a step
        annihilates it."""
        volume = np.array(self._volume)
        return volume if np.isfinite(volume).all() else None

    def _speed_now(self) -> np.ndarray:
        """Speed of each copy; 0 where it is what rounding leaves."""
        if isinstance(self._system, Map):
            return np.ones(len(self._stepper.x))
        x = self._stepper.x
        speed = np.linalg.norm(self._system.rhs(x), axis=-1)
        size = np.linalg.norm(self._system.jacobian(x), axis=(-2, -1))
        return np.where(speed > 1e-10 * size * np.linalg.norm(x, axis=-1), speed, 0.0)

    @property
    def moving(self) -> bool:
        """Whether the copies move at the end as they did at the beginning of the window."""
        now = self._speed_now()
        if (now == 0).any() or (self._speed == 0).any():
            return False
        return bool(abs(np.log(now / self._speed).mean()) < 2)


def _time_step(system: Flow | Map, dt: Any) -> float:
    if isinstance(system, Map):
        if dt is not None and time_of(dt, system, "dt") not in (0.0, 1.0):
            raise ParameterError("dt", "none for a map, which steps by 1", dt)
        return 1.0
    if dt is None:
        raise ParameterError("dt", "a time step, which a flow needs", "none")
    step = time_of(dt, system, "dt")
    if step <= 0:
        raise ParameterError("dt", "a time step above 0", dt)
    return step


def _steps(system: Flow | Map, t_qr: Any, step: float) -> tuple[int, float]:
    """Steps in an interval, and its length."""
    if t_qr is None:
        steps = 1 if isinstance(system, Map) else 10
        return steps, steps * step
    wanted = time_of(t_qr, system, "t_qr")
    steps = round(wanted / step)
    if steps < 1 or abs(steps * step - wanted) > 1e-6 * step:
        raise ParameterError("t_qr", f"a multiple of the time step ({step:g})", t_qr)
    return steps, steps * step


def _start(system: Flow | Map, copies: int | None, seed: int) -> np.ndarray:
    """Initial points, shape (copies, n)."""
    check_seed(seed)
    if system.initial.ndim == 2:
        if copies is not None and copies != len(system.initial):
            raise ParameterError(
                "copies", f"{len(system.initial)}, the number of initial points", copies
            )
        return system.initial
    small = system.dimension <= _SMALL
    count = (_COPIES if small else 1) if copies is None else whole(copies, "copies")
    beside = nudged(system.initial, stream(seed, "v_init"), count - 1)
    return np.concatenate([system.initial[None], beside])
