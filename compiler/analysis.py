"""What a Paddle program holds: its operators, parameters, and the arithmetic that it takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any, NamedTuple

from paddle_tvm.compiler.frontends.paddle.importer import import_program, missing_operators
from paddle_tvm.compiler.frontends.paddle.program import Operation, Port, Program, Value
from paddle_tvm.compiler.sample_inputs import Shapes, complete_shapes
from paddle_tvm.runtime.errors import UnsupportedModelError
from paddle_tvm.runtime.manifest import Shape, TensorSpec


class ModelPort(NamedTuple):
    """An input or output of a model; ``shape`` is None where not even its rank is known."""

    name: str
    dtype: str
    shape: Shape | None


@dataclass(frozen=True)
class OperatorUse:
    """One operator of a model: how often it occurs, and its share of the arithmetic.

    ``kept`` says of one that is not supported that ``--target onnxruntime`` keeps it for ONNX Runtime.
    """

    name: str
    count: int
    flops: int
    supported: bool
    kept: bool = False


@dataclass(frozen=True)
class ModelAnalysis:
    """A model in numbers.

    ``flops`` counts a multiplication and an addition as two, at the input shapes of ``shapes``;
    ``uncounted`` operations have shapes that could not be found, and are missing in it.
    """

    inputs: tuple[ModelPort, ...]
    outputs: tuple[ModelPort, ...]
    operators: tuple[OperatorUse, ...]
    parameters: int
    parameter_bytes: int
    shapes: Shapes
    flops: int
    uncounted: int

    @property
    def unsupported(self) -> tuple[OperatorUse, ...]:
        """Operators that our own kernels do not compute; some of them ONNX Runtime may."""
        return tuple(use for use in self.operators if not use.supported)

    def as_json(self) -> dict[str, Any]:
        """The analysis as JSON values."""
        return {
            "inputs": [_port_json(spec) for spec in self.inputs],
            "outputs": [_port_json(spec) for spec in self.outputs],
            "operators": [asdict(use) for use in self.operators],
            "unsupported": {use.name: use.count for use in self.unsupported},
            "parameters": self.parameters,
            "parameter_bytes": self.parameter_bytes,
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "flops": self.flops,
            "uncounted": self.uncounted,
        }


_Dims = tuple[int, ...]
_Shapes = Mapping[Value, _Dims]


def analyse(program: Program, shapes: Mapping[str, Sequence[int]]) -> ModelAnalysis:
    """Count operators, parameters and floating-point operations.

    Parameters
    ----------
    program
        What ``load_program`` gave.
    shapes
        Input shapes to count at; inputs left out get a default one, which the result names.

    Raises
    ------
    UsageError
        A shape names no input, or contradicts the model.
    """
    missing = missing_operators(program)
    inputs = tuple(map(_port_spec, program.inputs))
    chosen = next(complete_shapes(inputs, shapes))
    known = value_shapes(program, chosen)
    flops: Counter[str] = Counter()
    uncounted = 0
    for operation in program.operations:
        count = _count_flops(operation, known)
        if count is None:
            uncounted += 1
        else:
            flops[operation.name] += count
    uses = [
        OperatorUse(name, count, flops[name], name not in missing)
        for name, count in program.count_operators().most_common()
        if name not in ("builtin.parameter", "builtin.combine")
    ]
    return ModelAnalysis(
        inputs=tuple(ModelPort(*spec) for spec in inputs),
        outputs=tuple(ModelPort(*_port_spec(port)) for port in program.outputs),
        operators=tuple(uses),
        parameters=sum(int(array.size) for array in program.params.values()),
        parameter_bytes=sum(int(array.nbytes) for array in program.params.values()),
        shapes=chosen,
        flops=flops.total(),
        uncounted=uncounted,
    )


def value_shapes(program: Program, shapes: Shapes) -> dict[Value, _Dims]:
    """The shapes that are known for some input shapes.

    The importer infers them as far as it knows the operators; behind those, what the program states stays.
    """
    stated = {
        value: value.shape
        for operation in program.operations
        for value in operation.outputs
        if value.shape is not None and -1 not in value.shape
    }
    stated |= {port.value: shapes[port.name] for port in program.inputs}
    importable = _importable_operations(program)
    wanted = [
        Port(str(number), operation.outputs[0])
        for number, operation in enumerate(importable)
        if operation.name != "builtin.parameter" and operation.outputs and operation.outputs[0] not in stated
        if operation.outputs[0].shape is not None
    ]
    if not wanted:
        return stated
    try:
        imported = import_program(replace(program, operations=importable, outputs=tuple(wanted)), shapes)
    except UnsupportedModelError:
        return stated
    for port, output in zip(wanted, imported.outputs, strict=True):
        sizes = tuple(dim for dim in output.shape if isinstance(dim, int))
        if len(sizes) == len(output.shape):
            stated[port.value] = sizes
    return stated


def _port_json(port: ModelPort) -> dict[str, Any]:
    return {**port._asdict(), "shape": None if port.shape is None else list(port.shape)}


def _importable_operations(program: Program) -> tuple[Operation, ...]:
    """Operations that no unsupported one leads to."""
    missing = missing_operators(program)
    unreachable: set[Value | None] = set()
    kept = []
    for operation in program.operations:
        if operation.name in missing or not unreachable.isdisjoint(operation.inputs):
            unreachable.update(operation.outputs)
        else:
            kept.append(operation)
    return tuple(kept)


def _port_spec(port: Port) -> TensorSpec:
    return TensorSpec(port.name, port.value.dtype or "float32", port.value.shape or ())


def _count_flops(operation: Operation, shapes: _Shapes) -> int | None:
    """The operation's arithmetic; None where a shape is not known."""
    name = operation.name.removeprefix("pd_op.")
    rule = _RULES.get(name)
    if rule is None:
        return 0
    try:
        return rule(operation, shapes)
    except KeyError:
        return None


