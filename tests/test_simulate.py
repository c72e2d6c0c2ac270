"""simulate against a network written by hand, over every model, and under transformations."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brian2 import Network, NeuronGroup, SpikeMonitor, Synapses, TimedArray, ms, second

from models_eq.errors import FormatError, ParameterError, UnitError
from models_eq.hrsnn import HRSNN
from models_eq.network import to_brian2
from models_eq.neurons import MODELS
from models_eq.plan import make_plan
from models_eq.simulate import simulate, simulate_batch
from models_eq.spec import HRSNNSpec, sample_hrsnn
from models_eq.stimulus import SpikeInput, Stimulus
from models_eq.storage import load, save
from models_eq.trajectory import Trajectory

pytestmark = pytest.mark.usefixtures("numpy_device")


def random_net(model: str = "lif_exp", n: int = 12, seed: int = 0, **fields: Any) -> HRSNN:
    rng = np.random.default_rng(seed)
    i, j = np.nonzero((rng.random((n, n)) < 0.3) & ~np.eye(n, dtype=bool))
    values: dict[str, Any] = {
        "tau_m": rng.uniform(0.01, 0.03, n),
        "i_ext": rng.uniform(0.9, 1.6, n),
        "t_ref": 0.002,
        "params": {"jump_a": rng.uniform(0, 0.1, n)} if model == "alif" else {},
    }
    return HRSNN(model, n, i=i, j=j, w=rng.normal(0, 0.15, i.size), **{**values, **fields})


def noise(n: int = 12, rows: int = 20, seed: int = 1, trials: int | None = None) -> Stimulus:
    """Held noise, and some input spikes, the same columns whatever the model."""
    rng = np.random.default_rng(seed)
    shape = (rows, n) if trials is None else (trials, rows, n)
    weights = rng.normal(0, 0.3, (2, n))
    spikes = SpikeInput(
        t=[0.013, 0.04, 0.0401],
        channel=[0, 0, 1],
        weights=weights,
        trial=0 if trials is None else [0, trials - 1, trials - 1],
    )
    return Stimulus(rng.normal(0, 0.5, shape), "10 ms", spikes)


def same(a: Trajectory, b: Trajectory) -> bool:
    return all(np.array_equal(getattr(a, x), getattr(b, x)) for x in ("t", "i", "trial"))


def by_hand(net: HRSNN, current: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Steps and neurons of the spikes of a plain Brian2 script, dt 0.1 ms, 0.3 s."""
    drive = TimedArray(current, dt=10 * ms)
    group = NeuronGroup(
        net.n,
        """dv/dt = (s - v + i_ext + i_stim)/tau_m : 1 (unless refractory)
        ds/dt = -s/tau_s : 1
        i_stim : 1
        i_ext : 1 (constant)
        tau_m : second (constant)
        tau_s : second (constant)""",
        threshold="v > 1",
        reset="v = 0",
        refractory=2 * ms,
        method="exact",
        dt=0.1 * ms,
        namespace={"drive": drive},
    )
    group.run_regularly("i_stim = drive(t, i)", dt=10 * ms)
    group.tau_m, group.tau_s = net.tau_m * second, net.tau_syn * second
    group.i_ext, group.v = net.i_ext, v
    synapses = Synapses(group, group, "w : 1", on_pre="s_post += w", namespace={}, dt=0.1 * ms)
    synapses.connect(i=net.i, j=net.j)
    synapses.w = net.w
    spikes = SpikeMonitor(group)
    Network(group, synapses, spikes).run(0.3 * second)
    step = np.rint(spikes.t_[:] / 1e-4).astype(int)
    order = np.lexsort((spikes.i[:], step))
    return step[order], np.asarray(spikes.i[:])[order]


