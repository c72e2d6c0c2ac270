"""Lyapunov Noise Pruning: budgets, what each mode promises, when selection matters, stops."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import linalg, sparse
from scipy.sparse.csgraph import connected_components

from analysis.lyapunov.nodes import NodeExponents, conditional_exponents
from analysis.pruning.baselines import BASELINES
from analysis.pruning.compensate import Compensation, noise_rates, slow_rates
from analysis.pruning.result import PruneResult
from analysis.pruning.synapses import lyapunov_matrix
from analysis.spikes import rates
from brain_lnp import config, iteration, methods, selection
from brain_lnp.iteration import PruningRun
from brain_lnp.lnp import LNP, LNP_METHODS, NEURON_SCORES, _schedule
from brain_lnp.methods import METHODS, prune
from brain_lnp.selection import Selection, StabilityWarning
from models_eq.device import use_device
from models_eq.errors import BudgetError, ParameterError, SilentNetworkError, UnitError
from models_eq.hrsnn import HRSNN, PER_NEURON
from models_eq.simulate import simulate
from models_eq.spec import HRSNNSpec, sample_hrsnn
from models_eq.stimulus import noise_stimulus
from models_eq.structure import heavy_tailed
from models_eq.topology import Clustered, FixedInDegree

N, M = 60, 720
SHORT = "200 ms"
MODES = ("tuned", "calibrated", "literal")


KNOWN: dict[tuple[Any, ...], Any] = {}


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    """The NumPy device, a tuning of a fraction of its length, and dense networks run once."""
    real = PruningRun.exponents

    def once(self: PruningRun, k: int, what: HRSNN) -> Any:
        settings = self.settings
        key = (
            what.digest,
            self.seed,
            settings.noise_duration,
            settings.noise_sd,
            settings.dt,
            settings.exponents,
        )
        if k > 0 or what is not self.dense:
            return real(self, k, what)
        if key not in KNOWN:
            KNOWN[key] = real(self, k, what)
        return KNOWN[key]

    def rates_once(measure: Any) -> Any:
        def known(what: HRSNN, **given: Any) -> np.ndarray:
            key = (measure, what.digest, *sorted(given.items()))
            if key not in KNOWN:
                KNOWN[key] = measure(what, **given)
            return KNOWN[key]

        return known

    with pytest.MonkeyPatch.context() as patch, use_device("numpy"):
        short = functools.partial(Compensation, grid=(1.0, 2.0), rows=(20, 40, 40))
        patch.setattr(iteration, "Compensation", short)
        patch.setattr(iteration, "noise_rates", rates_once(noise_rates))
        patch.setattr(iteration, "slow_rates", rates_once(functools.partial(slow_rates, rows=40)))
        patch.setattr(PruningRun, "exponents", once)
        yield


@pytest.fixture(scope="module")
def net() -> HRSNN:
    return sample_hrsnn(HRSNNSpec(n=N), seed=1)


def lnp(net: HRSNN, *, synapses: float = 0.2, neurons: float = 1.0, **given: Any) -> PruneResult:
    """Prune with short noise; the literal mode's warning is a test of its own."""
    seed = given.pop("seed", 0)
    settings = {
        "n_iter": 1, "noise_duration": SHORT, "connected": 0.0, "timescales": "off", **given
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StabilityWarning)
        return LNP(**settings).run(net, synapses=synapses, neurons=neurons, seed=seed)


def kept_in(parent: HRSNN, child: HRSNN) -> np.ndarray:
    """Which of the parent's synapses the child has."""
    size = parent.n_origin
    mine = child.ids[child.i] * size + child.ids[child.j]
    return np.isin(parent.ids[parent.i] * size + parent.ids[parent.j], mine)


# -- what holds for every mode -----------------------------------------------------------------


