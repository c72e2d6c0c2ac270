"""Baselines with the signature, the budget and the compensation of Lyapunov Noise Pruning."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from analysis.pruning.balance import balanced_mask
from analysis.pruning.compensate import Compensation, Treatment
from analysis.pruning.linear_response import calibrated_covariance
from analysis.pruning.neurons import select_neurons, unreachable
from analysis.pruning.result import PruneResult, PruneStep, budget
from analysis.pruning.sampling import keep_probabilities, sample_exact
from analysis.pruning.synapses import coupling_matrix, keeping_scores
from analysis.pruning.timescales import TimescaleSearch
from analysis.spikes import rates
from models_eq.errors import BudgetError, ParameterError, SilentNetworkError
from models_eq.hrsnn import HRSNN
from models_eq.plastic import train_stdp
from models_eq.rng import check_seed, stream
from models_eq.simulate import simulate
from models_eq.stimulus import Stimulus
from models_eq.structure import SHAPING


@dataclass(frozen=True)
class Request:
    """What a baseline is asked for.

    Attributes
    ----------
    net : HRSNN
        The dense network.
    synapses : int
        Synapses to keep.
    neurons : int or None
        Neurons to keep; None leaves the number to the method.
    stimulus : tuple of Stimulus
        Task inputs, which only activity-based pruning sees.
    seed : int
        Seed of everything random.
    """

    net: HRSNN
    synapses: int
    neurons: int | None
    stimulus: tuple[Stimulus, ...]
    seed: int

    def rng(self, part: int) -> np.random.Generator:
        """Generator of one part of the method; the same part draws the same for all methods."""
        return stream(self.seed, "prune", 10, part)


_SWAPS = 30  # each synapse is offered so many swaps

Mask = Callable[[Request], tuple[HRSNN, dict[str, Any]]]


def _fewer_neurons(request: Request) -> HRSNN:
    """The network with the asked number of randomly chosen neurons."""
    net = request.net
    if request.neurons is None or request.neurons == net.n:
        return net
    kept = net.keep_neurons(request.rng(0).permutation(net.n)[: request.neurons])
    _enough(kept, request.synapses)
    return kept


def _enough(net: HRSNN, count: int) -> None:
    if net.n_synapses < count:
        raise BudgetError(
            "synapses",
            f"at most the {net.n_synapses} synapses among the {net.n} neurons kept",
            count,
            "Keep more neurons or fewer synapses",
        )


def _random(request: Request) -> tuple[HRSNN, dict[str, Any]]:
    net = _fewer_neurons(request)
    keep = request.rng(1).permutation(net.n_synapses)[: request.synapses]
    return net.keep_edges(keep), {}


def _balanced(request: Request) -> tuple[HRSNN, dict[str, Any]]:
    net = _fewer_neurons(request)
    mask = balanced_mask(net, request.synapses, np.ones(net.n_synapses), request.rng(1))
    return net.keep_edges(mask), {}


def _fresh(request: Request) -> tuple[HRSNN, dict[str, Any]]:
    """Balanced mask whose partners are then drawn anew: the dense mask plays no part.

    Synapses from neurons of one kind swap their presynaptic ends at random, which keeps every
    in-degree (of each kind) and every out-degree; weights stay with the postsynaptic end.
    """
    net, _ = _balanced(request)
    rng = request.rng(2)
    i, j = net.i.copy(), net.j
    for kind in (net.is_exc[net.i], ~net.is_exc[net.i]):
        members = np.flatnonzero(kind)
        half = members.size // 2
        for _ in range(_SWAPS):
            one, other = rng.permutation(members)[: 2 * half].reshape(2, half)
            first, second = i[other] * net.n + j[one], i[one] * net.n + j[other]
            # Refused: what would be there twice or lead back to its origin.
            _, at, times = np.unique(
                np.concatenate([first, second]), return_inverse=True, return_counts=True
            )
            alone = (times[at] == 1).reshape(2, half).all(axis=0)
            there = np.isin(first, i * net.n + j) | np.isin(second, i * net.n + j)
            loop = (i[other] == j[one]) | (i[one] == j[other])
            fine = alone & ~there & ~loop
            a, b = one[fine], other[fine]
            i[a], i[b] = i[b].copy(), i[a].copy()
    same = np.isin(i * net.n + j, net.i * net.n + net.j)
    return net.replace(i=i), {"share_unmoved": float(same.mean())}


def _sparse(request: Request) -> tuple[HRSNN, dict[str, Any]]:
    """A network that is sparse from the start: random pairs, weights drawn from the dense ones.

    Nothing of the dense graph is left, not even its degrees; weights come from the synapses of
    the presynaptic neuron's kind, so Dale's law holds.
    """
    net = _fewer_neurons(request)
    rng = request.rng(2)
    pair = rng.choice(net.n * (net.n - 1), size=request.synapses, replace=False)
    i, j = np.divmod(pair, max(net.n - 1, 1))
    j += j >= i  # no self-loops
    w = np.empty(pair.size)
    for kind in (True, False):
        mine, donors = net.is_exc[i] == kind, net.w[net.is_exc[net.i] == kind]
        if mine.any() and not donors.size:
            donors = np.abs(net.w) * (1 if kind else -1)
        w[mine] = rng.choice(donors, size=int(mine.sum())) if mine.any() else 0.0
    return net.replace(i=i, j=j, w=w), {}


def _magnitude(request: Request) -> tuple[HRSNN, dict[str, Any]]:
    net = _fewer_neurons(request)
    order = np.argsort(-np.abs(net.w), kind="stable")
    return net.keep_edges(order[: request.synapses]), {}


def _noise(request: Request) -> tuple[HRSNN, dict[str, Any]]:
    """Noise pruning of Moore & Chaudhuri 2020: keeping probabilities with w in place of L."""
    net = _fewer_neurons(request)
    w = coupling_matrix(net, net.w)
    noise, scale = calibrated_covariance(net.tau_m, w)
    scores = keeping_scores(net, net.w, noise)
    p = keep_probabilities(scores, request.synapses)
    spread = float(p.std() / p.mean()) if p.size and p.mean() > 0 else 0.0
    return net.keep_edges(sample_exact(p, request.rng(1))), {"cv_p": spread, "scale": scale}


def _activity(request: Request) -> tuple[HRSNN, dict[str, Any]]:
    """Drop the neurons least active under the task, then random synapses to the budget."""
    net = request.net
    if not request.stimulus:
        raise ParameterError("stimulus", "the task's input for activity-based pruning", "nothing")
    activity = np.zeros(net.n)
    for stimulus in request.stimulus:
        rate = rates(simulate(net, stimulus, seed=request.seed))
        if not rate.any():
            raise SilentNetworkError("net", "a network that spikes under the task", "no spike")
        # Each task counts the same, however strongly it drives.
        activity += rate / rate.mean()
    rng = request.rng(0)
    if request.neurons is not None:
        mask = select_neurons(activity, request.neurons, rng, dead=unreachable(net))
        kept = net.keep_neurons(mask)
        _enough(kept, request.synapses)
    else:
        kept = _until_budget(net, activity, request.synapses, rng)
    keep = request.rng(1).permutation(kept.n_synapses)[: request.synapses]
    return kept.keep_edges(keep), {"neurons_by_activity": kept.n}


def _trained(request: Request) -> tuple[HRSNN, dict[str, Any]]:
    """The dense network after unsupervised STDP under the task's input."""
    if not request.stimulus:
        raise ParameterError("stimulus", "the task's input to train under", "nothing")
    return train_stdp(request.net, request.stimulus, SHAPING, seed=request.seed)


