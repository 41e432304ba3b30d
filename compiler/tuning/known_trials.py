"""What an earlier run has tried already."""

from __future__ import annotations

from pathlib import Path

from paddle_tvm.compiler.tuning.log import Skipped, read_log
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.records import Header, Trial
from paddle_tvm.targets.workload import Workload


def known_trials(log: Path, here: Header) -> tuple[dict[Workload, list[Outcome]], list[Skipped]]:
    """Trials of a log that were measured as a run with the header ``here`` measures, by workload.

    Returns
    -------
    tuple
        The trials, and the lines that hold no record.

    Raises
    ------
    UsageError
        The log cannot be read.
    """
    known: dict[Workload, list[Outcome]] = {}
    skipped = []
    for entry in read_log(log):
        if isinstance(entry, Skipped):
            skipped.append(entry)
        elif isinstance(entry.record, Trial) and _is_alike(entry.header, here):
            known.setdefault(entry.record.workload, []).append(entry.record.outcome)
    return known, skipped


def _is_alike(one: Header, here: Header) -> bool:
    """Whether the machines are of one kind; virtual ones often have the same name for different CPUs."""
    if (one.target, one.cpu, one.threads) != (here.target, here.cpu, here.threads):
        return False
    # Headers of schema 1 say nothing of it.
    return one.microarchitecture in (None, here.microarchitecture)
