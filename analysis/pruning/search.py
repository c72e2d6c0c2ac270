"""Bayesian search in batches: Optuna asks, a record of finished batches makes it resumable."""

from __future__ import annotations

import json
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models_eq.errors import FormatError, MissingFileError, ParameterError
from models_eq.rng import check_seed, stream
from models_eq.storage import atomic_write

FORMAT, VERSION = "brain_lnp search", 1


@dataclass(frozen=True)
class Axis:
    """One dimension of a search.

    Attributes
    ----------
    name : str
        Name of the parameter.
    low, high : float
        Range, ends included.
    log : bool
        Whether it is searched on a logarithmic scale.
    """

    name: str
    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Trial:
    """One candidate and what was found of it.

    Attributes
    ----------
    params : Mapping of str to float
        Where it lies on each axis.
    score : float
        What is maximised.
    found : Mapping of str to plain JSON values
        Whatever else was measured.
    """

    params: Mapping[str, float]
    score: float
    found: Mapping[str, Any]


Score = Callable[[Sequence[Mapping[str, float]], Sequence[Trial]], Sequence[Trial]]


def _optuna() -> Any:
    """Optuna, imported when it is first needed: that takes a second."""
    import optuna

    return optuna


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """No log lines and no remarks on experimental arguments; the user's settings come back."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _space(optuna: Any, axes: Sequence[Axis]) -> dict[str, Any]:
    return {a.name: optuna.distributions.FloatDistribution(a.low, a.high, log=a.log) for a in axes}


def _add(optuna: Any, study: Any, axes: Sequence[Axis], trials: Sequence[Trial]) -> None:
    space = _space(optuna, axes)
    for trial in trials:
        study.add_trial(
            optuna.trial.create_trial(
                params=dict(trial.params),
                distributions=space,
                value=trial.score,
                user_attrs=dict(trial.found),
            )
        )


def ask(
    axes: Sequence[Axis],
    known: Sequence[Trial],
    count: int,
    *,
    seed: int,
    first: Mapping[str, float] | None = None,
) -> list[dict[str, float]]:
    """Ask Optuna's tree-structured Parzen estimator for candidates.

    Parameters
    ----------
    axes : sequence of Axis
        Where to search.
    known : sequence of Trial
        What is known so far; nothing else, and no earlier question, has any part in the answer.
    count : int
        Candidates to ask for, to be measured at once.
    seed : int
        Seed of the sampler, at least 0.
    first : Mapping of str to float, optional
        A candidate that comes first, whatever the sampler thinks.

    Returns
    -------
    list of dict of str to float

    Raises
    ------

    References
    ----------
    Akiba, Sano, Yanase, Ohta & Koyama 2019, 10.1145/3292500.3330701.
    """
    optuna = _optuna()
    with _quiet(optuna):
        # Candidates asked together must differ: each counts as a poor one until it is known.
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        _add(optuna, study, axes, known)
        if first is not None:
            study.enqueue_trial(dict(first))
        space = _space(optuna, axes)
        return [dict(study.ask(space).params) for _ in range(count)]


def search(
    axes: Sequence[Axis],
    score: Score,
    *,
    start: Mapping[str, float],
    trials: int,
    batch: int,
    seed: int,
    storage: str | os.PathLike[str] | None = None,
    key: Mapping[str, Any] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Trial]:
    """Search for the highest score, a batch of candidates at a time.

    Parameters
    ----------
    axes : sequence of Axis
        Where to search.
    score : callable
        Measures candidates: ``score(candidates, known) -> trials``, in the same order.
    start : Mapping of str to float
        The first candidate.
    trials, batch : int
        Candidates in all, and measured at once.
    seed : int
        Seed of the candidates.
    storage : path-like, optional
        File that keeps the finished batches. Where it exists the search goes on from it.
    key : Mapping of str to plain JSON values, optional
        What the search is about; a file with another key is refused.
    progress : callable, optional
        Called as ``progress(text, done, total)`` before each batch and at the end.

    Returns
    -------
    list of Trial
        In the order in which they were asked for.

    Raises
    ------
    ParameterError
        If the file belongs to another search.
    FormatError
        If it is damaged or something else.

    Notes
    -----
    The sampler is seeded anew for each batch, from the seed and the number of the batch, and
    sees finished batches only. A search that is killed at any time and called again therefore
    ends with the same trials, bit for bit, as one that ran through (same version of Optuna).
    """
    _optuna()
    seed = check_seed(seed)
    record = None if storage is None else _Record(Path(storage), axes, key or {}, trials, batch)
    known = [] if record is None else record.open()
    while len(known) < trials:
        number = len(known) // batch
        if progress is not None:
            progress(f"batch {number + 1} of {-(-trials // batch)}", len(known), trials)
        count = min(batch, trials - len(known))
        child = int(stream(seed, "prune", 70, number).integers(2**31))
        asked = ask(axes, known, count, seed=child, first=None if known else start)
        known = [*known, *score(asked, known)]
        if record is not None:
            record.write(known)
    if progress is not None:
        progress("done", trials, trials)
    return known


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial of the highest score; of several the first."""
    return max(trials, key=lambda trial: trial.score)


