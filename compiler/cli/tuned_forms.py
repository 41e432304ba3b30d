"""Says which forms the kernels of an artifact got, and what became of the tuning logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from paddle_tvm.compiler.cli.prose import say
from paddle_tvm.runtime.wording import counted
from paddle_tvm.targets.workload import Choice, Origin

if TYPE_CHECKING:
    from paddle_tvm.compiler.driver import CompiledVariant
    from paddle_tvm.compiler.tuning.log import Skipped
    from paddle_tvm.compiler.tuning.log_use import ForeignForms, UnusedLog


def count_origins(choices: Iterable[Choice]) -> dict[str, int]:
    """How many kernels have a form of each origin."""
    counts = Counter(choice.origin for choice in choices)
    return {origin: counts[origin] for origin in sorted(get_args(Origin), reverse=True)}


def described_forms(variant: CompiledVariant) -> str:
    """How many kernels have a form of each origin, how many choices above them logs made, and which logs."""
    # It imports TVM.
    from paddle_tvm.compiler.tuning.workload_names import name_workload

    above = {name_workload(workload) for workload in variant.graph_choices}
    kernels = [choice for name, choice in variant.choices.items() if name not in above]
    counts = count_origins(kernels)
    parts = [f"{count} {origin}" for origin, count in counts.items() if count] or ["none has several"]
    if len(kernels) < len(variant.choices):
        parts.append(f"{counted(len(variant.choices) - len(kernels), 'choice')} above kernels")
    # A source is a log and a line of it.
    logs = sorted({choice.source.rpartition(":")[0] for choice in variant.choices.values() if choice.source})
    by = f", by {', '.join(logs)}" if logs else ""
    return f"{', '.join(parts)}{by}"


def warn_of_skipped(skipped: Sequence[Skipped]) -> None:
    """A line on stderr for each log that has lines which could not be used."""
    by_log: dict[Path, list[Skipped]] = {}
    for line in skipped:
        by_log.setdefault(line.path, []).append(line)
    for log, lines in by_log.items():
        count = "1 line was" if len(lines) == 1 else f"{len(lines)} lines were"
        say(
            f"warning: {log}: {count} skipped, the first is line {lines[0].line}: {lines[0].reason}; "
            f"see all of them with: paddle-tvm tune --check {log}",
            err=True,
        )


def note_foreign_forms(found: Sequence[ForeignForms]) -> None:
    """A line on stderr for each log whose forms were measured on cores of another family."""
    for forms in found:
        measured = ", ".join(name or "a CPU that it does not name" for name in forms.measured_on)
        say(
            f"note: {forms.log} was measured on {measured}, and this is compiled for {forms.compiled_for}, "
            "whose cores are of another family: what is fastest there may be slow here",
            err=True,
        )


def note_unused_logs(found: Sequence[UnusedLog]) -> None:
    """A line on stderr for each log that has no winner for what was compiled."""
    for unused in found:
        say(f"note: nothing of {unused.log} is used: {unused.reason}", err=True)
