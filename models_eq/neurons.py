"""Neuron models as Brian2 text: equations, threshold, reset and synaptic action.

Names are lower case throughout because CUDA code generation lower-cases run arguments.
``v`` is dimensionless. The input current of a step, ``i_stim``, is held constant over it,
so the exact propagators below stay exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from brian2.stateupdaters.base import StateUpdateMethod

from models_eq.errors import ParameterError

_COMMON = """
i_stim : 1
channel : integer (constant)
t_release : second
i_ext : 1 (constant)
tau_m : second (constant)
t_ref : second (constant)
"""

_LIF = """
v_rest : 1 (constant)
v_th : 1 (constant)
v_reset : 1 (constant)
decay_m : 1 (constant)
"""

# The release is the first step that is integrated again, hence at least one step later.
_RESET = "v = v_reset\nt_release = t + clip(t_ref, dt, 1e9*second)"

Arrays = Mapping[str, np.ndarray]


class ExactPropagator(StateUpdateMethod):
    """State updater that emits a given exact one-step map instead of deriving one.

    Brian2's ``method='exact'`` divides by ``tau_m - tau_syn`` and returns NaN where they are
    equal, and evaluates ``exp(-dt/tau)`` for every neuron in every step. Here the
    propagators are per-neuron constants, computed once for a given dt.

    Parameters
    ----------
    code : str
        Abstract code of one step.
    """

    def __init__(self, code: str) -> None:
        self.code = code

    def __call__(self, equations, variables=None, method_options=None):  # type: ignore[no-untyped-def]
        """Return the abstract code; the equations are documentation of what it integrates."""
        return self.code


@dataclass(frozen=True)
class NeuronModel:
    """One neuron model as Brian2 text.

    Attributes
    ----------
    name : str
        Name used in :class:`~models_eq.HRSNN`.
    equations : str
        Differential equations and parameters, as Brian2 reads them.
    threshold, reset : str
        Condition of a spike and statements after it.
    on_pre : str
        Statements on the postsynaptic side at a presynaptic spike; ``w`` is the weight.
    method : StateUpdateMethod or str
        How one step is integrated.
    state : tuple of str
        State variables, in order; the first is the membrane.
    propagators : callable
        ``propagators(arrays, dt)`` gives the per-neuron constants of the exact map.
    params : Mapping of str to float
        Further per-neuron parameters and their defaults (SI).
    param_units : Mapping of str to str
        ``"second"`` or ``"1"`` for each of ``params``.
    reference : str
        Where the model comes from.
    has_synaptic_current, has_refractory : bool
        Whether ``tau_syn`` and ``t_ref`` are used.
    """

    name: str
    equations: str
    threshold: str
    reset: str
    on_pre: str
    method: StateUpdateMethod | str
    state: tuple[str, ...]
    propagators: Callable[[Arrays, float], dict[str, np.ndarray]]
    reference: str
    params: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    param_units: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    has_synaptic_current: bool = True
    has_refractory: bool = True


def coupling(dt: float | np.ndarray, tau_m: np.ndarray, tau_syn: np.ndarray) -> np.ndarray:
    """Response of the membrane after ``dt`` to a unit synaptic current that decays.

    Parameters
    ----------
    dt : float or ndarray
        Time since the kick, s.
    tau_m, tau_syn : ndarray
        Membrane and synaptic time constants, s.

    Returns
    -------
    ndarray
        K(dt) = (exp(-dt/tau_syn) - exp(-dt/tau_m)) / (1 - tau_m/tau_syn), and its limit
        (dt/tau) exp(-dt/tau) where the two time constants agree.
    """
    # With x = dt/tau_syn - dt/tau_m the kernel is (dt/tau_m) exp(-dt/tau_m) (1 - e^-x)/x,
    # which has no cancellation and no special case but x = 0.
    x = dt / tau_syn - dt / tau_m
    safe = np.where(x == 0, 1.0, x)
    ratio = np.where(x == 0, 1.0, -np.expm1(-safe) / safe)
    return dt / tau_m * np.exp(-dt / tau_m) * ratio


def _lif_exp_propagators(p: Arrays, dt: float) -> dict[str, np.ndarray]:
    return {
        "decay_m": np.exp(-dt / p["tau_m"]),
        "decay_s": np.exp(-dt / p["tau_syn"]),
        "couple": coupling(dt, p["tau_m"], p["tau_syn"]),
    }


def _lif_delta_propagators(p: Arrays, dt: float) -> dict[str, np.ndarray]:
    return {"decay_m": np.exp(-dt / p["tau_m"])}


def _alif_propagators(p: Arrays, dt: float) -> dict[str, np.ndarray]:
    return {**_lif_exp_propagators(p, dt), "decay_a": np.exp(-dt / p["tau_a"])}


def _no_propagators(p: Arrays, dt: float) -> dict[str, np.ndarray]:
    return {}


_DRIVE = "_drive = v_rest + i_ext + i_stim\n"

LIF_EXP = NeuronModel(
    name="lif_exp",
    equations="""
