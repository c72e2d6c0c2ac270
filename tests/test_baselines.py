from __future__ import annotations

import functools
import pickle
from pathlib import Path

import numpy as np
import pytest

from analysis.pruning import baselines
from analysis.pruning.baselines import BASELINES, prune_baseline
from analysis.pruning.compensate import Compensation, variance_gains
from analysis.pruning.result import PruneResult, PruneStep, budget
from analysis.pruning.timescales import TimescaleSearch
from analysis.spikes import rates
from models_eq.errors import BudgetError, FormatError, ParameterError, SilentNetworkError
from models_eq.hrsnn import HRSNN
from models_eq.plastic import train_stdp
from models_eq.rng import stream
from models_eq.simulate import simulate
from models_eq.spec import HRSNNSpec, sample_hrsnn
from models_eq.stimulus import Stimulus, slow_stimulus
from models_eq.storage import load, save
from models_eq.structure import SHAPING

N = 50


pytestmark = pytest.mark.usefixtures("numpy_device")


@pytest.fixture(scope="module")
def net() -> HRSNN:
    return sample_hrsnn(HRSNNSpec(n=N), seed=1)


@pytest.fixture(scope="module")
def task(net) -> Stimulus:
    return slow_stimulus(net.n_origin, 30, rng=stream(9, "input"))


def pruned(net: HRSNN, method: str, task: Stimulus, **options: object) -> PruneResult:
    given = {"synapses": 0.2, "neurons": 0.8, "seed": 0, "treatment": "variance", **options}
    return prune_baseline(net, method, stimulus=task, **given)  # type: ignore[arg-type]


def pairs(net: HRSNN) -> set[tuple[int, int]]:
    """Synapses by the original indices of their ends."""
    return set(zip(net.ids[net.i].tolist(), net.ids[net.j].tolist(), strict=True))


@pytest.mark.parametrize("method", sorted(BASELINES))
def test_every_baseline_conforms(method, net, task):
    result = pruned(net, method, task)
    found = result.net
    assert found.n_synapses == round(0.2 * net.n_synapses) and found.n == 40
    assert found.n_origin == N and np.isin(found.ids, net.ids).all()
    assert found.obeys_dale and np.array_equal(found.is_exc, net.is_exc[found.ids])
    assert np.array_equal(found.tau_m, net.tau_m[found.ids]), "no method touches the neurons"
    assert result.stopped is None and result.method == method
    first = ["train"] if method == "activity_trained" else []
    assert [step.name for step in result.steps] == [*first, "select", "compensate"]
    last = found.history[-1]
    assert (last["step"], last["seed"], last["synapses"], last["neurons"]) == (method, 0, 100, 40)
    assert found.history[: -1 - len(first)] == net.history
    if method not in ("fresh", "sparse"):
        assert pairs(found) <= pairs(net)
    again = pruned(net, method, task)
    assert again.net == found and again.steps == result.steps
    other = pruned(net, method, task, seed=1)
    # Only what is not random at all may come out the same.
    assert (other.net != found) or method == "magnitude"


@pytest.mark.parametrize("method", sorted(BASELINES))
@pytest.mark.parametrize(("synapses", "neurons", "expected"), [(37, 1.0, 37), (0.01, 1.0, 5)])
def test_counts_are_exact(method, synapses, neurons, expected, net, task):
    found = pruned(net, method, task, synapses=synapses, neurons=neurons, treatment="none").net
    assert found.n_synapses == expected and found.n == N
    if method != "activity_trained":
        assert np.isin(np.abs(found.w), np.abs(net.w)).all(), "untouched weights"


def test_keeping_everything_changes_nothing(net, task):
    for method in BASELINES:
        if method in ("sparse", "activity_trained"):
            continue  # one draws its own graph, the other learns its own weights
        found = pruned(net, method, task, synapses=1.0, neurons=1.0).net
        if method == "fresh":
            found = found.replace(i=net.i, j=net.j, w=net.w)
        assert found.digest == net.digest, method


def test_the_default_treatments(net, task, monkeypatch):
    quick = functools.partial(Compensation, rows=(20, 60, 40), grid=(1.0, 2.0))
    monkeypatch.setattr(baselines, "Compensation", quick)
    treated = {
        method: pruned(net, method, task, treatment=None).diagnostics("compensate")["treatment"]
        for method in BASELINES
    }
    assert treated == {
        "random": "none", "random_gain": "variance", "random_matched": "tuned", "fresh": "tuned",
        "sparse": "variance",
        "magnitude": "variance", "noise": "variance", "activity": "variance",
        "activity_trained": "variance", "activity_no_gain": "none",
    }  # fmt: skip


