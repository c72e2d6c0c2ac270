"""STDP against pairs by hand, exact sums over all pairs, and simulate with fixed weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from brian2 import Network, NeuronGroup, Synapses, TimedArray, ms, second

from models_eq.device import capability, use_device
from models_eq.distributions import Gamma
from models_eq.errors import ParameterError, UnitError
from models_eq.hrsnn import HRSNN
from models_eq.neurons import MODELS
from models_eq.plan import make_plan
from models_eq.plastic import run_plastic, train_stdp
from models_eq.plasticity import STDP, Learning
from models_eq.simulate import simulate
from models_eq.stimulus import SpikeInput, Stimulus
from models_eq.trajectory import Trajectory

STILL = STDP(a_plus=0, a_minus=0, w_max=50, synapses="all")
HETERO: dict[str, Any] = {"tau_plus": Gamma(3, "17 ms"), "tau_minus": Gamma(3, "34 ms")}


pytestmark = pytest.mark.usefixtures("numpy_device")


def random_net(model: str = "lif_exp", n: int = 12, seed: int = 0, **fields: Any) -> HRSNN:
    """A network that obeys Dale's law, a quarter of it inhibitory."""
    rng = np.random.default_rng(seed)
    i, j = np.nonzero((rng.random((n, n)) < 0.6) & ~np.eye(n, dtype=bool))
    is_exc = np.arange(n) % 4 > 0
    values: dict[str, Any] = {
        "w": rng.gamma(2, 0.06, i.size) * np.where(is_exc[i], 1, -3),
        "tau_m": rng.uniform(0.01, 0.03, n),
        "i_ext": rng.uniform(1.2, 2.4, n),
        "t_ref": 0.002,
        "is_exc": is_exc,
    }
    return HRSNN(model, n, i=i, j=j, **{**values, **fields})


def noise(n: int = 12, rows: int = 30, seed: int = 1, trials: int | None = None) -> Stimulus:
    """Held noise and a few input spikes."""
    rng = np.random.default_rng(seed)
    shape = (rows, n) if trials is None else (trials, rows, n)
    spikes = SpikeInput(
        t=[0.013, 0.04, 0.0401],
        channel=[0, 0, 1],
        weights=rng.normal(0, 0.3, (2, n)),
        trial=0 if trials is None else [0, trials - 1, trials - 1],
    )
    return Stimulus(rng.normal(0, 0.8, shape), "10 ms", spikes)


def present(
    net: HRSNN, stimulus: Stimulus, rule: STDP, *, scaled: bool = False, seed: int = 0
) -> tuple[np.ndarray, Trajectory, Learning]:
    """Weights and spikes of one presentation, by the inner level."""
    plan = make_plan(
        [net], stimulus, duration=None, dt="1 ms", initial_state=None, record=(), sample_dt=None,
        copies=1, seed=seed,
    )  # fmt: skip
    learning = Learning.of(rule, net, seed, scaled=scaled)
    w, run = run_plastic(plan, net, learning)
    return w, run, learning


def by_events(
    net: HRSNN, run: Trajectory, learning: Learning, dt: float = 1e-3, sign: float = -1
) -> np.ndarray:
    """Weights after a run, step by step in plain NumPy, from the spikes alone."""
    rule, n = learning.rule, net.n
    w, bound = net.w.copy(), learning.bound
    low, high = np.minimum(bound, 0), np.maximum(bound, 0)
    learns = bound != 0
    decay = {name: np.exp(-dt / tau) for name, tau in learning.times.items()}
    x, y, z = np.zeros(n), np.zeros(n), np.zeros(n)
    step = np.rint(run.t / dt).astype(int)
    for k in range(round(run.duration / dt)):
        x, y = x * decay["tau_plus"], y * decay["tau_minus"]
        z = z * decay.get("tau_triplet", 0.0)
        fired = np.bincount(run.i[step == k], minlength=n).astype(bool)
        on = learns & fired[net.i]
        down = rule.a_minus * np.abs(w[on] / bound[on]) ** rule.mu * y[net.j[on]]
        w[on] = np.clip(w[on] + sign * down * bound[on], low[on], high[on])
        on = learns & fired[net.j]
        up = (1 - w[on] / bound[on]) ** rule.mu * x[net.i[on]]
        up *= rule.a_plus + rule.triplet * z[net.j[on]]
        w[on] = np.clip(w[on] + up * bound[on], low[on], high[on])
        x[fired], y[fired], z[fired] = x[fired] + 1, y[fired] + 1, z[fired] + 1
    return w


