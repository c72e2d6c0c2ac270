"""Recordings of event cameras (N-MNIST) as spike input: npz lists, and the 5-byte format."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from brain_lnp.tasks.datafile import data_file
from brain_lnp.tasks.imagefiles import read_npz
from brain_lnp.tasks.task import whole
from models_eq.errors import FormatError, ParameterError
from models_eq.rng import stream
from models_eq.stimulus import SpikeInput, Stimulus
from models_eq.units import positive_seconds

SENSOR = (34, 34)
LICENCE = "CC BY-SA 4.0 (Orchard et al. 2015, doi:10.3389/fnins.2015.00437)"
# A recording of 0.3 s has some thousand events; the format ends at 2^23 us.
_MAX_EVENT_BYTES = 5 * 2**22
_MEMBER = re.compile(r"(?:^|/)(?:Train|Test)/([0-9])/([0-9]+)\.bin$")


@dataclass(frozen=True, eq=False)
class Events:
    """Recordings one after the other; sample k is ``offsets[k]:offsets[k + 1]``.

    Attributes
    ----------
    x, y, polarity : ndarray of uint8, shape (events,)
        Column, row, and 1 where it became brighter.
    t : ndarray of int32, shape (events,), microseconds
        From the start of the recording.
    offsets : ndarray of int64, shape (samples + 1,)
    labels : ndarray of int, shape (samples,)
    """

    x: np.ndarray
    y: np.ndarray
    polarity: np.ndarray
    t: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        arrays = (self.x, self.y, self.polarity, self.t, self.offsets, self.labels)
        if any(a.ndim != 1 or a.dtype.kind not in "iu" for a in arrays):
            raise FormatError("events", "lists of integers", [str(a.dtype) for a in arrays])
        n = len(self.x)
        if not (len(self.y) == len(self.polarity) == len(self.t) == n):
            raise FormatError("events", "x, y, polarity and t of one length", f"x of {n}")
        o = self.offsets
        if len(o) != len(self.labels) + 1 or o[0] != 0 or o[-1] != n or (np.diff(o) < 0).any():
            raise FormatError("events", "offsets that rise from 0 to the number of events", f"{n}")
        if n and (
            self.x.max() >= SENSOR[1] or self.y.max() >= SENSOR[0] or self.polarity.max() > 1
        ):
            raise FormatError("events", f"pixels of a {SENSOR} sensor, polarity 0 or 1", "others")
        if n and (self.t.min() < 0 or self.t.max() >= 2**23):
            raise FormatError("events", "times of 23 bits", [int(self.t.min()), int(self.t.max())])

    def __len__(self) -> int:
        return len(self.labels)


def decode_events(data: bytes, name: str = "recording") -> tuple[np.ndarray, ...]:
    """x, y, polarity and t (us) of one recording in the 5-byte format of N-MNIST.

    Parameters
    ----------
    data : bytes
        Five bytes an event: x, y, then one bit of polarity and 23 bits of time, the highest first.
    name : str
        What errors call it.

    Raises
    ------
    FormatError
        For a length that is no multiple of five, too many bytes, or pixels off the sensor.

    Examples
    --------
    >>> [int(a[0]) for a in decode_events(bytes([3, 4, 0x80, 0x01, 0x00]))]
    [3, 4, 1, 256]
    """
    if len(data) % 5 or len(data) > _MAX_EVENT_BYTES:
        raise FormatError(name, f"at most {_MAX_EVENT_BYTES} bytes, five an event", len(data))
    raw = np.frombuffer(data, np.uint8).reshape(-1, 5)
    high, middle, low = (raw[:, k].astype(np.int32) for k in (2, 3, 4))
    x, y = raw[:, 0], raw[:, 1]
    if raw.size and (x.max() >= SENSOR[1] or y.max() >= SENSOR[0]):
        raise FormatError(name, f"pixels of a {SENSOR} sensor", [int(x.max()), int(y.max())])
    return x, y, (high >> 7).astype(np.uint8), ((high & 0x7F) << 16) | (middle << 8) | low


def read_event_npz(
    path: str | os.PathLike[str],
    part: str = "train",
    directory: str | os.PathLike[str] | None = None,
) -> Events:
    """Event lists of an npz: ``<part>_x``, ``_y``, ``_p``, ``_t``, ``_offsets`` and ``_label``.

    Raises
    ------
    MissingFileError, FormatError
        If it is not there, or not such a file.
    """
    keys = tuple(f"{part}_{k}" for k in ("x", "y", "p", "t", "offsets", "label"))
    arrays = read_npz(data_file(path, directory), keys)
    return Events(*(arrays[key] for key in keys))


def read_event_zip(
    path: str | os.PathLike[str],
    limit: int | None = None,
    directory: str | os.PathLike[str] | None = None,
) -> Events:
    """Recordings of N-MNIST's ``Train.zip`` or ``Test.zip``, in the order of their numbers.

    Parameters
    ----------
    path : path-like
        The archive as downloaded; nothing is unpacked to disk.
    limit : int, optional
        At most so many recordings of each digit.
    directory : path-like, optional
        Folder to look in. Default: the working directory, then ``$BRAIN_LNP_DATA``.

    Raises
    ------
    MissingFileError
        If there is no such file.
    FormatError
        If it is no such archive.
    """
    file = data_file(path, directory)
    limit = None if limit is None else whole(limit, "limit", 1)
    parts, labels = [], []
    try:
        with zipfile.ZipFile(file) as archive:
            members = [
                (int(m[1]), int(m[2]), e)
                for e in archive.infolist()
                if (m := _MEMBER.search(e.filename))
            ]
            taken = [0] * 10
            for digit, number, entry in sorted(members, key=lambda m: m[1]):
                if limit is not None and taken[digit] >= limit:
                    continue
                taken[digit] += 1
                if entry.file_size > _MAX_EVENT_BYTES:
                    expected = f"at most {_MAX_EVENT_BYTES} bytes"
                    raise FormatError(entry.filename, expected, entry.file_size)
                parts.append(decode_events(archive.read(entry), f"recording {number}"))
                labels.append(digit)
    except FormatError:
        raise
    except Exception as error:  # zipfile, zlib and lzma each raise their own
        raise FormatError(str(file), "a zip archive that can be read", str(error)) from error
    if not parts:
        raise FormatError(str(file), "recordings named Train/5/00001.bin", "none")
    x, y, polarity, t = (np.concatenate(column) for column in zip(*parts, strict=True))
    offsets = np.concatenate([[0], np.cumsum([len(part[0]) for part in parts])])
    return Events(x, y, polarity, t, offsets, np.array(labels))


def event_stimulus(
    events: Events,
    samples: Sequence[int],
    n_origin: int,
    *,
    weight_sd: float = 0.3,
    pool: int = 2,
    duration: Any = "300 ms",
    dt: Any = "1 ms",
    seed: int = 0,
) -> Stimulus:
    """Recordings as frozen input spikes, one trial each.

    Parameters
    ----------
    events : Events
    samples : sequence of int
        Which recordings, in this order.
    n_origin : int
        Size of the network that a (pruned) network descends from.
    weight_sd : float
        Standard deviation of the kick that an input spike gives to a neuron.
    pool : int
        Pixels of ``pool x pool`` share a channel for each polarity.
    duration : Quantity or str
        Length of a trial; later events are dropped.
    dt : Quantity or str
        Time step of the simulation. Several events of a channel in one step count once.
    seed : int
        Seed of the input weights, which belong to the original neurons.

    Returns
    -------
    Stimulus
        Of ``len(samples)`` trials without current.

    Raises
    ------
    ParameterError
        Naming the argument that is wrong.
    """
    pool, n_origin = whole(pool, "pool", 1), whole(n_origin, "n_origin", 1)
    step, length = positive_seconds(dt, "dt"), positive_seconds(duration, "duration")
    chosen = np.asarray(samples)
    if chosen.ndim != 1 or chosen.size == 0 or chosen.dtype.kind not in "iu":
        raise ParameterError("samples", "indices of recordings", samples)
    if chosen.min() < 0 or chosen.max() >= len(events):
        raise ParameterError("samples", f"indices within 0..{len(events) - 1}", samples)
    if not (np.isfinite(weight_sd) and weight_sd >= 0):
        raise ParameterError("weight_sd", "a finite number of at least 0", weight_sd)
    steps = max(1, round(length / step))
    trial, at, channel = pooled_spikes(events, chosen, pool, steps, step)
    rng = stream(seed, "input", 3)
    weights = weight_sd * rng.standard_normal((n_origin, n_channels(pool))).T
    # The middle of the step, so that rounding cannot move a spike to the next.
    spikes = SpikeInput((at + 0.5) * step, channel, weights, trial)
    return Stimulus(np.zeros((len(chosen), 1, n_origin)), f"{steps * step!r} s", spikes)


def n_channels(pool: int) -> int:
    """Channels of a sensor whose pixels are pooled ``pool x pool``, both polarities."""
    return 2 * int(np.prod([-(-side // pool) for side in SENSOR]))


def pooled_spikes(
    events: Events, samples: np.ndarray, pool: int, steps: int, step: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Trial, time step and channel of each input spike; doubles and late events left out."""
    height, width = (-(-side // pool) for side in SENSOR)
    unique = [np.empty(0, dtype=np.int64)]
    for number, k in enumerate(samples.tolist()):
        part = slice(events.offsets[k], events.offsets[k + 1])
        at = np.floor(events.t[part] * 1e-6 / step + 1e-9).astype(np.int64)
        row, column = events.y[part].astype(int) // pool, events.x[part].astype(int) // pool
        channel = (events.polarity[part].astype(int) * height + row) * width + column
        # One number for each (trial, step, channel), so that doubles fall out.
        code = (number * steps + at) * (2 * height * width) + channel
        unique.append(np.unique(code[at < steps]))
    moment, channel = np.divmod(np.concatenate(unique), 2 * height * width)
    trial, at = np.divmod(moment, steps)
    return trial, at, channel