def test_any_method_takes_any_treatment(net, task):
    plain = pruned(net, "random", task).net
    assert plain == pruned(net, "random_gain", task).net
    shifted = pruned(net, "random", task, treatment="shift").net
    assert np.array_equal(shifted.w, plain.w) and not np.allclose(shifted.i_ext, plain.i_ext)
    masked = pruned(net, "random", task, treatment="none").net
    gains = variance_gains(net, masked)
    assert np.allclose(plain.w, np.where(masked.w > 0, gains[0], gains[1]) * masked.w)


def test_the_controls(net, task):
    dense = prune_baseline(net, "dense", synapses=0.1, neurons=0.5)
    assert dense.net == net and dense.net.history[-1]["step"] == "dense"
    bare = prune_baseline(net, "none", synapses=0.1)
    assert bare.net.n_synapses == 0 and bare.net.n == N
    assert np.array_equal(bare.net.i_ext, net.i_ext)
    # A treatment is not dropped in silence: the lost mean can be paid to W = 0 as well.
    shifted = prune_baseline(net, "none", synapses=0.1, treatment="shift").net
    assert shifted.n_synapses == 0 and not np.allclose(shifted.i_ext, net.i_ext)
    assert prune_baseline(net, "dense", synapses=0.1, treatment="shift").net == net


def test_random_draws_uniformly():
    n = 5
    i, j = np.nonzero(~np.eye(n, dtype=bool))
    full = HRSNN("lif_exp", n, i, j, 1.0, tau_m=0.02, i_ext=1.5)
    count = np.zeros((n, n))
    for seed in range(300):
        found = prune_baseline(full, "random", synapses=5, seed=seed).net
        count[found.i, found.j] += 1
    assert count.sum() == 1500
    # Each of 20 synapses is kept 75 times, with a standard deviation of 7.5.
    assert np.abs(count[i, j] - 75).max() < 30 and not np.diag(count).any()


def test_random_matched_is_balanced(net, task):
    found = pruned(net, "random_matched", task, neurons=1.0).net
    plain = pruned(net, "random", task, neurons=1.0).net
    assert np.ptp(found.in_degree) <= 1 and np.ptp(found.out_degree) <= 2
    assert np.ptp(plain.in_degree) > 2 and np.ptp(plain.out_degree) > 2


def test_fresh_keeps_degrees_but_not_partners(net, task):
    matched = pruned(net, "random_matched", task, treatment="none").net
    result = pruned(net, "fresh", task, treatment="none")
    found = result.net
    assert np.array_equal(found.ids, matched.ids)
    assert np.array_equal(found.out_degree, matched.out_degree)
    for kind in (True, False):
        degrees = [
            np.bincount(one.j[one.is_exc[one.i] == kind], minlength=one.n)
            for one in (matched, found)
        ]
        assert np.array_equal(*degrees)
    for row in range(found.n):
        assert np.allclose(np.sort(found.w[found.j == row]), np.sort(matched.w[matched.j == row]))
    same = len(pairs(found) & pairs(matched)) / found.n_synapses
    assert same == result.diagnostics("select")["share_unmoved"]
    # Where 2 or 3 of 39 partners are chosen at random, few are met again.
    assert same < 0.25
    assert len(pairs(found) - pairs(net)) > 0.5 * found.n_synapses, "the dense mask plays no part"
    other = pruned(net, "fresh", task, seed=1, treatment="none").net
    assert pairs(other) != pairs(found)


def test_sparse_has_nothing_of_the_dense_graph_but_its_weights(net, task):
    found = pruned(net, "sparse", task, neurons=1.0, treatment="none").net
    assert found.obeys_dale and np.isin(found.w, net.w).all()
    chance = net.n_synapses / (N * (N - 1))
    shared = len(pairs(found) & pairs(net)) / found.n_synapses
    assert abs(shared - chance) < 4 * np.sqrt(chance * (1 - chance) / found.n_synapses)
    kept = len(pairs(pruned(net, "random", task, neurons=1.0).net) & pairs(net))
    assert kept == found.n_synapses, "the control: a mask shares all of its pairs"


