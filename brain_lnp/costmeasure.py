"""Measure what the parts of an experiment cost on this machine: a CostModel, or how it scales."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls
from threadpoolctl import threadpool_limits  # type: ignore[import]

from analysis.pruning.baselines import BASELINES
from brain_lnp.costmodel import ALGEBRA, CostModel, Size, fit, shipped_model
from brain_lnp.evaluation import evaluate_batch, task_stimulus
from brain_lnp.iteration import PruningRun
from brain_lnp.lnp import LNP, _schedule
from brain_lnp.methods import prune
from brain_lnp.tasks import Task, digits, lorenz63
from models_eq.device import use_device
from models_eq.errors import BrainLNPError
from models_eq.hrsnn import HRSNN
from models_eq.simulate import simulate
from models_eq.spec import HRSNNSpec, sample_hrsnn
from models_eq.storage import atomic_write, package_version
from models_eq.topology import FixedInDegree
from models_eq.units import positive_seconds

# Processor time, not time on the clock: others may be using the machine.
clock = time.process_time
Measured = dict[str, list[tuple[Size, float]]]
Progress = Callable[[str, int, int], None]
SIZES = ((100, 20), (200, 20), (400, 80))  # neurons, inputs of each
_SAME = {"fresh": "random_matched"}  # all but the graph that is drawn
ALGEBRA_SIZES = ((800, 80), (1400, 140), (2600, 260))
MEMORY_SIZES = (200, 600, 1000, 2000)
_PART_OF = {
    "exponents": "exponents", "synapse_scores": "step I", "choose_neurons": "step II",
    "choose_synapses": "choice and step III", "rewire": "choice and step III",
    "top_up": "choice and step III", "dense_rates": "dense", "pay": "pay", "retime": "retime",
}  # fmt: skip
_REPEATS = 3


class _Timed(PruningRun):
    """A pruning run that knows what each step took."""

    def __init__(self, settings: LNP, dense: HRSNN, seed: int) -> None:
        super().__init__(settings, dense, seed)
        self.seconds: dict[str, float] = {}

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        part = _PART_OF.get(name)
        if part is None:
            return found

        def timed(*args: Any, **kwargs: Any) -> Any:
            begun = clock()
            result = found(*args, **kwargs)
            self.seconds[part] = self.seconds.get(part, 0.0) + clock() - begun
            return result

        return timed


def measure(
    device: str, progress: Progress | None = None, *, algebra: bool = True
) -> dict[str, dict[str, float]]:
    """Coefficients of every part on one device, from networks of 100 to 2600 neurons.

    Parameters
    ----------
    device : str
        Where simulations run; code is compiled before anything is timed.
    progress : callable, optional
        Called as ``progress(text, done, total)``.
    algebra : bool
        Whether linear algebra is measured on larger networks too; the device has no part in it.

    Returns
    -------
    dict of str (part) to dict of str (feature) to float (s)
        Takes one to a few minutes.
    """
    tell = progress or (lambda text, done, total: None)
    found: Measured = {}
    larger = ALGEBRA_SIZES if algebra else ()
    total = len(SIZES) + len(larger)
    with warnings.catch_warnings(), threadpool_limits(limits=1), use_device(device):
        warnings.simplefilter("ignore")
        # What compiles, or is filled in once a process, is not timed.
        _pruning(_network(60, 12), {}, "200 ms")
        _baselines(_network(60, 12), {}, ("activity_trained", "random_matched"))
        _judging([_network(60, 12)], {})
        for done, (n, k) in enumerate(SIZES):
            tell(f"{device}: {n} neurons", done, total)
            net = _network(n, k)
            _pruning(net, found, "400 ms")
            _pruning(net, found, "1500 ms", last=False)
            _baselines(net, found, tuple(name for name in BASELINES if name not in _SAME))
            small = prune(net, "random_gain", synapses=0.1, seed=1).net
            _judging([net], found)
            _judging([net, small, small], found)
        for done, (n, k) in enumerate(larger, len(SIZES)):
            tell(f"{device}: {n} neurons", done, total)
            _pruning(_network(n, k), found, "100 ms", last=False)
    tell(f"{device}: done", total, total)
    for method, other in _SAME.items():
        found[f"prune {method}"] = found[f"prune {other}"]
    return {part: fit(part, pairs) for part, pairs in found.items()}


def _network(n: int, k: int) -> HRSNN:
    return sample_hrsnn(HRSNNSpec(n=n, topology=FixedInDegree(k=k)), seed=1)


def _note(found: Measured, part: str, size: Size, seconds: float) -> None:
    found.setdefault(part, []).append((size, max(seconds, 0.0)))


def _pruning(net: HRSNN, found: Measured, duration: str, last: bool = True) -> None:
    """Two iterations of LNP, and Step IV with few trials."""
    trials = 3
    settings = LNP(n_iter=2, noise_duration=duration, trials=trials)
    steps = positive_seconds(duration, "duration") / positive_seconds(settings.dt, "dt")
    run = _Timed(settings, net, 1)
    target, size = max(1, net.n_synapses // 5), max(2, round(0.7 * net.n))
    n, m = net.n, net.n_synapses
    begun = clock()
    sample_hrsnn(HRSNNSpec(n=net.n, topology=FixedInDegree(k=net.n_synapses // net.n)), seed=2)
    _note(found, "draw", Size(n, m), clock() - begun)
    for k, (m_k, n_k) in enumerate(_schedule(net, target, size, 2)):
        is_last = last and k == 1
        run.seconds.clear()
        stopped = run.iterate(k, m_k, n_k, target=target, last=is_last)
        took, new = run.seconds, Size(n_k, m_k, steps)
        # The first iteration looks at the dense network as well.
        both = Size(n, m, steps) if k == 0 else Size(0, 0, 0)
        double = Size((n_k + both.n) / 2, (m_k + both.m) / 2, steps)
        _note(found, "exponents", double if k == 0 else new, took["exponents"] / (2 - k))
        _note(found, "step I", Size(n, m), took["step I"])
        _note(found, "step II", Size(n, m), took["step II"])
        _note(found, "choice and step III", Size(n, m), took["choice and step III"])
        pay = took.get("pay", 0.0) - took.get("dense", 0.0)
        if is_last:
            _note(found, "gain", Size(n_k, m_k), pay + took.get("dense", 0.0))
        else:
            _note(found, "compensation", new, pay)
        if "dense" in took:
            _note(found, "dense rates", Size(net.n, net.n_synapses), took["dense"])
        n, m = n_k, m_k
        if stopped or not last:  # short noise may judge a network silent; the steps were done
            return
    run.retime(None)
    _note(found, "step IV", Size(n, m, steps), run.seconds["retime"] / trials)


def _baselines(net: HRSNN, found: Measured, methods: tuple[str, ...]) -> None:
    task = _series()
    for method in methods:
        stimulus = None
        if method.startswith("activity"):
            stimulus = task_stimulus(task, net.n, part="train", limit=200)
        begun = clock()
        with suppress(BrainLNPError):
            prune(net, method, synapses=0.2, neurons=0.7, seed=1, stimulus=stimulus)
            _note(found, f"prune {method}", Size(net.n, net.n_synapses), clock() - begun)


def _series() -> Task:
    return lorenz63(horizon=2, washout=20, n_train=300, n_validation=80, n_test=100, seed=0)


def _judging(nets: list[HRSNN], found: Measured) -> None:
    images = digits(n_train=150, n_validation=40, n_test=40, seed=0)
    for task in (_series(), images):
        begun = clock()
        with suppress(BrainLNPError):
            evaluate_batch(nets, [task], seed=0)
            _note(found, task.kind, judged_size(nets, [task]), clock() - begun)


def judged_size(nets: list[Any], tasks: list[Task]) -> Size:
    """The size of an evaluation of several networks: means of these, times their number."""
    first = tasks[0]
    held = round(first.hold / 1e-3)
    rows = int(np.prod(first.inputs.shape[:-1]))
    count = len(nets)
    n = (sum(net.n**2 for net in nets) / count) ** 0.5
    m = sum(net.n_synapses for net in nets) / count
    fitted = len(first.inputs) * len(tasks)
    return Size(n, m, rows * held * count, fitted * count)


# -- memory ----------------------------------------------------------------------------------------

_PEAK = """
import sys, warnings
from brain_lnp.costmeasure import peak
warnings.simplefilter("ignore")
sys.stdout.write(str(peak(sys.argv[1], int(sys.argv[2]))))
"""


def peak(what: str, n: int) -> int:
    """Peak memory of this process, in bytes, after a piece of work."""
    import resource

    with use_device("numpy"), threadpool_limits(limits=1):
        net = _network(n, n // 10) if n else _network(20, 5)
        if what == "prune" and n:
            _pruning(net, {}, "100 ms", last=False)
        elif what == "series" and n:
            task = lorenz63(n_train=1500, n_validation=250, n_test=250, washout=0, seed=0)
            evaluate_batch([net], [task], seed=0)
        else:
            _pruning(net, {}, "100 ms", last=False)
            _judging([net], {})
    # On Linux ru_maxrss is inherited from the process that started this one, VmHWM is not.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measure_memory() -> dict[str, float]:
    """Coefficients of peak memory, each piece of work in a process of its own."""

    def run(what: str, n: int) -> float:
        given = [sys.executable, "-c", _PEAK, what, str(n)]
        return float(subprocess.run(given, capture_output=True, check=True, text=True).stdout)

    base = run("nothing", 0)
    pruned = [max(0.0, run("prune", n) - base) for n in MEMORY_SIZES]
    table = np.array([[n * (n // 10), n**2] for n in MEMORY_SIZES], dtype=float)
    found, _ = nnls(table / table.max(), np.array(pruned))
    m, n2 = found / table.max()
    rows = 2000
    judged = [max(0.0, run("series", n) - base) / (rows * n) for n in MEMORY_SIZES[:2]]
    return {"one": base, "m": float(m), "n2": float(n2), "rows_n": max(judged), "steps_n": 0.0}


# -- how this machine compares ---------------------------------------------------------------------


def benchmark() -> tuple[float, float]:
    """Seconds of a fixed piece of linear algebra and of a fixed simulation: a second or two."""
    matrix = np.random.Generator(np.random.PCG64(1)).standard_normal((260, 260))
    net = _network(100, 20)
    algebra, pace = [], []
    with threadpool_limits(limits=1), use_device("numpy"):
        for _ in range(_REPEATS):
            begun = clock()
            np.linalg.eig(matrix)
            algebra.append(clock() - begun)
            begun = clock()
            simulate(net, duration="500 ms")
            pace.append(clock() - begun)
    return min(algebra), min(pace)


def calibrate(
    devices: tuple[str, ...] = ("numpy", "cython"), progress: Progress | None = None
) -> CostModel:
    """Measure a whole model on this machine; takes a few minutes."""
    seconds: dict[str, dict[str, dict[str, float]]] = {}
    for device in devices:
        with suppress(BrainLNPError):  # one that does not run here needs no costs
            first = next(iter(seconds.values()), None)
            seconds[device] = measure(device, progress, algebra=first is None)
            # Linear algebra is the same on every device.
            seconds[device] |= {part: first[part] for part in ALGEBRA} if first else {}
    algebra, pace = benchmark()
    return CostModel(seconds, measure_memory(), algebra, pace, this_machine())


def this_machine() -> str:
    """Type of machine and versions that costs depend on; no names of hosts or users."""
    found = [platform.machine(), f"Python {platform.python_version()}", f"NumPy {np.__version__}"]
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line for line in lines if line.startswith("model name"))
        found.insert(0, name.partition(":")[2].strip())
    return ", ".join([*found, f"brain-lnp {package_version()}"])


def cache_file() -> Path:
    """Where measured costs are kept: ``$BRAIN_LNP_CACHE``, or the user's cache folder."""
    given = os.environ.get("BRAIN_LNP_CACHE")
    if given:
        return Path(given) / "costs.json"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "brain-lnp" / "costs.json"


def model_for_here(*, anew: bool = False, progress: Progress | None = None) -> CostModel:
    """The cost model of this machine.

    Parameters
    ----------
    anew : bool
        Measure every part here (minutes). Otherwise what was measured here before is taken, or the
        shipped model scaled by two quick benchmarks. Either is kept in :func:`cache_file`.
    progress : callable, optional
        Called as ``progress(text, done, total)``.
    """
    place = cache_file()
    if not anew:
        with suppress(OSError, ValueError, BrainLNPError, AttributeError):
            kept = json.loads(place.read_bytes())
            if kept.get("for") == this_machine():
                return CostModel.from_dict(kept.get("model"), str(place))
        model = shipped_model().scaled(*benchmark())
    else:
        model = calibrate(progress=progress)
    text = json.dumps({"for": this_machine(), "model": model.to_dict()})
    with suppress(OSError, BrainLNPError):  # a home that cannot be written to costs a second
        place.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(place, lambda file: file.write(text.encode()))
    return model
