"""Forecasts of chaotic systems, integrated accurately: Lorenz63, Rössler, Mackey–Glass.

All three run 3000 / 500 / 1500 rows of training, validation and test after 200 rows of washout,
one row held for 10 ms. The trajectory depends on the seed and the lengths alone, so tasks that
differ in horizon or target have equal inputs and can share one simulation (``input_digest``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from brain_lnp.tasks.task import Task, forecast_task, whole
from models_eq.errors import ConvergenceError, ParameterError
from models_eq.rng import stream
from models_eq.units import positive_seconds

Field = Callable[[float, np.ndarray], np.ndarray]
_VARIABLES = "xyz"
# Child of the input stream that draws starting points; child () draws the input weights.
_START = 1


def lorenz63_field(_t: float, u: np.ndarray) -> np.ndarray:
    """Lorenz (1963): ``x' = 10 (y - x), y' = x (28 - z) - y, z' = x y - 8/3 z``."""
    x, y, z = u.tolist()
    return np.array([10.0 * (y - x), x * (28.0 - z) - y, x * y - 8.0 / 3.0 * z])


def rossler_field(_t: float, u: np.ndarray) -> np.ndarray:
    """Rössler (1976): ``x' = -y - z, y' = x + 0.2 y, z' = 0.2 + z (x - 5.7)``."""
    x, y, z = u.tolist()
    return np.array([-y - z, x + 0.2 * y, 0.2 + z * (x - 5.7)])


def trajectory(
    field: Field, start: Any, sample: float, rows: int, rtol: float = 1e-10
) -> np.ndarray:
    """States of an ODE at ``0, sample, 2 sample, ...``.

    Parameters
    ----------
    field : callable
        ``field(t, u) -> du/dt``.
    start : array_like, shape (d,)
        State at time 0.
    sample : float
        Time between rows, in the unit of the system.
    rows : int
        Number of states, the first being ``start``.
    rtol : float
        Relative tolerance (absolute: the same number).

    Returns
    -------
    ndarray, shape (rows, d)

    Raises
    ------
    ConvergenceError
        If the integrator gives up.

    Notes
    -----
    Dormand–Prince 8(5,3) with its dense output of order 7.
    """
    times = sample * np.arange(rows)
    span = (0.0, times[-1])
    result = solve_ivp(field, span, start, "DOP853", times, rtol=rtol, atol=rtol)
    if not result.success or not np.isfinite(result.y).all():
        raise ConvergenceError("trajectory", "an integration that arrives", result.message)
    return result.y.T


def mackey_glass_series(
    sample: float,
    rows: int,
    *,
    tau: float = 17.0,
    start: float = 1.2,
    beta: float = 0.2,
    gamma: float = 0.1,
    power: float = 10.0,
    step: float = 0.05,
) -> np.ndarray:
    """Solution of the Mackey–Glass delay equation from a constant history.

    Parameters
    ----------
    sample : float
        Time between rows, in the unit of ``tau``.
    rows : int
        Number of values, the first being ``start``.
    tau : float
        Delay.
    start : float
        Value at all times up to 0.
    beta, gamma, power : float
        Parameters of the equation.
    step : float
        Largest step; the one taken divides ``tau``.

    Returns
    -------
    ndarray, shape (rows,)

    Raises
    ------
    ParameterError
        For times or a history that are not above 0.

    Notes
    -----
    ``x'(t) = beta x(t - tau) / (1 + x(t - tau)^power) - gamma x(t)``. Classical Runge–Kutta;
    the delayed value half-way through a step, and the samples, from the cubic Hermite
    polynomial through both ends: fourth order throughout, since the kinks at multiples of tau
    fall on the grid.

    References
    ----------
    Mackey & Glass 1977, Science 197, 287-289, doi:10.1126/science.267326.
    """
    for name, value in (("sample", sample), ("tau", tau), ("start", start), ("step", step)):
        if not (np.isfinite(value) and value > 0):
            raise ParameterError(name, "a finite number above 0", value)
    rows = whole(rows, "rows", 1)
    lag = int(np.ceil(tau / step))
    h = tau / lag
    n = int(np.ceil((rows - 1) * sample / h)) + 1

    def production(delayed: float) -> float:
        return beta * delayed / (1.0 + delayed**power)

    # Plain floats: a scalar recursion is several times faster so than through NumPy.
    constant = production(start)
    x, slope = [start], [constant - gamma * start]
    now = start
    p_begin = constant
    for k in range(n):
        if k < lag:
            p_half = p_end = constant
        else:
            a, b, da, db = x[k - lag], x[k - lag + 1], slope[k - lag], slope[k - lag + 1]
            p_half = production(0.5 * (a + b) + 0.125 * h * (da - db))
            p_end = production(b)
        k1 = p_begin - gamma * now
        k2 = p_half - gamma * (now + 0.5 * h * k1)
        k3 = p_half - gamma * (now + 0.5 * h * k2)
        k4 = p_end - gamma * (now + h * k3)
        now += h / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        p_begin = p_end
        x.append(now)
        slope.append(p_end - gamma * now)
    values, slopes = np.array(x), np.array(slope)
    position = np.arange(rows) * (sample / h)
    k = np.minimum(position.astype(int), n - 1)
    s = position - k
    left = (1 + 2 * s) * (1 - s) ** 2 * values[k] + s * (1 - s) ** 2 * h * slopes[k]
    return left + s**2 * (3 - 2 * s) * values[k + 1] + s**2 * (s - 1) * h * slopes[k + 1]


