"""Trials one after the other: the state is put back inside Brian2 itself."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from brian2 import NeuronGroup

from models_eq.frozen import named_clock


def reset_between_trials(
    group: NeuronGroup, start: Mapping[str, np.ndarray], length: float
) -> None:
    """Put every copy back to its initial state at the start of each trial.

    Parameters
    ----------
    group : NeuronGroup
        All copies.
    start : Mapping of str to ndarray, shape (total,)
        Initial state, which the group holds as further variables ``start_...``.
    length : float, s
        Length of a trial.
    """
    for name, value in start.items():
        dim = group.variables[name].dim
        group.variables.add_array(f"start_{name}", size=len(group), dimensions=dim)
        group.variables[f"start_{name}"].set_value(np.asarray(value, dtype=float))
    lines = [f"{name} = start_{name}" for name in start]
    group.run_regularly(
        # Writes to the membrane are conditional on not_refractory, so that comes first.
        "\n".join(["not_refractory = True", *lines, "t_release = -1*second"]),
        clock=named_clock(f"{group.name}_trials_clock", length),
        when="start",
        order=0,
        name=f"{group.name}_trials",
    )