def test_it_equals_a_network_written_by_hand() -> None:
    net = random_net(n=100, t_ref=0.002, tau_syn=0.004)
    rng = np.random.default_rng(5)
    current, v = rng.normal(0, 0.5, (30, 100)), rng.random(100)
    step, index = by_hand(net, current, v)
    stimulus = Stimulus(current, "10 ms")
    run = simulate(net, stimulus, dt="0.1 ms", initial_state={"v": v})
    assert run.n_spikes > 500
    np.testing.assert_array_equal(run.i, index)
    np.testing.assert_array_equal(np.rint(run.t / 1e-4), step)
    # Negative control: one weight of three thousand is seen.
    w = net.w.copy()
    w[np.flatnonzero(net.i == index[0])[0]] += 0.5
    other = simulate(net.replace(w=w), stimulus, dt="0.1 ms", initial_state={"v": v})
    assert not np.array_equal(other.i, index)


@pytest.mark.parametrize("model", MODELS)
class TestEveryModel:
    """What must hold for every neuron model."""

    def test_it_spikes_and_the_seed_decides(self, model: str) -> None:
        net, stimulus = random_net(model), noise()
        a, b = (simulate(net, stimulus, seed=3) for _ in range(2))
        assert a.n_spikes > 20
        assert same(a, b)
        assert not same(a, simulate(net, stimulus, seed=4))
        assert np.all(np.lexsort((a.i, a.t, a.trial)) == np.arange(a.n_spikes))
        assert (a.n, a.n_trials, a.digest, a.device) == (12, 1, net.digest, "numpy")
        np.testing.assert_allclose(a.t, np.rint(a.t / a.dt) * a.dt, atol=1e-12)
        assert a.t.max() < a.duration == pytest.approx(0.2)

    def test_copies_with_equal_input_are_identical(self, model: str) -> None:
        net, stimulus = random_net(model), noise()
        single = simulate(net, stimulus, seed=3)
        copies = simulate(net, stimulus, seed=3, copies=3)
        assert copies.n_trials == 3
        for k in range(3):
            assert same(copies.one_trial(k), single)
        for name in MODELS[model].state:
            np.testing.assert_array_equal(
                copies.final_state[name], np.tile(single.final_state[name], (3, 1))
            )

    @pytest.mark.parametrize("side_by_side", [2, None])
    def test_trials_equal_single_runs(self, model: str, side_by_side: int | None) -> None:
        net, stimulus = random_net(model), noise(trials=3, rows=10)
        first = MODELS[model].state[0]
        options: dict[str, Any] = {
            "seed": 3, "record": ["spike_state", first], "sample_dt": "5 ms"
        }  # fmt: skip
        run = simulate(net, stimulus, copies=side_by_side, **options)
        assert run.n_trials == 3
        assert run.samples[first].shape == (3, 20, 12)
        assert bool(run.final_state) == (side_by_side is None)
        for k in range(3):
            spikes = stimulus.spikes
            assert spikes is not None
            mine = spikes.trial == k
            alone = Stimulus(
                stimulus.current[k],
                "10 ms",
                SpikeInput(spikes.t[mine], spikes.channel[mine], spikes.weights, 0),
            )
            expected, found = simulate(net, alone, **options), run.one_trial(k)
            assert same(found, expected)
            np.testing.assert_array_equal(found.samples[first], expected.samples[first])
            for name in (*MODELS[model].state, "i_stim"):
                np.testing.assert_array_equal(found.at_spike[name], expected.at_spike[name])
            for name, value in expected.release.items():
                np.testing.assert_array_equal(found.release[name], value)

    def test_zero_synapses_one_neuron_and_silence(self, model: str) -> None:
        one = HRSNN(model, 1, i=[], j=[], w=[], tau_m=0.02, i_ext=2.0)
        first = MODELS[model].state[0]
        run = simulate(one, duration="0.2 s", record=["spike_state", first], copies=2)
        assert run.n_spikes > 0
        assert run.samples[first].shape == (2, 200, 1)
        silent = random_net(model, i_ext=-1.0)
        run = simulate(
            silent, duration="0.2 s", record=["spike_state"], initial_state={first: -0.5}
        )
        assert run.n_spikes == 0
        assert set(run.at_spike) == {*MODELS[model].state, "i_stim"}
        assert all(value.size == 0 for value in (*run.at_spike.values(), *run.release.values()))
        assert "0 spikes" in repr(run)

    def test_a_pruned_network_sees_the_input_of_its_parent(self, model: str) -> None:
        parent, stimulus = random_net(model).keep_edges([]), noise()
        kept = np.array([1, 4, 5, 10])
        run, child = (simulate(x, stimulus, seed=2) for x in (parent, parent.keep_neurons(kept)))
        inside = np.isin(run.i, kept)
        assert child.n_spikes > 0
        np.testing.assert_array_equal(child.t, run.t[inside])
        np.testing.assert_array_equal(kept[child.i], run.i[inside])

    def test_permuting_the_neurons_permutes_the_spikes(self, model: str) -> None:
        net, stimulus = random_net(model), noise()
        order = np.random.default_rng(7).permutation(12)  # new neuron k was order[k]
        new = np.argsort(order)
        fields = ("tau_m", "tau_syn", "t_ref", "v_rest", "v_th", "v_reset", "i_ext", "ids")
        other = net.replace(
            i=new[net.i],
            j=new[net.j],
            params={name: value[order] for name, value in net.params.items()},
            is_exc=net.is_exc[order],
            **{name: getattr(net, name)[order] for name in fields},
        )
        a, b = simulate(net, stimulus), simulate(other, stimulus)
        back = np.lexsort((order[b.i], b.t))
        np.testing.assert_array_equal(order[b.i][back], a.i)
        np.testing.assert_array_equal(b.t[back], a.t)

    def test_scaling_all_times_scales_the_spike_times(self, model: str) -> None:
        net, stimulus = random_net(model), noise()
        spikes = stimulus.spikes
        assert spikes is not None
        times = {name: 2 * getattr(net, name) for name in ("tau_m", "tau_syn", "t_ref")}
        params = {k: 2 * v if k == "tau_a" else v for k, v in net.params.items()}
        slow = Stimulus(
            stimulus.current, "20 ms", SpikeInput(2 * spikes.t, spikes.channel, spikes.weights, 0)
        )
        a = simulate(net, stimulus, dt="0.5 ms")
        b = simulate(net.replace(**times, params=params), slow, dt="1 ms")
        np.testing.assert_array_equal(a.i, b.i)
        np.testing.assert_allclose(b.t, 2 * a.t, rtol=1e-12)
        # Negative control: with one time left as it was, they differ.
        rigid = simulate(net.replace(params=params, **(times | {"tau_m": net.tau_m})), slow)
        assert not np.array_equal(rigid.i, a.i)

    def test_a_batch_equals_separate_runs(self, model: str) -> None:
        dense = random_net(model)
        rng = np.random.default_rng(2)
        nets = [
            dense,
            dense.keep_edges(rng.random(dense.n_synapses) < 0.5),
            dense.keep_neurons([0, 2, 3, 7, 11]),
            random_net(model, n=12, seed=9),
        ]
        shared = noise(rows=10)
        stimuli = [shared, noise(rows=10, seed=8), shared, noise(rows=10, seed=9)]
        options: dict[str, Any] = {"seed": 1, "copies": 2, "record": MODELS[model].state[0]}
        batch = simulate_batch(nets, stimuli, **options)
        for net, own, found in zip(nets, stimuli, batch, strict=True):
            alone = simulate(net, own, **options)
            assert same(found, alone)
            assert found.digest == net.digest
            for name in alone.final_state:
                np.testing.assert_array_equal(found.final_state[name], alone.final_state[name])
            for name in alone.samples:
                np.testing.assert_array_equal(found.samples[name], alone.samples[name])

    def test_saving_and_loading(self, model: str, tmp_path: Path) -> None:
        run = simulate(
            random_net(model), noise(), record=["spike_state", "i_stim"], sample_dt="20 ms"
        )
        again = load(save(run, tmp_path / "run.npz"), Trajectory)
        assert same(run, again)
        assert repr(again) == repr(run)
        for name in ("n", "n_trials", "duration", "dt", "device", "digest", "run_seconds"):
            assert getattr(again, name) == getattr(run, name)
        np.testing.assert_array_equal(again.sample_t, run.sample_t)
        for name in ("at_spike", "release", "samples", "final_state"):
            old, new = getattr(run, name), getattr(again, name)
            assert set(old) == set(new)
            for key in old:
                np.testing.assert_array_equal(new[key], old[key])
                assert new[key].dtype == old[key].dtype