def _columns(names: str, field: str) -> list[int]:
    if not isinstance(names, str) or not names or len(set(names)) != len(names):
        raise ParameterError(field, "distinct letters out of x, y, z", names)
    if not set(names) <= set(_VARIABLES):
        raise ParameterError(field, "distinct letters out of x, y, z", names)
    return [_VARIABLES.index(name) for name in names]


def _ode_task(
    system: str,
    field: Field,
    box: tuple[Any, Any],
    transient: float,
    observe: str,
    predict: str,
    settings: dict[str, Any],
) -> Task:
    seen, wanted = _columns(observe, "observe"), _columns(predict, "predict")
    settings, seed, rows = _common(settings)
    start = stream(seed, "input", _START).uniform(*box)
    settled = trajectory(field, start, transient, 2)[-1]
    states = trajectory(field, settled, settings["sample"], rows)
    # A second run for what lies beyond the inputs: an integrator's last step depends on where
    # it is told to stop, and the inputs must not depend on the horizon.
    beyond = trajectory(field, states[-1], settings["sample"], settings["horizon"] + 1)[1:]
    name = f"{system}_{observe}_to_{predict}_h{settings['horizon']}"
    return forecast_task(name, np.vstack([states, beyond]), seen, wanted, **settings)


def _common(settings: dict[str, Any]) -> tuple[dict[str, Any], int, int]:
    settings = dict(settings)
    seed = settings.pop("seed")
    settings["hold"] = positive_seconds(settings["hold"], "hold")
    for name, least in (("washout", 0), ("n_train", 1), ("n_validation", 1), ("n_test", 1)):
        settings[name] = whole(settings[name], name, least)
    settings["horizon"] = whole(settings["horizon"], "horizon", 1)
    if not (np.isfinite(settings["sample"]) and settings["sample"] > 0):
        raise ParameterError("sample", "a finite number above 0", settings["sample"])
    rows = sum(settings[k] for k in ("washout", "n_train", "n_validation", "n_test"))
    settings.update(input_seed=seed, licence="generated; no rights reserved")
    return settings, seed, rows


