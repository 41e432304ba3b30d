"""Finds what there is to tune in a model, and how much of its time each part takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from paddle_tvm.compiler.frontends.importing import import_forms
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.lowering import lower_in_stages, optimise
from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.compiler.passes.merge_forms import merge_forms
from paddle_tvm.compiler.profiling.profile import Profile
from paddle_tvm.compiler.tuning.find_kernels import find_kernels
from paddle_tvm.compiler.tuning.gpu_program import GpuTunableKernel
from paddle_tvm.compiler.tuning.gpu_tasks import UndividedForms
from paddle_tvm.compiler.tuning.kernel import TunableKernel
from paddle_tvm.compiler.tuning.task import Task
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.workload import Workload


def kernels_of_model(
    model: Path, options: CompileOptions, target: Target, sizes: Mapping[str, int]
) -> Mapping[str, TunableKernel]:
    """The kernels of a model whose form can be chosen, by the names that compiling gives them.

    Those for GPUs are of forms that are one function, from which all others can be made: where the default is
    not, compiling gives other names.

    Parameters
    ----------
    model
        The saved model.
    options
        As it will be compiled.
    target
        The machine, with the forms to begin with.
    sizes
        Values for the symbols of dynamic shapes, to measure with.
    """
    forms = import_forms(find_model(model), options)
    module = optimise(merge_forms({name: form.module for name, form in forms.items()}))
    if target.devices:
        undivided = target.with_choices(UndividedForms(target.choices))
        return find_kernels(lower_in_stages(module, undivided), sizes, GpuTunableKernel)
    return find_kernels(lower_in_stages(module, target), sizes, TunableKernel)


def tasks_of(kernels: Mapping[str, TunableKernel], profile: Profile) -> list[Task]:
    """One task for each workload, with what its kernels take of a run; the longest first."""
    calls = {kernel.name: kernel for kernel in profile.kernels}
    by_workload: defaultdict[Workload, list[str]] = defaultdict(list)
    for name, kernel in kernels.items():
        if name in calls:
            by_workload[kernel.workload].append(name)
    tasks = []
    for workload, names in by_workload.items():
        longest = max(names, key=lambda name: (calls[name].work.microseconds, name))
        seconds = sum(calls[name].work.microseconds for name in names) / 1e6
        flops = calls[longest].work.flops
        tasks.append(
            Task(
                workload=workload,
                kernel=kernels[longest],
                names=tuple(sorted(names)),
                calls=sum(calls[name].calls for name in names),
                seconds=seconds,
                share=profile.share(seconds * 1e6),
                profiled_flops=None if flops is None else flops // calls[longest].calls,
            )
        )
    return sorted(tasks, key=lambda task: (-task.seconds, task.workload.key))