def by_pairs(net: HRSNN, run: Trajectory, learning: Learning) -> np.ndarray:
    """Weights after an additive run that never meets a bound: the sum over all pairs of spikes."""
    tau_plus, tau_minus = learning.times["tau_plus"], learning.times["tau_minus"]
    w = net.w.copy()
    for k in np.flatnonzero(learning.bound):
        pre, post = net.i[k], net.j[k]
        d = np.subtract.outer(run.t[run.i == post], run.t[run.i == pre])
        up = np.exp(-d[d > 5e-4] / tau_plus[pre]).sum()
        down = np.exp(d[d < -5e-4] / tau_minus[post]).sum()
        w[k] += learning.bound[k] * (learning.rule.a_plus * up - learning.rule.a_minus * down)
    return w


def pair(pre: int, post: int, rule: STDP, w: float = 0.05) -> tuple[float, Trajectory, Learning]:
    """Change of the weight 0 -> 1 by one spike each, at the given steps of 1 ms."""
    net = HRSNN("lif_exp", 2, i=[0], j=[1], w=[w], tau_m=0.02)
    current = np.zeros((100, 2))
    current[pre, 0] = current[post, 1] = 100
    start = {"v": [0.0, 0.0]}
    plan = make_plan(
        [net], Stimulus(current, "1 ms"), duration=None, dt="1 ms", initial_state=[start],
        record=(), sample_dt=None, copies=1, seed=0,
    )  # fmt: skip
    learning = Learning.of(rule, net, 0, scaled=False)
    after, run = run_plastic(plan, net, learning)
    steps = sorted(zip(np.rint(run.t * 1e3).astype(int), run.i, strict=True))
    assert steps == sorted([(pre, 0), (post, 1)])
    return float(after[0] - w), run, learning


class TestOnePair:
    """One pair of spikes at known times."""

    rule = STDP(a_plus=0.01, a_minus=0.02, tau_plus="17 ms", tau_minus="34 ms", w_max=2)

    @pytest.mark.parametrize("lag", [1, 5, 40])
    def test_pre_before_post_potentiates(self, lag: int) -> None:
        change, _, _ = pair(20, 20 + lag, self.rule)
        assert change == pytest.approx(0.01 * 0.1 * np.exp(-lag / 17), rel=1e-9)

    @pytest.mark.parametrize("lag", [1, 5, 40])
    def test_post_before_pre_depresses_after_delivery(self, lag: int) -> None:
        change, run, _ = pair(50, 50 - lag, self.rule)
        assert change == pytest.approx(-0.02 * 0.1 * np.exp(-lag / 34), rel=1e-9)
        # The kick had the old weight: it arrived at the end of step 50 and decayed ever since.
        assert run.final_state["s"][0, 1] == pytest.approx(0.05 * np.exp(-49 / 5), rel=1e-9)

    def test_spikes_of_one_step_are_no_pair(self) -> None:
        assert pair(30, 30, self.rule)[0] == 0

    def test_the_magnitude_counts_for_multiplicative_rules(self) -> None:
        for mu in (0.3, 1.0):
            rule = STDP(a_plus=0.01, a_minus=0.02, w_max=2, mu=mu)
            up, down = pair(20, 30, rule)[0], pair(30, 20, rule)[0]
            assert up == pytest.approx(0.01 * 0.1 * 0.5**mu * np.exp(-0.5), rel=1e-9)
            assert down == pytest.approx(-0.02 * 0.1 * 0.5**mu * np.exp(-0.5), rel=1e-9)


