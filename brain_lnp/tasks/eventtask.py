"""Recordings of event cameras as a task: spikes in, a label for each recording."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from brain_lnp.tasks.events import (
    LICENCE,
    Events,
    n_channels,
    pooled_spikes,
    read_event_npz,
    read_event_zip,
)
from brain_lnp.tasks.split import split_parts
from brain_lnp.tasks.task import Task, frozen_array, whole
from models_eq.errors import ParameterError
from models_eq.stimulus import SpikeInput, Stimulus
from models_eq.units import positive_seconds

_SPIKES = ("spike_time", "spike_channel", "spike_trial")


def _nothing() -> np.ndarray:
    return np.empty(0)


@dataclass(frozen=True, eq=False, repr=False)
class EventTask(Task):
    """A task whose input is spikes, not currents; made by :func:`event_task`.

    Parameters
    ----------
    spike_time : array_like, shape (k,), s
        Input spikes, from the start of their trial.
    spike_channel, spike_trial : array_like of int, shape (k,)
        Channel and trial of each.

    Raises
    ------
    ParameterError
        Naming the field that is wrong.

    Notes
    -----
    The other fields are those of :class:`Task`, ``kind`` being ``'images'``. ``inputs`` counts the
    spikes of each channel in each row of ``hold``: it is what classifiers without a network see.
    A network receives the spikes themselves; ``input_sd`` is the standard deviation of the kick
    that one gives to a neuron.
    """

    spike_time: np.ndarray = field(default_factory=_nothing)
    spike_channel: np.ndarray = field(default_factory=_nothing)
    spike_trial: np.ndarray = field(default_factory=_nothing)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind != "images":
            raise ParameterError("kind", "images for input spikes", self.kind)
        time = np.asarray(self.spike_time, dtype=float)
        if time.ndim != 1 or not np.all((time >= 0) & (time < self.duration)):
            expected = f"a list of times within 0..{self.duration:g} s"
            raise ParameterError("spike_time", expected, f"shape {time.shape}, or others")
        object.__setattr__(self, "spike_time", frozen_array(time))
        for name, below in (("spike_channel", self.channels), ("spike_trial", len(self.inputs))):
            given = np.asarray(getattr(self, name))
            if given.shape != time.shape or (
                given.size
                and (given.dtype.kind not in "iu" or given.min() < 0 or given.max() >= below)
            ):
                expected = f"{len(time)} whole numbers within 0..{below - 1}"
                raise ParameterError(name, expected, f"{given.dtype}, shape {given.shape}")
            object.__setattr__(self, name, frozen_array(given.astype(np.int64)))

    def stimulus(self, n_origin: int, chosen: slice = slice(None)) -> Stimulus:
        """The input spikes of some trials, without current.

        Parameters
        ----------
        n_origin : int
            Size of the network that a (pruned) network descends from.
        chosen : slice
            Which trials, one after the other.

        Returns
        -------
        Stimulus

        Raises
        ------
        ParameterError
            For a slice that holds no trial or leaves some out on its way.
        """
        first, last, step = chosen.indices(len(self.inputs))
        if step != 1 or last <= first:
            raise ParameterError("chosen", "a slice of at least one trial, step 1", chosen)
        inside = (self.spike_trial >= first) & (self.spike_trial < last)
        spikes = SpikeInput(
            self.spike_time[inside],
            self.spike_channel[inside],
            self.stimulus_weights(n_origin),
            self.spike_trial[inside] - first,
        )
        return Stimulus(np.zeros((last - first, 1, n_origin)), f"{self.duration!r} s", spikes)

    @cached_property
    def input_digest(self) -> str:
        """Digest of all that decides the stimulus."""
        return self._hash(("inputs", "kind", "hold", "input_sd", "input_seed", *_SPIKES))


def event_task(
    events: Events,
    *,
    test: Events | None = None,
    name: str = "events",
    n_train: int | None = None,
    n_validation: int | None = None,
    n_test: int | None = None,
    seed: int = 0,
    pool: int = 2,
    duration: Any = "300 ms",
    hold: Any = "100 ms",
    dt: Any = "1 ms",
    input_sd: float = 0.3,
    licence: str = LICENCE,
) -> EventTask:
    """Classification of recordings of an event camera.

    Parameters
    ----------
    events : Events
        Recordings with their labels.
    test : Events, optional
        A test part that is kept apart; otherwise it is split off.
    name : str
        What the task is called.
    n_train, n_validation, n_test : int, optional
        Sizes of the stratified random parts. Default: 60, 20 and 20 % (with ``test``: 80 and
        20 %, and all of ``test``).
    seed : int
        Split and input weights.
    pool : int
        Pixels of ``pool x pool`` share a channel for each polarity.
    duration : Quantity or str
        Length of a trial, a whole number of ``hold``; later events are dropped.
    hold : Quantity or str
        Length of the frames in which classifiers without a network see the events.
    dt : Quantity or str
        Several events of a channel in one such step count once.
    input_sd : float
        Standard deviation of the kick that an input spike gives to a neuron.
    licence : str
        Terms of the data. Default: those of N-MNIST.

    Returns
    -------
    EventTask

    Raises
    ------
    ParameterError
        Naming the argument that is wrong.
    """
    for field_name, given in (("events", events), ("test", test)):
        if not isinstance(given, Events) and not (given is None and field_name == "test"):
            raise ParameterError(field_name, "Events", type(given).__name__)
    pool = whole(pool, "pool", 1)
    length, frame = positive_seconds(duration, "duration"), positive_seconds(hold, "hold")
    step, rows = positive_seconds(dt, "dt"), round(length / frame)
    if rows < 1 or abs(rows * frame - length) > 1e-9 * length:
        raise ParameterError("duration", f"a whole number of {frame!r} s (hold)", length)
    steps = round(length / step)
    if steps < 1 or abs(steps * step - length) > 1e-9 * length:
        raise ParameterError("duration", f"a whole number of {step!r} s (dt)", length)
    sources = [events] if test is None else [events, test]
    sizes, orders = split_parts(
        [source.labels for source in sources], (n_train, n_validation, n_test), seed, "recordings"
    )
    parts = list(zip(sources, orders, strict=True))
    found, before = [], 0
    for source, order in parts:
        trial, at, channel = pooled_spikes(source, order, pool, steps, step)
        found.append((trial + before, at, channel))
        before += len(order)
    trial, at, channel = (np.concatenate(column) for column in zip(*found, strict=True))
    # The middle of the step, so that rounding cannot move a spike to the next.
    time = (at + 0.5) * step
    row = np.minimum((time / frame).astype(np.int64), rows - 1)
    flat = np.ravel_multi_index((trial, row, channel), (before, rows, n_channels(pool)))
    counts = np.bincount(flat, minlength=before * rows * n_channels(pool))
    return EventTask(
        name,
        counts.reshape(before, rows, n_channels(pool)),
        np.concatenate([source.labels[order] for source, order in parts]),
        "images",
        hold=frame,
        washout=0,
        n_train=sizes[0],
        n_validation=sizes[1],
        n_test=sizes[2],
        input_sd=input_sd,
        metric="accuracy",
        licence=licence,
        input_seed=seed,
        spike_time=time,
        spike_channel=channel,
        spike_trial=trial,
    )


def load_events(
    path: str | os.PathLike[str],
    *,
    directory: str | os.PathLike[str] | None = None,
    seed: int = 0,
    limit: int | None = 200,
    **settings: Any,
) -> EventTask:
    """N-MNIST, or recordings in its form, as a task.

    Parameters
    ----------
    path : path-like
        An npz of event lists with a ``train`` and a ``test`` part
        (:func:`~brain_lnp.tasks.events.read_event_npz`), or the folder of N-MNIST's ``Train.zip``
        and ``Test.zip``.
    directory : path-like, optional
        Folder to look in. Default: the working directory, then ``$BRAIN_LNP_DATA``.
    seed : int
        Split and input weights.
    limit : int, optional
        At most so many recordings of each digit out of each archive, all of an npz.
    **settings
        As for :func:`event_task`.

    Returns
    -------
    EventTask

    Raises
    ------
    MissingFileError
        If a file is not there, saying what to do.
    FormatError
        If one is not such a file.
    """
    if str(path).endswith(".npz"):
        parts = [read_event_npz(path, part, directory) for part in ("train", "test")]
    else:
        archives = (Path(path) / name for name in ("Train.zip", "Test.zip"))
        parts = [read_event_zip(archive, limit, directory) for archive in archives]
    settings = {"name": Path(path).stem, **settings}
    return event_task(parts[0], test=parts[1], seed=seed, **settings)
