"""refit: by hand, against brute force, the promises on count, sign and subset, the closed loop."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import nnls

from analysis.fidelity import fidelity
from analysis.pruning import balanced_mask
from analysis.pruning.compensate import rows_of
from analysis.pruning.greedy import nonnegative_path, share_budget
from analysis.pruning.imitation import _Student
from analysis.pruning.moments import Drive, Moments, importance, observe
from analysis.pruning.openloop import assemble, lost_share, select
from analysis.pruning.refit import refit, refit_weights
from models_eq.device import use_device
from models_eq.errors import (
    BudgetError,
    CapabilityError,
    ParameterError,
    SilentNetworkError,
    UnitError,
)
from models_eq.hrsnn import HRSNN
from models_eq.rng import stream
from models_eq.spec import HRSNNSpec, sample_hrsnn

DRIVE = Drive(channels=(5,), trials=6, rows=60, washout=20)


pytestmark = pytest.mark.usefixtures("numpy_device")


@pytest.fixture(scope="module")
def net() -> HRSNN:
    return sample_hrsnn(HRSNNSpec(n=50), seed=1)


@pytest.fixture(scope="module")
def moments(net: HRSNN) -> Moments:
    with use_device("numpy"):
        return observe(net, DRIVE.stimulus(net.n, stream(9, "prune", 60)), DRIVE, dt="1 ms", seed=9)


@pytest.fixture(scope="module")
def pruned(net: HRSNN) -> tuple[HRSNN, dict]:
    with use_device("numpy"):
        return refit(net, 100, seed=2, rounds=3, drive=DRIVE)


def fan(weights: list[float]) -> HRSNN:
    """Neurons 0, 1, ... onto the last one."""
    k = len(weights)
    return HRSNN(
        "lif_exp", k + 1, i=np.arange(k), j=np.full(k, k), w=weights, tau_m=0.02, tau_syn=0.02
    )


def made(gram: np.ndarray, mean: np.ndarray | None = None) -> Moments:
    """Moments as they would have been observed; the last neuron is never heard."""
    n = len(gram) + 1
    full = np.zeros((n, n))
    full[:-1, :-1] = gram
    centre = np.zeros(n) if mean is None else np.append(mean, 0.0)
    return Moments(np.array([0.02]), centre[None], full[None], np.ones(n), np.zeros(n))


def fitted(net: HRSNN, found: Moments, count: int, ridge: float = 0.0) -> HRSNN:
    weights = select(net, net, count, found, np.ones(net.n), ridge, False)
    return assemble(net, net, weights, found)


def test_identical_inputs_one_gets_the_sum() -> None:
    net = fan([0.3, 0.5])
    one = fitted(net, made(np.ones((2, 2)) + 1e-9 * np.eye(2)), 1)
    assert one.n_synapses == 1 and one.w[0] == pytest.approx(0.8, rel=1e-6)
    # Half alike: the slope of one on the other, 0.5, comes on top.
    half = fitted(net, made(np.array([[1.0, 0.5], [0.5, 1.0]])), 1)
    assert half.i[0] == 1 and half.w[0] == pytest.approx(0.5 + 0.5 * 0.3, rel=1e-6)


def test_orthogonal_inputs_keep_the_largest_variance_and_their_weight() -> None:
    # Variances of the currents: 1 * 0.25, 4 * 0.09, 1 * 0.16.
    net, gram = fan([0.5, -0.3, 0.4]), np.diag([1.0, 4.0, 1.0])
    assert fitted(net, made(gram), 1).i.tolist() == [1]
    two = fitted(net, made(gram), 2)
    assert two.i.tolist() == [0, 1] and np.allclose(two.w, [0.5, -0.3])


def test_the_mean_lost_goes_into_the_drive() -> None:
    net, mean = fan([0.5, -0.3, 0.4]), np.array([1.0, 2.0, 3.0])
    one = fitted(net, made(np.diag([1.0, 4.0, 1.0]), mean), 1)
    # Kept -0.3 * 2; gone 0.5 * 1 + 0.4 * 3.
    assert one.i_ext[3] == pytest.approx(net.i_ext[3] + 0.5 + 1.2)
    assert np.array_equal(one.i_ext[:3], net.i_ext[:3])


def test_signs_stay_even_where_the_other_would_fit_better() -> None:
    # 0 (excitatory) runs against 1 and 2, so the best single weight for it would be negative.
    gram = np.array([[1.0, -0.9, -0.9], [-0.9, 1.0, 0.9], [-0.9, 0.9, 1.0]]) + 0.01 * np.eye(3)
    net = fan([0.2, 0.5, 0.5])
    for count in (1, 2, 3):
        found = fitted(net, made(gram), count)
        assert found.n_synapses == count and (found.w > 0).all()


def spread(k: int, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(40, k)) + rng.normal(size=(40, 1))
    y = x @ rng.uniform(0, 1, k) + 0.3 * rng.normal(size=40)
    return x.T @ x, x.T @ y, float(y @ y)


def residual(gram: np.ndarray, cross: np.ndarray, power: float, members: list[int]) -> float:
    """Least squares with weights of at least 0, by scipy."""
    if not members:
        return power
    half = np.linalg.cholesky(gram[np.ix_(members, members)])
    w, _ = nnls(half.T, np.linalg.solve(half, cross[members]))
    return float(power - 2 * cross[members] @ w + w @ gram[np.ix_(members, members)] @ w)


@pytest.mark.parametrize("seed", range(6))
def test_greedy_against_every_subset(seed: int) -> None:
    gram, cross, power = spread(7, seed)
    weights, left = nonnegative_path(gram, cross, power, 7)
    assert left[0] == power and (np.diff(left) <= 1e-9).all()
    for k in range(1, 8):
        members = np.flatnonzero(weights[k]).tolist()
        assert len(members) <= k and (weights[k] >= 0).all()
        assert left[k] == pytest.approx(residual(gram, cross, power, members), rel=1e-8)
        best = min(residual(gram, cross, power, list(s)) for s in combinations(range(7), k))
        assert left[k] >= best - 1e-9
    first = min(residual(gram, cross, power, [j]) for j in range(7))
    assert left[1] == pytest.approx(first) and left[7] == pytest.approx(best)


def test_greedy_is_optimal_for_orthogonal_inputs() -> None:
    rng = np.random.default_rng(0)
    variance, w = rng.uniform(0.5, 2, 6), rng.uniform(0.1, 1, 6)
    gram, cross, power = np.diag(variance), variance * w, float(variance @ w**2)
    _, left = nonnegative_path(gram, cross, power, 6)
    for k in range(7):
        best = min(residual(gram, cross, power, list(s)) for s in combinations(range(6), k))
        assert left[k] == pytest.approx(best, abs=1e-12)


def test_weights_that_turn_negative_leave() -> None:
    # x2 = x0 + x1 comes first; with both others there it has nothing left to say.
    x = np.random.default_rng(1).normal(size=(200, 2))
    x = np.column_stack([x, x.sum(axis=1) + 0.1 * np.random.default_rng(2).normal(size=200)])
    y = 1.2 * x[:, 0] + 0.9 * x[:, 1] - 0.05 * x[:, 2]
    weights, left = nonnegative_path(x.T @ x, x.T @ y, float(y @ y), 3)
    assert np.flatnonzero(weights[1]).tolist() == [2]
    assert np.flatnonzero(weights[3]).tolist() == [0, 1]
    assert left[3] == pytest.approx(residual(x.T @ x, x.T @ y, float(y @ y), [0, 1]))


def test_budgets_are_shared_where_they_help() -> None:
    gains = [np.array([5.0, 1.0, 0.5]), np.array([4.0, 3.0]), np.array([0.1, 9.0])]
    # The third neuron's 9 comes only after its 0.1.
    assert share_budget(gains, np.array([3, 2, 2]), 3).tolist() == [1, 2, 0]
    assert share_budget(gains, np.array([3, 2, 2]), 6).tolist() == [3, 2, 1]
    assert share_budget(gains, np.array([3, 2, 2]), 3, even=True).tolist() == [1, 1, 1]
    assert share_budget(gains, np.array([3, 1, 2]), 6, even=True).tolist() == [3, 1, 2]
    # Where nothing helps any more, those with fewest get the rest.
    assert share_budget([np.zeros(2), np.ones(1)], np.array([4, 4]), 4).tolist() == [2, 2]


def test_refit_never_loses_more_than_the_mask(net: HRSNN, moments: Moments) -> None:
    matters = importance(net, moments)
    rng = np.random.default_rng(0)
    mask = balanced_mask(net, 150, np.ones(net.n_synapses), rng)
    masked = net.keep_edges(mask)
    unfitted = lost_share(net, net, masked.weights.toarray(), moments, matters)
    new = select(net, masked, 150, moments, matters, 0.0, False)
    lost = lost_share(net, net, new, moments, matters)
    assert lost < unfitted
    choice = select(net, net, 150, moments, matters, 0.0, False)
    chosen = lost_share(net, net, choice, moments, matters)
    assert chosen < 0.5 * lost, "choosing helps beyond fitting"
    # Neuron by neuron.
    for row in range(net.n):
        alone = np.eye(net.n)[row] + 0.0
        after = lost_share(net, net, new, moments, alone)
        assert after <= lost_share(net, net, masked.weights.toarray(), moments, alone) + 1e-9
    # Negative control: weights fitted to currents that have been shuffled among the synapses.
    order = np.random.default_rng(1).permutation(net.n_synapses)
    wrong = net.replace(w=np.abs(net.w[order]) * np.sign(net.w))
    other = select(wrong, wrong, 150, moments, matters, 0.0, False)
    assert lost_share(net, net, other, moments, matters) > lost


def test_global_budget_loses_less_than_even(net: HRSNN, moments: Moments) -> None:
    matters = importance(net, moments)
    lost = [
        lost_share(net, net, select(net, net, 100, moments, matters, 1e-3, even), moments, matters)
        for even in (False, True)
    ]
    assert lost[0] < lost[1]


def test_importance_by_hand() -> None:
    # 0 -> 1 -> 2: an error of 0 shows in itself, in 1 (0.5^2 g) and through that in 2.
    net = HRSNN("lif_exp", 3, i=[0, 1], j=[1, 2], w=[0.5, -2.0], tau_m=0.02, tau_syn=0.02)
    given = Moments(
        np.array([0.02]), np.zeros((1, 3)), np.zeros((1, 3, 3)),
        np.array([1.0, 2.0, 3.0]), np.array([0.4, 0.6, 7.0]),
    )  # fmt: skip
    one = 2.0 + 0.6 * 4.0 * 3.0
    assert np.allclose(importance(net, given), [1.0 + 0.4 * 0.25 * one, one, 3.0])
    silent = Moments(given.taus, given.mean, given.gram, np.zeros(3), np.zeros(3))
    assert np.array_equal(importance(net, silent), np.ones(3))


def test_pooled_moments_are_those_of_all_samples(net: HRSNN, moments: Moments) -> None:
    other = Moments(moments.taus, moments.mean + 1, moments.gram, moments.response,
                    moments.response_syn)  # fmt: skip
    pooled = Moments.pooled([moments, other])
    assert np.allclose(pooled.mean, moments.mean + 0.5)
    # Two groups one apart: a variance of 1/4 between them, in all directions.
    assert np.allclose(pooled.gram, moments.gram + 0.25)


def test_promises(net: HRSNN, pruned: tuple[HRSNN, dict]) -> None:
    new, found = pruned
    assert new.n_synapses == 100 and new.n == net.n
    dense = {(i, j): w for i, j, w in zip(net.i, net.j, net.w, strict=True)}
    assert all(
        dense[i, j] * w > 0 for i, j, w in zip(new.i.tolist(), new.j.tolist(), new.w, strict=True)
    )
    assert new.obeys_dale
    assert found["chosen"] in ("open", "closed") and len(found["shares"]) == 3
    assert 0 < found["lost"] < 1 and 0 < found["lost_held_out"] < 1
    assert found["inputs_most"] == new.in_degree.max()
    assert new.history[-1]["step"] == "refit"


def test_same_seed_same_network(net: HRSNN, pruned: tuple[HRSNN, dict]) -> None:
    assert refit(net, 100, seed=2, rounds=3, drive=DRIVE)[0] == pruned[0]
    assert refit(net, 100, seed=3, rounds=0, drive=DRIVE)[0] != pruned[0]


def test_refit_is_nearer_than_a_random_mask(net: HRSNN, pruned: tuple[HRSNN, dict]) -> None:
    settings = {"seed": 77, "rows": 80, "washout": 20, "channels": (3,)}
    rng = np.random.default_rng(0)
    random = net.keep_edges(balanced_mask(net, 100, np.ones(net.n_synapses), rng))
    best = fidelity(net, pruned[0], **settings).share
    assert best > fidelity(net, random, **settings).share + 0.05
    assert best > fidelity(net, net.keep_edges([]), **settings).share + 0.05


def test_neurons_removed(net: HRSNN) -> None:
    gone = np.arange(0, 50, 5)
    keep = np.ones(50, dtype=bool)
    keep[gone] = False
    new, _ = refit(net, 120, neurons=keep, seed=2, rounds=1, drive=DRIVE)
    assert new.n == 40 and new.n_synapses == 120
    assert np.array_equal(new.ids, np.flatnonzero(keep)) and new.n_origin == 50
    same, _ = refit(net, 120, neurons=np.flatnonzero(keep), seed=2, rounds=1, drive=DRIVE)
    assert same == new


def test_a_removed_twin_is_replaced_by_the_one_that_stays() -> None:
    net = fan([0.3, 0.5])
    kept = net.keep_neurons([0, 2])
    found = made(np.ones((2, 2)) + 1e-9 * np.eye(2), np.array([2.0, 2.0]))
    weights = select(net, kept, 1, found, np.ones(2), 0.0, False)
    assert weights[1, 0] == pytest.approx(0.8, rel=1e-6)
    assert assemble(net, kept, weights, found).i_ext[1] == pytest.approx(0.0, abs=1e-6)


def test_edges_of_the_budget(net: HRSNN) -> None:
    same, found = refit(net, net.n_synapses, seed=0, drive=DRIVE)
    assert same is net and found["chosen"] == "dense"
    none, _ = refit(net, 0, seed=0, drive=DRIVE)
    assert none.n_synapses == 0 and not np.array_equal(none.i_ext, net.i_ext)
    almost, found = refit(net, net.n_synapses - 3, seed=0, rounds=0, ridge=0.0, drive=DRIVE)
    assert almost.n_synapses == net.n_synapses - 3 and found["lost"] < 1e-3
    for bad in (-1, net.n_synapses + 1, 0.5):
        with pytest.raises(BudgetError, match="synapses"):
            refit(net, bad, seed=0, drive=DRIVE)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["lif_exp", "alif"])
def test_several_synaptic_time_constants(net: HRSNN, model: str) -> None:
    mixed = net.replace(model=model, tau_syn=np.where(np.arange(net.n) % 2, 0.01, 0.03))
    new, found = refit(mixed, 150, seed=2, rounds=1, drive=DRIVE)
    assert new.n_synapses == 150 and new.obeys_dale
    settings = {"seed": 77, "rows": 60, "washout": 20, "channels": (3,)}
    bare = mixed.keep_edges([])
    assert fidelity(mixed, new, **settings).share > fidelity(mixed, bare, **settings).share
    # Negative control: moments of the wrong filter fit the right currents worse.
    stimulus = DRIVE.stimulus(net.n, stream(9, "prune", 60))
    right = observe(mixed, stimulus, DRIVE, dt="1 ms", seed=9)
    wrong = Moments(right.taus, right.mean[::-1], right.gram[::-1], right.response,
                    right.response_syn)  # fmt: skip
    ones = np.ones(net.n)
    lost = [
        lost_share(mixed, mixed, select(mixed, mixed, 150, m, ones, 0.0, False), right, ones)
        for m in (right, wrong)
    ]
    assert lost[0] < lost[1] and found["lost"] < 0.5


def test_refit_weights_keeps_the_mask(net: HRSNN) -> None:
    rng = np.random.default_rng(0)
    masked = net.keep_edges(balanced_mask(net, 100, np.ones(net.n_synapses), rng))
    new, found = refit_weights(net, masked, seed=1, rounds=1, drive=DRIVE)
    assert np.array_equal(new.i, masked.i) and np.array_equal(new.j, masked.j)
    assert (np.sign(new.w) == np.sign(masked.w)).all() and found["swapped"] == []
    fewer = masked.keep_neurons(np.arange(30))
    again, _ = refit_weights(net, fewer, seed=1, rounds=0, drive=DRIVE)
    assert np.array_equal(rows_of(net, again), np.arange(30)) and again.n == 30
    free = [(i, j) for i in range(50) for j in range(50) if i != j and not net.weights[j, i]]
    with pytest.raises(ParameterError, match="masked"):
        refit_weights(net, net.add_edges([free[0][0]], [free[0][1]], 0.1), seed=1, drive=DRIVE)


def test_gradient_points_downhill() -> None:
    """One weight of a chain, twice too large, comes down; the closed loop knows its direction."""
    net = HRSNN(
        "lif_exp", 2, i=[0], j=[1], w=[0.8], tau_m=0.02, tau_syn=0.02, i_ext=[1.5, 1.2], t_ref=0.002
    )
    for factor, sign in ((2.0, 1), (0.5, -1)):
        student = _Student(net, net, net.replace(w=factor * net.w))
        drive = Drive(channels=(2,), trials=4, rows=100, washout=20, sd=0.5)
        record = student.run(drive.stimulus(2, stream(0, "prune", 60)), drive, "1 ms", 0)
        student.learn(record, 0.3, 0.01)
        assert sign * student.gradient[1, 0] > 0
        assert sign * (factor * 0.8 - student.weights[1, 0]) > 0
        assert student.weights[1, 0] > 0 and student.weights[0, 1] == 0


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("ridge", {"ridge": -1.0}),
        ("ridge", {"ridge": float("nan")}),
        ("budget", {"budget": "most"}),
        ("rounds", {"rounds": -1}),
        ("seed", {"seed": -1}),
        ("neurons", {"neurons": [99]}),
    ],
)
def test_bad_settings_are_named(net: HRSNN, field: str, change: dict) -> None:
    with pytest.raises(ParameterError, match=field):
        refit(net, 10, **{"seed": 0, "drive": DRIVE, **change})


def test_what_cannot_be_refitted(net: HRSNN) -> None:
    with pytest.raises(ParameterError, match="dense"):
        refit("net", 10, seed=0)  # type: ignore[arg-type]
    with pytest.raises(CapabilityError, match="synaptic current"):
        refit(net.replace(model="lif_delta"), 10, seed=0)
    with pytest.raises(CapabilityError, match="at most 16 distinct"):
        refit(net.replace(tau_syn=np.linspace(0.01, 0.03, net.n)), 10, seed=0)
    with pytest.raises(SilentNetworkError, match="dense"):
        refit(net.replace(i_ext=-1e3), 10, seed=0, drive=DRIVE)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("channels", {"channels": ()}),
        ("channels", {"channels": (0,)}),
        ("trials", {"trials": 0}),
        ("rows", {"rows": 50, "washout": 50}),
        ("times", {"times": (3.0, 2.0)}),
        ("sd", {"sd": -1.0}),
    ],
)
def test_bad_drives_are_named(field: str, change: dict) -> None:
    with pytest.raises(ParameterError, match=field):
        Drive(**change)
    with pytest.raises(UnitError, match="hold"):
        Drive(hold="10")