class TestARandomRun:
    """Many spikes against references in NumPy that see nothing but the spikes."""

    @pytest.mark.parametrize("synapses", ["excitatory", "all"])
    def test_the_sum_over_all_pairs(self, synapses: str) -> None:
        net = random_net()
        rule = STDP(1e-4, 1.3e-4, w_max=10, synapses=synapses, **HETERO)
        w, run, learning = present(net, noise(), rule)
        assert run.n_spikes > 150
        assert len(set(learning.times["tau_plus"])) == net.n
        expected = by_pairs(net, run, learning)
        moved = np.abs(expected - net.w)[learning.bound != 0]
        assert moved.max() > 1e-3
        np.testing.assert_allclose(w, expected, rtol=0, atol=1e-9 * moved.max())
        fixed = learning.bound == 0
        assert fixed.any() == (synapses == "excitatory")
        np.testing.assert_array_equal(w[fixed], net.w[fixed])

    @pytest.mark.parametrize(
        "change",
        [{}, {"mu": 0.4}, {"mu": 1.0}, {"triplet": 0.01, "tau_triplet": "50 ms"}, HETERO],
        ids=["additive", "mixed", "multiplicative", "triplet", "hetero"],
    )
    def test_every_rule_with_bounds(self, change: dict[str, Any]) -> None:
        net = random_net(w=0.1 * np.where(random_net().is_exc[random_net().i], 1, -3))
        rule = STDP(**{"a_plus": 0.3, "a_minus": 0.36, "w_max": 1.5, "synapses": "all", **change})
        w, run, learning = present(net, noise(), rule)
        expected = by_events(net, run, learning)
        np.testing.assert_allclose(w, expected, rtol=0, atol=1e-9 * np.abs(net.w).max())
        if rule.mu == 0:
            assert np.mean((w == 0) | (w == learning.bound)) > 0.05
        assert np.all(w * learning.bound >= 0)
        assert np.all(np.abs(w) <= np.abs(learning.bound))
        assert net.replace(w=w).obeys_dale

    def test_the_wrong_sign_of_depression_is_seen(self) -> None:
        class Flipped(STDP):
            @property
            def on_pre(self) -> str:
                return super().on_pre.replace("w - a_minus", "w + a_minus")

        net = random_net()
        w, run, learning = present(net, noise(), Flipped(1e-4, 1.3e-4, w_max=10))
        assert np.abs(w - by_pairs(net, run, learning)).max() > 1e-4
        # The other reference sees what the rule does, told the sign.
        np.testing.assert_allclose(w, by_events(net, run, learning, sign=1), atol=1e-12)

    def test_the_text_serves_a_script_of_ones_own(self) -> None:
        rng = np.random.default_rng(3)
        net = random_net(t_ref=0.0, tau_syn=0.004)
        rule = STDP(0.01, 0.012, w_max=4, triplet=0.003, synapses="all")
        current = rng.normal(0, 0.8, (30, 12))
        w, run, learning = present(net, Stimulus(current, "10 ms"), rule)
        drive = TimedArray(current, dt=10 * ms)
        group = NeuronGroup(
            12,
            """dv/dt = (s - v + i_ext + drive(t, i))/tau_m : 1
            ds/dt = -s/(4*ms) : 1
            i_ext : 1 (constant)
            tau_m : second (constant)\n"""
            + rule.traces,
            threshold="v > 1",
            reset="v = 0\n" + rule.on_spike,
            method="exact",
            dt=1 * ms,
            namespace={"drive": drive, "ms": ms},
        )
        group.tau_m, group.i_ext = net.tau_m * second, net.i_ext
        start = make_plan([net], None, duration="1 ms", dt="1 ms", initial_state=None, record=(),
                          sample_dt=None, copies=1, seed=0).states  # fmt: skip
        group.v = start["v"]
        for name, tau in learning.times.items():
            setattr(group, name, tau * second)
        synapses = Synapses(group, group, rule.model, on_pre="s_post += w\n" + rule.on_pre,
                            on_post=rule.on_post, namespace={}, dt=1 * ms)  # fmt: skip
        synapses.connect(i=net.i, j=net.j)
        synapses.w, synapses.step = net.w, learning.bound
        synapses.low, synapses.high = np.minimum(learning.bound, 0), np.maximum(learning.bound, 0)
        for name, value in rule.constants.items():
            setattr(synapses, name, value)
        Network(group, synapses).run(300 * ms)
        assert run.n_spikes > 150
        np.testing.assert_allclose(synapses.w[:], w, rtol=0, atol=1e-9)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("trials", [None, 3])
