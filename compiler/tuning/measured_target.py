"""What a tuning run compiles for, and what its log says of the machine that measures."""

from __future__ import annotations

from dataclasses import replace

from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.compiler.tuning.gpu_here import gpu_here
from paddle_tvm.compiler.tuning.records import Header, header_here, header_of
from paddle_tvm.runtime.cpu import cpu_features
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.registry import GPU, TENSORRT, targets_of
from paddle_tvm.targets.x86 import X86Target


def measured_target(options: CompileOptions) -> Target:
    """The CPU or the GPU that a model is tuned for.

    Raises
    ------
    UsageError
        This machine cannot measure for it, or it is several.
    """
    if options.target == GPU:
        (gpu,) = targets_of(GPU, (), [gpu_here(options.architectures).architecture], options.precision)
        return gpu
    if options.target == TENSORRT:
        raise UsageError(
            f"tune searches forms of our own kernels, and those beside TensorRT are those of {GPU}: tune "
            f"with --target {GPU}, and compile with --target {TENSORRT}, the same --arch and that log"
        )
    targets = targets_of(options.target, options.mcpus())
    target = targets[0]
    if not isinstance(target, X86Target):
        raise UsageError(f"tune measures on x86 and {GPU}, and --target {options.target} is neither")
    if len(targets) > 1:
        raise UsageError(
            f"--mcpu names {len(targets)} CPUs: forms are measured for one at a time; run tune once for each"
        )
    if target.accelerator is not None:
        # What it needs is looked for before anything is written.
        _ = target.accelerator.runtime
    missing = sorted(set(target.features) - cpu_features())
    if missing:
        raise UsageError(
            f"code for --mcpu {target.mcpu} does not run here: this machine lacks {', '.join(missing)}; "
            "tune on such a machine, for a profile of the model, made here, says what is worth searching"
        )
    return target


def header_for(target: Target, threads: int, rpc: tuple[str, int, str] | None) -> Header:
    """What a log says before what is measured now.

    Parameters
    ----------
    target
        From ``measured_target``.
    threads
        Threads that kernels are timed with.
    rpc
        The key of machines that measure instead of this one is the last of it.
    """
    if target.devices:
        gpu = gpu_here(target.devices)
        return header_of(target, gpu.name, gpu.architecture, threads)
    header = header_here(target, threads)
    if rpc is None:
        return header
    # Other machines than this one measure, of the kind that the model is compiled for.
    return replace(header, cpu=f"machines of key {rpc[2]}", microarchitecture=target.microarchitecture)
