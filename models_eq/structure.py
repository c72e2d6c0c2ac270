"""Edits that give the weights of a network structure: low rank, heavy tails, learnt weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from models_eq.checks import whole
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.law import number, require
from models_eq.plastic import train_stdp
from models_eq.plasticity import STDP
from models_eq.rng import check_seed, stream
from models_eq.stimulus import slow_stimulus
from models_eq.units import positive_seconds

# Children of the streams 'weights' and 'input', clear of those that others draw from.
_LOW_RANK, _HEAVY_TAILED, _DRIVE = 101, 102, 103
_HOLD = 0.010

#: The rule that :func:`stdp_shaped` takes by default. In the reference regime it spreads the
#: weights over their whole range: a peak at 0 and a tail that reaches the bound. Larger steps or
#: a higher bound let the network run away into synchrony while it learns.
SHAPING = STDP(a_plus=0.02, a_minus=0.021, w_max=4.0)


def low_rank(net: HRSNN, rank: int = 2, strength: float = 1.0, *, seed: int = 0) -> HRSNN:
    """Modulate the magnitudes of all weights by a rectified matrix of low rank.

    Parameters
    ----------
    net : HRSNN
        The network.
    rank : int
        Number of patterns.
    strength : float
        Standard deviation of the modulation before rectification, at least 0.
    seed : int
        Any integer of at least 0; the patterns come from a child of the stream ``weights``, for
        the original neurons.

    Returns
    -------
    HRSNN
        The same synapses with other weights.

    Raises
    ------
    ParameterError
        For a value out of range, or if rectification leaves no weight of one sign.

    Notes
    -----
    With patterns u, v of independent standard normal entries, shape (n, rank), the weight of
    the synapse from i to j becomes

        w_ij <- c w_ij max(0, 1 + strength u_i . v_j / sqrt(rank))

    where c, one number for each sign, keeps the mean of that sign. Signs, hence Dale's law, are
    kept. Where nothing is rectified, the ratios of new to old weights of one sign form a matrix
    of rank ``rank + 1``. Rectified weights are 0 but remain synapses; the history holds their
    share (``zeros``) and the coefficient of variation of the factor (``cv``).

    References
    ----------
    Mastrogiuseppe & Ostojic 2018, 10.1016/j.neuron.2018.07.003
    """
    _check(net)
    rank = whole(rank, "rank")
    strength = number(strength, "strength")
    require(strength >= 0, "strength", "a number of at least 0", strength)
    rng = stream(seed, "weights", _LOW_RANK)
    u, v = rng.standard_normal((2, net.n_origin, rank))[:, net.ids]
    overlap = np.einsum("kr,kr->k", u[net.i], v[net.j]) / np.sqrt(rank)
    factor = np.maximum(0.0, 1.0 + strength * overlap)
    w = _same_means(net, net.w * factor, "strength")
    entry = {"step": "low_rank", "seed": int(seed), "rank": rank, "strength": strength}
    zeros, cv = 0.0, 0.0
    if factor.size:
        zeros, cv = float(np.mean(factor == 0)), float(factor.std() / factor.mean())
    return net.replace(w=w).note(**entry, zeros=zeros, cv=cv)


def heavy_tailed(net: HRSNN, sigma: float = 1.5, *, seed: int = 0) -> HRSNN:
    """Redraw the magnitudes of all weights from a lognormal law with the same means.

    Parameters
    ----------
    net : HRSNN
        The network.
    sigma : float
        Standard deviation of the logarithm, at least 0.
    seed : int
        Any integer of at least 0; magnitudes come from a child of the stream ``weights``.

    Returns
    -------
    HRSNN
        The same synapses with other weights of the same signs; a weight of 0 takes the sign of
        its neuron.

    Raises
    ------
    ParameterError
        For a value out of range.

    Notes
    -----
    The coefficient of variation is sqrt(exp(sigma^2) - 1) (2.9 at sigma = 1.5), apart from
    sampling. The mean of each sign is kept exactly. Few strong synapses drive a network more
    than many of the same mean: rates rise, and the coupling is to be tuned anew.

    References
    ----------
    Song et al. 2005, 10.1371/journal.pbio.0030068;
    Buzsáki & Mizuseki 2014, 10.1038/nrn3687
    """
    _check(net)
    sigma = number(sigma, "sigma")
    require(sigma >= 0, "sigma", "a number of at least 0", sigma)
    rng = stream(seed, "weights", _HEAVY_TAILED)
    size = np.exp(sigma * rng.standard_normal(net.n_synapses))
    w = _same_means(net, np.where(_positive(net), size, -size), "sigma")
    return net.replace(w=w).note(step="heavy_tailed", seed=int(seed), sigma=sigma)


def stdp_shaped(
    net: HRSNN,
    rule: STDP | None = None,
    *,
    seed: int = 0,
    duration: Any = "20 s",
    drives: int = 4,
    channels: int = 3,
    sd: float = 2.0,
    dt: Any = "1 ms",
) -> HRSNN:
    """Let unsupervised STDP shape the weights under slow random input that knows of no task.

    Parameters
    ----------
    net : HRSNN
        The network; it must obey Dale's law.
    rule : STDP, optional
        What a synapse learns; by default ``SHAPING``.
    seed : int
        Any integer of at least 0, for the drives, the initial state and what the rule draws.
    duration : Quantity or str
        Biological time of all drives together.
    drives : int
        Inputs presented one after the other, each with signals and input weights of its own.
    channels : int
        Signals of each drive.
    sd : float
        Standard deviation of the input current into a neuron.
    dt : Quantity or str
        Time step, a divisor of 10 ms.

    Returns
    -------
    HRSNN
        The same synapses with other weights. Its history holds what
        :func:`~models_eq.plastic.train_stdp` reports, and counts of the magnitudes of plastic
        synapses in ten equal bins from 0 to the bound, before and after.

    Raises
    ------
    ParameterError
        For a value out of range.

    Notes
    -----
    Each drive is a :func:`~models_eq.stimulus.slow_stimulus`. Synaptic scaling keeps the summed
    plastic input of every neuron, hence the mean excitatory weight; what changes is who is
    listened to. Rates change somewhat all the same: in the reference regime with 400 or 1000
    neurons they came to lie at 0.7 to 1.2 of what they were under such input, while 13 to 28 %
    of the plastic weights fell to 0, which pruning by magnitude then gets for nothing.
    """
    _check(net)
    rule = SHAPING if rule is None else rule
    seed, drives = check_seed(seed), whole(drives, "drives")
    length = positive_seconds(duration, "duration")
    rows = round(length / _HOLD / drives)
    expected = f"at least {drives * _HOLD:g} s for {drives} drives"
    require(rows >= 1, "duration", expected, f"{length:g} s")
    stimuli = [
        slow_stimulus(
            net.n_origin,
            rows,
            channels=channels,
            sd=sd,
            hold=f"{_HOLD!r} s",
            rng=stream(seed, "input", _DRIVE, k),
        )
        for k in range(drives)
    ]
    shaped, _ = train_stdp(net, stimuli, rule, dt=dt, seed=seed)
    bound = rule.bounds(net)
    learns = bound != 0
    counts = [
        np.histogram(np.minimum(one.w[learns] / bound[learns], 1.0), 10, (0, 1))[0].tolist()
        for one in (net, shaped)
    ]
    entry = {"step": "stdp_shaped", "seed": seed, "drives": drives, "channels": channels}
    return shaped.note(**entry, sd=float(sd), counts_before=counts[0], counts_after=counts[1])


def _check(net: Any) -> None:
    if not isinstance(net, HRSNN):
        raise ParameterError("net", "an HRSNN", type(net).__name__)


def _positive(net: HRSNN) -> np.ndarray:
    return np.where(net.w == 0, net.is_exc[net.i], net.w > 0)


def _same_means(net: HRSNN, w: np.ndarray, field: str) -> np.ndarray:
    """Scale the weights of each sign so that their mean is that of the network."""
    positive = _positive(net)
    for mine in (positive, ~positive):
        old, new = net.w[mine].sum(), w[mine].sum()
        require(new != 0 or old == 0, field, "a value that leaves weights of both signs", "none")
        w[mine] *= old / new if new != 0 else 1.0
    return w