@pytest.mark.parametrize("scaled", [False, True])
def test_a_rule_without_learning_gives_the_spikes_of_simulate(
    model: str, trials: int | None, scaled: bool
) -> None:
    net, stimulus = random_net(model), noise(rows=15, trials=trials)
    w, run, _ = present(net, stimulus, STILL, scaled=scaled, seed=4)
    plain = simulate(net, stimulus, seed=4)
    assert plain.n_spikes > 20
    for name in ("t", "i", "trial"):
        np.testing.assert_array_equal(getattr(run, name), getattr(plain, name))
    np.testing.assert_array_equal(w, net.w)
    for name, value in run.final_state.items():
        np.testing.assert_array_equal(value, plain.final_state[name])


class TestTraining:
    """What train_stdp makes of a network."""

    rule = STDP(0.03, 0.035, w_max=3)

    def test_scaling_keeps_the_sums_and_its_lack_does_not(self) -> None:
        net = random_net()
        learning = Learning.of(self.rule, net, 0)
        for normalise in (True, False):
            trained, report = train_stdp(net, noise(), self.rule, normalise=normalise, seed=1)
            error = np.abs(learning.sums(trained.w) / learning.sums(net.w) - 1).max()
            assert report["sum_error"] == pytest.approx(error, abs=1e-15)
            assert (error < 1e-12) == normalise
            assert np.abs(trained.w - net.w).max() > 0.05
            assert trained.obeys_dale
            assert np.all(np.abs(trained.w) <= np.where(learning.bound, learning.bound, np.inf))
        # During the run, too: the ends of intervals lie within it.
        w, _, _ = present(net, noise(rows=20), self.rule, scaled=True)
        error = np.abs(learning.sums(w) / learning.sums(net.w) - 1)
        free, _, _ = present(net, noise(rows=20), self.rule)
        assert error.mean() < 0.5 * np.abs(learning.sums(free) / learning.sums(net.w) - 1).mean()

    @pytest.mark.parametrize(
        ("w", "expected"),
        [
            ([0.2, 0.2, 0.2, 0.2], [0.25, 0.25, 0.25, 0.25]),
            ([0.6, 0.3, 0.05, 0.05], [0.5, 0.375, 0.0625, 0.0625]),  # bound, then the rest
            ([0.3, 0.0, 0.0, 0.3], [0.5, 0.0, 0.0, 0.5]),
            ([0.3, 0.0, 0.0, 0.0], [0.5, 1 / 6, 1 / 6, 1 / 6]),  # one alone cannot do it
            ([0.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]),
        ],
    )
    def test_exact_scaling_by_hand(self, w: list[float], expected: list[float]) -> None:
        net = HRSNN("lif_exp", 5, i=range(4), j=[4] * 4, w=[0.1, 0.2, 0.3, 0.4], tau_m=0.02)
        learning = Learning.of(STDP(w_max=2), net, 0)
        np.testing.assert_allclose(learning.settle(np.array(w)), expected, rtol=1e-12)

    def test_the_report_says_what_happened(self) -> None:
        net = random_net()
        trained, report = train_stdp(net, noise(), self.rule, seed=1)
        mine = net.is_exc[net.i]
        u = trained.w[mine] / (3 * net.w[mine].mean())
        assert report["mean_before"] == pytest.approx(net.w[mine].mean())
        assert report["mean_after"] == pytest.approx(trained.w[mine].mean())
        assert report["cv_after"] == pytest.approx(u.std() / u.mean())
        assert report["at_zero"] == pytest.approx((u <= 0.01).mean())
        assert report["at_bound"] == pytest.approx((u >= 0.99).mean())
        for name, one in (("rate_before", net), ("rate_after", trained)):
            spikes = simulate(one, noise(), seed=1).n_spikes
            assert report[name] == pytest.approx(spikes / 12 / 0.3)
        assert report["seconds"] == 0.3
        entry = trained.history[-1]
        assert entry["step"] == "stdp"
        assert STDP(**entry["rule"]) == self.rule
        assert {key: entry[key] for key in report} == report
        same = {"w": net.w, "history": net.history}
        assert trained.replace(**same) == net

    def test_the_seed_decides(self) -> None:
        net, rule = random_net(), STDP(0.03, 0.035, **HETERO)
        a, b, c = (train_stdp(net, noise(), rule, seed=s)[0] for s in (1, 1, 2))
        assert a == b
        assert a != c

    def test_sequences_trials_and_passes_are_presentations_one_after_the_other(self) -> None:
        net, rows = random_net(), noise(rows=15, trials=2)
        options: dict[str, Any] = {"normalise": False, "seed": 3}
        spikes = rows.spikes
        assert spikes is not None
        single = []
        for k in range(2):
            own = spikes.trial == k
            one = SpikeInput(spikes.t[own], spikes.channel[own], spikes.weights, 0)
            single.append(Stimulus(rows.current[k], "10 ms", one))
        together, report = train_stdp(net, rows, self.rule, **options)
        apart, _ = train_stdp(net, single, self.rule, **options)
        np.testing.assert_allclose(together.w, apart.w, rtol=1e-12)
        twice, _ = train_stdp(net, single[:1], self.rule, passes=2, **options)
        again, _ = train_stdp(net, single[:1] * 2, self.rule, **options)
        np.testing.assert_array_equal(twice.w, again.w)
        assert np.abs(twice.w - apart.w).max() > 1e-3
        assert report["seconds"] == 0.3

    def test_weights_above_the_bound_start_at_it(self) -> None:
        net = random_net()
        rule = STDP(0, 0, w_max=2)
        trained, report = train_stdp(net, noise(rows=5), rule, normalise=False)
        bound = np.where(net.is_exc[net.i], rule.bounds(net), np.inf)
        np.testing.assert_array_equal(trained.w, np.minimum(net.w, bound))
        assert report["clipped"] == np.mean(net.w > bound) / net.is_exc[net.i].mean() > 0
        # With scaling the others take over what the strongest lose.
        level, _ = train_stdp(net, noise(rows=5), rule)
        learning = Learning.of(rule, net, 0)
        np.testing.assert_allclose(learning.sums(level.w), learning.sums(net.w), rtol=1e-12)

    def test_a_network_without_plastic_synapses_is_left_alone(self) -> None:
        for net in (random_net().keep_edges([]), random_net(is_exc=False, w=-0.1)):
            trained, report = train_stdp(net, noise(), self.rule)
            assert trained == net
            assert report["rate_training"] == report["rate_before"]

    @pytest.mark.skipif(not capability("cython").available, reason="no compiler")
    def test_cython_learns_the_same(self) -> None:
        net, stimulus = random_net(), Stimulus(noise().current, "10 ms")
        rule = STDP(0.03, 0.035, mu=0.4, triplet=0.003, synapses="all", **HETERO)
        base, _, _ = present(net, stimulus, rule, scaled=True)
        with use_device("cython"):
            other, _, _ = present(net, stimulus, rule, scaled=True)
        assert np.abs(base - net.w).max() > 0.01
        np.testing.assert_allclose(other, base, rtol=0, atol=1e-9)

    @pytest.mark.slow
    @pytest.mark.parametrize("device", ["cython", "cpp_standalone"])
    def test_devices_learn_the_same_from_trials_and_input_spikes(self, device: str) -> None:
        if not capability(device).available:
            pytest.skip(capability(device).reason)
        net, stimulus = random_net(), noise(rows=8, trials=2)
        rule = STDP(0.03, 0.035, w_max=4)
        base, expected = train_stdp(net, stimulus, rule)
        with use_device(device):
            other, report = train_stdp(net, stimulus, rule)
        assert np.abs(base.w - net.w).max() > 0.01
        np.testing.assert_allclose(other.w, base.w, rtol=0, atol=1e-9)
        assert report["rate_training"] == expected["rate_training"]


