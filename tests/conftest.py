"""Settings of the whole suite: one thread per worker, no display, no deadlines."""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from collections.abc import Iterator

# Before anything imports NumPy: two workers with a BLAS pool each would fight over the cores.
for _name in ("OPENBLAS", "OMP", "MKL", "BLIS", "VECLIB_MAXIMUM", "NUMEXPR", "NUMBA"):
    os.environ.setdefault(f"{_name}_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"

import hypothesis  # noqa: E402
import pytest  # noqa: E402

# The first example of a property may compile code, which no deadline allows for.
hypothesis.settings.register_profile("brain_lnp", deadline=None, print_blob=True)
hypothesis.settings.load_profile("brain_lnp")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked ``cuda`` where brian2cuda is not installed."""
    if importlib.util.find_spec("brian2cuda") is not None:
        return
    skip = pytest.mark.skip(reason="brian2cuda is not installed (pip install 'brain-lnp[gpu]')")
    for item in items:
        if item.get_closest_marker("cuda") is not None:
            item.add_marker(skip)


@pytest.fixture(scope="module", autouse=True)
def _frozen_heap() -> Iterator[None]:
    """Spare the garbage collection at the start of every run the objects of the test session."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    """Close figures that a test opened, without importing matplotlib for those that do not."""
    yield
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        pyplot.close("all")


@pytest.fixture
def numpy_device() -> Iterator[None]:
    """Run on the NumPy device, objects that a test writes by hand included: nothing compiles."""
    from brian2 import prefs

    from models_eq.device import use_device

    target = prefs["codegen.target"]
    prefs["codegen.target"] = "numpy"
    try:
        with use_device("numpy"):
            yield
    finally:
        prefs["codegen.target"] = target
