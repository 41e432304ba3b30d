"""Walks a Paddle program and builds the Relax module of the same meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from tvm import ir, relax

# Importing the package registers the operators.
from paddle_tvm.compiler.frontends.paddle import ops as _ops  # noqa: F401
from paddle_tvm.compiler.frontends.paddle.context import (
    MAX_SYMBOLIC_ELEMENTS,
    Imported,
    OpContext,
    TensorValue,
    emit_simplified,
    shape_of,
)
from paddle_tvm.compiler.frontends.paddle.program import Operation, Port, Program, Value
from paddle_tvm.compiler.frontends.paddle.registry import (
    KnownArray,
    find_converter,
    find_fold,
    fold_reads_values,
    is_constant,
)
from paddle_tvm.compiler.frontends.shapes import check_shapes, symbol_stems
from paddle_tvm.compiler.frontends.symbols import SymbolTable, import_with_equal_symbols, tensor_port
from paddle_tvm.compiler.imported import ImportedModel
from paddle_tvm.compiler.source_names import NamingBuilder, source_name
from paddle_tvm.runtime.errors import UnsupportedModelError, UsageError
from paddle_tvm.runtime.wording import counted

# Named like in-place operators, but what they change in place is statistics, or nothing.
_KEEPS_ITS_INPUTS = frozenset({"pd_op.batch_norm_", "pd_op.sync_batch_norm_", "pd_op.share_data_"})

# Where the tensor that is changed is not the first operand.
_OVERWRITTEN_OPERAND = {"pd_op.assign_out_": 1}


def missing_operators(program: Program) -> Counter[str]:
    """Operators that cannot be imported, with how often each occurs."""
    return Counter(
        {
            name: count
            for name, count in program.count_operators().items()
            if name not in ("builtin.parameter", "builtin.combine")
            and find_converter(name) is None
            and find_fold(name) is None
        }
    )


def import_program(
    program: Program, shapes: Mapping[str, Sequence[int | str]] | None = None
) -> ImportedModel:
    """Build the Relax module of a program.

    Parameters
    ----------
    program
        What ``load_program`` gave.
    shapes
        Dimensions to fix, by input name; a string or -1 leaves a dimension symbolic.

    Raises
    ------
    UsageError
        ``shapes`` names no input of the program or contradicts it.
    UnsupportedModelError
        Operators are missing (all are named), or one is used in a way that cannot be compiled.
    """
    missing = missing_operators(program)
    if missing:
        listed = ", ".join(f"{name} ({counted(count, 'time')})" for name, count in missing.most_common())
        are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
        raise UnsupportedModelError(
            f"{counted(len(missing), 'operator')} of the model {are} not supported: {listed}. "
            f"Try --frontend onnx, or add {them} (docs/adding-an-operator.md)"
        )
    stems = symbol_stems(port.name for port in program.inputs)
    asked = shapes or {}
    declared = {
        port.name: check_shapes(port.name, port.value.shape or (), asked.get(port.name), stems[port.name])
        for port in program.inputs
    }
    unknown = set(asked) - set(declared)
    if unknown:
        raise UsageError(
            f"the model has no input {', '.join(sorted(unknown))}; its inputs are {', '.join(declared)}"
        )
    return import_with_equal_symbols(lambda symbols: _Importer(program, declared, symbols).run())


class _Importer:
    def __init__(
        self, program: Program, declared: Mapping[str, Sequence[int | str]], symbols: SymbolTable
    ) -> None:
        self.program = program
        self.builder = NamingBuilder()
        self.values: dict[Value, Imported] = {}
        self.symbols = symbols
        self.inputs = [self._input(port, declared[port.name]) for port in program.inputs]

    def _input(self, port: Port, shape: Sequence[int | str]) -> relax.Var:
        assert port.value.dtype is not None
        variable = relax.Var(
            _identifier(port.name), relax.TensorType(self.symbols.dims(shape), port.value.dtype)
        )
        self.values[port.value] = TensorValue(port.value.dtype, variable)
        return variable

    def run(self) -> ImportedModel:
        with self.builder.function("main", self.inputs):
            with self.builder.dataflow():
                for operation in self.program.operations:
                    self.builder.source = source_name(operation.name, operation.number)
                    self._import_operation(operation)
                    self._overwrite(operation)
                outputs = [self._output(port) for port in self.program.outputs]
                result = self.builder.emit_output(relax.Tuple(outputs))
            self.builder.emit_func_output(result)
        module = self.builder.get()
        return ImportedModel(
            module=module,
            inputs=tuple(
                tensor_port(port.name, variable)
                for port, variable in zip(self.program.inputs, self.inputs, strict=True)
            ),
            outputs=tuple(
                tensor_port(port.name, output)
                for port, output in zip(self.program.outputs, outputs, strict=True)
            ),
            operators=dict(self.program.count_operators()),
            minimums=self.symbols.minimums,
        )

    def _output(self, port: Port) -> relax.Expr:
        value = self.values[port.value]
        if not isinstance(value, TensorValue):
            raise UnsupportedModelError(f"output '{port.name}' is no tensor")
        expr = value.expr(self.builder)
        shape_of(expr)
        return expr

    def _import_operation(self, operation: Operation) -> None:
        if operation.name == "builtin.parameter":
            self._import_parameter(operation)
            return
        operands: list[Imported] = [
            None if value is None else self._operand(operation, value) for value in operation.inputs
        ]
        if operation.name == "builtin.combine":
            tensors = [operand for operand in operands if isinstance(operand, TensorValue)]
            self.values[operation.outputs[0]] = tensors
            return
        context = OpContext(operation, operands, self.builder, self.symbols)
        if self._fold(operation, context, operands):
            return
        converter = find_converter(operation.name)
        if converter is None:
            raise context.unsupported(
                "is supported only where its inputs are known while compiling; fix the input's dimensions "
                "with --shape"
            )
        try:
            converted = converter(context)
        except UnsupportedModelError:
            raise
        except Exception as error:
            # A bug of ours: TVM's own message does not know the Paddle operation, so say where it happened.
            raise RuntimeError(f"importing {operation} with attributes {operation.attrs} failed") from error
        results = [converted] if isinstance(converted, relax.Expr) else list(converted)
        for value, result in zip(operation.outputs, results, strict=False):
            self.values[value] = self._imported(result)

    def _overwrite(self, operation: Operation) -> None:
        """After an in-place operation the tensor that it changed reads as its result, as in Paddle."""
        if operation.name.endswith("_") and operation.name not in _KEEPS_ITS_INPUTS:
            changed = operation.inputs[_OVERWRITTEN_OPERAND.get(operation.name, 0)]
            if changed is not None:
                self.values[changed] = self.values[operation.outputs[0]]

    def _operand(self, operation: Operation, value: Value) -> Imported:
        if value not in self.values:
            raise UnsupportedModelError(
                f"{operation} reads a result that inference does not compute (training statistics or a mask)"
            )
        return self.values[value]

    def _imported(self, result: relax.Expr | Sequence[relax.Expr] | None) -> Imported:
        if result is None:
            return None
        if isinstance(result, list | tuple):
            return [self._tensor(part) for part in result]
        return self._tensor(result)

    def _tensor(self, expr: relax.Expr) -> TensorValue:
        if not isinstance(expr, relax.Var | ir.Constant):
            expr = emit_simplified(self.builder, expr)
        return TensorValue(str(expr.ty.dtype), expr)

    def _import_parameter(self, operation: Operation) -> None:
        (value,) = operation.outputs
        name = operation.attrs["parameter_name"]
        if name in self.program.params:
            array: KnownArray | None = self.program.params[name]
        else:
            # Not saved: the state of a dropout, which inference does not read.
            self.values[value] = None
            return
        assert array is not None
        self.values[value] = TensorValue(str(array.dtype), array=array)

    def _fold(self, operation: Operation, context: OpContext, operands: Sequence[Imported]) -> bool:
        fold = find_fold(operation.name)
        if fold is None or (fold_reads_values(operation.name) and not _all_known(operands)):
            return False
        folded = fold(context)
        if folded is None:
            return False
        arrays = [folded] if isinstance(folded, np.ndarray) else list(folded)
        if any(not is_constant(array) and array.size > MAX_SYMBOLIC_ELEMENTS for array in arrays):
            return False
        results = [_known_tensor(array, value.dtype) for array, value in _paired(arrays, operation)]
        for value, result in zip(operation.outputs, results, strict=False):
            self.values[value] = result
        if len(operation.outputs) == 1 and operation.outputs[0].shape is None:
            self.values[operation.outputs[0]] = results
        return True


def _paired(arrays: list[KnownArray], operation: Operation) -> list[tuple[KnownArray, Value]]:
    outputs = operation.outputs
    if len(outputs) == 1 and len(arrays) > 1:
        return [(array, outputs[0]) for array in arrays]
    return list(zip(arrays, outputs, strict=False))


def _known_tensor(array: KnownArray, declared_dtype: str | None) -> TensorValue:
    if is_constant(array):
        return TensorValue(str(array.dtype), array=array)
    if all(isinstance(element, int) for element in array.flatten()):
        constant = array.astype(declared_dtype or "int64")
        return TensorValue(str(constant.dtype), array=constant)
    return TensorValue(declared_dtype or "int64", array=array)


def _all_known(operands: Sequence[Imported]) -> bool:
    for operand in operands:
        parts = operand if isinstance(operand, list) else [operand]
        for part in parts:
            if part is not None and part.array is None:
                return False
    return True


def _identifier(name: str) -> str:
    return "".join(char if char.isalnum() else "_" for char in name)
