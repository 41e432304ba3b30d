"""What there is to tune in a model for GPUs, and how much of its time each part takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from paddle_tvm.compiler.profiling.profile import Profile
from paddle_tvm.compiler.tuning.kernel import TunableKernel
from paddle_tvm.compiler.tuning.task import Task
from paddle_tvm.targets.workload import Choice, Choices, EmittedWorkload, Workload


class UndividedForms:
    """Choices, but for forms that are several functions: of those workloads the first one that is one.

    What is fused with a workload is then part of its kernel, whatever the form will be.
    """

    def __init__(self, choices: Choices) -> None:
        self._choices = choices

    def of(self, workload: Workload) -> Choice:
        choice = self._choices.of(workload)
        if not isinstance(workload, EmittedWorkload) or not _is_divided(workload, choice):
            return choice
        return Choice(next(form for form in workload.candidates() if workload.is_one_function(form)))


def gpu_tasks_of(kernels: Mapping[str, TunableKernel], profile: Profile) -> list[Task]:
    """One task for each workload, with what its kernels take of a run; the longest first.

    Kernels and profile go together by workload, not by name: a form of two functions has other names than one
    of one. Its second function, which adds what the first one leaves, counts with it.
    """
    by_key: dict[str, TunableKernel] = {}
    for name in sorted(kernels):
        by_key.setdefault(kernels[name].workload.key, kernels[name])
    schedules = {kernel.name: kernel.schedule for kernel in profile.kernels}
    reads: defaultdict[int | None, list[int]] = defaultdict(list)
    for place, call in enumerate(profile.form.calls):
        for edge in call.inputs:
            reads[edge.value].append(place)
    microseconds: defaultdict[str, float] = defaultdict(float)
    names: defaultdict[str, set[str]] = defaultdict(set)
    calls: defaultdict[str, int] = defaultdict(int)
    for place, call in enumerate(profile.form.calls):
        schedule = schedules.get(call.kernel)
        if schedule is None or schedule.workload not in by_key or profile.places[place] is None:
            continue
        key = schedule.workload
        places = [place]
        if _is_divided(by_key[key].workload, schedule.choice):
            places += reads[call.outputs[0].value]
        for each in places:
            work = profile.places[each]
            microseconds[key] += 0.0 if work is None else work.microseconds
        names[key].add(call.kernel)
        calls[key] += 1
    tasks = [
        Task(
            workload=by_key[key].workload,
            kernel=by_key[key],
            names=tuple(sorted(names[key])),
            calls=calls[key],
            seconds=spent / 1e6,
            share=profile.share(spent),
        )
        for key, spent in microseconds.items()
    ]
    return sorted(tasks, key=lambda task: (-task.seconds, task.workload.key))


def _is_divided(workload: Workload, choice: Choice | None) -> bool:
    """Whether the form that a workload got is several functions."""
    if choice is None or not isinstance(workload, EmittedWorkload):
        return False
    return not workload.is_one_function(choice.config)