def test_a_pruned_network_keeps_the_time_constants_of_its_neurons() -> None:
    net, rule = random_net(), STDP(**HETERO)
    drawn = rule.sample_times(net, 5)
    child = rule.sample_times(net.keep_neurons([2, 7]), 5)
    for name, value in drawn.items():
        np.testing.assert_array_equal(child[name], value[[2, 7]])
    assert not np.array_equal(drawn["tau_plus"], rule.sample_times(net, 6)["tau_plus"])


@pytest.mark.parametrize("rule", [STDP(), STDP(mu=0.5, triplet=0.1, synapses="all", **HETERO)])
def test_a_rule_is_read_back_from_plain_values(rule: STDP) -> None:
    assert STDP(**rule.to_dict()) == rule
    text = "\n".join([rule.traces, rule.model, rule.on_pre, rule.on_post, rule.on_spike])
    assert text == text.lower()
    assert ("triplet" in text) == bool(rule.triplet)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"a_plus": -0.1}, "STDP.a_plus"),
        ({"a_minus": "2 ms"}, "STDP.a_minus"),
        ({"a_minus": np.nan}, "STDP.a_minus"),
        ({"triplet": -1}, "STDP.triplet"),
        ({"mu": 1.5}, "STDP.mu"),
        ({"mu": -1}, "STDP.mu"),
        ({"w_max": 1}, "STDP.w_max"),
        ({"tau_plus": "0 ms"}, "STDP.tau_plus"),
        ({"tau_minus": "20 Hz"}, "STDP.tau_minus"),
        ({"tau_triplet": "-1 s"}, "STDP.tau_triplet"),
        ({"synapses": "inhibitory"}, "STDP.synapses"),
    ],
)
def test_bad_rules_are_refused_by_name(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ParameterError) as caught:
        STDP(**change)
    assert caught.value.field == field
    with pytest.raises(UnitError):
        STDP(tau_plus=0.02)  # type: ignore[arg-type]


