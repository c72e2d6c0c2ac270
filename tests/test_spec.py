"""HRSNNSpec and sample_hrsnn: the reference regime, independence of streams, errors."""

from __future__ import annotations

import dataclasses
import json
import pickle

import numpy as np
import pytest
from brian2.units.allunits import msecond as ms

from models_eq.distributions import Clipped, Delta, Gamma, LogNormal, Normal, Uniform
from models_eq.errors import ParameterError, UnitError
from models_eq.spec import HRSNNSpec, sample_hrsnn
from models_eq.topology import Clustered, ErdosRenyi, FixedInDegree, SmallWorld
from models_eq.units import TIME

CHRSNN = HRSNNSpec(
    n=120,
    topology=Clustered(3, 12, 0.75),
    cluster_tau_m=("5 ms", Gamma(4, "20 ms"), Uniform("50 ms", "90 ms")),
)
ALIF = HRSNNSpec(
    n=60, model="alif", params={"tau_a": LogNormal("200 ms", 0.4), "jump_a": Uniform(0.05, 0.2)}
)
SPECS = [HRSNNSpec(), CHRSNN, ALIF, HRSNNSpec(n=50, model="qif", topology=ErdosRenyi(0.1))]


def same(a: object, b: object, *names: str) -> bool:
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def test_defaults_are_the_reference_regime() -> None:
    net = sample_hrsnn(HRSNNSpec(), seed=1)
    assert net.n == 400 and net.model == "lif_exp"
    assert (net.in_degree == 80).all()
    assert net.is_exc.sum() == 320 and net.obeys_dale
    assert net.tau_m.min() >= 0.003 and net.tau_m.max() <= 0.150
    assert set(net.tau_syn) == {0.02} and set(net.t_ref) == {0.002}
    assert set(net.v_rest) == {0.0} and set(net.v_th) == {1.0} and set(net.v_reset) == {0.0}
    assert 0.6 <= net.i_ext.min() < 0.62 and 1.28 < net.i_ext.max() < 1.3
    sd = np.sqrt(HRSNNSpec().tau_m.variance)
    assert abs(net.tau_m.mean() - HRSNNSpec().tau_m.mean) < 4.5 * sd / 20


@pytest.mark.parametrize("n", [100, 400])
def test_weights_scale_with_one_over_root_k(n: int) -> None:
    net = sample_hrsnn(HRSNNSpec(n=n), seed=2)
    exc = net.is_exc[net.i]
    size = np.where(exc, net.w, -net.w / 5)
    truth = 0.06 * np.sqrt(80 / (0.2 * n))
    se = 0.7 * truth / np.sqrt(size.size)
    assert abs(size.mean() - truth) < 4.5 * se
    assert abs(size.mean() - 1.06 * truth) > 4.5 * se  # negative control
    assert abs(size[exc].mean() - truth) < 4.5 * 0.7 * truth / np.sqrt(exc.sum())
    # Gamma with cv c: the squared cv of a sample has standard error near 2 c^2 sqrt((1+3c^2)/2m).
    cv2 = size.var() / size.mean() ** 2
    assert abs(cv2 - 0.49) < 4.5 * 2 * 0.49 * np.sqrt((1 + 3 * 0.49) / (2 * size.size))


def test_equal_weights_and_inhibition() -> None:
    spec = HRSNNSpec(n=50, topology=FixedInDegree(5), weight_cv=0, inhibition=3, coupling_k=20)
    net = sample_hrsnn(spec, seed=0)
    assert sorted(set(net.w)) == pytest.approx([-3 * 0.12, 0.12])
    assert spec.mean_weight == pytest.approx(0.12)


def test_no_synapses_and_no_coupling() -> None:
    assert sample_hrsnn(HRSNNSpec(n=5, topology=FixedInDegree(0))).n_synapses == 0
    assert sample_hrsnn(HRSNNSpec(n=1, topology=ErdosRenyi(0.5))).n_synapses == 0
    assert (sample_hrsnn(HRSNNSpec(n=20, coupling=0)).w == 0).all()


def test_deterministic_in_the_seed() -> None:
    for spec in SPECS:
        a, b, c = (sample_hrsnn(spec, seed=s) for s in (3, 3, 4))
        assert a.digest == b.digest != c.digest


EVERYTHING = ("i", "j", "w", "tau_m", "tau_syn", "t_ref", "i_ext", "is_exc")


