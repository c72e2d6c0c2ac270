"""Predictors without a network: what any network has to beat.

Each is fitted on the training part, chooses its penalty on the validation part, and reports the
task's metric on the test part.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.signal import lfilter

from analysis.metrics import accuracy, nrmse
from analysis.readout.linear import LinearClassifier, LinearReadout
from brain_lnp.tasks.task import Task, whole
from models_eq.errors import ParameterError
from models_eq.units import positive_seconds

# Neighbouring samples of a smooth series are nearly collinear, and a forecast from them is a high
# derivative: the best penalty is far below those that suit spikes.
_AR_ALPHAS = tuple(float(alpha) for alpha in np.logspace(-14, 1, 16))


def _forecast(task: Task) -> None:
    if task.kind != "series" or task.metric != "nrmse" or task.horizon < 1:
        raise ParameterError("task", "a forecast of a series", f"{task.name} ({task.kind})")


def persistence(task: Task) -> float:
    """NRMSE of "nothing changes": each target predicted by its own value ``horizon`` rows before.

    Parameters
    ----------
    task : Task
        A forecast. Where the network sees part of the system only, persistence is still given
        the true present value of every target.

    Raises
    ------
    ParameterError
        If the task is not a forecast.
    """
    _forecast(task)
    test = task.split.test
    if test.start < task.horizon:
        raise ParameterError("task", f"{task.horizon} rows before the test part", test.start)
    earlier = slice(test.start - task.horizon, test.stop - task.horizon)
    return nrmse(task.targets[test], task.targets[earlier])


def autoregression(task: Task, taps: int = 20) -> float:
    """NRMSE of a ridge regression on the present and the ``taps - 1`` inputs before it.

    Parameters
    ----------
    task : Task
        A forecast.
    taps : int
        Rows of input that each prediction uses.

    Raises
    ------
    ParameterError
        If the task is not a forecast, or has fewer rows before the end of training than taps.
    """
    _forecast(task)
    taps = whole(taps, "taps", 1)
    train, validation, test = task.split
    first = max(train.start, taps - 1)
    if first + 2 > train.stop:
        raise ParameterError("taps", f"at most {train.stop - 1}", taps)
    n = len(task.inputs)
    # Row r of lagged: inputs r, r-1, ...; the first taps - 1 rows have no full past and are
    # trained on by nobody.
    lagged = np.hstack(
        [np.vstack([np.zeros((lag, task.channels)), task.inputs[: n - lag]]) for lag in range(taps)]
    )
    readout = LinearReadout(alphas=_AR_ALPHAS)
    readout.fit(
        lagged[first : train.stop],
        task.targets[first : train.stop],
        lagged[validation],
        task.targets[validation],
    )
    return nrmse(task.targets[test], readout.predict(lagged[test]))


def raw_pixels(task: Task, kind: str = "ridge") -> float:
    """Accuracy of a linear classifier on the raw pixels.

    Parameters
    ----------
    task : Task
        An image task.
    kind : {'ridge', 'logistic'}

    Raises
    ------
    ParameterError
        If the task is not one of images.
    """
    if task.kind != "images" or task.metric != "accuracy":
        raise ParameterError("task", "a classification of images", f"{task.name} ({task.kind})")
    train, validation, test = task.split
    X, y = task.inputs.reshape(len(task.inputs), -1), task.targets
    readout = LinearClassifier(kind=kind).fit(X[train], y[train], X[validation], y[validation])
    return accuracy(y[test], readout.predict(X[test]))


def encoder_alone(task: Task, tau: Any = "50 ms") -> float:
    """The metric of the same linear readout on the encoded input, without a network.

    Parameters
    ----------
    task : Task
        A series, or images.
    tau : Quantity or str
        Time constant of the filter that the readout of a network has.

    Returns
    -------
    float
        Of a series: each row and the past rows, filtered as spikes would be. Of images: all rows.

    Raises
    ------
    ParameterError
        For a time constant that is no time above 0.
    """
    decay = positive_seconds(tau, "tau")
    if task.kind == "images":
        return raw_pixels(task)
    train, validation, test = task.split
    past = lfilter([1.0], [1.0, -np.exp(-task.hold / decay)], task.inputs, axis=0)
    X, y = np.hstack([task.inputs, past]), task.targets
    readout = LinearReadout(alphas=_AR_ALPHAS)
    readout.fit(X[train], y[train], X[validation], y[validation])
    return nrmse(y[test], readout.predict(X[test]))


def baselines(task: Task) -> dict[str, float]:
    """All that apply to a task, by name; fit for the ``baselines`` of a Task.

    Examples
    --------
    >>> from brain_lnp.tasks import lorenz63
    >>> sorted(baselines(lorenz63(n_train=200, n_validation=50, n_test=50)))
    ['autoregression', 'persistence']
    """
    if task.kind == "images":
        return {f"raw_pixels_{kind}": raw_pixels(task, kind) for kind in ("ridge", "logistic")}
    return {"persistence": persistence(task), "autoregression": autoregression(task)}