def _until_budget(net: HRSNN, activity: np.ndarray, count: int, rng: np.random.Generator) -> HRSNN:
    """Drop the least active neurons for as long as at least ``count`` synapses remain."""
    order = np.lexsort((rng.random(net.n), -activity))
    rank = np.empty(net.n, dtype=np.int64)
    rank[order] = np.arange(net.n)
    # A synapse is present once both its ends are among the most active.
    needed = np.sort(np.maximum(rank[net.i], rank[net.j]))
    size = int(needed[count - 1]) + 1 if count else 1
    return net.keep_neurons(np.sort(order[:size]))


@dataclass(frozen=True)
class Baseline:
    """A baseline.

    Attributes
    ----------
    choose : callable
        Takes a :class:`Request`, returns the masked network and plain diagnostics.
    treatment : {'none', 'variance', 'shift', 'tuned'}
        How its mask is paid back by default.
    doc : str
        One line about it.
    trained : bool
        Whether recurrent STDP shapes the weights under the task first.
    """

    choose: Mask
    treatment: Treatment
    doc: str
    trained: bool = False


BASELINES: Mapping[str, Baseline] = MappingProxyType(
    {
        "random": Baseline(_random, "none", "random mask, weights untouched"),
        "random_gain": Baseline(_random, "variance", "random mask, variance-keeping gain"),
        "random_matched": Baseline(
            _balanced, "tuned", "random balanced mask with everything else that tuned LNP has"
        ),
        "fresh": Baseline(_fresh, "tuned", "random_matched with partners drawn anew"),
        "sparse": Baseline(_sparse, "variance", "drawn sparse from the start: random pairs"),
        "magnitude": Baseline(_magnitude, "variance", "largest weights"),
        "noise": Baseline(_noise, "variance", "noise pruning with the weights themselves"),
        "activity": Baseline(_activity, "variance", "most active neurons under the task, gain"),
        "activity_trained": Baseline(
            _activity, "variance", "recurrent STDP on the task first, then as activity", True
        ),
        "activity_no_gain": Baseline(
            _activity, "none", "most active neurons under the task, weights untouched"
        ),
    }
)

