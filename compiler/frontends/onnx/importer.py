"""Walks an ONNX graph and builds the Relax module of the same meaning.

Shapes are the reason for a walk of our own around TVM's converters: what a graph computes from shapes
(Shape → Slice → Concat → Reshape) is followed as arrays of expressions over the symbolic dimensions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from tvm import ir, relax, tirx

# Importing the package registers the operators.
from paddle_tvm.compiler.frontends.onnx import ops as _ops  # noqa: F401
from paddle_tvm.compiler.frontends.onnx.constants import FOLDABLE, evaluate
from paddle_tvm.compiler.frontends.onnx.context import NodeContext, describe
from paddle_tvm.compiler.frontends.onnx.inference import Inferred, infer_shapes
from paddle_tvm.compiler.frontends.onnx.inputs import input_shapes
from paddle_tvm.compiler.frontends.onnx.kept_nodes import keep_node, may_be_kept
from paddle_tvm.compiler.frontends.onnx.model import (
    OnnxModel,
    all_nodes,
    load_onnx,
    read_tensor,
    replaced_type,
)
from paddle_tvm.compiler.frontends.onnx.operators import is_missing, missing_operators
from paddle_tvm.compiler.frontends.onnx.registry import find_converter, find_fold
from paddle_tvm.compiler.frontends.onnx.tvm_converters import convert_with_tvm
from paddle_tvm.compiler.frontends.paddle.context import (
    MAX_SYMBOLIC_ELEMENTS,
    TensorValue,
    as_dim,
)
from paddle_tvm.compiler.frontends.paddle.registry import KnownArray, is_constant
from paddle_tvm.compiler.frontends.shapes import symbol_stem
from paddle_tvm.compiler.frontends.source import ModelSource
from paddle_tvm.compiler.frontends.symbols import SymbolTable, import_with_equal_symbols, tensor_port
from paddle_tvm.compiler.imported import ImportedModel
from paddle_tvm.compiler.source_names import NamingBuilder, source_name
from paddle_tvm.runtime.errors import UnsupportedModelError
from paddle_tvm.runtime.wording import counted

# Operators that make values of a type from those of another.
_ROUNDING = frozenset({"Cast", "CastLike", "QuantizeLinear"})
# A constant result larger than this is left to the compiled graph: 2^26 elements are 256 MB of float32.
_MAX_CONSTANT_ELEMENTS = 1 << 26


def import_onnx(
    source: ModelSource,
    shapes: Mapping[str, Sequence[int | str]] | None = None,
    *,
    keep_nodes: bool = False,
) -> ImportedModel:
    """Build the Relax module of an ONNX model.

    Parameters
    ----------
    source
        An ``.onnx`` file.
    shapes
        Dimensions to fix, by input name; a string or -1 leaves a dimension symbolic. Symbolic dimensions
        have the model's names for them, else ``<input>_<axis>``.
    keep_nodes
        Whether nodes that cannot be imported stay in the graph as they are, for ONNX Runtime to run.

    Raises
    ------
    UsageError
        ``shapes`` names no input of the model or contradicts it.
    UnsupportedModelError
        The file is damaged, operators are missing (all are named), or one is used in a way that cannot be
        compiled.
    """
    model = load_onnx(source.program)
    missing = missing_operators(model, kept=keep_nodes)
    if missing:
        listed = ", ".join(f"{name} ({counted(count, 'time')})" for name, count in missing.most_common())
        are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        raise UnsupportedModelError(
            f"{counted(len(missing), 'operator')} of {source.program} {are} not supported: {listed}. "
            f"{_way_out(model, them)}"
        )
    declared = input_shapes(model, shapes)
    inferred = infer_shapes(model, declared)
    return import_with_equal_symbols(
        lambda symbols: _Importer(model, declared, inferred, symbols, keep_nodes).run()
    )


def _way_out(model: OnnxModel, them: str) -> str:
    if not missing_operators(model, kept=True):
        return f"ONNX Runtime has {them}: compile with --target onnxruntime"
    return f"Export the model without {them}, or from Paddle and without --frontend onnx"


class _Importer:
    def __init__(
        self,
        model: OnnxModel,
        declared: Mapping[str, Sequence[int | str]],
        inferred: Mapping[str, Inferred],
        symbols: SymbolTable,
        keep_nodes: bool,
    ) -> None:
        self.model = model
        self.keep_nodes = keep_nodes
        self.inferred = inferred
        self.symbols = symbols
        self.builder = NamingBuilder()
        self.imported_nodes = 0
        self.read = {name for node in all_nodes(model.proto.graph) for name in node.input} | _results(model)
        self.values: dict[str, TensorValue] = {
            name: TensorValue(str(array.dtype), array=array) for name, array in model.constants.items()
        }
        self.inputs = [self._input(port.name, port.dtype, declared[port.name]) for port in model.inputs]

    def _input(self, name: str, dtype: str, shape: Sequence[int | str]) -> relax.Var:
        variable = relax.Var(symbol_stem(name), relax.TensorType(self.symbols.dims(shape), dtype))
        self.values[name] = TensorValue(dtype, variable)
        return variable

    def run(self) -> ImportedModel:
        with self.builder.function("main", self.inputs):
            with self.builder.dataflow():
                self._import_nodes(self.model.proto.graph.node)
                outputs = [self.values[name].expr(self.builder) for name in self.model.outputs]
                result = self.builder.emit_output(relax.Tuple(outputs))
            self.builder.emit_func_output(result)
        return ImportedModel(
            module=self.builder.get(),
            inputs=tuple(
                tensor_port(port.name, variable)
                for port, variable in zip(self.model.inputs, self.inputs, strict=True)
            ),
            outputs=tuple(
                tensor_port(name, output) for name, output in zip(self.model.outputs, outputs, strict=True)
            ),
            operators=dict(Counter(node.op_type for node in all_nodes(self.model.proto.graph))),
        )

    def _import_nodes(self, nodes: Sequence[onnx.NodeProto]) -> None:
        for node in nodes:
            if node.op_type == "If":
                self._import_branch(node)
            else:
                self._import_node(node)

    def _import_branch(self, node: onnx.NodeProto) -> None:
        condition = self.values[node.input[0]].array
        if condition is None or not is_constant(condition):
            raise UnsupportedModelError(
                f"{describe(node)}: the condition depends on the model's input; only conditions that are "
                "known while compiling are supported. Where it depends on the shape, fix it with --shape"
            )
        name = "then_branch" if condition.item() else "else_branch"
        (branch,) = (attribute.g for attribute in node.attribute if attribute.name == name)
        for tensor in branch.initializer:
            array = read_tensor(self.model.path, tensor)
            self.values[tensor.name] = TensorValue(str(array.dtype), array=array)
        self._import_nodes(branch.node)
        for output, inner in zip(node.output, branch.output, strict=True):
            self.values[output] = self.values[inner.name]

    def _import_node(self, node: onnx.NodeProto) -> None:
        self.builder.source = source_name(node.op_type, self.imported_nodes)
        self.imported_nodes += 1
        self._refuse_rounding(node)
        operands = [self.values[name] if name else None for name in node.input]
        results = self._fold_constants(node, operands)
        if results is None:
            context = NodeContext(
                node,
                self.model.opset,
                operands,
                self.builder,
                self.symbols,
                [self.inferred[name].dtype if name in self.inferred else None for name in node.output],
            )
            results = self._fold_symbols(context) or self._convert(context)
        # Statistics and masks that only training reads are often wrong or missing in TVM's converters.
        for name, value in zip(node.output, results, strict=False):
            if name in self.read:
                self._check(node, name, value)
                self.values[name] = value

    def _refuse_rounding(self, node: onnx.NodeProto) -> None:
        """Refuse a node that rounds to a type which NumPy, and with it the compiled graph, does not have."""
        if node.op_type not in _ROUNDING or node.domain not in ("", "ai.onnx"):
            return
        elements = [attribute.i for attribute in node.attribute if attribute.name == "to"]
        elements += [self.inferred[name].element for name in node.output if name in self.inferred]
        replaced = next(filter(None, map(replaced_type, elements)), None)
        if replaced is not None:
            raise UnsupportedModelError(
                f"{describe(node)}: rounds to {replaced}, a type that no target has: export the model in "
                "float32, float16 or int8"
            )

    def _fold_constants(
        self, node: onnx.NodeProto, operands: Sequence[TensorValue | None]
    ) -> list[TensorValue] | None:
        if node.op_type not in FOLDABLE or node.domain not in ("", "ai.onnx"):
            return None
        arrays: list[KnownArray | None] = []
        for operand in operands:
            if operand is not None and (operand.array is None or not is_constant(operand.array)):
                return None
            arrays.append(None if operand is None else operand.array)
        for name in node.output:
            shape = self.inferred[name].shape if name in self.inferred else ()
            sizes = [size for size in shape if isinstance(size, int)]
            if np.prod(sizes, dtype=float) > _MAX_CONSTANT_ELEMENTS:
                return None
        try:
            results = evaluate(node, arrays, self.model.proto.opset_import)
        except Exception as error:
            raise UnsupportedModelError(
                f"{describe(node)}: its inputs are constants, and it cannot be computed: {error}"
            ) from error
        if results is None:
            return None
        return [TensorValue(str(array.dtype), array=array) for array in results]

    def _fold_symbols(self, context: NodeContext) -> list[TensorValue] | None:
        fold = find_fold(context.node.op_type)
        if fold is None or context.node.domain not in ("", "ai.onnx"):
            return None
        folded = fold(context)
        if folded is None:
            return None
        dtype = context.operation.outputs[0].dtype or "int64"
        if all(isinstance(element, int) for element in folded.flatten().tolist()):
            return [TensorValue(dtype, array=folded.astype(dtype))]
        if folded.size > MAX_SYMBOLIC_ELEMENTS:
            return None
        return [TensorValue(dtype, array=folded)]

    def _convert(self, context: NodeContext) -> list[TensorValue]:
        standard = context.node.domain in ("", "ai.onnx")
        converter = find_converter(context.node.op_type) if standard else None
        if is_missing(context.node):
            parts: Sequence[Any] = keep_node(context, self.model.proto.opset_import)
        else:
            try:
                results = convert_with_tvm(context) if converter is None else converter(context)
                parts = results if isinstance(results, list | tuple) else [results]
                self._require_all(context, len(parts))
            except UnsupportedModelError as error:
                parts = self._kept_instead(context, error)
        return [part if isinstance(part, TensorValue) else self._tensor(context, part) for part in parts]

    def _require_all(self, context: NodeContext, made: int) -> None:
        unmade = [name for name in context.node.output[made:] if name in self.read]
        if unmade:
            raise context.unsupported(f"the result '{unmade[0]}' is not supported")

    def _kept_instead(self, context: NodeContext, error: UnsupportedModelError) -> Sequence[relax.Expr]:
        """A node that cannot be converted for this reason, as one of ONNX Runtime's."""
        if not may_be_kept(context.node):
            raise error
        try:
            kept = keep_node(context, self.model.proto.opset_import)
        except UnsupportedModelError:
            raise error from None
        if not self.keep_nodes:
            raise UnsupportedModelError(f"{error}. ONNX Runtime runs it: compile with --target onnxruntime")
        return kept

    def _tensor(self, context: NodeContext, expr: relax.Expr) -> TensorValue:
        if isinstance(expr, ir.Constant):
            array = expr.value.numpy()
            return TensorValue(str(array.dtype), array=array)
        if not isinstance(expr, relax.Var):
            expr = self.builder.emit(expr)
        if not isinstance(expr.ty, relax.TensorType) or expr.ty.ndim < 0:
            raise context.unsupported(f"the rank of its result is not known while compiling ({expr.ty})")
        if expr.ty.shape is None:
            # How many there are is known only when it has run (NonZero): give the dimensions names.
            stem = symbol_stem(context.node.output[0])
            fresh = [tirx.Var(f"{stem}_{axis}", "int64") for axis in range(expr.ty.ndim)]
            expr = self.builder.match_cast(expr, relax.TensorType(fresh, str(expr.ty.dtype)))
        return TensorValue(str(expr.ty.dtype), expr)

    def _check(self, node: onnx.NodeProto, name: str, value: TensorValue) -> None:
        """Compare with ONNX's own inference: a wrong shape must never pass silently."""
        if name not in self.inferred:
            return
        expected = self.inferred[name]
        own = [as_dim(dim) for dim in value.shape]
        same = len(own) == len(expected.shape) and value.dtype == expected.dtype
        if not same or any(
            isinstance(ours, int) and isinstance(theirs, int) and ours != theirs
            for ours, theirs in zip(own, expected.shape, strict=True)
        ):
            raise UnsupportedModelError(
                f"{describe(node)}: imported as {value.dtype}{own}, but ONNX infers "
                f"{expected.dtype}{list(expected.shape)} for '{name}'; this use of it is not supported"
            )


def _results(model: OnnxModel) -> set[str]:
    """What the graph and the graphs inside its nodes give out."""
    inner = [attribute.g for node in all_nodes(model.proto.graph) for attribute in node.attribute]
    return {output.name for graph in (model.proto.graph, *inner) for output in graph.output}
