"""What pruning a user's synapses costs, and the factor in their weights that pays it back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from brian2 import Synapses
from brian2.units.fundamentalunits import Quantity

from brain_lnp.usermodel.kicks import Kick, KickReader
from brain_lnp.usermodel.objects import model_equations, values_of
from models_eq.brian_text import join, statements
from models_eq.errors import CapabilityError

GAIN = "pruning_gain"


@dataclass(frozen=True, eq=False)
class Payment:
    """How the gains of one Synapses are applied.

    Attributes
    ----------
    excitatory, inhibitory : float
        Factor of the kicks above and below 0.
    variable : str
        Synaptic parameter that is multiplied; "" for none.
    factor : str
        Name of a new synaptic parameter that the statements of `codes` multiply by.
    codes : dict of str to str
        Rewritten code by pathway.
    how : str
        The same in words.
    """

    excitatory: float = 1.0
    inhibitory: float = 1.0
    variable: str = ""
    factor: str = ""
    codes: dict[str, str] = field(default_factory=dict)
    how: str = "unchanged"

    @property
    def extra(self) -> str:
        """Equations to add."""
        return f"{self.factor} : 1 (constant)" if self.factor else ""

    def apply(self, new: Synapses | None, w: np.ndarray) -> None:
        """Write the gains into rebuilt synapses that have the kicks ``w``, shape (k,)."""
        if new is None or not (self.variable or self.factor):
            return
        gain = np.where(w >= 0, self.excitatory, self.inhibitory)
        if self.factor:
            setattr(new, self.factor, gain)
            return
        old = new.variables[self.variable]
        value = values_of(new, self.variable)
        gain = gain if value.ndim else gain[0]
        setattr(new, self.variable, Quantity(value * gain, dim=old.dim))


def gains_of(
    w: np.ndarray, j: np.ndarray, mask: np.ndarray, kept: np.ndarray, keep: str = "variance"
) -> tuple[float, float]:
    """Gains that keep the variance, or the mean, of the input through one kind of synapses.

    Parameters
    ----------
    w : ndarray, shape (m,)
        Kicks.
    j : ndarray of int, shape (m,)
        Target of each.
    mask : ndarray of bool, shape (m,)
        Synapses kept.
    kept : ndarray of int
        Neurons kept.
    keep : {'variance', 'mean'}

    Returns
    -------
    tuple of float
        Excitatory and inhibitory ``sqrt(sum of w^2 before / sum of w^2 kept)``, or ``sum of |w|
        before / sum of |w| kept``, over the neurons kept, inputs from removed ones counted; 1
        where a sign has nothing to scale.
    """
    before = np.isin(j, kept)
    power = 1 if keep == "mean" else 2
    found = []
    for sign in (1, -1):
        had = float(np.sum(np.abs(w[before & (w * sign > 0)]) ** power))
        has = float(np.sum(np.abs(w[mask & (w * sign > 0)]) ** power))
        found.append((had / has) ** (1 / power) if has > 0 and had != has else 1.0)
    return found[0], found[1]


def payment(
    reader: KickReader,
    kicks: list[Kick] | None,
    stated: Any,
    w: np.ndarray,
    gains: tuple[float, float],
) -> Payment:
    """How gains are to be applied to one Synapses.

    Parameters
    ----------
    reader : KickReader
    kicks : list of Kick or None
        None where they cannot be read.
    stated : object
        The weight as the user states it, if so.
    w : ndarray, shape (k,)
        Kicks of the synapses kept.
    gains : tuple of float

    Returns
    -------
    Payment

    Raises
    ------
    CapabilityError
        Where there is neither a weight to multiply nor a statement that adds a kick.

    Notes
    -----
    Where all kicks are proportional to one synaptic parameter that no code writes, that parameter
    is multiplied. Elsewhere, where the weight is a constant or learns (a bound of the
    learning rule would cut a multiplied weight), the statements become
    ``v += pruning_gain*(...)`` with a new synaptic parameter, which can be read and set.
    """
    synapses = reader.synapses
    if gains == (1.0, 1.0) or not w.size:
        return Payment()
    uniform = not ((w > 0).any() and (w < 0).any()) or gains[0] == gains[1]
    names = {k.variable for k in kicks or ()}
    variable = names.pop() if len(names) == 1 else ""
    equations = model_equations(synapses)
    if kicks is None and isinstance(stated, str) and stated in equations.names:
        plain = equations[stated].type == "parameter" and stated not in reader.written
        variable = stated if plain else ""
    if variable and ("shared" not in equations[variable].flags or uniform):
        return Payment(*gains, variable=variable, how=f"{variable} multiplied")
    if kicks is None:
        found = {(s[0], s[1]) for s in reader.statements() if s[3] in ("+", "-")}
    else:
        found = {(k.pathway, k.line) for k in kicks}
    if not found:
        raise CapabilityError(
            f"{synapses.name}.on_pre", "a weight to multiply, or a statement that adds a kick",
            f"nothing that the gains {gains[0]:.4g} (excitatory) and {gains[1]:.4g} (inhibitory) "
            "could be applied to",
            "Pass compensate=False; PrunedModel.gains says what to multiply by",
        )  # fmt: skip
    taken, factor, k = set(synapses.variables), GAIN, 1
    while factor in taken:
        k, factor = k + 1, f"{GAIN}_{k + 1}"
    codes = {}
    for pathway in synapses._pathways:
        lines = {line for name, line in found if name == pathway.objname}
        if lines:
            parts = [
                (name, operator, f"{factor}*({text})" if line in lines else text)
                for line, (name, operator, text) in enumerate(statements(pathway.code))
            ]
            codes[pathway.objname] = join(parts)
    return Payment(*gains, factor=factor, codes=codes, how=f"{factor} in on_pre")
