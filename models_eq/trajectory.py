"""Trajectory: what a simulation leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from models_eq.checks import whole
from models_eq.errors import ParameterError
from models_eq.packing import Held, check, register, take

_NOTHING: Mapping[str, np.ndarray] = MappingProxyType({})


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Spikes and states of one network, possibly over several trials or copies.

    Attributes
    ----------
    t : ndarray, shape (k,), s
        Spike times on the grid, from the start of the trial: a spike at ``t`` crossed the
        threshold between ``t`` and ``t + dt``.
    i : ndarray of int, shape (k,)
        Neuron of each spike. Spikes are sorted by (trial, t, i).
    trial : ndarray of int, shape (k,)
        Trial (or copy) of each spike.
    n, n_trials : int
        Neurons, and trials or copies.
    duration, dt : float, s
        Length of a trial, and time step.
    device, digest : str
        Where it ran, and the digest of the network that ran.
    at_spike : Mapping of str to ndarray, shape (k,)
        Variables at the end of the step of each spike, before reset and kicks. Empty unless
        ``"spike_state"`` was recorded.
    release : Mapping of str to ndarray
        ``t``, ``i``, ``trial`` and the variables at the end of each refractory period.
    sample_t : ndarray, shape (q,), s
        Times of the sampled states.
    samples : Mapping of str to ndarray, shape (n_trials, q, n)
        Sampled states.
    final_state : Mapping of str to ndarray, shape (n_trials, n)
        State at the end (not kept where trials were run in several rounds).
    run_seconds : float
        Wall-clock time of the run phase, s.
    """

    t: np.ndarray
    i: np.ndarray
    trial: np.ndarray
    n: int
    n_trials: int
    duration: float
    dt: float
    device: str
    digest: str
    at_spike: Mapping[str, np.ndarray] = field(default_factory=lambda: _NOTHING)
    release: Mapping[str, np.ndarray] = field(default_factory=lambda: _NOTHING)
    sample_t: np.ndarray = field(default_factory=lambda: np.zeros(0))
    samples: Mapping[str, np.ndarray] = field(default_factory=lambda: _NOTHING)
    final_state: Mapping[str, np.ndarray] = field(default_factory=lambda: _NOTHING)
    run_seconds: float = 0.0

    def __repr__(self) -> str:
        rate = self.t.size / max(1e-300, self.n * self.n_trials * self.duration)
        return (
            f"Trajectory({self.n} neurons, {self.n_trials} trial(s) of {self.duration:g} s, "
            f"{self.t.size} spikes, {rate:.1f} Hz, {self.device})"
        )

    @property
    def n_spikes(self) -> int:
        """Number of spikes over all trials."""
        return int(self.t.size)

    def one_trial(self, k: int) -> Trajectory:
        """Return trial (or copy) ``k`` alone.

        Raises
        ------
        ParameterError
            If there is no such trial.
        """
        if whole(k, "k", 0) >= self.n_trials:
            raise ParameterError("k", f"a trial in 0..{self.n_trials - 1}", k)
        mask = self.trial == k
        zero = np.zeros(int(mask.sum()), dtype=np.int64)
        release = dict(self.release)
        if release:
            chosen = release["trial"] == k
            release = {name: value[chosen] for name, value in release.items()}
            release["trial"] = np.zeros_like(release["trial"])
        return replace(
            self,
            t=self.t[mask],
            i=self.i[mask],
            trial=zero,
            n_trials=1,
            at_spike={name: value[mask] for name, value in self.at_spike.items()},
            release=release,
            samples={name: value[k : k + 1] for name, value in self.samples.items()},
            final_state={name: value[k : k + 1] for name, value in self.final_state.items()},
        )


_EVENTS = {"t": "<f8", "i": "<i8", "trial": "<i8"}
_PLAIN = ("n", "n_trials", "duration", "dt", "device", "digest", "run_seconds")
_MAPPINGS = ("at_spike", "release", "samples", "final_state")


def _encode(trajectory: Trajectory) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    arrays = {name: getattr(trajectory, name) for name in (*_EVENTS, "sample_t")}
    for group in _MAPPINGS:
        arrays |= {f"{group}/{name}": a for name, a in getattr(trajectory, group).items()}
    return arrays, {name: getattr(trajectory, name) for name in _PLAIN}


def _decode(arrays: Held, meta: Mapping[str, Any]) -> Trajectory:
    values: dict[str, Any] = {name: meta[name] for name in _PLAIN}
    n, n_trials = values["n"], values["n_trials"]
    spikes = (take(arrays, "t").size,)
    values |= {name: take(arrays, name, kind, spikes) for name, kind in _EVENTS.items()}
    values["sample_t"] = take(arrays, "sample_t", "<f8")
    shapes: dict[str, Any] = {
        "at_spike": spikes,
        "release": arrays["release/t"].shape if "release/t" in arrays else None,
        "samples": (n_trials, values["sample_t"].size, n),
        "final_state": (n_trials, n),
    }
    for group, shape in shapes.items():
        start = f"{group}/"
        own = [name for name in arrays if name.startswith(start)]
        values[group] = {x.removeprefix(start): take(arrays, x, None, shape) for x in own}
    for name, limit in (("i", n), ("trial", n_trials)):
        fine = not spikes[0] or (values[name].min() >= 0 and values[name].max() < limit)
        check(bool(fine), name, f"values in 0..{limit - 1}", "others")
    return Trajectory(**values)


register("Trajectory", Trajectory, _encode, _decode)
