"""told: who wants to know how far a running simulation is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from brian2 import get_device, second
from brian2.devices.device import RuntimeDevice

Listener = Callable[[float, float], None]
_PERIOD = 0.5  # seconds of real time between reports

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def told(listener: Listener) -> Iterator[None]:
    """Tell how far the simulations of a ``with`` block are.

    Parameters
    ----------
    listener : callable
        Called about twice a second as ``listener(done, total)``, both in seconds of biological
        time; trials that run one after the other count together. Raise from it to stop.

    Yields
    ------
    None
        Within the block simulations tell. A standalone device compiles the whole run into a
        program of its own, which does not.

    Examples
    --------
    >>> from models_eq import HRSNN, simulate, use_device
    >>> said = []
    >>> with use_device("numpy"), told(lambda done, total: said.append((done, total))):
    ...     run = simulate(HRSNN("lif_exp", 1, [], [], [], 0.02), duration="10 ms")
    >>> said[0], said[-1]
    ((0.0, 0.01), (0.01, 0.01))
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def reporting() -> dict[str, Any]:
    """What ``Network.run`` is given so that the listener hears of it; nothing without one."""
    listener = _listener.get()
    if listener is None or not isinstance(get_device(), RuntimeDevice):
        return {}

    def report(elapsed: Any, completed: float, start: Any, duration: Any) -> None:
        total = float(duration / second)
        listener(total * completed, total)

    return {"report": report, "report_period": _PERIOD * second}
