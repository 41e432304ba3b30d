"""Which forms of a kernel are compared with the default, and which one wins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf

from paddle_tvm.compiler.tuning.log import LogWriter
from paddle_tvm.compiler.tuning.measure import Measurer
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.records import Winner
from paddle_tvm.compiler.tuning.task import Comparison, Task, TuningListener
from paddle_tvm.compiler.tuning.workload_names import name_form
from paddle_tvm.targets.workload import Config

WORSE = 1.02
"""What is slower than the default by more, with any number of threads, is no winner."""

_MOST = 3
_ROUNDS = 7


def compare_with_defaults(
    tasks: Sequence[Task],
    measurer: Measurer,
    threads: Sequence[int],
    writer: LogWriter,
    listener: TuningListener,
) -> Iterator[Comparison]:
    """Time the best forms of each task and its default in turns; write down what wins.

    Where no form was faster the default wins, so that compiling takes no form of a neighbour instead. A task
    of which nothing but the default was timed is left out: nothing is known of it; nor is it of one whose
    default form fails now, or of which a form fails that might have won.

    Parameters
    ----------
    tasks
        What was searched.
    measurer
        Times them.
    threads
        The numbers of threads to time with; the first decides.
    writer, listener
        Are told of every winner.
    """
    known = [(task, others) for task in tasks if (others := _timed_others(task))]
    listener.stage("compare the best forms with the default", len(known))
    for task, others in known:
        default = task.workload.default()
        timed = measurer.compare(task.kernel, [default, *_best_forms(task, others)], threads, _ROUNDS)
        winner, failed = _choose_winner(timed, threads[0]), _failed(timed)
        if winner is None or (winner == 0 and failed is not None):
            assert failed is not None
            which = "the default form" if winner is None else f"a form ({name_form(failed.config)})"
            listener.note(
                f"{', '.join(task.names)}: {which} failed when the best were compared ({failed.status}): "
                f"{failed.detail or 'no more is known'}; nothing is written down"
            )
            continue
        comparison = Comparison(
            task,
            timed[threads[0]][winner],
            {count: timed[count][winner].median for count in threads},
            {count: timed[count][0].median for count in threads},
        )
        config = comparison.winner.config
        writer.append([Winner(task.workload, config, comparison.seconds, default, comparison.default)])
        listener.compared(comparison)
        yield comparison


def _timed_others(task: Task) -> list[Outcome]:
    """Of every form but the default that could be timed, the best trial."""
    default = task.workload.default()
    best: dict[str, Outcome] = {}
    for outcome in task.outcomes:
        key = repr(sorted(outcome.config.items()))
        timed = outcome.status == "ok" and outcome.config != default
        if timed and (key not in best or outcome.median < best[key].median):
            best[key] = outcome
    return list(best.values())


def _best_forms(task: Task, others: Sequence[Outcome]) -> list[Config]:
    """The best of other forms; none where none was faster than the default."""
    limit = inf if task.default is None else task.default
    faster = [outcome for outcome in others if outcome.median < limit]
    return [outcome.config for outcome in sorted(faster, key=lambda outcome: outcome.median)[:_MOST]]


def _failed(timed: Mapping[int, Sequence[Outcome]]) -> Outcome | None:
    """The first of the forms that has no time, the default before others."""
    places = range(max(map(len, timed.values())))
    outcomes = (of_count[place] for place in places for of_count in timed.values())
    return next((outcome for outcome in outcomes if not outcome.seconds), None)


def _choose_winner(timed: Mapping[int, Sequence[Outcome]], threads: int) -> int | None:
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