@pytest.mark.parametrize("neurons", [1.0, 0.7])
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_meets_the_budget_and_touches_nothing_else(mode, neurons, net):
    result = lnp(net, mode=mode, neurons=neurons)
    found = result.net
    assert (found.n_synapses, found.n) == (144, round(neurons * N)) and result.stopped is None
    assert found.obeys_dale and np.array_equal(found.is_exc, net.is_exc[found.ids])
    assert (np.diff(found.ids) > 0).all() and found.n_origin == N
    for name in set(PER_NEURON) - {"i_ext"}:
        assert np.array_equal(getattr(found, name), getattr(net, name)[found.ids]), name
    # The literal recipe has no shift, and its leak correction stays in the linear model.
    assert np.array_equal(found.i_ext, net.i_ext[found.ids]) == (mode == "literal")
    name = next(name for name, its_mode in LNP_METHODS.items() if its_mode == mode)
    assert result.method == name and found.history[:-1] == net.history
    assert found.history[-1] == {"step": name, "seed": 0, "synapses": 144, "neurons": found.n}
    steps = ["exponents", "neurons", "synapses", "rewire", "compensate"]
    assert [s.name for s in result.steps] == [s for s in steps if s != "neurons" or neurons < 1]
    last = result.steps[-1]
    assert (last.n, last.n_synapses) == (found.n, found.n_synapses)
    json.dumps([dict(s.diagnostics) for s in result.steps], allow_nan=False)


@pytest.mark.parametrize(("mode", "n_iter"), [("tuned", 2), ("calibrated", 1), ("literal", 1)])
def test_the_same_seed_gives_the_same_network_and_another_seed_another(mode, n_iter, net):
    options = {"mode": mode, "neurons": 0.8, "n_iter": n_iter}
    first = lnp(net, **options)
    KNOWN.clear()
    again = lnp(net, **options)
    assert first.net.digest == again.net.digest and first.steps == again.steps
    assert lnp(net, **options, seed=1).net.digest != first.net.digest


@pytest.mark.parametrize("n_iter", [1, 2, 3, 10])
@pytest.mark.parametrize(("target", "size"), [(7, 60), (72, 31), (719, 59), (720, 60)])
def test_the_schedule_is_geometric_and_ends_at_the_budget(n_iter, target, size, net):
    steps = _schedule(net, target, size, n_iter)
    m, n = np.array([(M, N), *steps]).T
    assert len(steps) == n_iter and (m[-1], n[-1]) == (target, size)
    assert (np.diff(m) <= 0).all() and (np.diff(n) <= 0).all()
    share = np.arange(n_iter + 1) / n_iter
    assert np.abs(m - M * (target / M) ** share).max() <= 0.5
    assert np.abs(n - N * (size / N) ** share).max() <= 0.5


@pytest.mark.parametrize("n_iter", [1, 2, 3])
def test_a_run_follows_its_schedule_and_tells_its_progress(n_iter, net):
    told: list[tuple[str, int, int]] = []
    settings = LNP(mode="calibrated", n_iter=n_iter, noise_duration=SHORT, treatment="variance")
    result = settings.run(net, synapses=0.1, neurons=0.8, progress=lambda *what: told.append(what))
    each = [(s.n_synapses, s.n) for s in result.steps if s.name == "compensate"]
    assert each == _schedule(net, 72, 48, n_iter)
    texts = [f"iteration {k + 1} of {n_iter}" for k in range(n_iter)]
    expected = [(text, k, n_iter) for k, text in enumerate([*texts, "done"])]
    assert told == expected


@pytest.mark.parametrize("score", NEURON_SCORES)
def test_every_neuron_score_runs(score, net):
    options = {"mode": "calibrated", "treatment": "none", "add": 0.0}
    result = lnp(net, neuron_score=score, neurons=0.5, synapses=0.1, **options)
    assert (result.net.n, result.net.n_synapses) == (30, 72)
    assert result.diagnostics("neurons") == {"score": score}


def test_the_rate_score_keeps_the_fastest(net):
    options = {"mode": "calibrated", "treatment": "none", "neuron_score": "rate"}
    found = lnp(net, neurons=0.8, synapses=0.5, **options).net
    rate = rates(simulate(net, noise_stimulus(net, SHORT, seed=0), seed=0))
    assert rate[found.ids].min() >= rate[np.setdiff1d(net.ids, found.ids)].max()


@pytest.mark.parametrize(("mode", "usual"), [("calibrated", True), ("tuned", False)])
def test_silent_neurons_go_first_where_asked(mode, usual, net):
    rate = np.where(np.arange(N) < 10, 0.0, 10.0)
    even = np.ones(net.n_synapses)
    kept = {}
    for first in (None, True, False):
        settings = LNP(mode=mode, neuron_score="random", silent_first=first)
        keep = Selection(settings, 0).choose_neurons(0, net, even, net.n_synapses, N - 10, rate)
        assert keep.sum() == N - 10
        kept[first] = int(keep[:10].sum())
    assert kept[True] == 0
    assert kept[False] > 5, "chance spares most of them"
    assert kept[None] == kept[usual]


