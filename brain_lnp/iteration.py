"""One iteration of Lyapunov Noise Pruning: its steps, on a network and its compensated twin."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse.csgraph import connected_components

from analysis.lyapunov.nodes import NodeExponents, conditional_exponents, node_exponents
from analysis.pruning.compensate import (
    Compensation,
    Treatment,
    noise_rates,
    rows_of,
    slow_rates,
)
from analysis.pruning.refit import refit, refit_weights
from analysis.spikes import rates
from brain_lnp.checkpoint import Checkpoint
from brain_lnp.selection import Selection
from models_eq.errors import BudgetError, SilentNetworkError
from models_eq.hrsnn import HRSNN
from models_eq.simulate import simulate
from models_eq.stimulus import noise_stimulus

if TYPE_CHECKING:
    from brain_lnp.lnp import LNP


class PruningRun(Selection):
    """State of one pruning run: the raw network (weights as drawn) and its compensated twin."""

    def __init__(self, settings: LNP, dense: HRSNN, seed: int) -> None:
        super().__init__(settings, seed)
        self.dense = dense
        self.raw = self.paid = dense
        self._found: tuple[NodeExponents | None, np.ndarray] | None = None
        self._rates: np.ndarray | None = None

    def state(self, run: str, done: int) -> Checkpoint:
        """What is to be kept after ``done`` iterations."""
        assert self._found is not None
        found, rate = self._found
        assert found is not None
        return Checkpoint(run, done, self.raw, self.paid, found, rate, tuple(self.steps))

    def restore(self, state: Checkpoint) -> None:
        """Go back to where a checkpoint was taken."""
        self.raw, self.paid, self.steps = state.raw, state.paid, list(state.steps)
        self._found = state.found, state.rate

    def exponents(self, k: int, net: HRSNN) -> tuple[NodeExponents | None, np.ndarray]:
        """Node exponents and rates of a network under noise; None where nothing spikes."""
        settings = self.settings
        noise = noise_stimulus(
            net, settings.noise_duration, sd=settings.noise_sd, seed=self.seed, repetition=k
        )
        run = simulate(net, noise, dt=settings.dt, record=["spike_state"], seed=self.seed)
        if run.n_spikes == 0:
            return None, rates(run)
        if settings.exponents == "conditional":
            return conditional_exponents(net, run), rates(run)
        found = node_exponents(net, noise, definition=settings.exponents, seed=self.seed)
        return found, rates(run)

    def iterate(self, k: int, m_k: int, n_k: int, *, target: int, last: bool) -> str | None:
        """One iteration to ``m_k`` synapses and ``n_k`` neurons.

        Returns None, or why what it came to is no good; everything is then as before it.
        """
        mark = len(self.steps)
        found, rate = self.exponents(0, self.dense) if self._found is None else self._found
        if found is None:
            raise SilentNetworkError(
                "net",
                "a network that spikes under noise",
                "no spike at all",
                "Raise i_ext or the noise (noise_sd), or lower v_th",
            )
        scores, matrix, linear = self.synapse_scores(self.paid, found)
        raw = self.raw
        m_k = min(m_k, raw.n_synapses)
        self.note(
            "exponents", raw, definition=found.definition,
            mean=float(found.exponents.mean()), sd=float(found.exponents.std()),
            silent=int((rate == 0).sum()), mean_rate=float(rate.mean()), **linear,
        )  # fmt: skip
        if n_k < raw.n:
            keep = self.choose_neurons(k, raw, scores, m_k, n_k, rate)
            inside = keep[raw.i] & keep[raw.j]
            available = int(inside.sum())
            # On the way there fewer than planned will do; at the end the count is exact.
            if available < (m_k if last else target):
                raise BudgetError(
                    "synapses",
                    f"at most the {available} synapses among the {n_k} neurons kept",
                    m_k if last else target,
                    "Keep more neurons or fewer synapses",
                )
            m_k = min(m_k, available)
            raw, scores, matrix = raw.keep_neurons(keep), scores[inside], matrix[inside]
            self.note("neurons", raw, score=self.settings.neuron_score)
        kept, matrix = self.choose_synapses(k, raw, scores, matrix, m_k)
        wider = self.rewire(k, kept, matrix, linear["scale"], m_k - kept.n_synapses)
        raw = self.top_up(k, wider, raw, scores, m_k - wider.n_synapses)
        share = _largest_part(raw)
        if share < self.settings.least_connected:
            return self._back(
                mark, f"the network fell apart (largest part {share:.0%} of the neurons)"
            )
        paid = self.pay(raw, last)
        judged = self.exponents(k + 1, paid)
        if (why := _trouble(judged[0])) is not None:
            return self._back(mark, why)
        self.raw, self.paid, self._found = raw, paid, judged
        return None

    def _back(self, mark: int, why: str) -> str:
        """Forget the steps of an iteration that came to nothing, so that they describe the net."""
        del self.steps[mark:]
        return why

    def settle(self) -> None:
        """After an early stop: the final treatment for the last good network, if it bears it."""
        same = self.treatment(last=True) == self.treatment(last=False)
        if self.raw is self.dense or (same and self.settings.refit == "off"):
            return
        mark = len(self.steps)
        paid = self.pay(self.raw, last=True)
        if _trouble(self.exponents(0, paid)[0]) is None:
            self.paid = paid
        else:
            del self.steps[mark:]

    def treatment(self, last: bool) -> Treatment:
        """How a mask is paid back; the tuned gain, which takes long, at the end only."""
        final: Treatment = {"tuned": "tuned", "calibrated": "shift", "literal": "none"}[  # type: ignore[assignment]
            self.settings.mode
        ]
        treatment = self.settings.treatment or final
        return "shift" if treatment == "tuned" and not last else treatment

    def pay(self, raw: HRSNN, last: bool) -> HRSNN:
        """Compensate the mask; always from the dense weights, so that gains do not pile up."""
        if last and self.settings.refit != "off":
            return self.refit(raw)
        compensation = Compensation(self.treatment(last), self.seed)
        paid, found = compensation(self.dense, raw, self.dense_rates)
        self.note("compensate", paid, **found)
        return paid

    def refit(self, raw: HRSNN) -> HRSNN:
        """Fit the weights of the mask, or of inputs chosen anew, to what the dense network does."""
        given: dict[str, Any] = {"seed": self.seed, "dt": self.settings.dt}
        if self.settings.refit == "weights":
            fitted, found = refit_weights(self.dense, raw, **given)
        else:
            kept = rows_of(self.dense, raw)
            fitted, found = refit(self.dense, raw.n_synapses, neurons=kept, **given)
        self.note("refit", fitted, **found)
        return fitted

    def dense_rates(self) -> np.ndarray:
        """Rates of the dense network under the drive that the mean shift is measured with."""
        if self._rates is None:
            settings = self.settings
            if settings.mode == "tuned":
                self._rates = slow_rates(self.dense, seed=self.seed, dt=settings.dt)
            else:
                self._rates = noise_rates(
                    self.dense, seed=self.seed, duration=settings.noise_duration, dt=settings.dt
                )
        return self._rates

    def retime(self, storage: str | os.PathLike[str] | None) -> None:
        """Step IV: other time constants for the network that came out."""
        search = self.settings.time_search
        if search is None or self.raw is self.dense:
            return
        self.paid, found = search(self.paid, seed=self.seed, storage=storage)
        self.note("timescales", self.paid, **found)


def _trouble(found: NodeExponents | None) -> str | None:
    """What is wrong with a network that has these exponents under noise, if anything."""
    if found is None:
        return "the network fell silent under noise"
    mean = float(found.exponents.mean())
    if mean >= 0:
        return f"the network lost stability (mean node exponent {mean:+.3g} 1/s)"
    return None


def _largest_part(net: HRSNN) -> float:
    """Share of the neurons in the largest weakly connected part."""
    _, label = connected_components(net.weights, directed=True, connection="weak")
    return float(np.bincount(label).max() / net.n)