def test_spike_state_lies_between_threshold_and_release() -> None:
    net = random_net(v_th=1.2, v_reset=0.1, tau_syn=0.01)
    run = simulate(net, noise(), dt="0.5 ms", record=["spike_state", "v", "s", "i_stim"])
    k = run.i
    step = np.rint(run.t / run.dt).astype(int)
    v, s, drive = (run.samples[name][0] for name in ("v", "s", "i_stim"))
    # The state at a spike is that at its sampling time, one exact step on.
    decay = np.exp(-run.dt / net.tau_m[k])
    target = net.i_ext[k] + drive[step, k]
    np.testing.assert_array_equal(run.at_spike["i_stim"], drive[step, k])
    np.testing.assert_allclose(run.at_spike["s"], s[step, k] * np.exp(-run.dt / 0.01), rtol=1e-12)
    assert np.all(run.at_spike["v"] > 1.2)
    assert np.all(v[step, k] <= 1.2)
    assert np.all(target + (v[step, k] - target) * decay + np.abs(s[step, k]) > 1.2 - 1e-9)
    # Releases: two milliseconds later, and at reset still.
    late = run.t + 0.002 < run.duration - 1e-9
    order = np.lexsort((k[late], run.t[late]))
    np.testing.assert_array_equal(run.release["i"], k[late][order])
    np.testing.assert_allclose(run.release["t"], run.t[late][order] + 0.002, atol=1e-12)
    assert np.all(run.release["v"] == 0.1)
    r_step = np.rint(run.release["t"] / run.dt).astype(int)
    np.testing.assert_array_equal(run.release["s"], s[r_step, run.release["i"]])
    np.testing.assert_array_equal(run.release["i_stim"], drive[r_step, run.release["i"]])