# -- literal -----------------------------------------------------------------------------------


def test_literal_divides_by_the_keeping_probabilities(net):
    with pytest.warns(StabilityWarning, match="not Hurwitz"):
        settings = LNP(mode="literal", n_iter=1, add=0.0, noise_duration=SHORT, connected=0.0)
        result = settings.run(net, synapses=0.2)
    # Everything anew, with other solvers, from the network alone.
    run = simulate(net, noise_stimulus(net, SHORT, seed=0), record=["spike_state"], seed=0)
    found = conditional_exponents(net, run)
    entries = lyapunov_matrix(net, found.exponents, floor=1e-6, mode="zero")
    coupling = sparse.csr_array((entries, (net.j, net.i)), shape=(N, N)).toarray()
    leak = np.diag(1 / net.tau_m)
    told = result.diagnostics("exponents")
    assert told["mean"] == pytest.approx(found.exponents.mean())
    assert told["abscissa"] > 0
    assert told["abscissa"] == pytest.approx(linalg.eigvals(coupling - leak).real.max())
    assert 0 < told["scale"] < 1
    a = told["scale"] * coupling - leak
    assert -1.0 < linalg.eigvals(a).real.max() < 0, "at the edge, on the stable side"
    c = linalg.solve_continuous_lyapunov(a, -np.eye(N))
    spread = c[net.i, net.i] + c[net.j, net.j] - 2 * np.sign(net.w) * c[net.i, net.j]
    score = np.abs(entries) * spread
    low, high = 0.0, 1e9 / score.mean()
    for _ in range(200):
        rho = (low + high) / 2
        low, high = (rho, high) if np.minimum(1, rho * score).sum() < 144 else (low, rho)
    p = np.minimum(1, rho * score)
    mask = kept_in(net, result.net)
    assert mask.sum() == 144
    assert result.net.w == pytest.approx(net.w[mask] / p[mask], rel=1e-4)
    spread_of_p = p.std() / p.mean()
    assert result.diagnostics("synapses")["cv_p"] == pytest.approx(spread_of_p, rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_literal_runs_although_it_goes_to_the_edge_of_stability(seed):
    net = sample_hrsnn(HRSNNSpec(n=40), seed=seed)
    result = lnp(net, mode="literal", n_iter=2, synapses=0.1, seed=seed)
    assert result.net.n_synapses == 32 and np.isfinite(result.net.w).all()


def two_layers() -> HRSNN:
    """Twenty neurons onto twenty others, without a single path of two synapses."""
    i, j = np.nonzero(np.random.Generator(np.random.PCG64(0)).random((20, 20)) < 0.5)
    return HRSNN(
        "lif_exp", 40, i=i, j=j + 20, w=0.05, tau_m=0.02, tau_syn=0.02, t_ref=0.002, i_ext=1.2
    )


def test_literal_is_silent_about_a_network_that_cannot_lose_stability():
    net = two_layers()
    with warnings.catch_warnings():
        warnings.simplefilter("error", StabilityWarning)
        result = LNP(mode="literal", n_iter=1, noise_duration=SHORT, connected=0).run(
            net, synapses=0.5
        )
    told = result.diagnostics("exponents")
    assert told["scale"] == 1.0 and "abscissa" not in told


# -- calibrated and tuned ----------------------------------------------------------------------


@pytest.mark.parametrize("n_iter", [1, 2])
def test_calibrated_keeps_the_recurrent_variance_and_the_mean_input(n_iter, net):
    found = lnp(net, mode="calibrated", add=0.0, neurons=0.7, n_iter=n_iter).net
    rows = np.isin(net.j, found.ids)
    for sign in (1, -1):
        before = np.sum(net.w[rows & (net.w * sign > 0)] ** 2)
        assert np.sum(found.w[found.w * sign > 0] ** 2) == pytest.approx(before, rel=1e-12)
        # One gain for each sign.
        dense = net.w[kept_in(net, found)]
        gain = found.w / dense
        assert gain[dense * sign > 0] == pytest.approx(gain[dense * sign > 0][0])
    rate = noise_rates(net, seed=0, duration=SHORT)
    lost = (net.weights @ rate)[found.ids] - found.weights @ rate[found.ids]
    expected = net.i_ext[found.ids] + found.tau_syn * lost
    assert found.i_ext == pytest.approx(expected, rel=1e-9)


def test_another_treatment_replaces_that_of_the_mode(net):
    found = lnp(net, mode="calibrated", add=0.0, treatment="none").net
    assert np.array_equal(found.w, net.w[kept_in(net, found)])
    assert np.array_equal(found.i_ext, net.i_ext)


@pytest.mark.parametrize("synapses", [0.05, 0.2, 0.5])
def test_tuned_balances_the_inputs(synapses, net):
    found = lnp(net, mode="tuned", add=0.0, treatment="none", synapses=synapses).net
    assert np.ptp(found.in_degree) <= 1 and np.ptp(found.out_degree) <= 2
    control = lnp(net, mode="calibrated", add=0.0, treatment="none", synapses=synapses).net
    assert np.ptp(control.in_degree) > 1


def test_tuned_chooses_a_gain_by_capacity_at_the_end_only(net):
    result = lnp(net, mode="tuned", n_iter=2, neurons=0.9)
    told = [dict(s.diagnostics) for s in result.steps if s.name == "compensate"]
    assert [t["treatment"] for t in told] == ["shift", "tuned"]
    assert told[-1]["factor"] in told[-1]["grid"] == [1.0, 2.0]
    assert len(told[-1]["capacity"]) == 2
    base = lnp(net, mode="tuned", n_iter=2, neurons=0.9, treatment="shift").net
    assert result.net.w == pytest.approx(told[-1]["factor"] * base.w)


@pytest.mark.parametrize("mode", MODES)
def test_step_three_adds_its_share_of_new_pairs(mode, net, monkeypatch):
    seen: list[tuple[HRSNN, int, HRSNN]] = []
    real = selection.delocalise

    def watched(before: HRSNN, a: Any, n_add: int, rng: Any) -> Any:
        after, found = real(before, a, n_add, rng)
        seen.append((before, n_add, after))
        return after, found

    monkeypatch.setattr(selection, "delocalise", watched)
    result = lnp(net, mode=mode, add=0.1, treatment="none")
    ((before, n_add, after),) = seen
    assert n_add == round(0.1 * 144) and after.n_synapses == result.net.n_synapses == 144
    assert before.n_synapses == 144 - n_add and kept_in(after, before).sum() == 144 - n_add
    assert kept_in(net, before).sum() == before.n_synapses, "before it there are old pairs only"
    if mode == "tuned":
        assert np.ptp(before.in_degree) <= 1
    assert result.diagnostics("rewire")["added"] == n_add
    seen.clear()
    without = lnp(net, mode=mode, add=0.0, treatment="none")
    assert not seen and "rewire" not in [s.name for s in without.steps]
    assert kept_in(net, without.net).sum() == without.net.n_synapses == 144


def test_the_count_is_exact_where_step_three_finds_no_pair():
    net = two_layers()
    options = {"mode": "calibrated", "add": 0.2, "treatment": "none"}
    result = lnp(net, synapses=0.5, **options)
    count = round(0.5 * net.n_synapses)
    added = round(0.2 * count)
    assert result.diagnostics("rewire")["short"] == result.diagnostics("top_up")["added"] == added
    assert kept_in(net, result.net).sum() == result.net.n_synapses == count


# -- does selection matter? --------------------------------------------------------------------


def homogeneous(seed: int) -> HRSNN:
    """Neurons that differ in nothing but their partners."""
    spec = HRSNNSpec(
        n=100, topology=FixedInDegree(50), tau_m="20 ms", weight_cv=0.0, i_ext=1.1, coupling=0.005
    )
    return sample_hrsnn(spec, seed=seed)


def two_clusters(seed: int) -> HRSNN:
    """A fast and a slow cluster joined by few bridges: exponents differ tenfold."""
    spec = HRSNNSpec(
        n=80, topology=Clustered(2, 20, 0.95), cluster_tau_m=("5 ms", "80 ms"), i_ext=1.1,
        coupling=0.02,
    )  # fmt: skip
    return sample_hrsnn(spec, seed=seed)


@pytest.mark.parametrize("seed", range(3))
def test_selection_follows_the_exponents_where_there_is_structure(seed):
    net = two_clusters(seed)
    result = lnp(net, mode="calibrated", add=0.0, treatment="none", seed=seed)
    told = result.diagnostics("synapses")
    assert told["cv_p"] > 0.3 and told["equals_random"] is False
    # |lambda| is larger in the fast cluster, so is L, so more is kept there.
    mask, label = kept_in(net, result.net), net.cluster
    inside = [mask[(label[net.i] == c) & (label[net.j] == c)].mean() for c in (0, 1)]
    assert inside[0] > 2 * inside[1]
    random = prune(net, "random", synapses=0.2, seed=seed).net
    mask = kept_in(net, random)
    inside = [mask[(label[net.i] == c) & (label[net.j] == c)].mean() for c in (0, 1)]
    assert 0.6 < inside[0] / inside[1] < 1.6


@pytest.mark.parametrize("seed", range(3))
def test_selection_says_that_it_is_random_where_all_neurons_are_alike(seed):
    result = lnp(homogeneous(seed), mode="calibrated", treatment="none", seed=seed)
    told = result.diagnostics("synapses")
    assert told["cv_p"] < 0.1 and told["equals_random"] is True


# -- early stops -------------------------------------------------------------------------------


def largest(net: HRSNN) -> float:
    label = connected_components(net.weights, connection="weak")[1]
    return float(np.bincount(label).max() / net.n)


@pytest.mark.parametrize("mode", MODES)
def test_a_network_that_falls_apart_gives_the_last_good_one(mode, net):
    result = lnp(net, mode=mode, synapses=0.02, n_iter=3, connected=0.9, add=0.0)
    assert result.stopped is not None and "fell apart" in result.stopped
    found = result.net
    assert found.n_synapses in [m for m, _ in _schedule(net, 14, N, 3)][:2]
    assert largest(found) >= 0.9 and found.n == N
    last = result.steps[-1]
    assert last.n_synapses == found.n_synapses, "the steps are those of the network returned"
    treatment = {"tuned": "tuned", "calibrated": "shift", "literal": "none"}[mode]
    assert last.diagnostics["treatment"] == treatment
    assert "stopped" in repr(result)


def test_without_the_condition_a_network_goes_to_pieces(net):
    options = {"mode": "calibrated", "add": 0.0, "treatment": "variance"}
    through = lnp(net, synapses=0.02, n_iter=3, connected=0.0, **options)
    assert through.stopped is None and through.net.n_synapses == 14
    assert largest(through.net) < 0.9


def test_a_stop_in_the_first_iteration_gives_the_network_itself(net):
    result = lnp(net, synapses=0.02, n_iter=1, connected=1.0)
    assert result.stopped is not None and result.net.digest == net.digest
    assert result.steps == ()


@pytest.mark.parametrize(("kind", "text"), [("silent", "fell silent"), ("chaos", "stability")])
def test_a_bad_network_is_not_called_the_last_good_one(kind, text, net, monkeypatch):
    real = PruningRun.exponents

    def failing(self: PruningRun, k: int, what: HRSNN) -> Any:
        found, rate = real(self, k, what)
        if k < 2:
            return found, rate
        assert found is not None
        up = NodeExponents(np.full(what.n, 1.0), found.stderr, found.cycles)
        return (None, 0 * rate) if kind == "silent" else (up, rate)

    options = {"mode": "calibrated", "treatment": "variance", "synapses": 0.1}
    good = lnp(net, n_iter=3, **options)
    monkeypatch.setattr(PruningRun, "exponents", failing)
    result = lnp(net, n_iter=3, **options)
    assert result.stopped is not None and text in result.stopped
    first = _schedule(net, 72, N, 3)[0][0]
    assert result.net.n_synapses == result.steps[-1].n_synapses == first
    assert result.steps == good.steps[: len(result.steps)]


# -- errors ------------------------------------------------------------------------------------


def test_a_silent_network_is_an_error(net):
    with pytest.raises(SilentNetworkError, match="no spike"):
        lnp(net.replace(i_ext=-5.0), mode="calibrated")


@pytest.mark.parametrize("synapses", [0, 0.0, -0.1, 1.1, 1e-6, M + 1, True, "0.1", float("nan")])
def test_a_budget_that_cannot_be_met_is_refused(synapses, net):
    with pytest.raises(BudgetError, match="synapses"):
        lnp(net, synapses=synapses)


@pytest.mark.parametrize("neurons", [0, -1, 1.5, 1e-6, N + 1])
def test_a_neuron_budget_that_cannot_be_met_is_refused(neurons, net):
    with pytest.raises(BudgetError, match="neurons"):
        lnp(net, neurons=neurons)


def test_more_synapses_than_the_kept_neurons_have_are_refused(net):
    with pytest.raises(BudgetError, match="among the 6 neurons"):
        lnp(net, synapses=0.5, neurons=0.1)


def test_counts_may_be_given_as_counts(net):
    found = lnp(net, mode="calibrated", synapses=37, neurons=50, treatment="none").net
    assert (found.n_synapses, found.n) == (37, 50)


def test_on_the_way_fewer_synapses_than_planned_will_do(net):
    settings = LNP(mode="calibrated", treatment="none", noise_duration=SHORT, connected=0)
    run = PruningRun(settings, net, 0)
    with pytest.raises(BudgetError):
        run.iterate(0, 700, 30, target=700, last=True)
    run = PruningRun(settings, net, 0)
    assert run.iterate(0, 700, 30, target=50, last=False) is None
    assert run.raw.n == 30 and 50 < run.raw.n_synapses < 700
    assert run.iterate(1, 690, 29, target=50, last=False) is None, "more than there are by now"
    assert run.iterate(2, 50, 28, target=50, last=True) is None
    assert (run.paid.n, run.paid.n_synapses) == (28, 50)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"mode": "magic"}, "mode"),
        ({"n_iter": 0}, "n_iter"),
        ({"n_iter": 2.0}, "n_iter"),
        ({"n_iter": True}, "n_iter"),
        ({"neuron_score": "beauty"}, "neuron_score"),
        ({"over": "all"}, "over"),
        ({"distance": "miles"}, "distance"),
        ({"treatment": "spa"}, "treatment"),
        ({"times_weight": "yes"}, "times_weight"),
        ({"add": -0.1}, "add"),
        ({"add": 0.6}, "add"),
        ({"add": "much"}, "add"),
        ({"add": float("nan")}, "add"),
        ({"connected": 1.1}, "connected"),
        ({"noise_sd": -1}, "noise_sd"),
        ({"noise_sd": float("inf")}, "noise_sd"),
        ({"noise_duration": "0 s"}, "noise_duration"),
    ],
)
def test_a_bad_setting_is_refused_by_name(options, field):
    with pytest.raises(ParameterError, match=field):
        LNP(**options)