@pytest.mark.parametrize(
    ("change", "touched"),
    [
        ({"tau_m": Gamma(3, "20 ms")}, {"tau_m"}),
        ({"tau_m": Normal("20 ms", "9 ms", low="1 ms")}, {"tau_m"}),
        ({"tau_m": "20 ms"}, {"tau_m"}),
        ({"tau_syn": Gamma(2, "5 ms")}, {"tau_syn"}),
        ({"t_ref": Uniform("1 ms", "3 ms")}, {"t_ref"}),
        ({"i_ext": Normal(1, 0.1)}, {"i_ext"}),
        ({"coupling": 0.1}, {"w"}),
        ({"weight_cv": 0.3}, {"w"}),
        ({"topology": FixedInDegree(0.2)}, {"i", "j", "w"}),
        ({"topology": SmallWorld(0.3, 0.3)}, {"i", "j", "w"}),
        ({"fraction_exc": 0.7}, {"is_exc", "w"}),
    ],
    # The order of a set differs between the processes of a parallel run, and names may not.
    ids=lambda v: " ".join(sorted(v)) if isinstance(v, set) else str(v),
)
def test_one_choice_never_shifts_another(change: dict, touched: set) -> None:
    base = HRSNNSpec(n=80)
    a, b = sample_hrsnn(base, seed=5), sample_hrsnn(dataclasses.replace(base, **change), seed=5)
    for name in EVERYTHING:
        if name not in touched:
            assert same(a, b, name), name
    assert not all(same(a, b, name) for name in touched)


def test_signs_do_not_shift_the_sizes_of_weights() -> None:
    a = sample_hrsnn(HRSNNSpec(n=80, inhibition=1), seed=5)
    b = sample_hrsnn(HRSNNSpec(n=80, inhibition=1, fraction_exc=0.5), seed=5)
    assert np.array_equal(np.abs(a.w), np.abs(b.w)) and not same(a, b, "w")


def test_one_parameter_of_the_model_never_shifts_another() -> None:
    both = sample_hrsnn(ALIF, seed=6)
    for name in ("tau_a", "jump_a"):
        one = sample_hrsnn(dataclasses.replace(ALIF, params={name: ALIF.params[name]}), seed=6)
        assert np.array_equal(one.params[name], both.params[name])
        assert same(one, both, *EVERYTHING)
    assert set(one.params["tau_a"]) == {0.2}  # the default of the model
    plain = sample_hrsnn(dataclasses.replace(ALIF, model="lif_exp", params={}), seed=6)
    assert same(plain, both, *EVERYTHING)


def test_quantities_are_drawn_independently() -> None:
    spec = HRSNNSpec(n=4000, topology=FixedInDegree(1), tau_m=Uniform("1 ms", "9 ms"),
                     tau_syn=Uniform("1 ms", "9 ms"))  # fmt: skip
    net = sample_hrsnn(spec, seed=7)
    drawn = np.corrcoef([net.tau_m, net.tau_syn, net.i_ext, net.is_exc])
    off = drawn[~np.eye(4, dtype=bool)]
    assert np.abs(off).max() < 4.5 / np.sqrt(4000)


def test_clusters_have_their_own_time_constants() -> None:
    net = sample_hrsnn(CHRSNN, seed=8)
    assert np.array_equal(np.bincount(net.cluster), [40, 40, 40])
    assert set(net.tau_m[net.cluster == 0]) == {0.005}
    slow = net.tau_m[net.cluster == 2]
    assert slow.min() >= 0.05 and slow.max() < 0.09
    inside = net.cluster[net.i] == net.cluster[net.j]
    assert inside.mean() == 0.75
    for c in range(3):
        assert net.is_exc[net.cluster == c].sum() == 32
    one = dataclasses.replace(CHRSNN, cluster_tau_m=("9 ms", *CHRSNN.cluster_tau_m[1:]))
    other = sample_hrsnn(one, seed=8)
    assert np.array_equal(other.tau_m[40:], net.tau_m[40:])
    assert same(net, other, "i", "j", "w", "i_ext")


def test_homogeneous_control() -> None:
    spec = dataclasses.replace(ALIF, tau_syn=Gamma(2, "10 ms"), t_ref=Uniform("1 ms", "3 ms"))
    control = spec.homogeneous()
    assert control.tau_m == Delta(spec.tau_m.mean, dimension=TIME)
    assert control.params["jump_a"] == spec.params["jump_a"]
    assert control.homogeneous() == control
    a, b = sample_hrsnn(spec, seed=9), sample_hrsnn(control, seed=9)
    assert same(a, b, "i", "j", "w", "i_ext", "is_exc")
    for array in (b.tau_m, b.tau_syn, b.t_ref, b.params["tau_a"]):
        assert np.ptp(array) == 0
    assert b.tau_syn[0] == pytest.approx(0.01) and b.t_ref[0] == pytest.approx(0.002)
    assert HRSNNSpec().homogeneous().tau_m.mean == HRSNNSpec().tau_m.mean != 0.02


