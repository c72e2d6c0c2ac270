"""Measure the cost model that comes with the package, and write it.

    python scripts/measure_costs.py             # brain_lnp/data/costs.json, some minutes

Times are of one core (processor time), so other work on the machine disturbs them little.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

for _name in ("OPENBLAS", "OMP", "MKL", "NUMBA"):
    os.environ.setdefault(f"{_name}_NUM_THREADS", "1")

from brain_lnp.costmeasure import calibrate  # noqa: E402

TARGET = Path(__file__).resolve().parents[1] / "brain_lnp" / "data" / "costs.json"


def main() -> None:
    """Measure, write and show."""
    model = calibrate(progress=lambda text, done, total: print(f"{text} ({done} of {total})"))
    TARGET.write_text(json.dumps(model.to_dict(), indent=1) + "\n", encoding="utf-8")
    for device, parts in model.seconds.items():
        for part, found in parts.items():
            print(device, part, {name: f"{x:.3g}" for name, x in found.items()})
    print(model.memory, model.algebra, model.pace, model.machine)


if __name__ == "__main__":
    main()
