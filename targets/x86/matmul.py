"""Lowers matmul to a kernel over a right-hand matrix packed by column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tvm import relax, tirx, topi

from paddle_tvm.targets.expressions import constant, constant_array, extent
from paddle_tvm.targets.workload import Choices
from paddle_tvm.targets.x86.amx_workloads import AmxMatMul
from paddle_tvm.targets.x86.conv2d import FUSES_WHAT_FOLLOWS
from paddle_tvm.targets.x86.matmul_workload import MatMul
from paddle_tvm.targets.x86.matrix_product import multiply
from paddle_tvm.targets.x86.packing import pack_matrix, te_pack_matrix
from paddle_tvm.targets.x86.tile import GEMM_UNITS, fitting_lanes, gemm_annotations, gemm_tile


def legalize_matmul(
    builder: relax.BlockBuilder, call: relax.Call, lanes: int, choices: Choices, *, amx: bool
) -> relax.Expr:
    """A ``relax.matmul`` of any ranks as one fusable function; ``amx``: whether the CPU has AMX."""
    left, right = call.args
    shape = list(call.ty.shape)
    vectors = (len(left.ty.shape) == 1, len(right.ty.shape) == 1)
    if vectors[0]:
        left = _reshaped(builder, left, [1, *left.ty.shape])
        shape.insert(len(shape) - (not vectors[1]), 1)
    columns = 1 if vectors[1] else extent(right.ty.shape[-1])
    if vectors[1]:
        shape.append(1)
    if isinstance(columns, int):
        lanes = fitting_lanes(columns, lanes)
    array = constant_array(right)
    if amx and array is not None and not any(vectors):
        tiled = AmxMatMul.of_weight(left.ty.shape, array)
        if tiled is not None:
            config = choices.of(tiled).config
            return builder.call_te(
                tiled.compute(config),
                left,
                constant(tiled.pack(config, array)),
                primfunc_name_hint="matmul",
                primfunc_attrs=FUSES_WHAT_FOLLOWS,
            )
    if array is not None:
        packed = constant(pack_matrix(array[:, None] if vectors[1] else array, lanes))
    else:
        if vectors[1]:
            right = _reshaped(builder, right, [*right.ty.shape, 1])
        # A number of columns that is not known is padded to whole tiles.
        group = 1 if isinstance(columns, int) else gemm_tile(lanes).blocks
        packed = builder.emit(
            builder.call_te(te_pack_matrix, right, lanes, group, primfunc_name_hint="pack_matrix")
        )
    out_dtype = str(call.ty.dtype)
    notes: Mapping[str, Any] = gemm_annotations(lanes, gemm_tile(lanes), GEMM_UNITS)
    if out_dtype == str(left.ty.dtype) == "float32":
        workload = MatMul.of(left.ty.shape, packed.ty.shape, shape, lanes)
        notes = workload.notes(choices.of(workload).config)
    # The shape goes in as an argument: TVM renames the symbols of what goes in, and only of that.
    product = builder.call_te(
        lambda x, w, sizes: multiply(x, w, [extent(dim) for dim in sizes], out_dtype, notes),
        left,
        packed,
        [tirx.IntImm("int64", dim) if isinstance(dim, int) else dim for dim in shape],
        primfunc_name_hint="matmul",
        primfunc_attrs=FUSES_WHAT_FOLLOWS,
    )
    if not any(vectors):
        return product
    return builder.call_te(
        topi.reshape, builder.emit(product), list(call.ty.shape), primfunc_name_hint="reshape"
    )


def _reshaped(builder: relax.BlockBuilder, tensor: relax.Expr, shape: list[Any]) -> relax.Expr:
    return builder.emit(builder.call_te(topi.reshape, tensor, shape, primfunc_name_hint="reshape"))
