"""What can be exported, as patterns of an accelerator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import or_

from tvm import relax, tirx
from tvm.relax.dpl import DFPattern, is_op, wildcard

from paddle_tvm.targets.meaning import meaning_of
from paddle_tvm.targets.offload import Pattern

# Importing the package registers the operators.
from paddle_tvm.targets.onnx_export import ops as _ops  # noqa: F401
from paddle_tvm.targets.onnx_export.context import tensors_of
from paddle_tvm.targets.onnx_export.export import OnnxExport, export_call
from paddle_tvm.targets.onnx_export.graph import UnknownSizeError
from paddle_tvm.targets.onnx_export.registry import Converter, converters

Judge = Callable[[OnnxExport], "str | None"]

_DTYPES = {
    *("float16", "float32", "float64", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64", "bool"),
}


def patterns_of(judge: Judge) -> Sequence[Pattern]:
    """A pattern for each converter; they take what can be exported, unless ``judge`` knows a reason not to.

    Parameters
    ----------
    judge
        Is given each call as an ONNX model of its own, with weights as inputs, and says why whoever is to
        run it does not: the rest of a sentence that begins with the operator's name.
    """
    return [_pattern(converter, judge) for converter in converters()]


def _pattern(converter: Converter, judge: Judge) -> Pattern:
    alternatives: list[DFPattern] = [
        is_op(converter.operator)(*(wildcard() for _ in range(count))) for count in converter.operands
    ]

    def refuse(parts: Mapping[str, relax.Expr]) -> str | None:
        call, kernel = parts["root"], parts.get("function")
        reason = _refuse_types(call) or converter.refuse(call)
        if reason is None and kernel is not None and meaning_of(kernel) is None:
            reason = "its kernel is not one that ONNX has an operator for"
        if reason is not None:
            return reason
        try:
            exported = export_call(call, kernel, constants_as_inputs=True)
        except UnknownSizeError as error:
            return str(error)
        return judge(exported)

    name = converter.operator.removeprefix("relax.")
    return Pattern(name, reduce(or_, alternatives), refuse=refuse)


def _refuse_types(call: relax.Call) -> str | None:
    """Why tensors of a call cannot be in an ONNX model."""
    results = call.ty.fields if isinstance(call.ty, relax.TupleType) else [call.ty]
    for ty in (*results, *(tensor.ty for tensor in tensors_of(call))):
        if not isinstance(ty, relax.TensorType) or ty.shape is None:
            return "the shape of a tensor is not known"
        if str(ty.dtype) not in _DTYPES:
            return f"a tensor is {ty.dtype}, and no element type of ONNX that runs here"
        if any(isinstance(dim, tirx.IntImm) and int(dim.value) == 0 for dim in ty.shape):
            return "a tensor has no elements"
    return None
