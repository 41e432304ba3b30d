"""Uses of operators that TVM's ONNX importer 0.27 accepts and converts to something else.

Found by running ONNX's own operator tests through it; what it refuses by itself needs no entry.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from paddle_tvm.compiler.frontends.onnx.context import NodeContext


def refuse(ctx: NodeContext) -> None:
    """Raise where a node must not be given to TVM.

    Raises
    ------
    UnsupportedModelError
        TVM's converter is known to be wrong for such a node.
    """
    refusal = _REFUSALS.get(ctx.node.op_type)
    if refusal is not None:
        refusal(ctx)


def _training(ctx: NodeContext) -> None:
    if ctx.attr("training_mode", 0):
        raise ctx.unsupported("training_mode is set; export the model for inference")


def _storage_order(ctx: NodeContext) -> None:
    if ctx.attr("storage_order", 0):
        raise ctx.unsupported("storage_order 1 is not supported")


def _overhang(ctx: NodeContext) -> None:
    # TVM counts elements that lie beyond the padding, where the last window hangs over.
    if ctx.attr("ceil_mode", 0) and ctx.attr("count_include_pad", 0):
        raise ctx.unsupported("ceil_mode together with count_include_pad is not supported")


def _negative_pads(ctx: NodeContext) -> None:
    pads = ctx.attr("pads", None) if ctx.opset < 11 else ctx.ints(1)
    if any(pad < 0 for pad in pads or ()):
        raise ctx.unsupported(f"negative pads {pads} are not supported; use Slice in the model")


def _one_sign(ctx: NodeContext) -> None:
    if not (ctx.attr("detect_positive", 1) and ctx.attr("detect_negative", 1)):
        raise ctx.unsupported("detecting infinities of one sign alone is not supported")


def _extremum(ctx: NodeContext) -> None:
    # Over nothing TVM gives whatever the memory holds.
    if ctx.dtype(0) == "bool" or any(isinstance(dim, int) and dim == 0 for dim in ctx.shape(0)):
        raise ctx.unsupported(
            f"its input is {ctx.dtype(0)}{ctx.shape(0)}; booleans and empty ones are not supported"
        )


def _maximum_of_samples(ctx: NodeContext) -> None:
    if ctx.attr("mode", "avg") == "max":
        raise ctx.unsupported("mode max is not supported, only avg")


def _integer_power(ctx: NodeContext) -> None:
    if not np.issubdtype(np.dtype(ctx.dtype(0)), np.floating):
        raise ctx.unsupported(
            f"powers of {ctx.dtype(0)} are not supported; use Mul, or cast to float32 in the model"
        )


def _suppression(ctx: NodeContext) -> None:
    # TVM sorts with a function that is not in its bare runtime, and counts boxes beyond those that overlap.
    raise ctx.unsupported("how many boxes it selects is known when it runs alone; cut the model before it")


_REFUSALS: dict[str, Callable[[NodeContext], None]] = {
    "AveragePool": _overhang,
    "BatchNormalization": _training,
    "IsInf": _one_sign,
    "MaxPool": _storage_order,
    "NonMaxSuppression": _suppression,
    "Pad": _negative_pads,
    "Pow": _integer_power,
    "ReduceMax": _extremum,
    "ReduceMin": _extremum,
    "RoiAlign": _maximum_of_samples,
}
