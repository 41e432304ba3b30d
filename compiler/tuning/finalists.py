"""Which forms of a kernel are compared with the default, and which one wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.task import Task
from paddle_tvm.targets.workload import Config

WORSE = 1.02
"""What is slower than the default by more, with any number of threads, is no winner."""

_MOST = 3


def best_forms(task: Task) -> list[Config]:
    """The best forms beside the default; none where none was faster."""
    default = task.workload.default()
    best: dict[str, Outcome] = {}
    for outcome in task.outcomes:
        key = repr(sorted(outcome.config.items()))
        timed = outcome.status == "ok" and outcome.config != default
        if timed and (key not in best or outcome.median < best[key].median):
            best[key] = outcome
    limit = inf if task.default is None else task.default
    faster = [outcome for outcome in best.values() if outcome.median < limit]
    return [outcome.config for outcome in sorted(faster, key=lambda outcome: outcome.median)[:_MOST]]


def choose_winner(timed: Mapping[int, Sequence[Outcome]], threads: int) -> int | None:
    """Which of the forms, the default first, is the fastest and nowhere slower than the default.

    None where the default has no time.
    """
    default = {count: outcomes[0].median for count, outcomes in timed.items()}
    if any(seconds == inf for seconds in default.values()):
        return None
    fit = [
        number
        for number in range(len(timed[threads]))
        if all(outcomes[number].median <= WORSE * default[count] for count, outcomes in timed.items())
    ]
    return min(fit, key=lambda number: timed[threads][number].median)