def _shape(operation: Operation, index: int, shapes: _Shapes) -> _Dims:
    value = operation.inputs[index]
    return () if value is None else shapes[value]


def _out(operation: Operation, shapes: _Shapes) -> int:
    return prod(shapes[operation.outputs[0]])


def _convolution(operation: Operation, shapes: _Shapes) -> int:
    # The weight is (output channels, input channels of a group, kernel...) in either layout of the data.
    return 2 * _out(operation, shapes) * prod(_shape(operation, 1, shapes)[1:])


def _transposed_convolution(operation: Operation, shapes: _Shapes) -> int:
    # Each input element meets (output channels of a group, kernel...) weights.
    return 2 * prod(_shape(operation, 0, shapes)) * prod(_shape(operation, 1, shapes)[1:])


def _matmul(operation: Operation, shapes: _Shapes) -> int:
    left = _shape(operation, 0, shapes)
    inner = left[-2] if operation.attrs.get("transpose_x") and len(left) > 1 else left[-1]
    return 2 * _out(operation, shapes) * inner


def _rnn(operation: Operation, shapes: _Shapes) -> int:
    time, batch = _shape(operation, 0, shapes)[:2]
    attrs = operation.attrs
    gates = {"LSTM": 4, "GRU": 3}.get(attrs["mode"], 1)
    hidden, directions = int(attrs["hidden_size"]), 2 if attrs["is_bidirec"] else 1
    weights = 0
    inputs = int(attrs["input_size"])
    for _ in range(int(attrs["num_layers"])):
        weights += directions * gates * hidden * (inputs + hidden)
        inputs = directions * hidden
    return 2 * time * batch * weights


def _pool(operation: Operation, shapes: _Shapes) -> int:
    # Every input element is read about once: exact where the stride is the kernel's size.
    return prod(_shape(operation, 0, shapes))


def _per_input(cost: int) -> Callable[[Operation, _Shapes], int]:
    return lambda operation, shapes: cost * prod(_shape(operation, 0, shapes))


def _per_output(operation: Operation, shapes: _Shapes) -> int:
    return _out(operation, shapes)


_RULES: dict[str, Callable[[Operation, Any], int]] = {
    **dict.fromkeys(("conv2d", "depthwise_conv2d", "conv3d", "deformable_conv"), _convolution),
    **dict.fromkeys(("conv2d_transpose", "depthwise_conv2d_transpose"), _transposed_convolution),
    **dict.fromkeys(("matmul", "bmm", "mm", "mv", "dot"), _matmul),
    "rnn": _rnn,
    **dict.fromkeys(("pool2d", "pool3d", "max_pool2d_with_index"), _pool),
    "batch_norm_": _per_input(2),
    **dict.fromkeys(("layer_norm", "group_norm", "instance_norm"), _per_input(8)),
    **dict.fromkeys(("softmax", "log_softmax"), _per_input(5)),
    **dict.fromkeys(("mean", "sum", "max", "min", "prod", "cumsum", "logsumexp", "p_norm"), _per_input(1)),
    **dict.fromkeys(
        (
            "add", "subtract", "multiply", "divide", "maximum", "minimum", "elementwise_pow", "floor_divide",
            "remainder", "scale", "relu", "relu6", "sigmoid", "tanh", "gelu", "silu", "swish", "hardswish",
            "hardsigmoid", "leaky_relu", "prelu", "clip", "pow", "sqrt", "rsqrt", "exp", "log", "abs",
            "floor", "ceil", "round", "sin", "cos", "erf", "square", "mish", "softplus", "elu", "selu",
            "celu", "bilinear_interp", "bicubic_interp", "grid_sample", "swiglu", "lerp",
        ),
        _per_output,
    ),
}  # fmt: skip
