"""Reports: a finished run as one page, and several runs side by side."""

from __future__ import annotations

from brain_lnp.reporting.compare import Comparison, compare_runs
from brain_lnp.reporting.page import write_comparison, write_report
from brain_lnp.reporting.paired import Paired, paired_methods
from brain_lnp.reporting.record import RunRecord, read_run

__all__ = [
    "Comparison",
    "Paired",
    "RunRecord",
    "compare_runs",
    "paired_methods",
    "read_run",
    "write_comparison",
    "write_report",
]
