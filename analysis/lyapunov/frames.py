"""Orthonormal frames held in Brian2 arrays: Gram–Schmidt in NumPy while running, or in C++."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from brian2 import Function, NetworkOperation, NeuronGroup
from brian2.core.base import BrianObject
from brian2.devices.device import get_device

from analysis.lyapunov.qr import ROUNDING, log_growth
from models_eq.errors import CapabilityError
from models_eq.frozen import named_clock


class Frames:
    """Tangent vectors in the arrays of a group of replicas, and their growth.

    Parameters
    ----------
    group : NeuronGroup
        Neuron i of replica r has index ``r*n + i``.
    scales : Mapping of str to float
        Arrays that hold a tangent vector, and the size that each is divided by.
    base : sequence of str
        Arrays that hold the state, the same in all replicas.
    n, k : int
        Neurons and replicas.
    warm_up, keep : int
        Intervals over which vectors only align, and intervals that are recorded.
    t_qr : float, s
        Length of an interval.
    device : str
        Name of the device.
    progress : callable, optional
        Called as ``progress(done, total)`` after each interval.

    Attributes
    ----------
    objects : list of BrianObject
        What a Network must contain besides the group.
    """

    def __init__(
        self,
        group: NeuronGroup,
        scales: Mapping[str, float],
        base: list[str],
        *,
        n: int,
        k: int,
        warm_up: int,
        keep: int,
        t_qr: float,
        device: str,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.group, self.scales, self.base = group, dict(scales), base
        self.n, self.k, self.warm_up, self.keep = n, k, warm_up, keep
        self.progress = progress
        self._log = np.zeros((warm_up + keep, k))
        self._volume = np.zeros(warm_up + keep)
        self._squares = np.zeros((n, k))
        self._calls = 0
        self.objects: list[BrianObject] = []
        clock = named_clock(f"{group.name}_frames_clock", t_qr)
        if device in ("numpy", "cython"):
            self._records: NeuronGroup | None = None
            operation = NetworkOperation(
                self.orthonormalise, clock=clock, when="start", order=-100,
                name=f"{group.name}_frames",
            )  # fmt: skip
            self.objects.append(operation)
        elif device == "cpp_standalone":
            self._standalone(clock)
        else:
            raise CapabilityError(
                "device", "numpy, cython or cpp_standalone", device,
                "Tangent vectors are orthonormalised on the host while the network runs",
            )  # fmt: skip

    def start(self, vectors: np.ndarray) -> None:
        """Set the vectors, shape (state variables * n, k); a held lag starts at 0."""
        blocks = vectors.reshape(-1, self.n, self.k)
        for (name, scale), block in zip(self.scales.items(), blocks, strict=False):
            self.group.variables[name].set_value(np.ascontiguousarray(block.T * scale).ravel())

    def orthonormalise(self) -> None:
        """Record the growth of the vectors, and make them orthonormal again."""
        n, k, interval = self.n, self.k, self._calls - 1
        self._calls += 1
        volume = self.group.variables["volume"].get_value()
        if 0 <= interval < len(self._volume):
            self._volume[interval] = volume[:n].sum()
        volume[:] = 0.0
        if interval < 0 or interval >= len(self._log):
            return
        arrays = [self.group.variables[name].get_value().reshape(k, n) for name in self.scales]
        sizes = list(self.scales.values())
        vectors = np.concatenate([a.T / s for a, s in zip(arrays, sizes, strict=True)])
        if np.isfinite(vectors).all():
            q, r = np.linalg.qr(vectors)
            self._log[interval] = log_growth(r, np.linalg.norm(vectors, axis=0))
        else:
            q = np.zeros_like(vectors)
            self._log[interval] = np.nan
        for a, s, block in zip(arrays, sizes, q.reshape(-1, n, k), strict=True):
            a[...] = block.T * s
        if interval >= self.warm_up:
            self._squares += (q.reshape(-1, n, k) ** 2).sum(axis=0)
        # Rounding differs between lanes of vectorised code: in a chaotic network the copies of
        # the state would part.
        for name in self.base:
            state = self.group.variables[name].get_value().reshape(k, n)
            state[1:] = state[0]
        if self.progress is not None:
            self.progress(interval + 1, len(self._log))

    def growth(self) -> tuple[np.ndarray, np.ndarray]:
        """Logarithms of growth, shape (keep, 1, k), and participation, shape (n, k)."""
        log, squares = self._log, self._squares
        if self._records is not None:
            log = np.array(self._records.variables["log_growth"].get_value()).reshape(log.shape)
            squares = np.array(self.group.variables["squares"].get_value()).reshape(self.k, self.n)
            squares = squares.T
            if self.progress is not None:
                self.progress(len(log), len(log))
        total = squares.sum(axis=0)
        share = squares / np.where(total > 0, total, 1.0)
        return log[self.warm_up :, None, :], np.ascontiguousarray(share)

    def volume(self) -> np.ndarray | None:
        """Logarithms of the growth of volumes, shape (keep,); None where one is infinite."""
        volume = self._volume
        if self._records is not None:
            stored = self._records.variables["log_volume"].get_value()
            volume = np.array(stored)[: len(volume)]
        volume = volume[self.warm_up :]
        return volume if np.isfinite(volume).all() else None

    def _standalone(self, clock: Any) -> None:
        """Gram–Schmidt as a C++ function that a group of one neuron calls."""
        name = self.group.name
        self._records = NeuronGroup(
            self._log.size, "log_growth : 1\nlog_volume : 1", namespace={}, name=f"{name}_log"
        )
        caller = NeuronGroup(1, "done : 1", namespace={}, name=f"{name}_frames")
        array = get_device().get_array_name
        variables = self.group.variables
        code = _GRAM_SCHMIDT % {
            "n": self.n, "k": self.k, "warm_up": self.warm_up, "total": len(self._log),
            "rows": len(self.scales), "rounding": repr(ROUNDING),
            "tangents": ", ".join(f"brian::{array(variables[x])}" for x in self.scales),
            "scales": ", ".join(repr(float(s)) for s in self.scales.values()),
            "log": array(self._records.variables["log_growth"]),
            "log_volume": array(self._records.variables["log_volume"]),
            "squares": array(variables["squares"]), "volume": array(variables["volume"]),
            "copies": "\n".join(
                _COPY % {"array": array(variables[x]), "n": self.n, "k": self.k} for x in self.base
            ),
        }  # fmt: skip
        function = Function(
            lambda done: done, arg_units=[1], return_unit=1, arg_names=["done"], stateless=False
        )
        function.implementations.add_implementation("cpp", code, name="gram_schmidt")
        caller.namespace["gram_schmidt"] = function
        caller.run_regularly(
            "done = gram_schmidt(done)", clock=clock, when="start", order=-100,
            name=f"{name}_gram_schmidt",
        )  # fmt: skip
        written = [self._records.variables[x] for x in ("log_growth", "log_volume")]
        for variable in (*written, variables["squares"]):
            # Brian2 does not see that the function writes them, and would answer from its cache.
            get_device().array_cache[variable] = None
        self.objects += [self._records, caller]


_COPY = """    for (long r = 1; r < %(k)s; r++)
        for (long i = 0; i < %(n)s; i++)
            brian::%(array)s[r*%(n)s + i] = brian::%(array)s[i];"""

# Twice is enough: one pass loses orthogonality where vectors have nearly aligned.
_GRAM_SCHMIDT = """
static double gram_schmidt(const double done)
{
    static long interval = -1;
    static unsigned long noise = 88172645463325252UL;
    const long n = %(n)s, k = %(k)s, rows = %(rows)s;
    double total_volume = 0.0;
    for (long i = 0; i < n; i++) total_volume += brian::%(volume)s[i];
    for (long m = 0; m < n*k; m++) brian::%(volume)s[m] = 0.0;
    if (interval < 0 || interval >= %(total)s) { interval++; return done + 1.0; }
    brian::%(log_volume)s[interval] = total_volume;
    double* const tangents[] = { %(tangents)s };
    const double scales[] = { %(scales)s };
    for (long b = 0; b < rows; b++)
        for (long m = 0; m < n*k; m++) tangents[b][m] /= scales[b];
    for (long r = 0; r < k; r++)
    {
        double norm = 0.0, whole = 0.0;
        for (long b = 0; b < rows; b++)
            for (long i = 0; i < n; i++)
                whole += tangents[b][r*n + i]*tangents[b][r*n + i];
        const double floor = %(rounding)s*std::sqrt(whole);
        double recorded = -INFINITY;
        for (int attempt = 0; attempt < 3; attempt++)
        {
            for (int pass = 0; pass < 2; pass++)
                for (long q = 0; q < r; q++)
                {
                    double dot = 0.0;
                    for (long b = 0; b < rows; b++)
                    {
                        const double* u = tangents[b] + q*n;
                        const double* v = tangents[b] + r*n;
                        for (long i = 0; i < n; i++) dot += u[i]*v[i];
                    }
                    for (long b = 0; b < rows; b++)
                    {
                        const double* u = tangents[b] + q*n;
                        double* v = tangents[b] + r*n;
                        for (long i = 0; i < n; i++) v[i] -= dot*u[i];
                    }
                }
            double square = 0.0;
            for (long b = 0; b < rows; b++)
                for (long i = 0; i < n; i++)
                    square += tangents[b][r*n + i]*tangents[b][r*n + i];
            norm = std::sqrt(square);
            if (attempt == 0)
                recorded = std::isnan(norm) ? NAN : (norm > floor ? std::log(norm) : -INFINITY);
            if (norm > (attempt ? 0.0 : floor) && norm < 1e300) break;
            // An annihilated vector goes on in an arbitrary direction.
            for (long b = 0; b < rows; b++)
                for (long i = 0; i < n; i++)
                {
                    noise ^= noise << 13; noise ^= noise >> 7; noise ^= noise << 17;
                    tangents[b][r*n + i] = (double)(noise %% 2000001UL)/1e6 - 1.0;
                }
        }
        for (long b = 0; b < rows; b++)
            for (long i = 0; i < n; i++)
            {
                double& x = tangents[b][r*n + i];
                x /= norm;
                if (interval >= %(warm_up)s) brian::%(squares)s[r*n + i] += x*x;
            }
        brian::%(log)s[interval*k + r] = recorded;
    }
    for (long b = 0; b < rows; b++)
        for (long m = 0; m < n*k; m++) tangents[b][m] *= scales[b];
%(copies)s
    interval++;
    return done + 1.0;
}
"""
