"""STDP: rules of spike-timing-dependent plasticity as Brian2 text."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from models_eq.distributions import Distribution, as_distribution
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.law import number, require
from models_eq.rng import stream
from models_eq.units import TIME

# Children of the stream 'timescales', clear of those that a network is drawn from.
_CHILD = {"tau_plus": 101, "tau_minus": 102, "tau_triplet": 103}
_SYNAPSES = ("excitatory", "all")


@dataclass(frozen=True)
class STDP:
    """A rule of spike-timing-dependent plasticity that acts on magnitudes and keeps signs.

    Parameters
    ----------
    a_plus, a_minus : float
        Largest potentiation and depression by one pair of spikes, as a fraction of the bound.
    tau_plus, tau_minus : Distribution of times
        Time constants of the trace that a neuron leaves as a presynaptic one (potentiation) and
        as a postsynaptic one (depression). A quantity or text such as ``"20 ms"`` is one value
        for all; a law gives each neuron its own.
    mu : float
        0 for additive, 1 for multiplicative updates, or between.
    w_max : float
        Bound of a magnitude, as a multiple of the mean magnitude of the plastic synapses of the
        same sign.
    triplet : float
        Extra potentiation by a triplet post-pre-post, as a fraction of the bound; 0 leaves the
        pair rule.
    tau_triplet : Distribution of times
        Time constant of the slow postsynaptic trace of the triplet term.
    synapses : str
        Which synapses learn: ``"excitatory"`` ones (onto all neurons), or ``"all"``.

    Attributes
    ----------
    traces : str
        Equations of the traces, one set for each neuron.
    on_spike : str
        Statements on a neuron's own traces after each of its spikes, later in the step than
        ``on_pre`` and ``on_post``.
    model : str
        Equations of a synapse.
    on_pre, on_post : str
        Statements at a presynaptic spike (after its delivery) and at a postsynaptic one.

    Raises
    ------
    ParameterError
        For a value out of range, naming the field; UnitError for a time without a unit.

    Notes
    -----
    With W the bound, m = |w|, x the presynaptic trace, y and z the fast and the slow
    postsynaptic trace,

        at a presynaptic spike   m <- m - a_minus W (m/W)^mu y
        at a postsynaptic spike  m <- m + (a_plus + triplet z) W (1 - m/W)^mu x

    clipped to [0, W]. Each trace decays with its time constant and grows by 1 at each spike of
    its neuron, so that all pairs of spikes count. Times of spikes are those of the time grid at
    both ends of the synapse, without a delay, and traces grow after the weights have changed:
    two spikes in one step are no pair, neither for potentiation nor for depression, and z does
    not hold the present spike. An isolated pair post - pre = d > 0 thus adds
    a_plus W exp(-d/tau_plus) to an additive synapse; d < 0 takes a_minus W exp(d/tau_minus).

    The traces belong to neurons, not synapses, for speed. ``step`` of a plastic synapse is W
    with the sign of the synapse, and ``low`` and ``high`` are 0 and ``step`` in order; a synapse
    that does not learn has ``low = high = w``. In a script of one's own, ``traces`` goes to the
    equations of the neurons and ``on_spike`` to their reset, which runs after the synapses.

    References
    ----------
    Song, Miller & Abbott 2000, 10.1038/78829 (additive pairs);
    van Rossum, Bi & Turrigiano 2000, 10.1523/JNEUROSCI.20-23-08812.2000 (multiplicative);
    Gütig, Aharonov, Rotter & Sompolinsky 2003, 10.1523/JNEUROSCI.23-09-03697.2003 (exponent);
    Pfister & Gerstner 2006, 10.1523/JNEUROSCI.1425-06.2006 (triplets).

    Examples
    --------
    >>> rule = STDP(a_plus=0.01, a_minus=0.0105)
    >>> print(rule.on_post)
    w = clip(w + a_plus*step*x_pre, low, high)
    >>> STDP(mu=1).on_pre
    'w = clip(w - a_minus*w*y_post, low, high)'
    """

    a_plus: float = 0.005
    a_minus: float = 0.00525
    tau_plus: Distribution = "20 ms"  # type: ignore[assignment]
    tau_minus: Distribution = "20 ms"  # type: ignore[assignment]
    mu: float = 0.0
    w_max: float = 3.0
    triplet: float = 0.0
    tau_triplet: Distribution = "114 ms"  # type: ignore[assignment]
    synapses: str = "excitatory"

    def __post_init__(self) -> None:
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        for name in ("a_plus", "a_minus", "mu", "w_max", "triplet"):
            value = number(getattr(self, name), f"STDP.{name}")
            require(value >= 0, f"STDP.{name}", "a number of at least 0", value)
            put(name, value)
        require(self.mu <= 1, "STDP.mu", "an exponent in 0..1", self.mu)
        require(self.w_max > 1, "STDP.w_max", "a multiple above 1 of the mean", self.w_max)
        for name in _CHILD:
            law = as_distribution(getattr(self, name), f"STDP.{name}", TIME)
            hint = "Bound the distribution from below, as in Normal('20 ms', '5 ms', low='1 ms')"
            require(law.is_positive, f"STDP.{name}", "times above 0 s only", law, hint)
            put(name, law)
        if self.synapses not in _SYNAPSES:
            raise ParameterError("STDP.synapses", " or ".join(_SYNAPSES), self.synapses)

    @property
    def constants(self) -> dict[str, float]:
        """Values of the shared constants of ``model``, by name."""
        names = ["a_plus", "a_minus"]
        names += ["triplet"] if self.triplet else []
        names += ["mu"] if 0 < self.mu < 1 else []
        return {name: getattr(self, name) for name in names}

    @property
    def times(self) -> dict[str, str]:
        """Trace that each time constant belongs to, by the name of the time constant."""
        used = {"tau_plus": "x", "tau_minus": "y"}
        return {**used, "tau_triplet": "z"} if self.triplet else used

    @property
    def traces(self) -> str:
        """Equations of the traces of a neuron."""
        lines = [f"d{x}/dt = -{x}/{tau} : 1" for tau, x in self.times.items()]
        return "\n".join(lines + [f"{tau} : second (constant)" for tau in self.times])

    @property
    def on_spike(self) -> str:
        """Statements on the traces of a neuron that spikes."""
        return "\n".join(f"{x} += 1" for x in self.times.values())

    @property
    def model(self) -> str:
        """Equations of a synapse."""
        own = ["w : 1"] + [f"{name} : 1 (constant)" for name in ("step", "low", "high")]
        return "\n".join(own + [f"{name} : 1 (shared, constant)" for name in self.constants])

    @property
    def on_pre(self) -> str:
        """Statement of depression, at a presynaptic spike."""
        size = "step" if self.mu == 0 else "w" if self.mu == 1 else "step*clip(w/step, 0, 1)**mu"
        return f"w = clip(w - a_minus*{size}*y_post, low, high)"

    @property
    def on_post(self) -> str:
        """Statement of potentiation, at a postsynaptic spike."""
        rate = "(a_plus + triplet*z_post)" if self.triplet else "a_plus"
        size = {0.0: "step", 1.0: "(step - w)"}.get(self.mu, "step*clip(1 - w/step, 0, 1)**mu")
        return f"w = clip(w + {rate}*{size}*x_pre, low, high)"

    def plastic(self, net: HRSNN) -> np.ndarray:
        """Which synapses of a network learn.

        Parameters
        ----------
        net : HRSNN
            The network.

        Returns
        -------
        ndarray of bool, shape (m,)
            Those of excitatory neurons, or all.
        """
        if self.synapses == "all":
            return np.ones(net.n_synapses, dtype=bool)
        return net.is_exc[net.i]

    def bounds(self, net: HRSNN) -> np.ndarray:
        """Bound of each synapse, with its sign.

        Parameters
        ----------
        net : HRSNN
            The network, which must obey Dale's law.

        Returns
        -------
        ndarray, shape (m,)
            ``w_max`` times the mean magnitude of the plastic synapses of one sign, times that
            sign; 0 for synapses that do not learn.

        Raises
        ------
        ParameterError
            If a neuron has outgoing weights of both signs, or a sign that learns has no weight.
        """
        require(net.obeys_dale, "net", "outgoing weights of one sign for each neuron", net)
        plastic, excitatory = self.plastic(net), net.is_exc[net.i]
        bound = np.zeros(net.n_synapses)
        for sign, mine in ((1.0, plastic & excitatory), (-1.0, plastic & ~excitatory)):
            if mine.any():
                mean = float(np.abs(net.w[mine]).mean())
                require(mean > 0, "net", "plastic synapses with a weight", "0 throughout")
                bound[mine] = sign * self.w_max * mean
        return bound

    def sample_times(self, net: HRSNN, seed: int) -> dict[str, np.ndarray]:
        """Draw the time constants of the traces of each neuron.

        Parameters
        ----------
        net : HRSNN
            The network. A pruned network gets the values of the neurons that it kept.
        seed : int
            Any integer of at least 0; the stream is ``timescales``, each time constant from
            a child of its own.

        Returns
        -------
        dict of str to ndarray, shape (n,), s
            ``tau_plus`` and ``tau_minus``, and ``tau_triplet`` where there is a triplet term.
        """
        drawn = {}
        for name in self.times:
            law: Distribution = getattr(self, name)
            drawn[name] = law.sample(stream(seed, "timescales", _CHILD[name]), net.n_origin)
        return {name: value[net.ids] for name, value in drawn.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON or TOML; ``STDP(**rule.to_dict())`` is the rule again."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: v.to_dict() if isinstance(v, Distribution) else v for k, v in values.items()}


@dataclass(frozen=True, eq=False)
class Learning:
    """What a rule amounts to on one network.

    Attributes
    ----------
    rule : STDP
        The rule.
    post : ndarray of int, shape (m,)
        Postsynaptic neuron of each synapse.
    bound : ndarray, shape (m,)
        Signed bound of each synapse, 0 where it does not learn.
    times : dict of str to ndarray, shape (n,), s
        Time constants of the traces.
    target : ndarray, shape (n,), or None
        Summed magnitude of the plastic inputs of each neuron that scaling restores; None
        without scaling.
    interval : float, s
        Time between two scalings.
    """

    rule: STDP
    post: np.ndarray
    bound: np.ndarray
    times: dict[str, np.ndarray]
    target: np.ndarray | None
    interval: float

    @classmethod
    def of(
        cls, rule: STDP, net: HRSNN, seed: int, *, scaled: bool = True, interval: float = 0.1
    ) -> Learning:
        """Put a rule on a network.

        Parameters
        ----------
        rule : STDP
            The rule.
        net : HRSNN
            The network before it learns.
        seed : int
            Seed of the time constants that the rule draws.
        scaled : bool
            Whether to keep the summed plastic input of each neuron.
        interval : float, s
            Time between two scalings.

        Raises
        ------
        ParameterError
            If the network does not obey Dale's law, or its neurons cannot keep their summed
            input within the bounds.
        """
        learning = cls(rule, net.j, rule.bounds(net), rule.sample_times(net, seed), None, interval)
        if not scaled:
            return learning
        target = learning.sums(net.w)
        short = (learning.sums(learning.bound) < target).any()
        expected = "bounds that let each neuron keep its summed input"
        hint = "Raise w_max, or leave out scaling"
        require(not short, "STDP.w_max", expected, rule.w_max, hint)
        return replace(learning, target=target)

    def sums(self, w: np.ndarray) -> np.ndarray:
        """Summed magnitude of the plastic inputs of each neuron, shape (n,)."""
        n = next(iter(self.times.values())).size
        sums = np.bincount(self.post, np.abs(w) * (self.bound != 0), minlength=n)
        return sums.astype(float)  # without synapses they come as integers

    def settle(self, w: np.ndarray) -> np.ndarray:
        """Weights within their bounds and, with scaling, with the sums that each neuron had.

        Parameters
        ----------
        w : ndarray, shape (m,)
            Weights, of the signs of the network.

        Returns
        -------
        ndarray, shape (m,)
            All plastic inputs of a neuron times one factor, those that would pass the bound at
            the bound. What they cannot make up for goes to inputs of weight 0, in equal shares
            of their bounds.
        """
        learns, bound = self.bound != 0, np.abs(self.bound)
        size = np.where(learns, np.minimum(np.abs(w), bound), 0.0)
        size = size if self.target is None else self._scale(size, self.target)
        return np.where(learns, np.copysign(size, self.bound) + 0.0, w)  # no -0.0

    def _scale(self, size: np.ndarray, target: np.ndarray) -> np.ndarray:
        free, bound = size > 0, np.abs(self.bound)
        # Each round fixes what passes the bound and scales the rest by more than the last did.
        while free.any():
            rest = target - self.sums(np.where(free, 0.0, size))
            have = self.sums(np.where(free, size, 0.0))
            factor = np.divide(rest, have, out=np.ones_like(have), where=have > 0)
            size = np.where(free, size * factor[self.post], size)
            over = free & (size > bound)
            if not over.any():
                break
            size = np.where(over, bound, size)
            free &= ~over
        short = target - self.sums(size)
        short[short < 1e-12 * target] = 0.0  # rounding
        room = self.sums(np.where(size == 0, bound, 0.0))
        share = np.divide(short, room, out=room, where=room > 0)
        return np.where(size == 0, share[self.post] * bound, size)