def lorenz63(
    observe: str = "x",
    predict: str = "xyz",
    horizon: int = 10,
    seed: int = 0,
    *,
    n_train: int = 3000,
    n_validation: int = 500,
    n_test: int = 1500,
    washout: int = 200,
    sample: float = 0.02,
    hold: Any = "10 ms",
    input_sd: float = 2.0,
) -> Task:
    """Forecast of the Lorenz system (10, 28, 8/3), by default from x alone.

    Parameters
    ----------
    observe, predict : str
        Variables that the network sees, and those it is to predict: letters out of ``xyz``.
    horizon : int
        Rows ahead. One row ahead from the full state is no evidence: 20 taps of a linear
        autoregression reach an NRMSE of 0.0003.
    seed : int
        Starting point and input weights.
    n_train, n_validation, n_test, washout : int
        Rows.
    sample : float
        Model time between rows.
    hold : Quantity or str
        Biological time one row is held.
    input_sd : float
        Standard deviation of the input weights.

    Returns
    -------
    Task
        A series, standardised on its training part.

    Raises
    ------
    ParameterError
        Naming the argument that is wrong.

    Notes
    -----
    Starts anywhere in a box around the attractor; 50 units of time are dropped. The largest
    exponent is 0.906: one Lyapunov time is 55 rows.

    References
    ----------
    Lorenz 1963, J. Atmos. Sci. 20, 130-141.
    """
    settings = {
        "horizon": horizon, "seed": seed, "n_train": n_train, "n_validation": n_validation,
        "n_test": n_test, "washout": washout, "sample": sample, "hold": hold,
        "input_sd": input_sd, "lyapunov_time": 1 / 0.906,
    }  # fmt: skip
    box = ([-15.0, -15.0, 10.0], [15.0, 15.0, 40.0])
    return _ode_task("lorenz63", lorenz63_field, box, 50.0, observe, predict, settings)


def rossler(
    observe: str = "x",
    predict: str = "xyz",
    horizon: int = 10,
    seed: int = 0,
    *,
    n_train: int = 3000,
    n_validation: int = 500,
    n_test: int = 1500,
    washout: int = 200,
    sample: float = 0.15,
    hold: Any = "10 ms",
    input_sd: float = 2.0,
) -> Task:
    """Forecast of the Rössler system (0.2, 0.2, 5.7), by default from x alone.

    Parameters
    ----------
    observe, predict, horizon, seed, n_train, n_validation, n_test, washout, sample, hold, input_sd
        As for :func:`lorenz63`.

    Notes
    -----
    A sample of 0.15 makes one turn (5.9) about 39 rows, as many as a Lorenz63 loop (0.75) has
    at 0.02, so that both ask for a similar memory in biological time. 500 units of time are
    dropped. The largest exponent is 0.0714: one Lyapunov time is 93 rows.

    References
    ----------
    Rössler 1976, Phys. Lett. A 57, 397-398, doi:10.1016/0375-9601(76)90101-8.
    """
    settings = {
        "horizon": horizon, "seed": seed, "n_train": n_train, "n_validation": n_validation,
        "n_test": n_test, "washout": washout, "sample": sample, "hold": hold,
        "input_sd": input_sd, "lyapunov_time": 1 / 0.0714,
    }  # fmt: skip
    # Starts further out escape to infinity.
    box = ([-5.0, -5.0, 0.0], [5.0, 5.0, 1.0])
    return _ode_task("rossler", rossler_field, box, 500.0, observe, predict, settings)


def mackey_glass(
    horizon: int = 10,
    seed: int = 0,
    *,
    tau: float = 17.0,
    n_train: int = 3000,
    n_validation: int = 500,
    n_test: int = 1500,
    washout: int = 200,
    sample: float = 1.0,
    hold: Any = "10 ms",
    input_sd: float = 2.0,
) -> Task:
    """Forecast of the Mackey–Glass series (0.2, 0.1, 10) from itself.

    Parameters
    ----------
    tau : float
        Delay; chaotic from 16.8 on.
    horizon, seed, n_train, n_validation, n_test, washout, sample, hold, input_sd
        As for :func:`lorenz63`.

    Notes
    -----
    The constant history is drawn from 0.5..1.5, and 1000..1500 units of time are dropped (both
    from the seed), so that seeds differ in phase as well.
    """
    settings, seed, rows = _common({
        "horizon": horizon, "seed": seed, "n_train": n_train, "n_validation": n_validation,
        "n_test": n_test, "washout": washout, "sample": sample, "hold": hold,
        "input_sd": input_sd,
    })  # fmt: skip
    rng = stream(seed, "input", _START)
    start, transient = rng.uniform(0.5, 1.5), int(rng.uniform(1000.0, 1500.0) / sample)
    values = mackey_glass_series(
        sample, transient + rows + settings["horizon"], tau=tau, start=start
    )
    name = f"mackey_glass_tau{tau:g}_h{settings['horizon']}"
    return forecast_task(name, values[transient:, None], [0], [0], **settings)