def test_the_initial_state_is_drawn_per_original_neuron_and_can_be_given() -> None:
    net = random_net(v_reset=-0.5)
    start = simulate(net, duration="2 ms", record=["v", "s"]).samples
    v = start["v"][0, 0]
    assert np.all((v >= -0.5) & (v <= 1.0)) and np.ptp(v) > 0.5
    assert np.all(start["s"][0, 0] == 0)
    child = simulate(net.keep_neurons([2, 5]), duration="2 ms", record="v").samples["v"][0, 0]
    np.testing.assert_array_equal(child, v[[2, 5]])
    given = np.linspace(0, 0.9, 24).reshape(2, 12)
    run = simulate(net, duration="2 ms", record=["v", "s"], copies=2,
                   initial_state={"v": given, "s": 0.3})  # fmt: skip
    np.testing.assert_array_equal(run.samples["v"][:, 0], given)
    np.testing.assert_array_equal(run.samples["s"][:, 0], np.full((2, 12), 0.3))
    theta = simulate(random_net("qif"), duration="1 ms", record="theta").samples["theta"]
    assert np.all(np.abs(theta[0, 0]) <= np.pi) and np.ptp(theta) > np.pi


def test_a_run_goes_on_from_its_final_state() -> None:
    # Without refractoriness the state is all there is.
    net, stimulus = random_net(t_ref=0.0), noise()
    whole = simulate(net, stimulus)
    first = simulate(net, stimulus, duration="50 ms")
    rest = Stimulus(stimulus.current[5:], "10 ms")
    late = simulate(net, rest, initial_state={k: v[0] for k, v in first.final_state.items()})
    np.testing.assert_array_equal(np.concatenate([first.i, late.i]), whole.i)
    np.testing.assert_allclose(np.concatenate([first.t, late.t + 0.05]), whole.t, atol=1e-9)


def test_frozen_input_holds_its_rows_and_its_columns() -> None:
    stimulus = Stimulus(np.arange(12.0).reshape(4, 3) / 100, "3 ms")
    net = HRSNN("lif_exp", 3, i=[], j=[], w=[], tau_m=0.02)
    run = simulate(net, stimulus, dt="0.3 ms", record=["i_stim"], sample_dt="1.5 ms")
    np.testing.assert_allclose(run.sample_t, 0.0015 * np.arange(8))
    np.testing.assert_array_equal(run.samples["i_stim"][0], np.repeat(stimulus.current, 2, axis=0))