def _plain(value: Any) -> Any:
    """``value`` as it comes back from JSON; infinity, which JSON lacks, as text."""
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value


@dataclass(frozen=True)
class _Record:
    """The file of a search: its key, its axes and its finished batches, written all or nothing."""

    path: Path
    axes: Sequence[Axis]
    key: Mapping[str, Any]
    trials: int
    batch: int

    def open(self) -> list[Trial]:
        if not self.path.exists():
            # Better to learn now than after the first batch that nothing can be written there.
            self.write([])
            return []
        axes, key, known = _parse(self.path)
        mine = _plain(self.key)
        other = [name for name in {**mine, **key} if key.get(name) != mine.get(name)]
        if other or axes != list(self.axes):
            expected = "the record of this very search"
            what = ", ".join(sorted(other)) or "what is searched"
            got = f"{self.path}, which differs in {what}"
            raise ParameterError("storage", expected, got, "Choose another file")
        whole = len(known) == self.trials or len(known) % self.batch == 0
        if len(known) > self.trials or not whole:
            raise FormatError(str(self.path), "whole batches", f"{len(known)} trials")
        return known

    def write(self, known: Sequence[Trial]) -> None:
        body = {
            "format": FORMAT,
            "version": VERSION,
            "key": _plain(self.key),
            "axes": [asdict(axis) for axis in self.axes],
            "trials": [
                {"params": dict(t.params), "score": t.score, "found": dict(t.found)} for t in known
            ],
        }
        text = json.dumps(body, indent=1, allow_nan=False)
        atomic_write(self.path, lambda file: file.write(text.encode("utf-8")))


def _parse(path: Path) -> tuple[list[Axis], dict[str, Any], list[Trial]]:
    try:
        data = json.loads(path.read_bytes())
        if data["format"] != FORMAT or data["version"] != VERSION:
            raise ValueError(f"another format: {data['format']!r} {data['version']!r}")
        axes = [Axis(**axis) for axis in data["axes"]]
        trials = [Trial(t["params"], float(t["score"]), t["found"]) for t in data["trials"]]
        names = {axis.name for axis in axes}
        for trial in trials:
            if set(trial.params) != names or not math.isfinite(trial.score):
                raise ValueError("a trial that does not fit the axes")
        return axes, dict(data["key"]), trials
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise FormatError(str(path), "the record of a search", str(error)) from error


def study_of(path: str | os.PathLike[str], storage: Any = None, name: str | None = None) -> Any:
    """The record of a search as an Optuna study, for Optuna's tables and plots.

    Parameters
    ----------
    path : path-like
        File that a search keeps its batches in; also of one that is still going on.
    storage : optional
        Optuna storage (or its URL) to write the study to, for example for its dashboard; by
        default the study lives in memory.
    name : str, optional
        Name of the study.

    Returns
    -------
    optuna.study.Study
        Complete trials; what else was measured stands in their ``user_attrs``. A candidate that
        breaks a constraint has a value below 0.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is damaged, or something else.

    References
    ----------
    Akiba, Sano, Yanase, Ohta & Koyama 2019, 10.1145/3292500.3330701.
    """
    optuna = _optuna()
    if not Path(path).exists():
        raise MissingFileError(str(path), "the record of a search", "none")
    axes, _, trials = _parse(Path(path))
    with _quiet(optuna):
        study = optuna.create_study(direction="maximize", storage=storage, study_name=name)
        _add(optuna, study, axes, trials)
    return study