def test_a_time_without_a_unit_is_refused():
    with pytest.raises(UnitError, match="noise_duration"):
        LNP(noise_duration=3)  # type: ignore[arg-type]


# -- prune: one signature ----------------------------------------------------------------------


def test_the_methods_are_those_of_an_experiment_file():
    assert set(METHODS) == set(config.METHODS)
    assert set(METHODS) == {"dense", "none", *BASELINES, *LNP_METHODS}
    assert methods.prune is prune


@pytest.mark.parametrize("method", LNP_METHODS)
def test_prune_is_lnp_in_its_mode(method, net):
    options = {"n_iter": 1, "noise_duration": SHORT, "connected": 0.0, "timescales": "off"}
    told: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StabilityWarning)
        found = prune(
            net, method, synapses=0.2, neurons=None, treatment="variance",
            progress=lambda text, done, total: told.append(text), **options,
        )  # fmt: skip
    same = lnp(net, mode=LNP_METHODS[method], treatment="variance")
    assert found.net == same.net and found.method == method and told[-1] == "done"


def test_the_controls_are_the_network_and_no_recurrence(net):
    assert prune(net, "dense", synapses=0.1).net.digest == net.digest
    assert prune(net, "none", synapses=0.1).net.n_synapses == 0


@pytest.mark.parametrize(
    ("method", "options", "text"),
    [
        ("best", {}, "one of dense, none"),
        ("lnp", {"speed": 3}, "n_iter"),
        ("lnp", {"mode": "literal"}, "options of lnp"),
        ("random", {"n_iter": 3}, "options of random"),
        ("dense", {"n_iter": 3}, "options of dense"),
        ("activity", {}, "stimulus"),
    ],
)
def test_an_unknown_method_or_option_is_refused(method, options, text, net):
    with pytest.raises(ParameterError, match=text):
        prune(net, method, synapses=0.2, **options)