def test_durations_are_counted_in_steps() -> None:
    net = random_net()
    assert simulate(net, duration="2.6 ms").duration == pytest.approx(0.003)
    long, short = simulate(net, noise()), simulate(net, noise(), duration="50 ms")
    assert long.duration == pytest.approx(0.2)
    assert short.duration == pytest.approx(0.05)
    early = long.t < 0.05 - 1e-9
    np.testing.assert_array_equal(short.i, long.i[early])


TRIALS = Stimulus(np.zeros((3, 4, 12)), "5 ms")
BAD: list[tuple[dict[str, Any], str]] = [
    ({"net": "net"}, "net"),
    ({"net": None}, "net"),
    ({"stimulus": np.zeros((3, 12))}, "stimulus"),
    ({"stimulus": Stimulus(np.zeros((3, 5)), "10 ms")}, "stimulus"),
    ({"stimulus": [noise(), noise()]}, "stimulus"),
    ({"stimulus": [3]}, "stimulus"),
    ({"duration": None}, "duration"),
    ({"duration": 0.1}, "duration"),
    ({"duration": "0 s"}, "duration"),
    ({"duration": np.inf * second}, "duration"),
    ({"duration": "0.1 ms"}, "duration"),
    ({"stimulus": noise(), "duration": "1 s"}, "duration"),
    ({"stimulus": TRIALS, "duration": "10 ms"}, "duration"),
    ({"dt": 0.001}, "dt"),
    ({"dt": "-1 ms"}, "dt"),
    ({"stimulus": noise(), "dt": "3 ms"}, "dt"),
    ({"stimulus": noise(), "dt": "20 ms", "duration": "100 ms"}, "dt"),
    ({"initial_state": {"u": 0.0}}, "initial_state"),
    ({"initial_state": [0.0]}, "initial_state"),
    ({"initial_state": 0.0}, "initial_state"),
    ({"initial_state": {"v": np.zeros(5)}}, "initial_state['v']"),
    ({"initial_state": {"v": np.nan}}, "initial_state['v']"),
    ({"initial_state": {"v": 1 * ms}}, "initial_state['v']"),
    ({"initial_state": {"v": "rest"}}, "initial_state['v']"),
    ({"initial_state": {"v": np.zeros((2, 12))}}, "initial_state['v']"),
    ({"record": ["voltage"]}, "record"),
    ({"record": "voltage"}, "record"),
    ({"record": 3}, "record"),
    ({"record": [3]}, "record"),
    ({"sample_dt": 0.001}, "sample_dt"),
    ({"sample_dt": "1.5 ms"}, "sample_dt"),
    ({"sample_dt": "0.5 ms"}, "sample_dt"),
    ({"stimulus": TRIALS, "duration": None, "copies": 2, "sample_dt": "3 ms"}, "sample_dt"),
    ({"copies": 0}, "copies"),
    ({"copies": 1.5}, "copies"),
    ({"copies": True}, "copies"),
    ({"copies": "2"}, "copies"),
    ({"seed": -1}, "seed"),
    ({"seed": 0.5}, "seed"),
    ({"seed": None}, "seed"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "field"), BAD, ids=[f"{f}-{k}" for k, (_, f) in enumerate(BAD)])
def test_bad_arguments_are_refused_by_name(change: dict[str, Any], field: str) -> None:
    good = {"net": random_net(), "duration": "10 ms"}
    with pytest.raises(ParameterError) as caught:
        simulate(**{**good, **change})
    assert caught.value.field == field


def test_bare_numbers_are_unit_errors() -> None:
    for change in ({"duration": 1.0}, {"dt": 0.001}, {"sample_dt": 0.001}):
        with pytest.raises(UnitError):
            simulate(random_net(), **{"duration": "10 ms", **change})


