"""A network advanced row by row in compiled code, so that its readout can answer between rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis._clocked import clocked, run_row
from analysis.spikes import gamma_kernel
from models_eq.checks import whole
from models_eq.errors import CapabilityError, ParameterError
from models_eq.hrsnn import HRSNN
from models_eq.plan import initial_states
from models_eq.rng import check_seed
from models_eq.units import positive_seconds


class RowwiseRun:
    """Copies of a ``lif_exp`` network that advance by one held input row at each call.

    Parameters
    ----------
    net : HRSNN
        The network.
    copies : int
        Copies side by side.
    hold : Quantity or str
        How long a row is held, a whole number of steps.
    tau : Quantity or str, or a sequence of these
        Time constants of the filters of the spike trains.
    order : int
        Order of the filters, as :func:`~analysis.spikes.filtered_traces` has it.
    dt : Quantity or str
        Time step.
    seed : int
        Seed of the initial state, the draw that :func:`~models_eq.simulate.simulate` makes.

    Attributes
    ----------
    counts : ndarray of int, shape (n,)
        Spikes of each neuron so far, over all copies.
    rows : int
        Rows so far.

    Raises
    ------
    ParameterError
        Naming the argument that is wrong.
    CapabilityError
        For another model than ``lif_exp``.

    Notes
    -----
    The same exact map on the same clock as Brian2 runs, in the same order: state, threshold,
    synapses, reset. The two agree until rounding separates them.
    """

    def __init__(
        self,
        net: HRSNN,
        copies: int,
        hold: Any,
        tau: Any = "50 ms",
        *,
        order: int = 1,
        dt: Any = "1 ms",
        seed: int = 0,
    ) -> None:
        if not isinstance(net, HRSNN):
            raise ParameterError("net", "an HRSNN", type(net).__name__)
        if net.model != "lif_exp":
            raise CapabilityError("engine", "lif_exp for 'compiled'", net.model, "Use 'brian2'")
        self.n, self.copies = net.n, whole(copies, "copies")
        step, length = positive_seconds(dt, "dt"), positive_seconds(hold, "hold")
        self._steps = round(length / step)
        if self._steps < 1 or abs(self._steps * step - length) > 1e-9 * length:
            raise ParameterError("hold", f"a whole number of steps of {step!r} s", length)
        filters = tau if isinstance(tau, Sequence) and not isinstance(tau, str) and tau else [tau]
        taus = np.array([positive_seconds(value, "tau") for value in filters])
        state = initial_states((net,), None, self.copies, check_seed(seed))
        shape = (self.copies, net.n)
        self._state = (
            np.array(state["v"], dtype=float).reshape(shape),
            np.array(state["s"], dtype=float).reshape(shape),
            np.zeros(shape, dtype=np.int64),
        )
        self._traces = np.zeros((self.copies, len(taus), whole(order, "order"), net.n))
        self.counts, self.rows = np.zeros(net.n, dtype=np.int64), 0
        ages = step * np.arange(self._steps + 1) / taus[:, None]
        fade = np.ascontiguousarray(gamma_kernel(ages, order).swapaxes(0, 1))
        self._fixed = (*clocked(net, step), fade)

    def __call__(self, current: np.ndarray) -> np.ndarray:
        """Hold an input for one row.

        Parameters
        ----------
        current : ndarray, shape (copies, n)
            Input current of each neuron of each copy.

        Returns
        -------
        ndarray, shape (copies, filters * n)
            Filtered spike trains at the end of the row: all neurons at the first time constant,
            then at the second ...

        Raises
        ------
        ParameterError
            For another shape.
        """
        given = np.ascontiguousarray(current, dtype=float)
        if given.shape != self._state[0].shape:
            raise ParameterError("current", f"shape {self._state[0].shape}", given.shape)
        run_row(
            self.rows * self._steps, self._steps, given, self._state, *self._fixed, self._traces,
            self.counts,
        )  # fmt: skip
        self.rows += 1
        return self._traces[:, :, -1].reshape(self.copies, -1).copy()
