"""Which forms of a kernel are compared with the default, and which one wins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf, prod
from typing import TypeAlias

from paddle_tvm.compiler.tuning.log import LogWriter
from paddle_tvm.compiler.tuning.measure import Measurer
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.records import Elsewhere, Winner
from paddle_tvm.compiler.tuning.task import Comparison, Task, TuningListener
from paddle_tvm.compiler.tuning.workload_names import name_form
from paddle_tvm.runtime.wording import counted
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

    A kernel of unknown sizes is timed at others, too: what is slower at one of them does not win, and of what
    is left the one with the largest gain over all.

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
        forms = [default, *_best_forms(task, others)]
        # The first is where it was searched.
        places = [measurer.compare(at, forms, threads, _ROUNDS) for at in (task.kernel, *task.elsewhere)]
        winner, failed = _choose_winner(places, threads[0]), _failed(places)
        if winner is None or (winner == 0 and failed is not None):
            assert failed is not None
            which = "the default form" if winner is None else f"a form ({name_form(failed.config)})"
            listener.note(
                f"{', '.join(task.names)}: {which} failed when the best were compared ({failed.status}): "
                f"{failed.detail or 'no more is known'}; nothing is written down"
            )
            continue
        seconds, before = _medians(places[0], winner), _medians(places[0], 0)
        elsewhere = tuple(
            Elsewhere(at.shapes, _medians(timed, winner), _medians(timed, 0))
            for at, timed in zip(task.elsewhere, places[1:], strict=True)
        )
        config = forms[winner]
        shapes = task.kernel.shapes
        writer.append([Winner(task.workload, config, seconds, default, before, shapes, elsewhere)])
        rejected = None if winner else _rejection(places, threads)
        comparison = Comparison(task, places[0][threads[0]][winner], seconds, before, elsewhere, rejected)
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


# By number of threads what came of each form, the default first.
_Timed: TypeAlias = Mapping[int, Sequence[Outcome]]


def _rejection(places: Sequence[_Timed], threads: Sequence[int]) -> str | None:
    """Why the form that is fastest where it was searched does not win; None where the default is fastest."""
    first = places[0][threads[0]]
    best = min(range(len(first)), key=lambda number: first[number].median)
    if best == 0:
        return None
    gain = first[0].median / first[best].median
    worst, place, count = max(
        (outcomes[best].median / outcomes[0].median, place, count)
        for place, timed in enumerate(places)
        for count, outcomes in timed.items()
    )
    where = f" at other size {place}" if place else ""
    return (
        f"{name_form(first[best].config)} is {gain:.2f}x with {counted(threads[0], 'thread')}, but "
        f"{1 / worst:.2f}x with {counted(count, 'thread')}{where}"
    )


def _medians(timed: _Timed, number: int) -> dict[int, float]:
    """Seconds of a form, by number of threads."""
    return {count: outcomes[number].median for count, outcomes in timed.items()}


def _failed(places: Sequence[_Timed]) -> Outcome | None:
    """The first of the forms that has no time, the default before others."""
    of_counts = [outcomes for timed in places for outcomes in timed.values()]
    by_form = (outcome for outcomes in zip(*of_counts, strict=True) for outcome in outcomes)
    return next((outcome for outcome in by_form if not outcome.seconds), None)


def _choose_winner(places: Sequence[_Timed], threads: int) -> int | None:
    """Which of the forms, the default first, is the fastest and nowhere slower than the default.

    None where the default has no time.
    """
    of_counts = [outcomes for timed in places for outcomes in timed.values()]
    if any(outcomes[0].median == inf for outcomes in of_counts):
        return None
    fit = [
        number
        for number in range(len(of_counts[0]))
        if all(outcomes[number].median <= WORSE * outcomes[0].median for outcomes in of_counts)
    ]
    # All places have the same default, so their product is least where the mean gain is largest.
    return min(fit, key=lambda number: prod(timed[threads][number].median for timed in places))
