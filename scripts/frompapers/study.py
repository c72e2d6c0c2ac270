"""What is each part of Lyapunov Noise Pruning worth? A study over many networks.

    python scripts/frompapers/study.py run all       # resumes; hours on two cores
    python scripts/frompapers/study.py run iid400    # one part
    python scripts/frompapers/study.py tables        # every table and figure, from the results

Parts: coupling, iid400, iid1000, families, selection, steps, neurons, digits, fidelity, exponents.
The jobs run on what sweeps run on: processes of this machine, or the workers of a Dask cluster
(``--dask ADDRESS``). Finished units lie under ``--folder`` and are not computed again; a failed
one is listed and does not stop the rest. ``tables`` writes ``docs/study_tables.md``,
``docs/results/study_*`` and ``docs/figures/study_*.png``.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), str(ROOT)]
# Worker processes import the modules of the jobs by name.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(HERE), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
)

from study_jobs import faithful, folds, measure, spectra  # noqa: E402
from study_networks import CONTROLS, FAMILIES, STUDY_SEEDS, TUNING_SEEDS  # noqa: E402

from brain_lnp.pool import Pool, Processes, dask_workers  # noqa: E402
from brain_lnp.unitfolder import UnitFolder  # noqa: E402
from brain_lnp.workers import Job, run_jobs  # noqa: E402

Cells = list[tuple[str, float, float]]
STEPS = (
    "LNP, no Step I", "LNP, no Step III", "LNP, no Step IV", "LNP, Step IV by capacity",
    "LNP, Step IV over all axes", "LNP, Step IV by rate", "LNP, one iteration", "LNP, sharpness 2",
    "LNP, refit",
    "LNP, weights for L", "LNP, endpoints", "LNP, perturbed exponents", "LNP, weighted exponents",
    "random_matched, no Step IV", "activity, no Step IV",
)  # fmt: skip
STRUCTURED = ("heavy_tailed", "stdp", "clustered", "low_rank", "distance", "homogeneous")
HALF = ("LNP, Step II random", "LNP, Step II rate", "LNP, Step II leverage")


def _grid(names: Any, synapses: Any, neurons: Any = (1.0,)) -> Cells:
    return [(name, s, n) for n in neurons for s in synapses for name in names]


def coupling() -> list[Job]:
    """The dense network of each family at several couplings, on seeds for tuning."""
    jobs = []
    for family, n in [(family, 400) for family in reversed(FAMILIES)] + [("iid", 1000)]:
        for value in (0.02, 0.03, 0.04, 0.06, 0.08, 0.1):
            seeds = TUNING_SEEDS[: 8 if (family, n) == ("iid", 400) else 4]
            jobs += [
                _job("coupling", family, n, seed, [("dense", 1.0, 1.0)], value) for seed in seeds
            ]
    return jobs


def _job(
    part: str,
    family: str,
    n: int,
    seed: int,
    cells: Cells,
    value: float | None = None,
    call: Any = measure,
) -> Job:
    tail = "" if value is None else f" J={value:g}"
    names = "; ".join(f"{name} {s:g} {k:g}" for name, s, k in cells)
    key = f"{part} {family} {n} {seed}{tail} {names}"
    return Job(key, call, (family, n, seed, cells, value))


def _portions(part: str, family: str, n: int, cells: Cells, size: int = 8) -> list[Job]:
    """All seeds, seed by seed, so that whole repetitions are there first."""
    return [
        _job(part, family, n, seed, cells[start : start + size])
        for seed in STUDY_SEEDS
        for start in range(0, len(cells), size)
    ]


def iid400() -> list[Job]:
    """The reference regime: every method, from half of the synapses to one in four hundred."""
    cells = [(name, 1.0, 1.0) for name in CONTROLS]
    fractions = (0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.005, 0.0025)
    cells += _grid(("LNP", "random_matched"), fractions)
    cells += _grid(("activity",), (0.5, 0.25, 0.1, 0.02, 0.005))
    cells += _grid(("magnitude", "noise"), (0.02, 0.01))
    cells += _grid(
        ("fresh", "sparse", "random", "LNP, L alone", "activity_trained", "LNP calibrated",
         "LNP literal", "random, variance gain", "random, no gain", "activity, variance gain",
         "activity, no gain"),
        (0.02,),
    )  # fmt: skip
    return _portions("iid400", "iid", 400, cells, size=14)


def iid1000() -> list[Job]:
    """The same at 1000 neurons, where fewer synapses suffice; and with fewer neurons."""
    three = ("LNP", "random_matched", "activity")
    cells: Cells = [("dense", 1.0, 1.0)]
    cells += _grid(("LNP", "random_matched"), (0.01, 0.005, 0.0025))
    cells += _grid(three, (0.01,), (0.5,))
    cells += _grid(("activity", "magnitude", "noise", "fresh", "sparse"), (0.01,))
    cells += _grid(three, (0.01,), (0.7, 0.3))
    cells += _grid(three, (0.1, 0.02))
    cells += _grid(three, (0.5, 0.25))
    return _portions("iid1000", "iid", 1000, cells, size=5)


def families() -> list[Job]:
    """Networks with structure."""
    cells: Cells = [("dense", 1.0, 1.0)]
    cells += [("random_matched", s, 1.0) for s in (0.02, 0.01, 0.005)]
    cells += [("LNP", s, 1.0) for s in (0.01, 0.005)]
    parts = [_portions("families", family, 400, cells, size=6) for family in STRUCTURED]
    return [job for jobs in zip(*parts, strict=True) for job in jobs]


def selection() -> list[Job]:
    """How sharply to select where weights are uneven."""
    cells = _grid(("LNP, sharpness 2", "LNP, L alone"), (0.01,))
    parts = [_portions("selection", family, 400, cells) for family in ("heavy_tailed", "stdp")]
    return [job for jobs in zip(*parts, strict=True) for job in jobs]


def steps() -> list[Job]:
    """Each step on and off, each exponent, at 2 % of the synapses."""
    return _portions("steps", "iid", 400, _grid(STEPS, (0.02,)), size=7)


def neurons() -> list[Job]:
    """Fewer neurons, at 2 % of the synapses, by every score of Step II."""
    names = ("LNP", "LNP, silent first", "random_matched", "activity")
    cells = _grid(names, (0.02,), (0.7, 0.5, 0.3)) + _grid(HALF, (0.02,), (0.5,))
    # The paper's own comparison, without anything paid back, at equal synapses and neurons.
    literal = ("LNP literal", "activity, no gain", "activity_trained, no gain")
    cells += _grid(literal, (0.02,), (0.5,)) + [("activity_trained, no gain", 0.02, 1.0)]
    return _portions("neurons", "iid", 400, cells, size=15)


def digits() -> list[Job]:
    """All digits by cross-validation."""
    cells = [("dense", 1.0, 1.0), *_grid(("LNP", "random_matched"), (0.02,))]
    return [_job("digits", "iid", 400, seed, cells, call=folds) for seed in STUDY_SEEDS]


def fidelity() -> list[Job]:
    """Refitted networks as stand-ins for the dense one, beside balanced random masks."""
    cells = _grid(("refit", "random_matched"), (0.25, 0.1, 0.05))
    return [_job("fidelity", "iid", 400, seed, cells, call=faithful) for seed in STUDY_SEEDS]


def exponents() -> list[Job]:
    """Lyapunov spectra before and after."""
    names = ("LNP", "random_matched", "activity", "magnitude", "noise", "fresh", "sparse")
    cells = [("dense", 1.0, 1.0), *_grid(names, (0.02,))]
    return [_job("spectra", "iid", 400, seed, cells, call=spectra) for seed in STUDY_SEEDS]


PARTS = {one.__name__: one for one in (
    coupling, iid400, iid1000, families, selection, steps, neurons, digits, fidelity, exponents,
)}  # fmt: skip


def run(part: str, folder: Path, pool: Pool, seeds: int | None) -> dict[str, Any]:
    """Run one part, or what is left of it; the rows that there are."""
    jobs = PARTS[part]()
    if seeds is not None:
        wanted = set(STUDY_SEEDS[:seeds]) | set(TUNING_SEEDS[:seeds])
        jobs = [job for job in jobs if job.args[2] in wanted]
    with UnitFolder(folder / part, "brain_lnp study", part, part) as place:
        found = run_jobs(
            jobs, place, pool=pool,
            progress=lambda text, done, total: print(f"[{done}/{total}] {text[:110]}", flush=True),
        )  # fmt: skip
    for key, why in found.failures.items():
        print(f"failed: {key}: {why}")
    return found.results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("run", "tables"))
    parser.add_argument("parts", nargs="*", default=["all"])
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "study")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--dask", help="Scheduler of a Dask cluster, in place of processes.")
    parser.add_argument("--seeds", type=int, help="Only so many seeds.")
    given = parser.parse_args()
    if given.what == "tables":
        from study_tables import write_all

        write_all(given.folder, ROOT / "docs")
        return
    place = nullcontext(Processes(given.processes)) if not given.dask else dask_workers(given.dask)
    with place as pool:
        for part in PARTS if given.parts in ([], ["all"]) else given.parts:
            run(part, given.folder, pool, given.seeds)


if __name__ == "__main__":
    main()
