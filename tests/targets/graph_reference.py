"""Small Relax graphs: written by a builder, evaluated by NumPy in float64, compared with compiled code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
import tvm_ffi
from tvm import ir, relax, tirx
from tvm.sym import Analyzer

from paddle_tvm.compiler.lowering import build, lower
from paddle_tvm.targets.workload import Choices, Defaults
from paddle_tvm.targets.x86 import x86_target

Array = npt.NDArray[Any]
Size = int | str
# This machine, or one like it without AMX, which would take products from the kernels in vectors.
VECTORS = "icelake-server" if x86_target().amx else None
LANES = {"x86-64": 4, "haswell": 8, VECTORS: 16}
CPUS = list(LANES)


class Graph:
    """Builds the function ``main`` of a module; weights are random and let signals through.

    Parameters
    ----------
    inputs
        Shapes; strings are symbolic dimensions.
    """

    def __init__(self, *inputs: Sequence[Size], dtype: str = "float32") -> None:
        symbols: dict[str, tirx.Var] = {}
        self.inputs = [
            relax.Var(
                f"x{number}",
                relax.TensorType(
                    [symbols.setdefault(d, tirx.Var(d, "int64")) if isinstance(d, str) else d for d in shape],
                    dtype,
                ),
            )
            for number, shape in enumerate(inputs)
        ]
        self.dtype = dtype
        self._rng = np.random.default_rng(20261122)
        self._builder = relax.BlockBuilder()

    def module(self, body: Callable[..., Any]) -> tvm.IRModule:
        """The module whose outputs are what ``body`` returns of the graph and the inputs."""
        with self._builder.function("main", self.inputs):
            with self._builder.dataflow():
                made = body(self, *self.inputs)
                outputs = [self.emit(expr) for expr in (made if isinstance(made, tuple) else (made,))]
                output = self._builder.emit_output(relax.Tuple(outputs))
            self._builder.emit_func_output(output)
        return self._builder.get()

    def emit(self, expr: relax.Expr) -> relax.Var:
        return expr if isinstance(expr, relax.Var) else self._builder.emit(expr)

    def __getattr__(self, name: str) -> Callable[..., relax.Var]:
        """An operator of ``relax.op`` or ``relax.op.nn`` by its name."""
        operator = getattr(relax.op.nn, name, None) or getattr(relax.op, name)
        return lambda *operands, **options: self.emit(operator(*operands, **options))

    def const(self, *shape: int, dtype: str | None = None) -> relax.Expr:
        """Random weights between 0.5 and 1.5, of either sign."""
        values = self._rng.uniform(0.5, 1.5, shape) * self._rng.choice([-1, 1], shape)
        return relax.const(values.astype(dtype or self.dtype), dtype or self.dtype)

    def conv(
        self,
        data: relax.Expr,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        padding: int | Sequence[int] = 0,
        dilation: int = 1,
        groups: int = 1,
    ) -> relax.Var:
        depth = int(data.ty.shape[1]) // groups
        weight = self._rng.standard_normal((channels, depth, kernel, kernel)) / np.sqrt(depth * kernel**2)
        return self.conv2d(
            data,
            relax.const(weight.astype(self.dtype), self.dtype),
            strides=(stride, stride),
            padding=[padding] * 4 if isinstance(padding, int) else padding,
            dilation=(dilation, dilation),
            groups=groups,
        )

    def slice(self, data: relax.Expr, begin: int, end: int, step: int = 1, axis: int = 1) -> relax.Var:
        return self.strided_slice(data, [axis], [begin], [end], [step])

    def shuffle(self, data: relax.Expr, groups: int) -> relax.Var:
        batch, channels, rows, columns = data.ty.shape
        split = self.reshape(data, [batch, groups, int(channels) // groups, rows, columns])
        turned = self.permute_dims(split, [0, 2, 1, 3, 4])
        return self.reshape(turned, [batch, channels, rows, columns])


def compiled(
    module: tvm.IRModule, mcpu: str | None, choices: Choices | None = None
) -> Callable[..., list[Array]]:
    """A module compiled for a CPU, as a function that runs here."""
    target = replace(x86_target(mcpu), choices=choices or Defaults())
    machine = relax.VirtualMachine(build(lower(module, target), target), tvm.cpu())

    def run(*arrays: Array) -> list[Array]:
        outputs = machine["main"](*[tvm.runtime.tensor(array) for array in arrays])
        return [output.numpy() for output in outputs]

    return run


def check(
    inputs: Sequence[Sequence[Size]],
    body: Callable[..., Any],
    mcpu: str | None,
    sizes: Sequence[Mapping[str, int]] = ({},),
    dtype: str = "float32",
    choices: Choices | None = None,
) -> None:
    """Compile a graph, run it at every set of sizes of its symbolic dimensions, and compare with NumPy."""
    module = Graph(*inputs, dtype=dtype).module(body)
    run = compiled(module, mcpu, choices)
    rng = np.random.default_rng(4)
    for named in sizes:
        arrays = [
            rng.standard_normal([named[d] if isinstance(d, str) else d for d in shape]).astype(dtype)
            for shape in inputs
        ]
        for actual, expected in zip(run(*arrays), evaluate(module["main"], arrays), strict=True):
            compare(actual, expected)


def compare(actual: Array, expected: Array) -> None:
    """NaN and Inf in the same places, everything else within rounding."""
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def evaluate(function: relax.Function, arrays: Sequence[Array]) -> list[Array]:
    """The outputs of a function of one dataflow block."""
    values: dict[Any, Any] = {
        parameter: array.astype("float64") for parameter, array in zip(function.params, arrays, strict=True)
    }
    sizes: dict[Any, int] = {}
    for parameter, array in zip(function.params, arrays, strict=True):
        for dim, size in zip(parameter.ty.shape, array.shape, strict=True):
            if isinstance(dim, tirx.Var):
                sizes[dim] = size
    for block in function.body.blocks:
        for binding in block.bindings:
            values[binding.var] = _value(binding.value, values, sizes)
    return list(values[function.body.body])


def _value(expr: relax.Expr, values: Mapping[Any, Any], sizes: Mapping[Any, int]) -> Any:
    if isinstance(expr, relax.Var) and expr in values:
        return values[expr]
    if isinstance(expr, tirx.IntImm | tirx.FloatImm):
        return expr.value
    if isinstance(expr, ir.Constant):
        array = expr.value.numpy()
        return array.astype("float64") if array.dtype.kind == "f" else array
    if isinstance(expr, relax.Tuple):
        return [_value(field, values, sizes) for field in expr.fields]
    if isinstance(expr, relax.ShapeExpr):
        return [_value(dim, values, sizes) for dim in expr.values]
    if isinstance(expr, relax.TupleGetItem):
        return _value(expr.tuple_value, values, sizes)[expr.index]
    if not isinstance(expr, relax.Call):
        # An expression of symbolic sizes.
        known = tvm_ffi.structural_map(
            expr, ((tirx.Var, lambda variable: tirx.IntImm("int64", sizes[variable])),)
        )
        return int(Analyzer().simplify(known))
    operands = [_value(argument, values, sizes) for argument in expr.args]
    with np.errstate(all="ignore"):
        return OPERATORS[expr.op.name.removeprefix("relax.")](expr.attrs, *operands)


def _ints(values: Any) -> list[int]:
    return [int(value) for value in values]


def _conv2d(attrs: Any, data: Array, weight: Array) -> Array:
    top, left, bottom, right = _ints(attrs.padding)
    (sy, sx), (dy, dx), groups = _ints(attrs.strides), _ints(attrs.dilation), int(attrs.groups)
    padded = np.pad(data, ((0, 0), (0, 0), (top, bottom), (left, right)))
    channels, _, height, width = weight.shape
    rows = (padded.shape[2] - dy * (height - 1) - 1) // sy + 1
    columns = (padded.shape[3] - dx * (width - 1) - 1) // sx + 1
    result = np.zeros((len(data), groups, channels // groups, rows, columns))
    grouped = weight.reshape(groups, channels // groups, -1, height, width)
    for i, j in product(range(height), range(width)):
        taps = padded[:, :, i * dy :: sy, j * dx :: sx][:, :, :rows, :columns]
        taps = taps.reshape(len(data), groups, -1, rows, columns)
        result += np.einsum("ngcyx,goc->ngoyx", taps, grouped[..., i, j], optimize=True)
    return result.reshape(len(data), channels, rows, columns)


def _conv2d_transpose(attrs: Any, data: Array, weight: Array) -> Array:
    top, left, bottom, right = _ints(attrs.padding)
    (sy, sx), (dy, dx), groups = _ints(attrs.strides), _ints(attrs.dilation), int(attrs.groups)
    extra = _ints(attrs.output_padding)
    batch, depth, rows, columns = data.shape
    _, channels, height, width = weight.shape
    full = (
        (rows - 1) * sy + dy * (height - 1) + 1 + extra[0],
        (columns - 1) * sx + dx * (width - 1) + 1 + extra[1],
    )
    result = np.zeros((batch, groups, channels, *full))
    inputs = data.reshape(batch, groups, depth // groups, rows, columns)
    kernels = weight.reshape(groups, depth // groups, channels, height, width)
    for i, j in product(range(height), range(width)):
        place = np.s_[..., i * dy : i * dy + rows * sy : sy, j * dx : j * dx + columns * sx : sx]
        result[place] += np.einsum("ngcyx,gco->ngoyx", inputs, kernels[..., i, j], optimize=True)
    result = result.reshape(batch, groups * channels, *full)
    return result[:, :, top : full[0] - bottom, left : full[1] - right]


def _pool(attrs: Any, data: Array, fill: float) -> Array:
    """The elements under each window on a last axis."""
    top, left, bottom, right = _ints(attrs.padding)
    (height, width), (sy, sx) = _ints(attrs.pool_size), _ints(attrs.strides)
    padded = np.pad(data, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    return windows[:, :, ::sy, ::sx].reshape(*windows[:, :, ::sy, ::sx].shape[:4], -1)


def _average(attrs: Any, data: Array) -> Array:
    sums = _pool(attrs, data, 0).sum(-1)
    if attrs.count_include_pad:
        return sums / prod(_ints(attrs.pool_size))
    return sums / _pool(attrs, np.ones_like(data), 0).sum(-1)


def _slice(attrs: Any, data: Array, axes: Any, begin: Any, end: Any, strides: Any = None) -> Array:
    index = [slice(None)] * data.ndim
    for axis, first, last, step in zip(axes, begin, end, strides or [1] * len(axes), strict=True):
        index[axis] = slice(first, last, step)
    return data[tuple(index)]


def _split(attrs: Any, data: Array) -> list[Array]:
    parts = attrs.indices_or_sections
    return np.split(data, int(parts) if isinstance(parts, tirx.IntImm) else _ints(parts), int(attrs.axis))


def _reduction(reduce: Callable[..., Array]) -> Callable[..., Array]:
    def value(attrs: Any, data: Array) -> Array:
        axes = None if attrs.axis is None else tuple(_ints(attrs.axis))
        return reduce(data, axis=axes, keepdims=bool(attrs.keepdims))

    return value


def _elementwise(function: Callable[..., Array]) -> Callable[..., Array]:
    return lambda _attrs, *operands: function(*operands)


def _softmax(attrs: Any, data: Array) -> Array:
    exponents = np.exp(data - data.max(int(attrs.axis), keepdims=True))
    return exponents / exponents.sum(int(attrs.axis), keepdims=True)


OPERATORS: Mapping[str, Callable[..., Any]] = {
    **{
        name: _elementwise(getattr(np, name))
        for name in "abs ceil clip cos equal exp floor greater greater_equal less less_equal log "
        "maximum minimum multiply negative not_equal power sign sin sqrt square subtract tanh "
        "where add".split()
    },
    "divide": _elementwise(lambda x, y: x / y if np.result_type(x, y).kind == "f" else np.trunc(x / y)),
    "round": _elementwise(np.round),
    "rsqrt": _elementwise(lambda x: 1 / np.sqrt(x)),
    "sigmoid": _elementwise(lambda x: 1 / (1 + np.exp(-x))),
    "astype": lambda attrs, x: x.astype("float64" if attrs.dtype == "float32" else str(attrs.dtype)),
    "nn.relu": _elementwise(lambda x: np.maximum(x, 0)),
    "nn.silu": _elementwise(lambda x: x / (1 + np.exp(-x))),
    "nn.leakyrelu": lambda attrs, x: np.where(x > 0, x, x * float(attrs.alpha)),
    "matmul": lambda attrs, left, right: np.matmul(left, right),
    "nn.conv2d": _conv2d,
    "nn.conv2d_transpose": _conv2d_transpose,
    "nn.max_pool2d": lambda attrs, x: _pool(attrs, x, -np.inf).max(-1),
    "nn.avg_pool2d": _average,
    "nn.adaptive_avg_pool2d": lambda attrs, x: x.mean((2, 3), keepdims=True),
    "nn.softmax": _softmax,
    **{name: _reduction(getattr(np, name)) for name in ("max", "mean", "min", "sum")},
    "concat": lambda attrs, parts: np.concatenate(parts, int(attrs.axis)),
    "strided_slice": _slice,
    "split": _split,
    "reshape": _elementwise(np.reshape),
    "permute_dims": lambda attrs, x: np.transpose(x, None if attrs.axes is None else _ints(attrs.axes)),
    "expand_dims": lambda attrs, x: np.expand_dims(x, tuple(_ints(attrs.axis))),
    "squeeze": lambda attrs, x: np.squeeze(x, tuple(_ints(attrs.axis))),
}
