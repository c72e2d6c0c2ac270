"""``prune_model``: pruning on a user's own NeuronGroup and Synapses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from brian2 import Network, NeuronGroup, Synapses
from brian2.core.magic import collect
from brian2.core.namespace import get_local_namespace

from brain_lnp.usermodel.fidelity import ModelFidelity
from brain_lnp.usermodel.pruning import ModelPruning
from models_eq.errors import ParameterError
from models_eq.rng import check_seed
from models_eq.units import positive_seconds


@dataclass(frozen=True, eq=False, repr=False)
class PrunedModel:
    """What to keep of a user's model, and the pruned model itself.

    Attributes
    ----------
    method : str
    seed : int
    kept_neurons : ndarray of int, shape (k,)
        Indices into the group, ascending.
    kept_synapses : dict of str to ndarray of int
        Indices into each of the Synapses, ascending, by its name.
    gains : dict of str to tuple of float
        Factors that keep the variance (or the mean) of the input: of the excitatory and of the
        inhibitory kicks of each of the Synapses. Not applied with ``compensate=False``.
    applied : dict of str to str
        How: ``"w multiplied"``, ``"pruning_gain in on_pre"`` or ``"unchanged"``.
    kicks : dict of str to ndarray
        Signed kick of every synapse of each of the Synapses, as the choice saw it: in distances
        from reset to threshold where these can be read. Empty where none were needed.
    exponents : ndarray, shape (n,), 1/s, or None
        Node exponents used, for ``lnp``.
    exponents_from : str
        ``"lif"``, ``"leak"``, ``"given"``, or ``""`` where none were used.
    rates : ndarray, shape (n,), Hz, or None
        Rates of the user's model; None where it was not run.
    fidelity : ModelFidelity or None
        How well the pruned model does what the model did. None with ``measure=False``.
    untreated : ModelFidelity or None
        The same with nothing but the synapses taken out, the gains not applied.
    ceiling : ModelFidelity or None
        The same for the model itself, run again from another initial state and, where it draws
        random numbers, with others: what any stand-in can be expected to reach. None too where
        all neurons start alike and threshold and reset cannot be read.
    diagnostics : dict
        What the choice measured of itself.
    notes : tuple of str
        What one should know of this result.
    group : NeuronGroup or None
        The neurons kept; None with ``rebuild=False``.
    synapses : dict of str to Synapses or None
        The synapses kept, by the name of the original; None where none is left.
    inputs : tuple
        Copies of everything else that acts on the neurons.
    """

    method: str
    seed: int
    kept_neurons: np.ndarray
    kept_synapses: dict[str, np.ndarray]
    gains: dict[str, tuple[float, float]]
    applied: dict[str, str]
    kicks: dict[str, np.ndarray] = field(default_factory=dict)
    exponents: np.ndarray | None = None
    exponents_from: str = ""
    rates: np.ndarray | None = None
    fidelity: ModelFidelity | None = None
    untreated: ModelFidelity | None = None
    ceiling: ModelFidelity | None = None
    diagnostics: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    group: NeuronGroup | None = None
    synapses: dict[str, Synapses | None] = field(default_factory=dict)
    inputs: tuple[Any, ...] = ()

    def __repr__(self) -> str:
        return (
            f"PrunedModel({self.method}, {self.kept_neurons.size} neurons, "
            f"{self.n_synapses} synapses)"
        )

    @property
    def n_synapses(self) -> int:
        """Number of synapses kept, all Synapses together."""
        return sum(index.size for index in self.kept_synapses.values())

    def network(self, *more: Any) -> Network:
        """Network of the rebuilt model and of ``more`` objects, such as monitors.

        Raises
        ------
        ParameterError
            If the model was not rebuilt.
        """
        if self.group is None:
            raise ParameterError("rebuild", "a rebuilt model", "rebuild=False")
        parts = [x for x in self.synapses.values() if x is not None]
        return Network(self.group, *parts, *self.inputs, *more)


def prune_model(
    group: NeuronGroup,
    connections: Synapses | Sequence[Synapses],
    *,
    synapses: float | int | Mapping[str, float | int],
    neurons: float | int = 1.0,
    method: str = "lnp",
    weight: Any = None,
    tau: Any = None,
    membrane: str | None = None,
    exponents: Any = "auto",
    neuron_score: str | None = None,
    drive: Any = None,
    duration: Any = "2 s",
    dt: Any = None,
    seed: int = 0,
    namespace: Mapping[str, Any] | None = None,
    compensate: bool | str = True,
    rebuild: bool = True,
    measure: bool = True,
    prefix: str = "pruned",
    level: int = 0,
) -> PrunedModel:
    """Prune a NeuronGroup and its recurrent Synapses as they stand in a user's script.

    The objects that are passed in stay as they are: everything is read from them, run on copies,
    and returned as indices and as new objects.

    Parameters
    ----------
    group : NeuronGroup
        The neurons.
    connections : Synapses or sequence of Synapses
        From the group (or a part of it) to itself: any names, variables, delays and pathways,
        plastic ones too.
    synapses : float or int, or mapping of str to these
        Fraction in (0, 1], or count above 1, to keep of all Synapses together; or of each
        one by its name.
    neurons : float or int
        The same for neurons.
    method : {'lnp', 'noise', 'magnitude', 'random_matched', 'random'}
        ``lnp``: one step of Lyapunov Noise Pruning, L |w|, with balanced degrees. ``noise``: noise
        pruning with the kicks themselves. ``magnitude``: the largest kicks. ``random_matched``:
        chance with balanced degrees. ``random``: chance.
    weight : str, Quantity, float, array or None; or a sequence or mapping of these
        Signed kick of each synapse: name of a synaptic variable or of a constant, or numbers; a
        sequence goes by the order of the connections, a mapping by their names. By default
        it is read from ``on_pre``, at the present values.
    tau : str, Quantity, array or None
        Membrane time constant: name of a variable or a constant, or a time. By default read
        from a leak in the equations.
    membrane : str, optional
        Name of the membrane potential; by default the first variable that the threshold names.
    exponents : {'auto', 'lif', 'leak'} or array, shape (n,), 1/s
        Node exponents for ``lnp``: conditional ones of a leaky integrate-and-fire neuron in its own
        run, or -1/tau, or your own. ``auto`` takes the first where the model is of that
        kind, else the second; ``exponents_from`` and ``notes`` say which.
    neuron_score : {'betweenness', 'degree', 'rate', 'random'}, optional
        By which neurons are kept, silent ones going first; by default ``betweenness`` for ``lnp``
        and ``noise``, else ``random``.
    drive : Network or sequence of Brian2 objects, optional
        Where to look for what else acts on the neurons (input groups, their Synapses,
        PoissonInputs). By default what the caller sees, as ``run`` does it.
    duration : Quantity or str
        Length of the runs on copies.
    dt : Quantity or str, optional
        Time step of these runs; by default the group's own.
    seed : int
        Seed of everything random.
    namespace : Mapping, optional
        Where names are looked up that the objects do not know; by default the caller's scope.
    compensate : bool or {'variance', 'mean'}
        Apply ``gains`` to the rebuilt synapses: to the synaptic parameter that the kick is
        proportional to, or, where that is a constant or learns, as a factor ``pruning_gain``, a
        new synaptic parameter in the statement of ``on_pre``. They keep the variance of the input
        of each sign (also True), or its mean, which rates may follow more closely.
    rebuild : bool
        Build new objects, on the present device.
    measure : bool
        Run the model before and after on copies, and report the fidelity, beside that of the
        untreated mask and that of the model to itself: four runs.
    prefix : str
        What the names of new objects start with.
    level : int
        How much further up the caller is.

    Returns
    -------
    PrunedModel

    Raises
    ------
    ParameterError, UnitError
        For what is wrong with an argument, by name, or what cannot be read from the model.
    BudgetError
        For a budget that cannot be met.
    CapabilityError
        For what cannot be copied (linked variables, compartments), or is not known before a
        standalone run.
    SilentNetworkError
        If the model does not spike where its rates are needed.

    Notes
    -----
    Several synapses between two neurons count as one of the sum of their sizes where the graph
    matters (L, covariance, betweenness) and share its score by size; each is kept or
    dropped by itself. Kicks are compared in distances from reset to threshold.

    Runs of this function take place in runtime mode, on ``numpy`` where Brian2 or
    :func:`~models_eq.use_device` is set to it and else on ``cython``, from the present values at
    time 0. Spikes under way in delays are left out, input that depends on time starts anew, and
    variables that hold a time of their own are carried as they are.
    ``lnp`` and ``noise`` solve a Lyapunov equation, O(n^3): about a minute at n = 4000.

    Rebuilt objects keep the clocks and namespaces of the originals; ``run()`` does not see them in
    the result: use :meth:`PrunedModel.network`. To prune the result again, pass its ``inputs`` as
    ``drive``.

    References
    ----------
    Chakraborty, Kang, Kumar & Mukhopadhyay 2024, arXiv 2403.03409; Moore & Chaudhuri 2020,
    arXiv 2011.07334.

    Examples
    --------
    >>> from brian2 import NeuronGroup, Synapses, ms
    >>> from models_eq import use_device
    >>> group = NeuronGroup(20, "dv/dt = (1.2 - v)/(10*ms) : 1", threshold="v > 1",
    ...                     reset="v = 0", method="exact")
    >>> synapses = Synapses(group, group, "w : 1", on_pre="v_post += w")
    >>> with use_device("numpy"):
    ...     synapses.connect(i=[k for k in range(20) for _ in range(3)],
    ...                      j=[(k + d) % 20 for k in range(20) for d in (1, 2, 5)])
    ...     synapses.w = 0.01
    ...     pruned = prune_model(group, synapses, synapses=0.5, duration="0.2 s", rebuild=False)
    >>> pruned
    PrunedModel(lnp, 20 neurons, 30 synapses)
    """
    if namespace is None:
        namespace = get_local_namespace(level + 1)
    visible = list(collect(level + 1))
    pruning = ModelPruning(
        group, connections, method=method, exponents=exponents, neuron_score=neuron_score,
        drive=drive, visible=visible, duration=positive_seconds(duration, "duration"),
        dt=None if dt is None else positive_seconds(dt, "dt"), seed=check_seed(seed),
        namespace=namespace, compensate=compensate,
    )  # fmt: skip
    pruning.read(weight, tau, membrane)
    found = pruning.prune(synapses, neurons, rebuild=rebuild, measure=measure, prefix=prefix)
    return PrunedModel(**found)