@pytest.mark.parametrize("definition", ["perturbed", "weighted"])
def test_other_exponents_of_neurons_are_an_option_and_are_reported(definition):
    net = sample_hrsnn(HRSNNSpec(n=30), seed=1)
    settings = {"synapses": 0.3, "seed": 1, "n_iter": 1, "noise_duration": "1 s"}
    # Over closed neighbourhoods the exponents average out in so small a network.
    settings["over"] = "endpoints"
    usual = prune(net, "lnp_calibrated", **settings)
    other = prune(net, "lnp_calibrated", exponents=definition, **settings)
    assert other.net.n_synapses == usual.net.n_synapses and other.net != usual.net
    assert other.steps[0].diagnostics["definition"] == definition
    assert usual.steps[0].diagnostics["definition"] == "conditional"
    with pytest.raises(ParameterError, match="exponents"):
        prune(net, "lnp_calibrated", exponents="leading", **settings)


@pytest.mark.parametrize("how", ["weights", "select"])
def test_refit_takes_the_place_of_gains_shift_and_new_edges(how, net, monkeypatch):
    seen: list[tuple[str, dict[str, Any]]] = []

    def fake(name: str) -> Any:
        def call(dense: HRSNN, what: Any, **given: Any) -> tuple[HRSNN, dict[str, Any]]:
            seen.append((name, given))
            assert dense is net
            if name == "weights":
                return what, {"fitted": 1}
            return net.keep_neurons(given["neurons"]).keep_edges(range(what)), {"fitted": 2}

        return call

    monkeypatch.setattr(iteration, "refit_weights", fake("weights"))
    monkeypatch.setattr(iteration, "refit", fake("select"))
    result = lnp(net, mode="tuned", refit=how, neurons=0.8, n_iter=2, timescales=None)
    assert [name for name, _ in seen] == [how], "once, at the end"
    assert seen[0][1]["seed"] == 0 and (result.net.n, result.net.n_synapses) == (48, 144)
    names = [s.name for s in result.steps]
    assert names[-1] == "refit" and names.count("compensate") == 1
    assert "rewire" not in names and "timescales" not in names
    if how == "weights":
        assert kept_in(net, result.net).sum() == 144, "old pairs only"


