"""STDPReadout: an output layer of spiking neurons that learns labels by STDP.

A readout never runs the reservoir again: what it needs of recorded spikes are their traces, which
is what a synapse remembers of its presynaptic neuron::

    traces = filtered_traces(run, "10 ms", "50 ms")        # (trials, rows, neurons)
    STDPReadout().fit(traces[:, -1], labels)               # the trace at the end of each trial
    STDPReadout().fit(traces, labels)                      # the whole of it, played back
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import validation
from sklearn.utils.multiclass import check_classification_targets

from analysis.readout._balance import Balance
from analysis.readout._layer import Layer, answer, learn
from analysis.readout._paths import is_labels
from models_eq.checks import whole
from models_eq.errors import ParameterError
from models_eq.rng import stream
from models_eq.units import positive_seconds

_AT_LEAST_0 = ("a_minus", "triplet", "inhibition", "homeostasis")
_ABOVE_0 = ("a_plus", "teaching", "w_max")
# Spread of the first weights where a class has several neurons, which must not stay equal.
_SPREAD = 0.3


class STDPReadout(ClassifierMixin, BaseEstimator):
    """Spiking readout of labels: one group of neurons a class, taught by gated STDP.

    Parameters
    ----------
    per_class : int
        Neurons of each group.
    epochs : int
        Passes of ``fit`` over the data, with a rate that falls linearly.
    a_plus : float
        Potentiation by a pair of spikes: the rate of learning.
    a_minus : float
        Depression by a pair, as a fraction of ``a_plus``. The phase without teaching depresses
        already; this is the pair rule's own window.
    triplet : float
        Further potentiation by a triplet, as a fraction of ``a_plus``; 0 leaves the pair rule.
    teaching : float
        Teaching current: into the group of the label, and as inhibition out of all others. The
        threshold is 1, so that only values above 1 can make a neuron fire.
    inhibition : float
        Lateral inhibition of all other neurons by one spike.
    homeostasis : float
        Step of a neuron's intrinsic excitability, by which its rate without teaching follows
        its rate with teaching.
    w_max : float
        Bound of a weight.
    presentation : Quantity or str
        How long a row of traces is shown.
    dt, tau_m, t_ref : Quantity or str
        Time step, membrane time constant and refractory time of the output neurons.
    tau_minus, tau_triplet, tau_inhibition : Quantity or str
        Time constants of the postsynaptic traces of pairs and triplets, and of inhibition.
    seed : int
        Order of the samples, and first weights where ``per_class`` is above 1.

    Attributes
    ----------
    classes_ : ndarray, shape (classes,)
    coef_ : ndarray, shape (classes * per_class, features)
        Weights, for balanced traces (see Notes); the neurons of a class lie side by side.
    intercept_ : ndarray, shape (classes * per_class,)
        Intrinsic excitability.
    balance_ : Balance
        Long-run mean and scale of each presynaptic trace.
    online_error_ : list of float
        Share of wrong answers in each pass, each sample judged before it was learnt.
    validation_error_ : float
        Share of wrong labels on the validation pair, where ``fit`` was given one.
    n_features_in_ : int

    Notes
    -----
    Output neuron k is leaky and integrates the current of exponential synapses,

        tau_m dv_k/dt = sum_f w_kf x_f + b_k + teaching_k - inhibition_k - v_k,

    spikes at 1 and restarts at 0. x_f is the trace of presynaptic neuron f measured against its
    own long-run mean and spread (presynaptic homeostasis). A sample is shown twice. In the first
    phase the layer answers alone and synapses undergo anti-STDP (gate g = -1), in the second a
    teaching current drives the right group and holds the others still, and they undergo STDP
    (g = +1). With y and z the fast and slow postsynaptic traces,

        at a postsynaptic spike   w <- w + g a_plus (1 + triplet z_k) x_f
        at presynaptic spikes     w <- w - g a_plus a_minus y_k s_f

    where s_f are the presynaptic spikes that hold the trace at x_f. Where answer and teaching
    agree, the two phases cancel: the rule corrects errors, and since a refractory neuron cannot
    fire faster than it is taught to, it stops at a margin. ``predict`` takes the group of most
    spikes, of equals the one of the larger mean current. Weights take either sign. The currents
    of a row are those of the weights at its beginning.

    References
    ----------
    Neftci et al. 2014, doi:10.3389/fnins.2013.00272 (STDP gated by phases, contrastive
    divergence); Ponulak & Kasinski 2010, doi:10.1162/neco.2009.11-08-901 (teaching by STDP and
    anti-STDP); Pfister & Gerstner 2006, doi:10.1523/JNEUROSCI.1425-06.2006 (triplets); Sejnowski
    1977, doi:10.1007/BF00275079 (covariance); Desai, Rutherford & Turrigiano 1999,
    doi:10.1038/9165 (intrinsic excitability).

    Examples
    --------
    >>> X = np.array([[9.0, 1.0], [1.0, 9.0], [8.0, 0.0], [0.0, 8.0]])
    >>> STDPReadout(epochs=3).fit(X, ["a", "b", "a", "b"]).predict([[7.0, 1.0]])
    array(['a'], dtype='<U1')
    """

    def __init__(
        self,
        per_class: int = 1,
        epochs: int = 10,
        a_plus: float = 0.5,
        a_minus: float = 0.1,
        triplet: float = 0.0,
        teaching: float = 4.0,
        inhibition: float = 0.5,
        homeostasis: float = 0.02,
        w_max: float = 10.0,
        presentation: Any = "10 ms",
        dt: Any = "1 ms",
        tau_m: Any = "5 ms",
        t_ref: Any = "1 ms",
        tau_minus: Any = "20 ms",
        tau_triplet: Any = "114 ms",
        tau_inhibition: Any = "5 ms",
        seed: int = 0,
    ) -> None:
        self.per_class = per_class
        self.epochs = epochs
        self.a_plus = a_plus
        self.a_minus = a_minus
        self.triplet = triplet
        self.teaching = teaching
        self.inhibition = inhibition
        self.homeostasis = homeostasis
        self.w_max = w_max
        self.presentation = presentation
        self.dt = dt
        self.tau_m = tau_m
        self.t_ref = t_ref
        self.tau_minus = tau_minus
        self.tau_triplet = tau_triplet
        self.tau_inhibition = tau_inhibition
        self.seed = seed

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags

    def for_targets(self, y: Any) -> STDPReadout:
        """An unfitted readout with these settings, for targets like ``y``.

        Raises
        ------
        ParameterError
            For numbers: this readout learns labels.
        """
        if not is_labels(y):
            raise ParameterError(
                "readout", "labels, which STDPReadout learns", "numbers", "Use LinearReadout"
            )
        copy: STDPReadout = clone(self)
        return copy

    def _layer(self) -> Layer:
        """The settings as numbers, checked."""
        for names, fine, what in (
            (_AT_LEAST_0, lambda v: v >= 0, "a number of at least 0"),
            (_ABOVE_0, lambda v: v > 0, "a number above 0"),
        ):
            for name in names:
                value = getattr(self, name)
                real = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
                if not (real and np.isfinite(value) and fine(value)):
                    raise ParameterError(name, what, value)
        if self.teaching <= 1:
            raise ParameterError("teaching", "a current above the threshold, 1", self.teaching)
        clocks = ("presentation", "dt", "tau_m", "t_ref", "tau_minus", "tau_triplet")
        times = {name: positive_seconds(getattr(self, name), name) for name in clocks}
        steps = times["presentation"] / times["dt"]
        if steps < 0.5 or abs(steps - round(steps)) > 1e-6:
            raise ParameterError("presentation", "a multiple of dt", self.presentation)
        return Layer(
            groups=len(self.classes_),
            each=whole(self.per_class, "per_class"),
            dt=times["dt"],
            steps=round(steps),
            tau_m=times["tau_m"],
            tau_minus=times["tau_minus"],
            tau_slow=times["tau_triplet"],
            tau_inhibition=positive_seconds(self.tau_inhibition, "tau_inhibition"),
            rest=round(times["t_ref"] / times["dt"]),
            teaching=float(self.teaching),
            inhibition=float(self.inhibition),
            homeostasis=float(self.homeostasis),
            plus=float(self.a_plus),
            minus=float(self.a_plus * self.a_minus),
            triplet=float(self.a_plus * self.triplet),
            w_max=float(self.w_max),
        )

    def _samples(self, X: Any, y: Any = "no_validation", *, reset: bool = False) -> Any:
        """Checked traces, and labels where they are given."""
        rows = X.shape[1] if isinstance(X, np.ndarray) and X.ndim == 3 else 0
        if rows and not isinstance(y, str):
            y = validation.column_or_1d(y, warn=True)
            validation.check_consistent_length(X, y)
        # Rows one after the other have as many features as a sample has in each of them.
        flat = X.reshape(-1, X.shape[2]) if rows else X
        given = "no_validation" if rows else y
        checked = validation.validate_data(self, flat, given, dtype=np.float64, reset=reset)
        X = checked if isinstance(given, str) else checked[0]
        validation.check_non_negative(X, type(self).__name__)
        X = X.reshape(-1, rows, X.shape[1]) if rows else X
        return X if isinstance(y, str) else (X, y if rows else checked[1])

    def _begin(self, classes: np.ndarray) -> None:
        self.classes_ = classes
        if len(classes) < 2:
            raise ParameterError("y", "labels of at least two classes", "one class")
        layer = self._layer()
        draws = stream(self.seed, "readout").normal(0.0, _SPREAD, (layer.size, self.n_features_in_))
        self.coef_ = draws / np.sqrt(self.n_features_in_) * (layer.each > 1)
        self.intercept_ = np.zeros(layer.size)
        self.balance_ = Balance.empty(self.n_features_in_)
        self.online_error_: list[float] = []

    def _pass(self, traces: np.ndarray, label: np.ndarray, rate: np.ndarray, order: Any) -> None:
        layer = self._layer()
        w, self.intercept_, counts = learn(
            layer, traces, order, label, rate, self.coef_.T, self.intercept_
        )
        self.coef_ = np.ascontiguousarray(w.T)
        votes = counts.reshape(len(order), layer.groups, layer.each).sum(axis=2)
        right = votes[np.arange(len(order)), label[order]]
        others = votes.copy()
        others[np.arange(len(order)), label[order]] = -1
        self.online_error_.append(float(np.mean(right <= others.max(axis=1))))

    def fit(self, X: Any, y: Any, X_val: Any = None, y_val: Any = None) -> STDPReadout:
        """Learn from the beginning.

        Parameters
        ----------
        X : array_like, shape (samples, features) or (samples, rows, features)
            Counts or filtered traces of spikes, at least 0; rows are shown one after the other.
        y : array_like, shape (samples,)
            Labels.
        X_val, y_val : array_like, optional
            Validation pair: the weights kept are those after the pass with the fewest errors on
            it. Without it, those after the last pass.

        Raises
        ------
        ParameterError
            For bad settings, a single class, or half a validation pair.
        ValueError
            scikit-learn's own, for NaN, negative values and wrong shapes.
        """
        epochs = whole(self.epochs, "epochs")
        X, y = self._samples(X, y, reset=True)
        if (X_val is None) != (y_val is None):
            raise ParameterError("X_val, y_val", "both or neither", "one of the two")
        check_classification_targets(y)
        classes, label = np.unique(y, return_inverse=True)
        self._begin(classes)
        self.balance_ = self.balance_.joined(X)
        traces = self.balance_(X)
        shuffle = stream(self.seed, "readout", 1)
        best: tuple[float, Any] = (np.inf, None)
        for epoch in range(epochs):
            rate = np.full(len(y), 1.0 - epoch / epochs)
            self._pass(traces, label, rate, shuffle.permutation(len(y)))
            if X_val is not None:
                wrong = float(np.mean(self.predict(X_val) != np.asarray(y_val)))
                if wrong < best[0]:
                    best = wrong, (self.coef_, self.intercept_)
        if X_val is not None:
            self.validation_error_, (self.coef_, self.intercept_) = best
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> STDPReadout:
        """Learn on, from samples in the order in which they come.

        Parameters
        ----------
        X, y : array_like
            As for :meth:`fit`.
        classes : array_like, optional
            All labels that will ever come; needed at the first call if ``y`` lacks some.

        Raises
        ------
        ParameterError
            For a label that was not announced.
        """
        first = not hasattr(self, "classes_")
        X, y = self._samples(X, y, reset=first)
        check_classification_targets(y)
        if first:
            self._begin(np.unique(y if classes is None else classes))
        elif classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ParameterError("classes", f"those of the first call, {self.classes_}", classes)
        unknown = np.setdiff1d(y, self.classes_)
        if unknown.size:
            raise ParameterError("y", f"labels out of {self.classes_.tolist()}", unknown.tolist())
        self.balance_ = self.balance_.joined(X)
        label = np.searchsorted(self.classes_, y)
        self._pass(self.balance_(X), label, np.ones(len(y)), np.arange(len(y)))
        return self

    def _scores(self, X: Any) -> np.ndarray:
        validation.check_is_fitted(self)
        layer = self._layer()
        X = self._samples(X)
        counts, drive = answer(layer, self.balance_(X), self.coef_.T, self.intercept_)
        votes = counts + 0.5 * expit(drive)
        return votes.reshape(len(X), layer.groups, layer.each).sum(axis=2)

    def decision_function(self, X: Any) -> np.ndarray:
        """Spikes of each group, ties told apart by the mean current.

        Returns
        -------
        ndarray, shape (samples, classes), or (samples,) for two classes
            For two, those of the second minus those of the first.
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, X: Any) -> np.ndarray:
        """Labels of the groups that answer most, shape (samples,)."""
        scores = self._scores(X)
        labels: np.ndarray = self.classes_[scores.argmax(axis=1)]
        return labels