def test_magnitude_keeps_the_largest(net, task):
    found = pruned(net, "magnitude", task, neurons=1.0, treatment="none").net
    dropped = sorted(pairs(net) - pairs(found))
    weight = {p: abs(w) for p, w in zip(zip(net.i, net.j, strict=True), net.w, strict=True)}
    assert max(weight[pair] for pair in dropped) <= np.abs(found.w).min()


@pytest.mark.parametrize("sign", [1, -1])
def test_noise_by_hand_on_two_neurons(sign):
    tau, a, b = np.array([0.01, 0.03]), 0.6, 0.4 * sign
    net = HRSNN("lif_exp", 2, i=[0, 1], j=[1, 0], w=[a, b], tau_m=tau, i_ext=1.5)
    if sign > 0:  # -D + s W crosses at s^2 a b tau_0 tau_1 = 1
        s = 0.8 / np.sqrt(a * b * tau.prod())
    else:  # never: 0.8 over the norm of D^-1 W
        s = 0.8 / max(tau[0] * abs(b), tau[1] * a)
    system = np.array([[-1 / tau[0], s * b], [s * a, -1 / tau[1]]])
    # A C + C A' = -Q with Q = 2 D, as three linear equations in c00, c01, c11.
    (p, q), (r, t) = system
    c00, c01, c11 = np.linalg.solve(
        [[2 * p, 2 * q, 0], [r, p + t, q], [0, 2 * r, 2 * t]], [-2 / tau[0], 0, -2 / tau[1]]
    )
    score = np.abs([a, b]) * (c00 + c11 - 2 * np.sign([a, b]) * c01)
    keep = score / score.sum()
    results = [prune_baseline(net, "noise", synapses=0.5, seed=k) for k in range(100)]
    found = results[0].diagnostics("select")
    assert found["scale"] == pytest.approx(s, rel=1e-4)
    assert found["cv_p"] == pytest.approx(abs(keep[0] - keep[1]), rel=1e-4)
    share = np.mean([result.net.i[0] == 0 for result in results])
    assert abs(share - keep[0]) < 4 * np.sqrt(keep.prod() / 100)


def test_activity_keeps_the_most_active(net):
    most = np.random.default_rng(0).permutation(N)[:12]
    drive = np.full(N, 1.2)
    drive[most] = 3.0
    known = Stimulus(np.tile(drive, (50, 1)), "10 ms")
    # At one tau_m and without coupling the drive decides.
    weak = net.replace(w=net.w * 1e-6, i_ext=0.0, tau_m=0.02)
    for method in ("activity", "activity_no_gain"):
        found = pruned(weak, method, known, synapses=0.02, neurons=12).net
        assert set(found.ids) == set(most)
    others = Stimulus(known.current[:, ::-1], "10 ms")
    assert set(pruned(weak, "activity", others, synapses=0.02, neurons=12).net.ids) == set(
        N - 1 - most
    )


def test_activity_drops_as_many_neurons_as_the_synapses_allow(net, task):
    count = 60
    found = pruned(net, "activity", task, synapses=count, neurons=None)
    assert found.net.n_synapses == count
    assert found.diagnostics("select")["neurons_by_activity"] == found.net.n < N
    rate = rates(simulate(net, task))
    rng = stream(0, "prune", 10, 0)
    order = np.lexsort((rng.random(N), -rate))
    left = [net.keep_neurons(order[: k + 1]).n_synapses for k in range(N)]
    smallest = next(k + 1 for k in range(N) if left[k] >= count)
    assert set(found.net.ids) == set(order[:smallest])
    assert left[smallest - 2] < count <= left[smallest - 1]
    # The other methods know no such rule and keep all.
    assert pruned(net, "random", task, synapses=count, neurons=None).net.n == N


def test_a_trained_network_is_pruned_by_its_own_activity_and_weights(net, task):
    found = pruned(net, "activity_trained", task, treatment="none")
    trained, learnt = train_stdp(net, task, SHAPING, seed=0)
    assert found.steps[0].name == "train" and found.steps[0].diagnostics == learnt
    own = pruned(trained, "activity", task, treatment="none")
    assert found.net == own.net != pruned(net, "activity", task, treatment="none").net
    paid = pruned(net, "activity_trained", task).diagnostics("compensate")
    assert paid == pruned(trained, "activity", task).diagnostics("compensate"), "its own variance"