ONE_STRONG = HRSNN("lif_exp", 4, i=[0, 1, 2], j=[1, 2, 3], w=[0.01, 0.01, 1], tau_m=0.02)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"net": 3}, "net"),
        ({"rule": "stdp"}, "rule"),
        ({"stimulus": None}, "stimulus"),
        ({"stimulus": []}, "stimulus"),
        ({"stimulus": [noise(), 3]}, "stimulus"),
        ({"stimulus": noise(n=5)}, "stimulus"),
        ({"dt": "3 ms"}, "dt"),
        ({"interval": "1.5 ms"}, "interval"),
        ({"interval": "0.1 ms"}, "interval"),
        ({"passes": 0}, "passes"),
        ({"normalise": 3}, "normalise"),
        ({"seed": -1}, "seed"),
        ({"initial_state": {"u": 0}}, "initial_state"),
        ({"net": random_net(w=np.random.default_rng(0).normal(size=random_net().w.size))}, "net"),
        ({"net": random_net(w=0.0)}, "net"),
        ({"net": ONE_STRONG, "stimulus": noise(n=4), "rule": STDP(w_max=1.2)}, "STDP.w_max"),
    ],
)
def test_bad_arguments_are_refused_by_name(change: dict[str, Any], field: str) -> None:
    good: dict[str, Any] = {"net": random_net(), "stimulus": noise(), "rule": STDP()}
    with pytest.raises(ParameterError) as caught:
        train_stdp(**{**good, **change})
    assert caught.value.field == field
