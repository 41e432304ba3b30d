"""What an earlier run has tried already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from paddle_tvm.compiler.tuning.log import Skipped, read_log
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.records import Header, Trial
from paddle_tvm.targets.workload import GraphWorkload, Workload


def known_trials(log: Path, here: Header) -> tuple[dict[Workload, list[Outcome]], list[Skipped]]:
    """Trials of a log that were measured as a run with the header ``here`` measures, by workload.

    Failures of a workload whose default form never ran are left out: forms are compared with that, and what
    ended it, such as a lack of memory, may be over.

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
    for workload, outcomes in known.items():
        # A choice above kernels has no trial of its default, and what fails there fails again.
        is_kernel = not isinstance(workload, GraphWorkload)
        if is_kernel and not any(o.seconds and o.config == workload.default() for o in outcomes):
            known[workload] = [outcome for outcome in outcomes if outcome.seconds]
    return known, skipped


def _is_alike(one: Header, here: Header) -> bool:
    """Whether two runs measure alike, on machines of one kind.

    Virtual ones often have the same name for different CPUs. Schemas before this one timed otherwise.
    """

    def kind(header: Header) -> tuple[Any, ...]:
        return header.schema, header.target, header.cpu, header.microarchitecture, header.threads

    return kind(one) == kind(here)