@pytest.mark.parametrize(
    ("nets", "stimulus", "state", "field"),
    [
        ([], None, None, "nets"),
        ([random_net(), random_net("qif")], None, None, "nets"),
        ([random_net(), 3], None, None, "net"),
        ([random_net()] * 2, [noise()], None, "stimulus"),
        ([random_net()] * 2, [noise(), noise(rows=10)], None, "stimulus"),
        ([random_net()] * 2, None, [{}], "initial_state"),
        ([random_net()] * 2, None, [{}, 3], "initial_state"),
    ],
)
def test_bad_batches_are_refused(nets: Any, stimulus: Any, state: Any, field: str) -> None:
    with pytest.raises(ParameterError) as caught:
        simulate_batch(nets, stimulus, duration="10 ms", initial_state=state)
    assert caught.value.field == field


def test_two_input_spikes_of_a_channel_in_one_step_are_refused() -> None:
    spikes = SpikeInput(t=[0.0011, 0.0019], channel=[0, 0], weights=np.ones((1, 12)), trial=0)
    stimulus = Stimulus(np.zeros((3, 12)), "10 ms", spikes)
    with pytest.raises(ParameterError, match="SpikeInput"):
        simulate(random_net(), stimulus, dt="1 ms")
    assert simulate(random_net(), stimulus, dt="0.5 ms").duration == pytest.approx(0.03)


def test_one_trial_must_exist() -> None:
    run = simulate(random_net(), duration="10 ms")
    assert same(run.one_trial(0), run)
    for k in (1, -1, 0.5):
        with pytest.raises(ParameterError, match="k"):
            run.one_trial(k)  # type: ignore[arg-type]


def test_damaged_trajectories_do_not_load(tmp_path: Path) -> None:
    run = simulate(random_net(), noise(), record=["v"])
    for change in (
        {"i": run.i + 12},
        {"trial": run.trial + 1},
        {"t": run.t[1:]},
        {"n": 11},
        {"samples": {"v": run.samples["v"][:, 1:]}},
    ):
        values = {name: getattr(run, name) for name in Trajectory.__dataclass_fields__}
        path = save(Trajectory(**{**values, **change}), tmp_path / "run.npz")
        with pytest.raises(FormatError):
            load(path)


def test_to_brian2_and_simulate_share_the_names_of_objects_without_a_clash() -> None:
    objects = to_brian2(random_net(), dt="1 ms")
    run = simulate(random_net(), duration="20 ms")
    spikes = SpikeMonitor(objects.group)
    objects.network(spikes).run(20 * ms)
    assert run.n_spikes > 0
    assert spikes.num_spikes > 0


def test_inputs_do_not_stay_in_memory_after_a_run():
    # Brian2 keeps what its caches were asked for; a function that holds an input must not be it.
    net = sample_hrsnn(HRSNNSpec(n=20), seed=1)
    held = []
    for k in range(4):
        stimulus = Stimulus(np.full((20, 20), 0.1 * k), "1 ms")
        held.append(weakref.ref(stimulus.current))
        simulate(net, stimulus)
        del stimulus
    gc.collect()
    # Whatever a cache keeps of the first run it may keep; not one array a run.
    assert sum(ref() is not None for ref in held) <= 1


@pytest.mark.parametrize(
    ("sizes", "trials", "copies", "rounds"),
    [((100,), 200, 64, 4), ((1000,), 100, 8, 13), ((400, 600), 100, 8, 13), ((9000,), 3, 1, 3),
     ((100,), 5, 5, 1)],
)  # fmt: skip
def test_trials_side_by_side_are_as_many_as_suit_the_size(
    sizes: tuple[int, ...], trials: int, copies: int, rounds: int
) -> None:
    nets = [HRSNN("lif_exp", n, i=[], j=[], w=[], tau_m=0.02) for n in sizes]
    stimuli = [Stimulus(np.zeros((trials, 1, n)), "10 ms") for n in sizes]
    given: dict[str, Any] = {
        "duration": None, "dt": "1 ms", "initial_state": None, "record": (), "sample_dt": None,
        "seed": 0,
    }  # fmt: skip
    plan = make_plan(nets, stimuli, copies=None, **given)
    assert (plan.copies, plan.rounds, plan.n_trials) == (copies, rounds, trials)
    assert make_plan(nets, stimuli, copies=3, **given).copies == 3
