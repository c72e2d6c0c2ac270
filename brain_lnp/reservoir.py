"""SpikingReservoir: a network as a scikit-learn transformer, from images or series to traces."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from analysis.spikes import filtered_traces
from brain_lnp.tasks.encoders import row_by_row
from models_eq.checks import whole
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.rng import check_seed, stream
from models_eq.simulate import simulate
from models_eq.spec import HRSNNSpec, sample_hrsnn
from models_eq.stimulus import Stimulus
from models_eq.units import positive_seconds

KINDS = ("images", "series")


class SpikingReservoir(TransformerMixin, BaseEstimator):
    """Filtered spikes of a network driven by X, for pipelines, grid search, cross-validation.

    Parameters
    ----------
    net : HRSNN, optional
        The network, pruned or not. Default: one of 100 neurons in the reference regime, drawn
        from ``seed``.
    kind : {'images', 'series'}
        ``'images'``: each row of X is a sample of its own, shown from the same initial state.
        ``'series'``: X is one run, row after row, and the state is carried on; the first rows
        are best left out of what follows.
    shape : tuple of int, optional
        With ``'images'``: (height, width) or (height, width, colours) of a flattened sample,
        shown row by row. Default: a sample is a single row.
    blank : int
        Rows without input after each image.
    hold : Quantity or str
        How long a row is shown.
    input_sd : float
        Standard deviation of the current into a neuron while standardised rows are shown.
    windows : int
        With ``'images'``: traces at the ends of so many equal stretches of a sample, side by
        side; the rows of an image have to be a multiple of it.
    tau, dt : Quantity or str
        Time constant of the filtered spikes, and time step.
    seed : int
        Input weights and initial state.

    Attributes
    ----------
    net_ : HRSNN
        The network that runs.
    mean_ : ndarray, shape (features,)
        Mean of the training data.
    scale_ : float
        Divisor of all features.
    weights_ : ndarray, shape (channels, n_origin)
        Input weights, drawn for original neuron indices.
    n_features_in_ : int

    Notes
    -----
    Deterministic: the same X gives the same traces. Learning is left to what follows in the
    pipeline; ``fit`` takes means and one scale from X, and nothing else. All features are divided
    by one number, as the image tasks do, so that faint pixels stay faint.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from analysis.readout import LinearClassifier
    >>> model = make_pipeline(SpikingReservoir(shape=(8, 8)), LinearClassifier())
    >>> model.set_params(spikingreservoir__tau="20 ms")[0].tau
    '20 ms'
    """

    def __init__(
        self,
        net: HRSNN | None = None,
        kind: str = "images",
        shape: tuple[int, ...] | None = None,
        blank: int = 2,
        hold: Any = "10 ms",
        input_sd: float = 2.0,
        windows: int = 1,
        tau: Any = "50 ms",
        dt: Any = "1 ms",
        seed: int = 0,
    ) -> None:
        self.net = net
        self.kind = kind
        self.shape = shape
        self.blank = blank
        self.hold = hold
        self.input_sd = input_sd
        self.windows = windows
        self.tau = tau
        self.dt = dt
        self.seed = seed

    def _check(self) -> tuple[int, ...]:
        """Shape of one sample as an image, after a look at all settings."""
        if self.net is not None and not isinstance(self.net, HRSNN):
            raise ParameterError("net", "an HRSNN", type(self.net).__name__)
        if self.kind not in KINDS:
            raise ParameterError("kind", " or ".join(KINDS), self.kind)
        check_seed(self.seed)
        real = isinstance(self.input_sd, (int, float)) and not isinstance(self.input_sd, bool)
        if not (real and np.isfinite(self.input_sd) and self.input_sd >= 0):
            raise ParameterError("input_sd", "a number of at least 0", self.input_sd)
        for name in ("hold", "tau", "dt"):
            positive_seconds(getattr(self, name), name)
        shape = (1, self.n_features_in_) if self.shape is None else tuple(self.shape)
        if self.kind == "series" and self.shape is not None:
            raise ParameterError("shape", "None for a series", self.shape)
        if len(shape) not in (2, 3) or int(np.prod(shape)) != self.n_features_in_:
            expected = f"(height, width) or with colours, of {self.n_features_in_} features"
            raise ParameterError("shape", expected, self.shape)
        rows = shape[0] + whole(self.blank, "blank", 0)
        windows = whole(self.windows, "windows")
        if rows % windows or (self.kind == "series" and windows > 1):
            raise ParameterError("windows", f"a divisor of {rows} rows, 1 for a series", windows)
        return shape

    def fit(self, X: Any, y: Any = None) -> SpikingReservoir:
        """Take means and scale from X, and draw the input weights.

        Parameters
        ----------
        X : array_like, shape (samples, features)
        y : ignored

        Raises
        ------
        ParameterError
            For bad settings.
        ValueError
            scikit-learn's own, for NaN and wrong shapes.
        """
        X = validate_data(self, X, dtype=np.float64)
        shape = self._check()
        self.net_: HRSNN = (
            sample_hrsnn(HRSNNSpec(n=100), seed=self.seed) if self.net is None else self.net
        )
        self.mean_ = X.mean(axis=0)
        # The mean over rows of the power of all channels of a row.
        power = float(np.mean((X - self.mean_) ** 2)) * int(np.prod(shape[1:]))
        self.scale_ = np.sqrt(power) if power > 0 else 1.0
        rng = stream(self.seed, "input")
        channels = int(np.prod(shape[1:]))
        self.weights_ = self.input_sd * rng.standard_normal((self.net_.n_origin, channels)).T
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Filtered spikes.

        Parameters
        ----------
        X : array_like, shape (samples, features)

        Returns
        -------
        ndarray, shape (samples, n * windows)
            At the end of each sample (or of each window), or of each row of a series.
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        shape = self._check()
        hold = positive_seconds(self.hold, "hold")
        scaled = (X - self.mean_) / self.scale_
        signal = scaled
        interval = hold
        if self.kind == "images":
            signal = row_by_row(scaled.reshape(len(X), *shape), self.blank)
            interval = hold * signal.shape[1] / self.windows
        stimulus = Stimulus.from_signal(signal, self.weights_, f"{hold!r} s")
        run = simulate(self.net_, stimulus, dt=self.dt, seed=self.seed)
        traces = filtered_traces(run, f"{interval!r} s", self.tau).astype(float)
        return traces[0] if self.kind == "series" else traces.reshape(len(X), -1)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Names of the outputs: ``neuron12`` by original index, ``neuron12_w0`` with windows.

        Parameters
        ----------
        input_features : ignored
            For scikit-learn's pipelines.

        Returns
        -------
        ndarray of str, shape (outputs,)
        """
        check_is_fitted(self)
        ids = self.net_.ids
        if self.kind == "series" or self.windows == 1:
            return np.array([f"neuron{k}" for k in ids], dtype=object)
        return np.array([f"neuron{k}_w{w}" for w in range(self.windows) for k in ids], dtype=object)