def test_tuned_ends_with_step_four_and_the_others_do_not(net):
    settings = {"trials": 3, "n_iter": 1, "noise_duration": SHORT}
    for mode in MODES:
        search = LNP(mode=mode, **settings).time_search
        assert (search is not None) == (mode == "tuned")
        assert LNP(mode=mode, timescales="off").time_search is None
        asked = LNP(mode=mode, timescales="capacity", time_axes="all").time_search
        assert asked is not None and asked.objective == "capacity" and asked.gain != (1.0, 1.0)
    result = lnp(net, mode="tuned", timescales=None, trials=3)
    before = lnp(net, mode="tuned").net
    told = result.diagnostics("timescales")
    assert told["trials"] == 3 and told["spread"] == told["gain"] == 1.0
    assert result.net.tau_m == pytest.approx(told["scale"] * before.tau_m, rel=1e-9)
    assert np.array_equal(result.net.w, before.w)


@pytest.mark.parametrize("score", ["lyapunov", "weights", "random"])
def test_step_one_can_be_left_out(score, net):
    result = lnp(net, mode="tuned", synapse_score=score, times_weight=False, add=0.0)
    assert result.net.n_synapses == 144
    spread = result.diagnostics("synapses")["cv_p"]
    assert (spread == 0.0) == (score == "random")
    # The weights differ more from each other than what L alone makes of them.
    assert score != "weights" or spread > 0.3


def test_sharpness_keeps_what_matters_more_surely(net):
    share = [
        float(np.sum(lnp(net, mode="calibrated", treatment="none", add=0.0, times_weight=True,
                         sharpness=s).net.w ** 2))
        for s in (0.0, 1.0, 4.0)
    ]  # fmt: skip
    assert share[0] < share[1] < share[2]
    with pytest.raises(ParameterError, match="sharpness"):
        LNP(sharpness=9.0)


def test_weights_count_in_mode_tuned(net):
    assert [LNP(mode=mode).weighted for mode in MODES] == [True, False, False]
    assert LNP(mode="calibrated", times_weight=True).weighted
    heavy = heavy_tailed(net, sigma=1.5, seed=1)
    result = lnp(heavy, mode="tuned", add=0.0)
    plain = lnp(heavy, mode="tuned", add=0.0, times_weight=False)
    share = [np.sum(heavy.w[kept_in(heavy, one.net)] ** 2) for one in (result, plain)]
    assert share[0] > 1.5 * share[1], "more of what drives the neurons is kept"
