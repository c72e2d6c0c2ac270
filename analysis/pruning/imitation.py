"""imitate: a pruned network runs beside the dense one and learns to do what that does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.pruning.compensate import rows_of
from analysis.pruning.moments import TAU, Drive, currents, slopes, synaptic_traces
from analysis.pruning.openloop import signs_of
from analysis.spikes import filtered_traces
from models_eq.hrsnn import HRSNN
from models_eq.rng import stream
from models_eq.simulate import simulate
from models_eq.stimulus import Stimulus
from models_eq.units import positive_seconds

Progress = Callable[[str, int, int], None]

_TRACE = 0.05  # s, the filter of the traces that are compared (TAU)
_RATE = (0.3, 0.045)  # share of the Gauss-Newton step, first and last round
_MEMORY = 0.8  # of gradients over rounds
_FORGET = 0.3  # of covariances over rounds
_RIDGE = 0.05
_TRUST = 0.1  # largest change of a neuron's current in a round, in its standard deviation
_SPREAD = 0.7  # share of an error's way through the network that is followed back
_CLIP = 3.0  # bound on what comes back, in root mean square errors
_SOFT = 0.15  # softness of the threshold, in thresholds
_SWAPPED = 0.03  # share of the synapses that a swap may move
_AVERAGED = 0.4  # share of the rounds, at the end, whose weights are averaged


@dataclass(eq=False)
class _Record:
    """One run of both networks under the same draw of the drive."""

    error: np.ndarray
    share: float
    traces: list[np.ndarray]
    drive: np.ndarray


class _Student:
    """Weights under way, and running estimates of what the next step needs."""

    def __init__(self, dense: HRSNN, kept: HRSNN, net: HRSNN) -> None:
        self.dense, self.kept = dense, kept
        self.rows = rows_of(dense, kept)
        self.taus = np.unique(kept.tau_syn)
        self.group = np.searchsorted(self.taus, kept.tau_syn)
        self.weights = net.weights.toarray()
        self.i_ext = net.i_ext.copy()
        self.present = self.weights != 0
        self.sign = np.zeros((kept.n, kept.n))
        self.sign[kept.j, kept.i] = signs_of(kept)
        self.possible = self.sign != 0
        self.floor = 1e-3 * float(np.abs(kept.w).mean())
        self.slope: np.ndarray | None = None
        self.spread = np.ones(kept.n)
        self.gram: np.ndarray | None = None
        self.curvature = np.zeros(kept.n)
        self.gradient = np.zeros_like(self.weights)
        self.bias = np.zeros(kept.n)
        self.steps = 0

    def net(self, weights: np.ndarray | None = None, i_ext: np.ndarray | None = None) -> HRSNN:
        """Network of the present synapses, with these weights or the current ones."""
        w = self.weights if weights is None else weights
        mask = self.present[self.kept.j, self.kept.i]
        net = self.kept.replace(
            w=w[self.kept.j, self.kept.i], i_ext=self.i_ext if i_ext is None else i_ext
        )
        return net.keep_edges(mask)

    def run(self, stimulus: Stimulus, drive: Drive, dt: Any, seed: int) -> _Record:
        """Dense and pruned network under the same input."""
        net = self.net()
        first = simulate(self.dense, stimulus, dt=dt, seed=seed)
        own = simulate(net, stimulus, dt=dt, seed=seed)
        target = filtered_traces(first, drive.hold, TAU)[:, drive.washout :, self.rows]
        error = filtered_traces(own, drive.hold, TAU)[:, drive.washout :] - target
        traces = synaptic_traces(own, self.taus, drive.hold, drive.washout)
        whole = currents(net, self.weights, traces, self.taus) + self.i_ext.astype(np.float32)
        whole += stimulus.current[:, drive.washout :, stimulus.columns(net)]
        if self.slope is None:
            self._calibrate(first, target, traces, whole, drive, stimulus.hold)
        return _Record(error, _share(target, error), traces, whole)

    def _calibrate(
        self, first: Any, target: np.ndarray, traces: list[np.ndarray], whole: np.ndarray,
        drive: Drive, hold: float,
    ) -> None:  # fmt: skip
        own = np.empty_like(target)
        for g, trace in enumerate(traces):
            own[:, :, self.group == g] = trace[:, :, self.group == g]
        tau = self.kept.tau_syn
        slope, _ = slopes(self.kept, whole, own, tau, hold)
        # From the trace to the rate: sampled as in _backwards, a rate r settles at
        # r hold / (1 - decay).
        self.slope = slope * (1 - np.exp(-hold / tau)) / hold
        taus = np.unique(self.dense.tau_syn)
        seen = synaptic_traces(first, taus, drive.hold, drive.washout)
        current = currents(self.dense, self.dense.weights.toarray(), seen, taus)
        self.spread = current[:, :, self.rows].std(axis=(0, 1)).astype(float)

    def learn(self, record: _Record, rate: float, hold: float) -> None:
        """Update the estimates with a record, and take a step."""
        assert self.slope is not None
        n = self.kept.n
        above = (record.drive - (self.kept.v_th - self.kept.v_rest)) / (
            _SOFT * (self.kept.v_th - self.kept.v_reset)
        )
        sensitive = self.slope / (1 + np.exp(-np.clip(above, -30, 30)))
        push = self._backwards(record.error, sensitive, hold).reshape(-1, n)
        mean = np.empty((self.taus.size, n))
        gram = np.empty((self.taus.size, n, n))
        gradient = np.empty((n, n))
        bias = push.mean(axis=0)
        for g, trace in enumerate(record.traces):
            flat = trace.reshape(-1, n).astype(float)
            mean[g] = flat.mean(axis=0)
            flat -= mean[g]
            gram[g] = flat.T @ flat / len(flat)
            mine = self.group == g
            gradient[mine] = push[:, mine].T @ flat / len(flat)
        reach = hold / (1 - np.exp(-hold / _TRACE))
        curvature = np.mean((sensitive * reach) ** 2, axis=(0, 1))
        curvature += 0.05 * np.median(curvature) + 1e-3 * curvature.mean() + 1e-12
        fresh = 1.0 if self.gram is None else _FORGET
        self.gram = gram if self.gram is None else (1 - fresh) * self.gram + fresh * gram
        self.curvature = (1 - fresh) * self.curvature + fresh * curvature
        self.gradient = _MEMORY * self.gradient + (1 - _MEMORY) * gradient
        self.bias = _MEMORY * self.bias + (1 - _MEMORY) * bias
        self.steps += 1
        self._step(rate, mean)

    def _backwards(self, error: np.ndarray, sensitive: np.ndarray, hold: float) -> np.ndarray:
        """Gradient of half the squared error by every neuron's drive, back through the net."""
        fade = np.exp(-hold / _TRACE)
        decay = np.exp(-hold / self.kept.tau_syn)
        bound = _CLIP * np.sqrt(np.mean(error**2, axis=(0, 1))) / (1 - fade)
        direct = np.zeros((error.shape[0], error.shape[2]))
        inward = np.zeros_like(direct)
        result = np.empty(error.shape)
        for row in range(error.shape[1] - 1, -1, -1):
            direct = error[:, row] + fade * direct
            passed = np.clip(_SPREAD * (inward @ self.weights), -bound, bound)
            push = sensitive[:, row] * hold * (direct + passed)
            inward = decay * inward + push
            result[:, row] = push
        return result

    def _system(self, post: int, members: np.ndarray) -> np.ndarray:
        assert self.gram is not None
        gram = self.gram[self.group[post]]
        inside = gram[np.ix_(members, members)]
        scale = np.diag(gram)[members]
        return inside + np.diag(_RIDGE * scale + 1e-9 * (1.0 + scale.max(initial=0.0)))

    def _step(self, rate: float, mean: np.ndarray) -> None:
        unbiased = 1 - _MEMORY**self.steps
        for post in range(self.kept.n):
            members = np.flatnonzero(self.present[post])
            if members.size:
                system = self._system(post, members)
                step = np.linalg.solve(system, self.gradient[post, members])
                step *= rate / (unbiased * self.curvature[post])
                size = np.sqrt(step @ system @ step)
                step *= min(1.0, _TRUST * self.spread[post] / max(size, 1e-300))
                self._move(post, members, self.weights[post, members] - step, mean)
        shift = rate * self.bias / (unbiased * self.curvature)
        limit = _TRUST * self.spread
        self.i_ext = self.i_ext - np.clip(shift, -limit, limit)

    def _move(self, post: int, members: np.ndarray, value: np.ndarray, mean: np.ndarray) -> None:
        """New weights of the old sign; the mean input stays what it was."""
        sign = self.sign[post, members]
        value = np.maximum(value * sign, self.floor) * sign
        change = value - self.weights[post, members]
        self.i_ext[post] -= change @ mean[self.group[post], members]
        self.weights[post, members] = value

    def swap(self, record: _Record) -> int:
        """Exchange the synapses that do least for absent ones that would do more."""
        assert self.gram is not None
        mean = np.array([trace.mean(axis=(0, 1)) for trace in record.traces], dtype=float)
        unbiased = 1 - _MEMORY**self.steps
        leave: list[tuple[float, int, int]] = []
        enter: list[tuple[float, int, int, float]] = []
        for post in range(self.kept.n):
            inside = np.flatnonzero(self.present[post])
            outside = np.flatnonzero(self.possible[post] & ~self.present[post])
            gram, stiff = self.gram[self.group[post]], self.curvature[post]
            slope = self.gradient[post] / unbiased
            left = np.diag(gram)[outside] * (1 + _RIDGE) + 1e-12
            rest = slope[outside]
            if inside.size:
                inverse = np.linalg.inv(self._system(post, inside))
                loss = 0.5 * stiff * self.weights[post, inside] ** 2 / np.diag(inverse)
                leave += [(float(x), post, int(k)) for x, k in zip(loss, inside, strict=True)]
                cross = gram[np.ix_(inside, outside)]
                map_in = inverse @ cross
                left = np.maximum(left - (cross * map_in).sum(axis=0), _RIDGE * left)
                rest = rest - map_in.T @ slope[inside]
            wanted = -rest / (stiff * left)
            gain = 0.5 * stiff * left * wanted**2
            fits = wanted * self.sign[post, outside] > 0
            enter += [
                (float(g), post, int(k), float(v))
                for g, k, v in zip(gain[fits], outside[fits], wanted[fits], strict=True)
            ]
        leave.sort(key=lambda item: item[0])
        enter.sort(key=lambda item: -item[0])
        limit = min(int(_SWAPPED * self.present.sum()), len(leave), len(enter))
        count = 0
        while count < limit and enter[count][0] > 2 * leave[count][0]:
            count += 1
        for _, post, pre in leave[:count]:
            self.i_ext[post] += self.weights[post, pre] * mean[self.group[post], pre]
            self.present[post, pre], self.weights[post, pre] = False, 0.0
        for _, post, pre, value in enter[:count]:
            self.present[post, pre] = True
            self._move(post, np.array([pre]), np.array([0.5 * value]), mean)
        return count


