"""Joins what was measured with what is known of the kernels: time, rates, share of the machine's peak."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy.typing as npt

from paddle_tvm.compiler.bench.disturbance import Others, is_disturbed
from paddle_tvm.compiler.profiling.expressions import evaluate
from paddle_tvm.compiler.profiling.gpu_peak import GpuPeak, stated_peak
from paddle_tvm.compiler.profiling.gpu_timing import time_gpu_kernels
from paddle_tvm.compiler.profiling.kernel_table import (
    Form,
    KernelCall,
    KernelTable,
    Schedule,
    kernels_file,
    read_kernel_table,
)
from paddle_tvm.compiler.profiling.peak import Peak, available_threads, compile_peak, measure_peak
from paddle_tvm.compiler.profiling.timing import Timing, time_kernels
from paddle_tvm.runtime.cpu import default_threads
from paddle_tvm.runtime.errors import ArtifactError
from paddle_tvm.runtime.loader import LoadedModel, load
from paddle_tvm.runtime.wording import counted

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Work:
    """Time in a run, and what was done in it; None where that is known to the run alone."""

    microseconds: float
    flops: int | None
    bytes: int | None

    @property
    def gflops(self) -> float | None:
        """Floating-point operations a second, in thousand millions."""
        return _rate(self.flops, self.microseconds)

    @property
    def gbps(self) -> float | None:
        """Bytes a second, in thousand millions."""
        return _rate(self.bytes, self.microseconds)


@dataclass(frozen=True)
class KernelProfile:
    """A kernel, in all places of a run where it is called.

    ``schedule`` is None for a function that the artifact's table does not know.
    """

    name: str
    calls: int
    work: Work
    places: tuple[KernelCall, ...]
    schedule: Schedule | None


@dataclass(frozen=True)
class Profile:
    """A run of an artifact, kernel by kernel, the slowest first.

    ``devices`` are the GPUs that the code is for, by architecture; none where it is for CPUs. ``places`` has
    the work of each call of the form, in the order of ``form.calls``; None where it was not called, as for
    views. ``disturbance`` is how many cores other processes kept busy meanwhile.
    """

    mcpu: str
    devices: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]
    sizes: Mapping[str, int]
    timing: Timing
    peak: Peak | GpuPeak
    form: Form
    kernels: tuple[KernelProfile, ...]
    places: tuple[Work | None, ...]
    disturbance: float

    @property
    def disturbed(self) -> bool:
        """Whether other processes took so much of the machine that times and peak have to be marked."""
        return is_disturbed(self.disturbance)

    @property
    def disturbance_remark(self) -> str:
        """What a disturbed profile is worth."""
        if isinstance(self.peak, GpuPeak):
            return (
                f"other processes kept {self.disturbance:.1f} cores busy meanwhile: the GPU may have waited "
                "for the CPU, so that the run took too long; repeat it on a quiet machine"
            )
        return (
            f"other processes kept {self.disturbance:.1f} cores busy meanwhile: times may be too long, "
            "the machine's peak too low, and shares of it wrong either way; what is outside kernels holds "
            "the time of those processes too; repeat it on a quiet machine"
        )

    @property
    def made_for(self) -> str:
        """The CPU, or the GPUs."""
        return ", ".join(self.devices) or self.mcpu

    @property
    def ran_on(self) -> str:
        """The threads, or the GPU."""
        if isinstance(self.peak, GpuPeak):
            return self.peak.device
        return counted(self.timing.threads, "thread")

    @property
    def arithmetic(self) -> tuple[str, ...]:
        """What kernels compute in that is not what the peak is of."""
        found = {kernel.schedule.arithmetic for kernel in self.kernels if kernel.schedule is not None}
        return tuple(sorted(filter(None, found)))

    @property
    def kernels_us(self) -> float:
        """Time of all kernels in a run: the sum of their medians."""
        return sum(kernel.work.microseconds for kernel in self.kernels)

    @property
    def total_us(self) -> float:
        """The run; or the sum of the kernels where timing each of them made that the longer one."""
        return max(self.timing.run_ms * 1e3, self.kernels_us)

    @property
    def outside_us(self) -> float:
        """What of the run is in no kernel: calls, memory, checks of shapes, waking threads or the GPU."""
        return self.total_us - self.kernels_us

    def share(self, microseconds: float) -> float:
        """A time as a share of the run."""
        return microseconds / self.total_us if self.total_us else 0.0

    def peak_share(self, work: Work, schedule: Schedule | None) -> float | None:
        """Multiply-adds that a kernel reached, as a share of the peak.

        None where one is not known, or the kernel computes in another type than the peak was measured in.
        """
        if work.gflops is None or not self.peak.gflops or (schedule is not None and schedule.arithmetic):
            return None
        return work.gflops / self.peak.gflops


def profile_artifact(
    artifact: Path, arrays: Arrays, *, threads: int | None = None, rounds: int = 30, mcpu: str | None = None
) -> Profile:
    """Run an artifact and time its kernels.

    Parameters
    ----------
    artifact
        The artifact's directory.
    arrays
        Inputs by name.
    threads
        CPU threads; one for each physical core that the process may use, by default. Kernels of GPUs are
        started by one.
    rounds
        Runs to take medians of.
    mcpu
        Which of the CPUs that the artifact has code for; the best that this machine runs, by default.

    Raises
    ------
    ArtifactError
        The artifact is damaged or not for this machine, or does not describe its kernels.
    """
    model = load(artifact, mcpu=mcpu)
    table = read_table(artifact, model)
    shapes = {spec.name: tuple(arrays[spec.name].shape) for spec in model.manifest.inputs}
    if model.device is not None:
        others = Others(process_time)
        timing = time_gpu_kernels(model, arrays, rounds)
        disturbance = others.cores()
        stated = stated_peak(model.device, model.manifest.precision)
        return _join(model, table, shapes, timing, stated, disturbance)
    threads = threads or default_threads()
    # More threads than CPUs reach no more, and disturb each other while they are measured.
    cores = min(threads, available_threads())
    compile_peak(cores)
    others = Others(process_time)
    # Before and after: what else the machine does meanwhile may lower one of them.
    measure_peak(cores)
    timing = time_kernels(model, arrays, threads, rounds)
    peak = measure_peak(cores)
    return _join(model, table, shapes, timing, peak, others.cores())


def read_table(artifact: Path, model: LoadedModel) -> KernelTable:
    """What a loaded artifact says about its kernels.

    Raises
    ------
    ArtifactError
        It says nothing, or another version has written it.
    """
    name = kernels_file(model.variant.library)
    if name not in model.manifest.files:
        raise ArtifactError(
            f"{artifact}: has no {name}, which describes its kernels: it was compiled by an older version "
            f"({model.manifest.producer.paddle_tvm}); compile the model again"
        )
    return read_kernel_table((artifact / name).read_bytes(), f"{artifact}/{name}")


def bind_symbols(declared: Sequence[Sequence[int | str]], shapes: Sequence[Sequence[int]]) -> dict[str, int]:
    """The sizes of the symbols in declared shapes."""
    return {
        symbol: size
        for dims, shape in zip(declared, shapes, strict=True)
        for symbol, size in zip(dims, shape, strict=True)
        if isinstance(symbol, str)
    }


def _join(
    model: LoadedModel,
    table: KernelTable,
    shapes: Mapping[str, tuple[int, ...]],
    timing: Timing,
    peak: Peak | GpuPeak,
    disturbance: float,
) -> Profile:
    form = table.forms[timing.form]
    (function,) = (f for f in model.manifest.functions if f.name == timing.form)
    sizes = bind_symbols(function.input_shapes, list(shapes.values()))
    timed = {(call.name, call.occurrence): call.microseconds for call in timing.calls}
    seen: Counter[str] = Counter()
    places: list[Work | None] = []
    works: defaultdict[str, list[Work]] = defaultdict(list)
    calls: defaultdict[str, list[KernelCall]] = defaultdict(list)
    for call in form.calls:
        calls[call.kernel].append(call)
        spent = timed.pop((call.kernel, seen[call.kernel]), None)
        seen[call.kernel] += 1
        if spent is None:
            places.append(None)
            continue
        work = Work(spent, evaluate(call.flops, sizes), evaluate(call.bytes, sizes))
        places.append(work)
        works[call.kernel].append(work)
    # Calls in branches and loops, which are not listed place by place.
    for (name, _), spent in timed.items():
        if name in table.schedules:
            works[name].append(Work(spent, None, None))
    kernels = [
        KernelProfile(name, len(done), _sum(done), tuple(calls[name]), table.schedules.get(name))
        for name, done in works.items()
    ]
    kernels.sort(key=lambda kernel: -kernel.work.microseconds)
    return Profile(
        mcpu=model.variant.target.mcpu,
        devices=model.variant.target.devices,
        shapes=shapes,
        sizes=sizes,
        timing=timing,
        peak=peak,
        form=form,
        kernels=tuple(kernels),
        places=tuple(places),
        disturbance=disturbance,
    )


def _sum(works: Sequence[Work]) -> Work:
    return Work(
        sum(work.microseconds for work in works),
        _total([work.flops for work in works]),
        _total([work.bytes for work in works]),
    )


def _total(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def _rate(amount: int | None, microseconds: float) -> float | None:
    return None if amount is None or not microseconds else amount / microseconds / 1e3
