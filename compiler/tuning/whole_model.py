"""Whether a model as a whole is faster with what has won; what made it slower is taken back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from paddle_tvm.compiler.tuning.finalists import WORSE
from paddle_tvm.compiler.tuning.log import LogWriter
from paddle_tvm.compiler.tuning.model_run import ModelRun
from paddle_tvm.compiler.tuning.records import Seconds, Winner
from paddle_tvm.compiler.tuning.task import Comparison, GraphTrial, TuningListener
from paddle_tvm.runtime.wording import counted
from paddle_tvm.targets.workload import Shapes, Workload


@dataclass(frozen=True)
class WholeModel:
    """Latencies of a model in default forms and with the log, by number of threads, timed in turns.

    ``taken_back`` is how many winners were taken out of force, because the model is slower with them.
    """

    default: Mapping[int, float]
    tuned: Mapping[int, float]
    taken_back: int = 0


def time_whole_model(
    run: ModelRun,
    default: Path,
    log: Path,
    threads: Sequence[int],
    show_threads: Callable[[int], str],
    comparisons: Sequence[Comparison],
    graph: Sequence[GraphTrial],
    writer: LogWriter,
    listener: TuningListener,
) -> WholeModel:
    """Time a model in default forms and with a log, in turns.

    Forms that were faster alone may not be so among the others. Where the model is slower with the log, and
    is so once more, what has won is taken back.

    Parameters
    ----------
    run, default
        The model, and its artifact in default forms.
    log
        Has what has won.
    threads
        The numbers of threads to time with.
    show_threads
        Names one for people.
    comparisons, graph
        Of this run.
    writer, listener
        Are told of what is taken back.
    """
    listener.stage("compile with the log")
    tuned, _ = run.compile("tuned.pdtvm", log, {})
    listener.stage("time the model")
    whole = _time(run, default, tuned, threads)
    if not slower_threads(whole.default, whole.tuned):
        return whole
    # Something may have disturbed the machine.
    whole = _time(run, default, tuned, threads)
    slower = slower_threads(whole.default, whole.tuned)
    if not slower:
        return whole
    records = _taken_back(comparisons, graph, run)
    writer.append(records)
    listener.note(
        f"{' and '.join(map(show_threads, slower))} the model is slower with the log, timed twice: "
        "what was faster alone is not so among the others. What has won in this run is taken back "
        f"({counted(len(records), 'winner')}): `compile` takes what it would without the log"
    )
    return WholeModel(whole.default, whole.tuned, len(records))


def slower_threads(before: Mapping[int, float], after: Mapping[int, float]) -> tuple[int, ...]:
    """The numbers of threads with which a model has become slower, by more than what does not count."""
    return tuple(count for count, seconds in after.items() if seconds > WORSE * before[count])


def _time(run: ModelRun, default: Path, tuned: Path, threads: Sequence[int]) -> WholeModel:
    seconds = {count: run.time({"default": default, "tuned": tuned}, count) for count in threads}
    return WholeModel(
        {count: times["default"] for count, times in seconds.items()},
        {count: times["tuned"] for count, times in seconds.items()},
    )


def _taken_back(
    comparisons: Sequence[Comparison], graph: Sequence[GraphTrial], run: ModelRun
) -> list[Winner]:
    """Records by which what has won does not hold."""

    def record(workload: Workload, seconds: Seconds, shapes: Shapes) -> Winner:
        default = workload.default()
        return Winner(workload, default, seconds, default, seconds, shapes, taken_back=True)

    won = [trial for trial in graph if trial.won]
    return [
        *(
            record(one.task.workload, one.default, one.task.kernel.shapes)
            for one in comparisons
            if one.is_better
        ),
        *(
            record(chosen, trial.default, run.shapes)
            for trial in won
            for chosen in trial.workload.stands_for(trial.config)
        ),
    ]
