"""``prune``: every method behind one signature."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from analysis.pruning.baselines import BASELINES, prune_baseline
from analysis.pruning.compensate import Treatment
from analysis.pruning.result import PruneResult
from brain_lnp.checkpoint import checked_path
from brain_lnp.lnp import LNP, LNP_METHODS, Progress
from models_eq.errors import ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.stimulus import Stimulus

STEP_FOUR = ("timescales", "time_axes", "trials")
# Baselines that differ from ``lnp`` in nothing but the choice of synapses.
MATCHED = ("random_matched", "fresh")
METHODS = ("dense", "none", *BASELINES, *LNP_METHODS)


def prune(
    net: HRSNN,
    method: str = "lnp",
    *,
    synapses: float | int,
    neurons: float | int | None = 1.0,
    seed: int = 0,
    stimulus: Stimulus | Sequence[Stimulus] | None = None,
    treatment: Treatment | None = None,
    progress: Progress | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    **options: Any,
) -> PruneResult:
    """Prune a network by any method at a given budget.

    Parameters
    ----------
    net : HRSNN
        The dense network.
    method : str
        ``lnp`` (mode tuned), ``lnp_calibrated``, ``lnp_literal``; the baselines ``random``,
        ``random_gain``, ``random_matched``, ``fresh``, ``sparse``, ``magnitude``, ``noise``,
        ``activity``, ``activity_trained``, ``activity_no_gain``; or the controls ``dense`` and
        ``none`` (no recurrence).
    synapses : float or int
        Fraction in (0, 1], or count above 1, of the synapses to keep.
    neurons : float or int or None
        The same for neurons. None (activity-based pruning only) drops neurons until the synapse
        budget is met.
    seed : int
        Seed of everything random.
    stimulus : Stimulus or sequence of Stimulus, optional
        The tasks' training input, which activity-based pruning needs and no other uses.
    treatment : {'none', 'variance', 'shift', 'tuned'}, optional
        How the mask is paid back, in place of the method's own way.
    progress : callable, optional
        Called as ``progress(text, done, total)``.
    checkpoint : path-like, optional
        File (``.npz``) from which a run that was interrupted goes on, see :meth:`LNP.run`;
        baselines keep only the record of Step IV beside it.
    **options
        Fields of :class:`LNP`, for its methods; for the others those of Step IV: ``timescales``
        (by default off, but for ``random_matched`` and ``fresh``, which have all that ``lnp``
        has), ``time_axes`` and ``trials``.

    Returns
    -------
    PruneResult

    Raises
    ------
    ParameterError
        For an unknown method or option, or a missing stimulus.
    BudgetError
        For a budget that cannot be met.
    """
    if method in LNP_METHODS:
        known = set(LNP.__dataclass_fields__) - {"mode", "treatment"}
        unknown = sorted(set(options) - known)
        if unknown:
            raise ParameterError(
                f"options of {method}", ", ".join(sorted(known)), ", ".join(unknown)
            )
        lnp = LNP(mode=LNP_METHODS[method], treatment=treatment, **options)  # type: ignore[arg-type]
        return lnp.run(
            net,
            synapses=synapses,
            neurons=1.0 if neurons is None else neurons,
            seed=seed,
            progress=progress,
            checkpoint=checkpoint,
        )
    if method not in METHODS:
        raise ParameterError("method", "one of " + ", ".join(METHODS), method)
    unknown = sorted(set(options) - set(STEP_FOUR))
    if unknown:
        raise ParameterError(f"options of {method}", " or ".join(STEP_FOUR), ", ".join(unknown))
    # LNP says what is wrong with them.
    settings = LNP(mode="tuned" if method in MATCHED else "calibrated", **options)
    storage = None if checkpoint is None else checked_path(checkpoint)
    return prune_baseline(
        net,
        method,
        synapses=synapses,
        neurons=neurons,
        seed=seed,
        stimulus=stimulus,
        treatment=treatment,
        timescales=settings.time_search,
        storage=None if storage is None else storage.with_suffix(".timescales.json"),
    )