def _share(target: np.ndarray, error: np.ndarray) -> float:
    spread = target - target.mean(axis=1, keepdims=True, dtype=float)
    power = float(np.sum(spread**2))
    return 1.0 - float(np.sum(error.astype(float) ** 2)) / max(power, 1e-300)


def imitate(
    dense: HRSNN,
    kept: HRSNN,
    net: HRSNN,
    *,
    rounds: int,
    swap: bool,
    drive: Drive,
    dt: Any,
    seed: int,
    progress: Progress,
) -> tuple[HRSNN, dict[str, Any]]:
    """Move a pruned network's weights and inputs along the gradient of the error of its traces.

    Parameters
    ----------
    dense : HRSNN
        The network to imitate.
    kept : HRSNN
        Its neurons that are kept, with the synapses that may be used.
    net : HRSNN
        Where to start: ``kept`` with some of its synapses, weights of the same sign.
    rounds : int
        Draws of the drive, at least 1; each is a run of both networks and a step.
    swap : bool
        Whether synapses may be exchanged for others of ``kept``.
    drive : Drive
        Task-agnostic input.
    dt : Quantity or str
        Time step.
    seed : int
        Seed of the drives and of the initial state, which both networks share.
    progress : callable
        Called as ``progress(text, done, total)``.

    Returns
    -------
    net : HRSNN
        The average of the last rounds, or the start if that is better on a held-out draw.
    diagnostics : dict
        Fidelity on the drive by round and on the held-out draw, and synapses exchanged.

    Notes
    -----
    With x the traces and y those of the dense network, the gradient of ``sum (x - y)^2 / 2`` by
    the drive of each neuron is followed back in time through the linearised rate network

        l_x(t) = x - y + a_x l_x(t+1),   g(t) = psi(t) h (l_x(t) + (W' l_s)(t+1)),
        l_s(t) = g(t) + a_s l_s(t+1),

    psi the slope of a neuron's rate on its drive, 0 below threshold, and h the sampling interval.
    ``dL/dw_ij = sum_t g_i s_j`` with the pruned network's own traces s. Steps are damped
    Gauss-Newton steps of each neuron, bounded, with momentum. Weights keep their sign. 24 rounds
    at N = 400 take half a minute; memory is that of five full weight matrices.

    References
    ----------
    Neftci, Mostafa & Zenke 2019 (10.1109/MSP.2019.2931595), surrogate gradients; Ross, Gordon &
    Bagnell 2011 (PMLR 15, 627), learning on one's own states.
    """
    student = _Student(dense, kept, net)
    swapped, shares = [], []
    average = np.zeros_like(student.weights)
    i_ext, averaged = np.zeros(kept.n), 0
    tail = max(1, round(_AVERAGED * rounds))
    exchange = {rounds // 6, rounds // 3, rounds // 2} - {0} if swap else set()
    hold = positive_seconds(drive.hold, "hold")
    for step in range(rounds):
        stimulus = drive.stimulus(dense.n_origin, stream(seed, "prune", 62, step))
        record = student.run(stimulus, drive, dt, seed)
        shares.append(record.share)
        part = step / max(rounds - 1, 1)
        student.learn(record, _RATE[0] + (_RATE[1] - _RATE[0]) * part, hold)
        if step in exchange and step < rounds - tail:
            swapped.append(student.swap(record))
        if step >= rounds - tail:
            average += student.weights
            i_ext += student.i_ext
            averaged += 1
        progress("closed loop", step + 1, rounds)
    held_out = drive.stimulus(dense.n_origin, stream(seed, "prune", 63))
    final = student.net(average / averaged, i_ext / averaged)
    before, after = (
        _Student(dense, kept, one).run(held_out, drive, dt, seed).share for one in (net, final)
    )
    found = {
        "shares": shares,
        "swapped": swapped,
        "share_open": before,
        "share_closed": after,
        "chosen": "closed" if after > before else "open",
    }
    return (final if after > before else net), found
