"""What is known of kernels while they are compiled: arithmetic, operators, symbols."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import pytest
import tvm
from tvm import relax, te, tirx

from paddle_tvm.compiler.lowering import lower_in_stages, optimise
from paddle_tvm.compiler.profiling.expressions import amount, evaluate
from paddle_tvm.compiler.profiling.fusion_trace import bindings_of, trace_fusion
from paddle_tvm.compiler.profiling.kernel_table import (
    Edge,
    Form,
    KernelCall,
    KernelTable,
    Operator,
    Schedule,
    read_kernel_table,
)
from paddle_tvm.compiler.profiling.schedule_notes import read_schedule
from paddle_tvm.compiler.profiling.work import function_flops, operator_flops
from paddle_tvm.compiler.source_names import NamingBuilder, SourceOperator, parse_source_name, source_name
from paddle_tvm.runtime.errors import ArtifactError
from paddle_tvm.targets.workload import Choice
from paddle_tvm.targets.x86 import x86_target


@pytest.mark.parametrize("operator", ["pd_op.conv2d", "pd_op.batch_norm_", "Conv", "my_op.do_2_things"])
def test_names_lead_back_to_operations_and_copies_do_too(operator: str) -> None:
    name = source_name(operator, 12)
    expected = SourceOperator(operator.rpartition(".")[2], 12)
    assert parse_source_name(name) == expected
    assert parse_source_name(name + "31") == expected
    assert parse_source_name("lv12") is None


@pytest.mark.parametrize(
    ("text", "sizes", "expected"),
    [
        ("n * 3 - 1", {"n": 5}, 14),
        ("(n - 1) // 2 % 4 + 1", {"n": 16}, 4),
        ("T.max(n, 7) * T.min(m, 2)", {"n": 3, "m": 9}, 14),
        ("-n", {"n": 4}, -4),
        ("n * 3", {}, None),
        ("T.Cast(n)", {"n": 1}, None),
        ("?", {}, None),
    ],
)
def test_amounts_are_evaluated_where_their_symbols_are_known(
    text: str, sizes: Mapping[str, int], expected: int | None
) -> None:
    assert evaluate(text, sizes) == expected


def test_amounts_survive_being_written() -> None:
    n = tirx.Var("n", "int64")
    written = amount(((n - 1) // 2 + 1) * 16 * n)
    assert isinstance(written, str)
    assert evaluate(written, {"n": 9}) == 5 * 16 * 9


def _tensor(*shape: object) -> relax.Var:
    return relax.Var("x", relax.TensorType(shape, "float32"))


def test_flops_of_convolutions_and_products() -> None:
    builder = relax.BlockBuilder()
    data, weight = _tensor(2, 8, 10, 12), _tensor(16, 4, 3, 5)
    grouped = builder.normalize(relax.op.nn.conv2d(data, weight, strides=[2, 1], groups=2))
    assert amount(operator_flops(grouped)) == 2 * (2 * 16 * 4 * 8) * (4 * 3 * 5)
    wider = builder.normalize(relax.op.nn.conv2d_transpose(data, _tensor(8, 6, 2, 2), strides=[2, 2]))
    assert amount(operator_flops(wider)) == 2 * (2 * 8 * 10 * 12) * (6 * 2 * 2)
    product = builder.normalize(relax.op.matmul(_tensor(3, 5, 7), _tensor(7, 11)))
    assert amount(operator_flops(product)) == 2 * 3 * 5 * 7 * 11
    assert operator_flops(builder.normalize(relax.op.exp(data))) is None


def test_flops_of_loops() -> None:
    a = te.placeholder((6, 8), name="a")
    k = te.reduce_axis((0, 8), "k")
    total = te.compute((6,), lambda i: te.sum(te.exp(a[i, k]) * 2.0, axis=k), name="total")
    scaled = te.compute((6,), lambda i: total[i] / 3.0, name="scaled")
    assert amount(function_flops(te.create_prim_func([a, scaled]))) == 6 * 8 * 3 + 6


def _two_equal_layers() -> tvm.IRModule:
    builder = NamingBuilder()
    x = relax.Var("x", relax.TensorType((1, 16, 8, 8), "float32"))
    weight = relax.const(np.ones((16, 16, 3, 3), "float32"))
    bias = relax.const(np.ones((1, 16, 1, 1), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            value = x
            for layer in range(2):
                builder.source = source_name("pd_op.conv2d", 10 * layer)
                value = builder.emit(relax.op.nn.conv2d(value, weight, padding=1))
                value = builder.emit(relax.op.add(value, bias))
                builder.source = source_name("pd_op.relu", 10 * layer + 1)
                value = builder.emit(relax.op.nn.relu(value))
            result = builder.emit_output(relax.Tuple([value]))
        builder.emit_func_output(result)
    return builder.get()


def test_equal_kernels_are_told_apart_by_what_they_compute() -> None:
    stages = lower_in_stages(optimise(_two_equal_layers()), x86_target())
    groups = trace_fusion(stages.operators, stages.groups)["main"]
    kernels = [
        (value.args[0].name_hint, {parse_source_name(part.name) for part in groups[variable]})
        for variable, value in bindings_of(stages.scheduled["main"]).items()
        if isinstance(value, relax.Call) and variable in groups
    ]
    layers = [(name, sources - {None}) for name, sources in kernels if sources - {None}]
    assert [sources for _, sources in layers] == [
        {SourceOperator("conv2d", 10 * layer), SourceOperator("relu", 10 * layer + 1)} for layer in range(2)
    ]
    assert layers[0][0] == layers[1][0], "the two layers share one kernel"


def _schedule_on_amx(size: int, channels: int, outputs: int) -> Schedule:
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((1, channels, size, size), "float32"))
    weight = relax.const(np.ones((outputs, channels, 1, 1), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            # Its result is in blocks, as the input of most convolutions.
            pooled = builder.emit(relax.op.nn.max_pool2d(x, (3, 3), padding=(1, 1)))
            convolved = builder.emit(relax.op.nn.conv2d(pooled, weight))
            result = builder.emit_output(relax.Tuple([convolved]))
        builder.emit_func_output(result)
    stages = lower_in_stages(optimise(builder.get()), x86_target("sapphirerapids"))
    schedules = [
        read_schedule(stages.fused[variable], function, defaultdict(lambda: Choice({"amx": 1})))
        for variable, function in stages.scheduled.functions.items()
        if isinstance(function, tirx.PrimFunc)
    ]
    (found,) = (schedule for schedule in schedules if schedule.rule == "amx")
    return found


def test_products_on_amx_say_how_threads_divide_them_and_that_they_may_pass_the_peak() -> None:
    by_columns, by_rows = _schedule_on_amx(14, 256, 1024), _schedule_on_amx(28, 128, 512)
    assert by_columns.show({}) == "amx blocked columns divided among threads parallel=32"
    assert by_rows.show({}) == "amx blocked row_units=8 parallel=8"
    for schedule in (by_columns, by_rows):
        assert schedule.passes_peak is not None
        assert schedule.passes_peak.startswith("AMX may pass the peak")


def test_multiply_adds_are_the_limit_of_all_but_winograd_and_amx() -> None:
    def of(rule: str | None, **config: int) -> str | None:
        return Schedule(rule, {}, (), False, "a workload", Choice(config)).passes_peak

    assert of("register_tile", winograd=0, points=7) is None
    assert of(None) is None
    assert (of("winograd", winograd=4) or "").startswith("Winograd's algorithm may pass the peak")


def test_the_table_is_read_as_it_was_written() -> None:
    edge = Edge(0, "float32", ("n", 3), "NCHW16c")
    call = KernelCall("conv", (Operator("conv2d", 1, True),), (), (edge,), (edge,), "n * 2", 12)
    table = KernelTable(
        {"main": Form({"x": edge}, {"y": edge}, (call,))},
        {"conv": Schedule("register_tile", {"tile": 4, "flat": 1}, ("n", 7), False)},
        {"pd_op.conv2d": 1},
    )
    raw = table.encode()
    assert read_kernel_table(raw, "here") == table
    assert table.schedules["conv"].show({"n": 5}) == "register_tile tile=4 flat parallel=5+7"
    newer = raw.replace(b'"table_version":1', b'"table_version":2')
    with pytest.raises(ArtifactError, match="expected version 1 of the table of kernels, got 2"):
        read_kernel_table(newer, "here")