def test_step_four_is_offered_to_every_baseline(net, task):
    search = TimescaleSearch(trials=4, batch=2, noise_duration="100 ms")
    plain = pruned(net, "random_gain", task)
    found = pruned(net, "random_gain", task, timescales=search)
    told = found.diagnostics("timescales")
    assert found.net == search(plain.net, seed=0)[0]
    assert told["value"] >= told["value_start"] and found.steps[-1].name == "timescales"
    assert found.net.history[-1] == plain.net.history[-1], "the last entry is the method's"


def test_activity_weighs_tasks_alike():
    i, j = np.nonzero(~np.eye(4, dtype=bool))
    net = HRSNN("lif_exp", 4, i, j, 1e-9, tau_m=0.02)
    strong, feeble = np.zeros((2, 50, 4))
    strong[:, :2], feeble[:, 2] = 5.0, 1.1
    both = [Stimulus(strong, "10 ms"), Stimulus(feeble, "10 ms")]
    rate = [rates(simulate(net, one)) for one in both]
    assert rate[0][0] == rate[0][1] > 2 * rate[1][2] > 0
    # Neuron 2 carries its task alone, 0 and 1 share theirs: by raw rates they would stay.
    found = prune_baseline(net, "activity", synapses=2, neurons=2, stimulus=both).net
    assert 2 in found.ids and 3 not in found.ids
    alone = prune_baseline(net, "activity", synapses=2, neurons=2, stimulus=both[0]).net
    assert set(alone.ids) == {0, 1}


def test_bad_requests_are_refused(net, task):
    with pytest.raises(ParameterError, match=r"dense, none, random.*magnitud"):
        prune_baseline(net, "magnitud", synapses=0.1)
    with pytest.raises(ParameterError, match="treatment"):
        pruned(net, "random", task, treatment="gain")
    for method in ("activity", "activity_trained", "activity_no_gain"):
        with pytest.raises(ParameterError, match="stimulus"):
            prune_baseline(net, method, synapses=0.1)
    for synapses in (0.0, -0.1, 1.5, 1e-6, net.n_synapses + 1, True, "many", float("nan")):
        with pytest.raises(BudgetError, match="synapses"):
            pruned(net, "random", task, synapses=synapses)
    for method in BASELINES:
        with pytest.raises(BudgetError, match="synapses among the 5 neurons"):
            pruned(net, method, task, synapses=0.9, neurons=5)
    with pytest.raises(BudgetError, match="neurons"):
        pruned(net, "random", task, neurons=N + 1)
    with pytest.raises(ParameterError, match="seed"):
        pruned(net, "random", task, seed=-1)


def test_silence_is_refused(net, task):
    silent = net.replace(i_ext=-50.0)
    with pytest.raises(SilentNetworkError, match="task"):
        pruned(silent, "activity", task)
    with pytest.raises(SilentNetworkError, match="slow random input"):
        pruned(silent, "random", task, treatment="shift")
    assert pruned(silent, "random", task).net.n_synapses == 100, "nothing measured, nothing refused"


@pytest.mark.parametrize(
    ("value", "count"),
    [(0.5, 5), (1.0, 10), (1, 10), (7, 7), (np.int64(7), 7), (np.float64(0.3), 3)],
)
def test_budget(value, count):
    assert budget(value, 10, "synapses", 1) == count


def test_a_result_survives_saving_and_pickling(net, task, tmp_path: Path):
    result = pruned(net, "noise", task)
    stopped = PruneResult(
        net, "lnp", 3, (PruneStep("a", 1, 2), PruneStep("a", 3, 4, {"x": 1.5})), "why"
    )
    for one in (result, stopped):
        for back in (load(save(one, tmp_path / "r.npz")), pickle.loads(pickle.dumps(one))):
            assert type(back) is PruneResult and back.net == one.net
            assert back.net.history == one.net.history
            assert (back.method, back.seed, back.stopped) == (one.method, one.seed, one.stopped)
            assert back.steps == one.steps
    assert stopped.diagnostics("a") == {"x": 1.5} and stopped.diagnostics("b") == {}
    assert "stopped: why" in repr(stopped) and "40 neurons, 100 synapses" in repr(result)
    with pytest.raises(FormatError):
        load(save(result, tmp_path / "r.npz"), HRSNN)