def test_homogeneous_control_of_clusters() -> None:
    control = CHRSNN.homogeneous()
    assert control.cluster_tau_m is None and control.topology == CHRSNN.topology
    assert control.tau_m.mean == pytest.approx((0.005 + 0.02 + 0.07) / 3)


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.model)
def test_plain_values_and_pickle_round_trip(spec: HRSNNSpec) -> None:
    again = HRSNNSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec and hash(again) == hash(spec)
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert sample_hrsnn(again, seed=1) == sample_hrsnn(spec, seed=1)


def test_from_dict_takes_defaults_and_text() -> None:
    spec = HRSNNSpec.from_dict({"n": 100, "tau_m": "20 ms", "topology": {"kind": "FixedInDegree",
                                "k": 10}})  # fmt: skip
    assert spec == HRSNNSpec(n=100, tau_m=20 * ms, topology=FixedInDegree(10))
    assert HRSNNSpec.from_dict({}) == HRSNNSpec()


def test_history_tells_how_the_network_came_about() -> None:
    net = sample_hrsnn(CHRSNN, seed=11)
    (entry,) = net.history
    assert entry["step"] == "sample" and entry["seed"] == 11
    assert HRSNNSpec.from_dict(entry["spec"]) == CHRSNN


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tau_m": 20}, "tau_m"),
        ({"tau_m": 0.02}, "tau_m"),
        ({"tau_m": Gamma(3, 20)}, "tau_m"),
        ({"tau_syn": "5 mV"}, "tau_syn"),
        ({"t_ref": 2}, "t_ref"),
        ({"i_ext": "1 ms"}, "i_ext"),
        ({"coupling": "1 ms"}, "coupling"),
        ({"model": "alif", "params": {"tau_a": 0.2}}, "params.tau_a"),
        ({"model": "alif", "params": {"jump_a": "2 ms"}}, "params.jump_a"),
    ],
    ids=str,
)
def test_units_are_asked_for(change: dict, field: str) -> None:
    with pytest.raises(UnitError) as caught:
        HRSNNSpec(**change)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"n": 0}, "n"),
        ({"n": 10.5}, "n"),
        ({"model": "hodgkin"}, "model"),
        ({"model": 3}, "model"),
        ({"topology": "ring"}, "topology"),
        ({"n": 50, "topology": FixedInDegree(50)}, "FixedInDegree.k"),
        ({"tau_m": "0 ms"}, "tau_m"),
        ({"tau_m": Normal("20 ms", "5 ms")}, "tau_m"),
        ({"tau_m": Normal("20 ms", "5 ms", low="0 ms")}, "tau_m"),
        ({"tau_m": Clipped(Normal("20 ms", "5 ms"), "0 ms", "30 ms")}, "tau_m"),
        ({"tau_m": Uniform("0 ms", "5 ms")}, "tau_m"),
        ({"t_ref": Normal("2 ms", "1 ms")}, "t_ref"),
        ({"fraction_exc": 1.5}, "fraction_exc"),
        ({"coupling": -0.1}, "coupling"),
        ({"coupling_k": 0}, "coupling_k"),
        ({"weight_cv": -1}, "weight_cv"),
        ({"inhibition": np.nan}, "inhibition"),
        ({"v_th": 0}, "v_th"),
        ({"params": {"tau_a": "200 ms"}}, "params.tau_a"),
        ({"params": 3}, "params"),
        ({"model": "alif", "params": {"tau_a": "0 ms"}}, "params.tau_a"),
        ({"cluster_tau_m": ("5 ms",)}, "cluster_tau_m"),
        ({"topology": Clustered(2, 9, 0.5), "cluster_tau_m": ("5 ms",)}, "cluster_tau_m"),
        ({"topology": Clustered(2, 9, 0.5), "cluster_tau_m": "5 ms"}, "cluster_tau_m"),
        ({"topology": Clustered(1, 9, 1.0), "cluster_tau_m": ("0 ms",)}, "cluster_tau_m[0]"),
    ],
    ids=str,
)
def test_impossible_values_are_refused(change: dict, field: str) -> None:
    with pytest.raises(ParameterError) as caught:
        HRSNNSpec(**change)
    assert caught.value.field == field


def test_other_errors() -> None:
    with pytest.raises(ParameterError, match=r"spec\.neurons"):
        HRSNNSpec.from_dict({"neurons": 5})
    with pytest.raises(ParameterError, match="spec"):
        sample_hrsnn({"n": 5}, seed=0)  # type: ignore[arg-type]
    for seed in (-1, 1.5, True):
        with pytest.raises(ParameterError, match="seed"):
            sample_hrsnn(HRSNNSpec(n=10), seed=seed)  # type: ignore[arg-type]
