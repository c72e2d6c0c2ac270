"""refit: keep a few of each neuron's inputs, with weights that make them stand in for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from analysis.pruning.compensate import rows_of
from analysis.pruning.imitation import Progress, imitate
from analysis.pruning.moments import Drive, Moments, importance, observe
from analysis.pruning.openloop import assemble, lost_share, select
from models_eq.checks import selection, whole
from models_eq.errors import BudgetError, CapabilityError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.neurons import neuron_model
from models_eq.rng import check_seed, stream

Budget = Literal["global", "even"]
RIDGES = (1e-3, 1e-2)
MOST_TAUS = 16
_BATCHES = 3


def refit(
    dense: HRSNN,
    synapses: int,
    *,
    neurons: Any = None,
    seed: int,
    ridge: float | None = None,
    budget: Budget = "global",
    rounds: int = 24,
    drive: Drive | None = None,
    dt: Any = "1 ms",
    progress: Progress | None = None,
) -> tuple[HRSNN, dict[str, Any]]:
    """Prune for fidelity: each neuron keeps a few inputs, refitted to replace all it had.

    Parameters
    ----------
    dense : HRSNN
        The network to stand in for, of a model with a synaptic current.
    synapses : int
        Synapses to keep, exactly.
    neurons : array_like of bool or int, optional
        Mask or indices of the neurons to keep; by default all. Input from the others is
        carried by what is kept, its mean by ``i_ext``.
    seed : int
        Seed of everything random.
    ridge : float, optional
        Penalty on weights in units of the mean variance of the synaptic traces. By default that
        of ``RIDGES`` which is best on a stretch of the drive held out from the fit.
    budget : {'global', 'even'}
        Whether the next input goes to the neuron where it helps most, or all keep the same
        number.
    rounds : int
        Rounds of the closed loop, after the fit to what the dense network does. 0 for none.
    drive : Drive, optional
        The task-agnostic input that the dense network is observed under.
    dt : Quantity or str
        Time step.
    progress : callable, optional
        Called as ``progress(text, done, total)``.

    Returns
    -------
    net : HRSNN
        Its synapses are some of the dense ones, each with the sign that it had.
    diagnostics : dict
        Ridge, shares of the current that is lost, fidelity on the held-out drive of the open and
        the closed loop, inputs per neuron.

    Raises
    ------
    ParameterError
        For settings out of range.
    BudgetError
        For more synapses than there are among the neurons kept.
    SilentNetworkError
        If the dense network does not spike under the drive.
    CapabilityError
        For a model without a synaptic current, or too many distinct ``tau_syn``.

    Notes
    -----
    *Open loop.* For each neuron i: minimise ``<(c_i - w'.s_kept - b)^2> + ridge |w'|^2`` over
    weights of the old sign, with ``c_i = sum_j W_ij s_j`` the current in the dense network and s
    its synaptic traces; subsets by greedy forward selection (``greedy.nonnegative_path``). Inputs
    are shared out by how much the error that is left matters to the traces of the whole network
    (``moments.importance``). The intercept b goes into ``i_ext``.

    *Closed loop.* The pruned network does not see the dense traces but its own, and errors feed
    back: a fit loses twice as much of the variance of the dense traces in the closed loop as in
    the open one. So the pruned network then runs under the drive beside the dense one, and its
    weights and inputs move along the gradient of the error of its traces
    (``imitation.imitate``). Whichever is best on a held-out drive is returned.

    The drive should have many channels: what is fitted under 20 holds under 1 and 3 too.

    References
    ----------
    Chen, Billings & Luo 1989 (10.1080/00207178908953472), orthogonal least squares; DePasquale
    et al. 2018 (10.1371/journal.pone.0191527), targets from a teacher network.
    """
    settings = _Settings.checked(dense, seed, ridge, budget, rounds, drive, dt, progress)
    kept = dense
    if neurons is not None:
        kept = dense.keep_neurons(selection(neurons, dense.n, "neurons", "neuron"))
    count = _count(synapses, kept)
    if kept.n == dense.n and count == dense.n_synapses:
        return dense, {"chosen": "dense"}
    return _refit(dense, kept, count, settings, swap=True)


def refit_weights(
    dense: HRSNN,
    masked: HRSNN,
    *,
    seed: int,
    ridge: float | None = None,
    rounds: int = 24,
    drive: Drive | None = None,
    dt: Any = "1 ms",
    progress: Progress | None = None,
) -> tuple[HRSNN, dict[str, Any]]:
    """Refit the weights of a given mask, which stays as it is.

    Parameters
    ----------
    dense : HRSNN
        The network to stand in for.
    masked : HRSNN
        A network of some of its neurons and synapses, whatever their weights.
    seed, ridge, rounds, drive, dt, progress
        As for :func:`refit`.

    Returns
    -------
    net : HRSNN
        With the synapses of ``masked``.
    diagnostics : dict
        As of :func:`refit`.

    Raises
    ------
    ParameterError
        For settings out of range, or synapses that the dense network lacks.
    SilentNetworkError, CapabilityError
        As for :func:`refit`.
    """
    settings = _Settings.checked(dense, seed, ridge, "global", rounds, drive, dt, progress)
    kept = dense.keep_neurons(rows_of(dense, masked))
    if not np.array_equal(kept.ids, masked.ids):
        raise ParameterError("masked", "neurons in the order of the dense network", masked.ids)
    mask = np.isin(kept.i * kept.n + kept.j, masked.i * masked.n + masked.j)
    if mask.sum() != masked.n_synapses:
        raise ParameterError("masked", "synapses of the dense network", "others")
    return _refit(dense, kept.keep_edges(mask), masked.n_synapses, settings, swap=False)


@dataclass(frozen=True)
class _Settings:
    """Checked arguments that both ways in share."""

    seed: int
    ridges: tuple[float, ...]
    even: bool
    rounds: int
    drive: Drive
    dt: Any
    progress: Progress

    @classmethod
    def checked(
        cls,
        dense: HRSNN,
        seed: int,
        ridge: float | None,
        budget: str,
        rounds: int,
        drive: Drive | None,
        dt: Any,
        progress: Progress | None,
    ) -> _Settings:
        if not isinstance(dense, HRSNN):
            raise ParameterError("dense", "an HRSNN", type(dense).__name__)
        if not neuron_model(dense.model).has_synaptic_current:
            hint = "Use lif_exp or alif"
            raise CapabilityError("dense", "a model with a synaptic current", dense.model, hint)
        distinct = np.unique(dense.tau_syn).size
        if distinct > MOST_TAUS:
            expected = f"at most {MOST_TAUS} distinct synaptic time constants"
            hint = "Each takes a covariance matrix of its own: draw tau_syn from a few values"
            raise CapabilityError("dense", expected, f"{distinct}", hint)
        if ridge is not None and not (np.isfinite(ridge) and ridge >= 0):
            raise ParameterError("ridge", "a number of at least 0", ridge)
        if budget not in ("global", "even"):
            raise ParameterError("budget", "global or even", budget)
        return cls(
            check_seed(seed),
            RIDGES if ridge is None else (float(ridge),),
            budget == "even",
            whole(rounds, "rounds", 0),
            Drive() if drive is None else drive,
            dt,
            progress or _quiet,
        )


def _quiet(text: str, done: int, total: int) -> None:
    """Nobody asked for progress."""


def _count(synapses: Any, kept: HRSNN) -> int:
    try:
        count = whole(synapses, "synapses", 0)
    except ParameterError:
        raise BudgetError("synapses", "a count of at least 0", synapses) from None
    if count > kept.n_synapses:
        raise BudgetError(
            "synapses",
            f"at most the {kept.n_synapses} synapses among the {kept.n} neurons kept",
            count,
            "Keep more neurons or fewer synapses",
        )
    return count


def _refit(
    dense: HRSNN, kept: HRSNN, count: int, settings: _Settings, *, swap: bool
) -> tuple[HRSNN, dict[str, Any]]:
    """``count`` of the synapses of ``kept``, refitted in the open and then in the closed loop."""
    seed, drive, dt = settings.seed, settings.drive, settings.dt
    parts = []
    for batch in range(_BATCHES + 1):
        stimulus = drive.stimulus(dense.n_origin, stream(seed, "prune", 60, batch))
        parts.append(observe(dense, stimulus, drive, dt=dt, seed=seed))
        settings.progress("observe", batch + 1, _BATCHES + 1)
    fitted, held_out = Moments.pooled(parts[:_BATCHES]), parts[_BATCHES]
    matters = importance(dense, fitted)[rows_of(dense, kept)]
    lost, best = {}, None
    for ridge in settings.ridges:
        weights = select(dense, kept, count, fitted, matters, ridge, settings.even)
        lost[ridge] = lost_share(dense, kept, weights, held_out, matters)
        if best is None or lost[ridge] < lost[best[0]]:
            best = ridge, weights
        settings.progress("select", len(lost), len(settings.ridges))
    assert best is not None
    found: dict[str, Any] = {
        "ridge": best[0],
        "lost": lost_share(dense, kept, best[1], fitted, matters),
        "lost_held_out": lost[best[0]],
        "chosen": "open",
    }
    net = assemble(dense, kept, best[1], fitted)
    if settings.rounds and net.n_synapses:
        net, loop = imitate(
            dense,
            kept,
            net,
            rounds=settings.rounds,
            swap=swap,
            drive=drive,
            dt=dt,
            seed=seed,
            progress=settings.progress,
        )
        found |= loop
    found |= {
        "inputs_least": int(net.in_degree.min()),
        "inputs_median": float(np.median(net.in_degree)),
        "inputs_most": int(net.in_degree.max()),
    }
    return net.note(step="refit", seed=seed, synapses=net.n_synapses, neurons=net.n), found