dv/dt = (v_rest - v + s + i_ext + i_stim)/tau_m : 1 (unless refractory)
ds/dt = -s/tau_syn : 1
tau_syn : second (constant)
decay_s : 1 (constant)
couple : 1 (constant)
"""
    + _LIF
    + _COMMON,
    threshold="v > v_th",
    reset=_RESET,
    on_pre="s_post += w",
    method=ExactPropagator(_DRIVE + "v = _drive + decay_m*(v - _drive) + couple*s\ns = decay_s*s"),
    state=("v", "s"),
    propagators=_lif_exp_propagators,
    reference="Gerstner & Kistler 2002, Spiking Neuron Models, ch. 4 (exponential currents)",
)

LIF_DELTA = NeuronModel(
    name="lif_delta",
    equations="dv/dt = (v_rest - v + i_ext + i_stim)/tau_m : 1 (unless refractory)\n"
    + _LIF
    + _COMMON,
    threshold="v > v_th",
    reset=_RESET,
    on_pre="v_post += w",
    method=ExactPropagator(_DRIVE + "v = _drive + decay_m*(v - _drive)"),
    state=("v",),
    propagators=_lif_delta_propagators,
    reference="Brunel 2000, 10.1023/A:1008925309027",
    has_synaptic_current=False,
)

QIF = NeuronModel(
    name="qif",
    # growth is log|dtheta| of a perturbation of the neuron alone under its frozen input.
    equations="""
dtheta/dt = ((1 - cos(theta)) + (1 + cos(theta))*(i_ext + i_stim))/tau_m : 1
dgrowth/dt = sin(theta)*(1 - i_ext - i_stim)/tau_m : 1
"""
    + _COMMON,
    threshold="theta > pi",
    # A kick in the very step of a spike has brought the phase below pi already.
    reset="theta -= 2*pi*int(theta > pi)\nt_release = t + clip(t_ref, dt, 1e9*second)",
    on_pre="""kicked = tan(theta_post/2) + w
growth_post += log((1 + tan(theta_post/2)**2)/(1 + kicked**2))
theta_post = 2*arctan(kicked)""",
    method="rk4",
    state=("theta", "growth"),
    propagators=_no_propagators,
    reference="Ermentrout & Kopell 1986, 10.1137/0146017",
    has_synaptic_current=False,
    has_refractory=False,
)

ALIF = NeuronModel(
    name="alif",
    equations="""
dv/dt = (v_rest - v + s + i_ext + i_stim)/tau_m : 1 (unless refractory)
ds/dt = -s/tau_syn : 1
da/dt = -a/tau_a : 1
tau_syn : second (constant)
tau_a : second (constant)
jump_a : 1 (constant)
decay_s : 1 (constant)
decay_a : 1 (constant)
couple : 1 (constant)
"""
    + _LIF
    + _COMMON,
    threshold="v > v_th + a",
    reset=_RESET + "\na += jump_a",
    on_pre="s_post += w",
    method=ExactPropagator(
        _DRIVE + "v = _drive + decay_m*(v - _drive) + couple*s\ns = decay_s*s\na = decay_a*a"
    ),
    state=("v", "s", "a"),
    propagators=_alif_propagators,
    reference="Bellec et al. 2018, arXiv 1803.09574 (adaptive threshold)",
    params=MappingProxyType({"tau_a": 0.2, "jump_a": 0.1}),
    param_units=MappingProxyType({"tau_a": "second", "jump_a": "1"}),
)

MODELS: Mapping[str, NeuronModel] = MappingProxyType(
    {model.name: model for model in (LIF_EXP, LIF_DELTA, QIF, ALIF)}
)


def neuron_model(name: str) -> NeuronModel:
    """Look up a model by name.

    Raises
    ------
    ParameterError
        For an unknown name.
    """
    if not isinstance(name, str) or name not in MODELS:
        raise ParameterError("model", "one of " + ", ".join(MODELS), name)
    return MODELS[name]
