"""Workloads and their forms in a few words, for tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from functools import singledispatch

from paddle_tvm.compiler.profiling.kernel_table import show_parameter
from paddle_tvm.runtime.wording import counted
from paddle_tvm.targets.cuda.workloads import CudaProduct
from paddle_tvm.targets.offload import JointOffloading, Offloading, shown_name
from paddle_tvm.targets.workload import Config, UnknownWorkloadError, Workload
from paddle_tvm.targets.x86.amx import AMX
from paddle_tvm.targets.x86.conv2d_workload import Conv2d
from paddle_tvm.targets.x86.depthwise_workload import Depthwise
from paddle_tvm.targets.x86.graph_workloads import BlockWidth, Epilogue
from paddle_tvm.targets.x86.matmul_workload import MatMul


def name_key(key: str | None) -> str:
    """The workload of a key; nothing for None, and for one that this version does not know."""
    if key is None:
        return ""
    try:
        return name_workload(Workload.from_key(key))
    except UnknownWorkloadError:
        return ""


@singledispatch
def name_workload(workload: Workload) -> str:
    """Operator and sizes, such as ``conv2d 3x3 64->64 56x56``; a size that is not known is ``?``."""
    values = [getattr(workload, field.name) for field in fields(workload)]
    shown = [_sizes(value) if isinstance(value, tuple) else _size(value) for value in values]
    return " ".join([workload.operator, *shown])


@name_workload.register
def _(workload: Conv2d) -> str:
    return _convolution(workload, "conv2d", f"{workload.channels}->{workload.outputs}", workload.groups)


@name_workload.register
def _(workload: Depthwise) -> str:
    return _convolution(workload, "depthwise", str(workload.channels), 1)


@name_workload.register
def _(workload: MatMul) -> str:
    batch = "" if workload.matrices == 1 else f"{_size(workload.matrices)} of "
    return f"matmul {batch}{_sizes((workload.rows, workload.depth, workload.columns))}"


@name_workload.register
def _(workload: CudaProduct) -> str:
    batch = "" if workload.batch == 1 else f"{_size(workload.batch)} of "
    sizes = _sizes((workload.rows, workload.depth, workload.columns))
    return f"product {batch}{sizes} {workload.engine}"


@name_workload.register
def _(workload: BlockWidth) -> str:
    return f"layout of {workload.channels} channels"


@name_workload.register
def _(workload: Offloading) -> str:
    return (
        f"subgraph of {counted(workload.operators, 'Relax operator')} in {shown_name(workload.accelerator)}"
    )


@name_workload.register
def _(workload: JointOffloading) -> str:
    subgraphs = counted(len(workload.subgraphs), "remaining subgraph")
    operators = sum(operators for _, operators in workload.subgraphs)
    return f"{subgraphs} of {counted(operators, 'Relax operator')} in {shown_name(workload.accelerator)}"


@name_workload.register
def _(workload: Epilogue) -> str:
    return f"what follows {name_workload(Workload.from_key(workload.kernel))}"


def name_form(config: Config) -> str:
    """The parameters of a form in a line; the first word is the algorithm, where there is a choice."""
    if "taken" in config:
        return "computed by the accelerator" if config["taken"] else "computed by our own kernels"
    size = config.get("winograd")
    algorithm = [] if size is None else [f"Winograd F({size}x{size})" if size else "direct"]
    if AMX in config:
        algorithm = ["AMX"]
    named = (show_parameter(name, value) for name, value in config.items() if name not in ("winograd", AMX))
    return " ".join([*algorithm, *named])


def _convolution(workload: Conv2d | Depthwise, operator: str, channels: str, groups: int) -> str:
    parts = [operator, _sizes(workload.kernel)]
    for mark, values in (("/", workload.strides), ("dilated ", workload.dilation)):
        if values != (1, 1):
            parts.append(mark + (str(values[0]) if values[0] == values[1] else _sizes(values)))
    parts += [channels, _sizes((workload.rows, workload.columns))]
    parts += [f"{groups} groups"] if groups != 1 else []
    parts += [f"batch {_size(workload.batch)}"] if workload.batch != 1 else []
    return " ".join(parts)


def _sizes(values: Iterable[object]) -> str:
    return "x".join(map(_size, values))


def _size(value: object) -> str:
    return "?" if value is None else str(value)