_CONTROLS: Mapping[str, Baseline] = MappingProxyType(
    {
        "dense": Baseline(lambda request: (request.net, {}), "none", "nothing pruned"),
        "none": Baseline(
            lambda request: (request.net.keep_edges([]), {}), "none", "no recurrence at all"
        ),
    }
)


def prune_baseline(
    net: HRSNN,
    method: str,
    *,
    synapses: float | int,
    neurons: float | int | None = 1.0,
    seed: int = 0,
    stimulus: Stimulus | Sequence[Stimulus] | None = None,
    treatment: Treatment | None = None,
    timescales: TimescaleSearch | None = None,
    storage: str | os.PathLike[str] | None = None,
) -> PruneResult:
    """Prune by a baseline.

    Parameters
    ----------
    net : HRSNN
        The dense network.
    method : str
        ``dense`` (nothing pruned), ``none`` (no recurrence at all), or one of ``BASELINES``.
    synapses : float or int
        Fraction (or count above 1) of the synapses to keep; ``dense`` and ``none`` ignore it.
    neurons : float or int or None
        Fraction (or count above 1) of the neurons to keep. None lets activity-based pruning drop
        neurons for as long as the synapses among the others meet the budget; the other methods
        then keep all.
    seed : int
        Seed of everything random.
    stimulus : Stimulus or sequence of Stimulus
        The tasks' training input; used by activity-based pruning only.
    treatment : {'none', 'variance', 'shift', 'tuned'}, optional
        How the mask is paid back; by default that of the method (``dense`` and ``none``: not
        at all). Any method can be given any.
    timescales : TimescaleSearch, optional
        Step IV of Lyapunov Noise Pruning, for the network that comes out of any method.
    storage : path-like, optional
        Where that search keeps its record.

    Returns
    -------
    PruneResult

    Raises
    ------
    ParameterError
        For an unknown method or a missing stimulus.
    BudgetError
        For a budget that cannot be met.
    SilentNetworkError
        If the network does not spike where its activity is needed.

    References
    ----------
    Moore & Chaudhuri 2020, arXiv 2011.07334 (noise).
    """
    seed = check_seed(seed)
    baseline = BASELINES.get(method, _CONTROLS.get(method))
    if baseline is None:
        known = ", ".join((*_CONTROLS, *BASELINES))
        raise ParameterError("method", f"one of {known}", method)
    pay = Compensation(baseline.treatment if treatment is None else treatment, seed)
    control = method in _CONTROLS
    request = Request(
        net=net,
        synapses=0 if control else budget(synapses, net.n_synapses, "synapses", 1),
        neurons=None if control or neurons is None else budget(neurons, net.n, "neurons", 1),
        stimulus=(stimulus,) if isinstance(stimulus, Stimulus) else tuple(stimulus or ()),
        seed=seed,
    )
    steps = []
    if baseline.trained:
        net, learnt = _trained(request)
        request = replace(request, net=net)
        steps.append(PruneStep("train", net.n, net.n_synapses, learnt))
    masked, chosen = baseline.choose(request)
    paid, found = pay(net, masked)
    steps += [
        PruneStep("select", masked.n, masked.n_synapses, chosen),
        PruneStep("compensate", paid.n, paid.n_synapses, found),
    ]
    if timescales is not None:
        paid, searched = timescales(paid, seed=seed, storage=storage)
        steps.append(PruneStep("timescales", paid.n, paid.n_synapses, searched))
    paid = paid.note(step=method, seed=seed, synapses=paid.n_synapses, neurons=paid.n)
    return PruneResult(paid, method, seed, tuple(steps))
