"""What an earlier run has tried already."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

from paddle_tvm.compiler.tuning.log import Skipped, read_log
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.records import Header, Trial
from paddle_tvm.targets.workload import GraphWorkload, Shapes, Workload

# From it on, forms are timed as in a model.
_TIMED_AS_NOW = 3

Known: TypeAlias = dict[tuple[Workload, Shapes], list[Outcome]]
"""Trials by what was measured: a workload, at shapes where its sizes are unknown."""


def known_trials(log: Path, here: Header) -> tuple[Known, list[Skipped]]:
    """Trials of a log that were measured as a run with the header ``here`` measures.

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
    known: Known = {}
    skipped = []
    for entry in read_log(log):
        if isinstance(entry, Skipped):
            skipped.append(entry)
        elif isinstance(entry.record, Trial) and _is_alike(entry.header, here):
            key = (entry.record.workload, entry.record.shapes)
            known.setdefault(key, []).append(entry.record.outcome)
    for (workload, shapes), outcomes in known.items():
        # A choice above kernels has no trial of its default, and what fails there fails again.
        is_kernel = not isinstance(workload, GraphWorkload)
        if is_kernel and not any(o.seconds and o.config == workload.default() for o in outcomes):
            known[workload, shapes] = [outcome for outcome in outcomes if outcome.seconds]
    return known, skipped


def _is_alike(one: Header, here: Header) -> bool:
    """Whether two runs measure alike, on machines of one kind.

    Virtual ones often have the same name for different CPUs.
    """

    def kind(header: Header) -> tuple[Any, ...]:
        timed_as_now = header.schema >= _TIMED_AS_NOW
        return timed_as_now, header.target, header.cpu, header.microarchitecture, header.threads

    return kind(one) == kind(here)
