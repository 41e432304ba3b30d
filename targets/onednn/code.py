"""The C++ code of a subgraph: calls of ``Network`` (native/network.h), one for each primitive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from math import prod

import numpy as np
from tvm import relax

from paddle_tvm.targets.offload import Generated, Subgraph
from paddle_tvm.targets.onednn.facts import known_shape
from paddle_tvm.targets.onednn.nodes import Array, Binary, Node, Operand, PostOp
from paddle_tvm.targets.onednn.post_ops import with_overwriting, with_post_ops
from paddle_tvm.targets.onednn.precision import in_bfloat16
from paddle_tvm.targets.onednn.quantization import on_integers
from paddle_tvm.targets.onednn.steps import nodes_of

# What products are computed in, by precision.
_TYPES = {"float32": "f32", "bfloat16": "bf16"}

_SOURCE = """\
#include <math.h>

#include "network.h"

using namespace paddle_tvm;

static void build(Network &network) {{
  {statements}
}}

static Subgraph subgraph(build, dnnl_{type});

#define EXPORT extern "C" __attribute__((visibility("default")))
EXPORT int __tvm_ffi_{symbol}_load(void *, const TVMFFIAny *constants, int32_t count, TVMFFIAny *) {{
  return subgraph.load(constants, count);
}}
EXPORT int __tvm_ffi_{symbol}_describe(void *, const TVMFFIAny *, int32_t, TVMFFIAny *result) {{
  return subgraph.describe(result);
}}
EXPORT int __tvm_ffi_{symbol}(void *, const TVMFFIAny *arguments, int32_t count, TVMFFIAny *) {{
  return subgraph.run(arguments, count);
}}
"""


def generate(subgraph: Subgraph, precision: str, integers: bool) -> Generated:
    """The code of a subgraph.

    ``precision`` is what its products are computed in; ``integers`` says whether quantised ones are computed
    on integers.
    """
    nodes = on_integers(nodes_of(subgraph), subgraph.results, products=integers)
    nodes = with_post_ops(nodes, subgraph.results)
    if precision == "bfloat16":
        nodes = in_bfloat16(nodes, subgraph.results)
    narrow = None if precision == "float32" else precision
    # Of products that read integers.
    arithmetic = "int8" if any("scales" in node.settings for node in nodes) else narrow
    writer = _Writer(subgraph)
    for node in with_overwriting(nodes, subgraph.results):
        writer.add(node)
    return replace(writer.generated(_TYPES[precision]), arithmetic=arithmetic)


class _Writer:
    def __init__(self, subgraph: Subgraph) -> None:
        self._subgraph = subgraph
        self._constants: list[Array] = []
        self._statements: list[str] = []
        # The names in the code of the subgraph's values, and their sizes.
        self._names: dict[relax.Var, str] = {}
        self._shapes: dict[relax.Var, tuple[int, ...]] = {}
        for number, variable in enumerate(subgraph.inputs):
            shape = known_shape(variable)
            code = f"network.input({number}, {_dims(shape)}, {_type(variable.ty.dtype)})"
            self._name(variable, f"in{number}", code, shape)

    def add(self, node: Node) -> None:
        """Write the call that makes a primitive."""
        call = getattr(self, f"_{node.kind}")(node)
        self._name(node.result, f"v{len(self._names)}", f"network.{call}", node.shape)

    def generated(self, product_type: str) -> Generated:
        """The code of what was added; ``product_type`` is what products are computed in."""
        for number, variable in enumerate(self._subgraph.results):
            place, kind = number + len(self._subgraph.inputs), _type(variable.ty.dtype)
            self._statements.append(f"network.output({place}, {self._names[variable]}, {kind});")
        statements = "\n  ".join(self._statements)
        source = _SOURCE.format(symbol=self._subgraph.symbol, statements=statements, type=product_type)
        return Generated(source, (), tuple(self._constants))

    def _name(self, variable: relax.Var, name: str, code: str, shape: tuple[int, ...]) -> None:
        self._statements.append(f"Tensor {name} = {code};")
        self._names[variable], self._shapes[variable] = name, shape

    def _shape(self, operand: Operand) -> tuple[int, ...]:
        return self._shapes[operand] if isinstance(operand, relax.Var) else tuple(operand.shape)

    def _tensor(self, operand: Operand, shape: Sequence[int] | None = None) -> str:
        """The tensor of an operand, seen with other sizes where ``shape`` says so."""
        if isinstance(operand, relax.Var):
            name = self._names[operand]
            if shape is None or tuple(shape) == self._shapes[operand]:
                return name
            return f"network.reshape({name}, {_dims(shape)})"
        self._constants.append(np.ascontiguousarray(operand))
        dims = _dims(operand.shape if shape is None else shape)
        content = sha256(self._constants[-1].tobytes()).hexdigest()[:16]
        kind = _type(operand.dtype)
        return f"network.constant({len(self._constants) - 1}, 0x{content}, {dims}, {kind})"

    def _number_tensor(self, value: float, dtype: str) -> str:
        """A tensor of one number."""
        return self._tensor(np.array([value], dtype))

    def _optional(self, operands: Sequence[Operand]) -> str:
        return self._tensor(operands[0]) if operands else "Tensor()"

    def _result(self, node: Node, shape: Sequence[int], post_ops: Sequence[PostOp]) -> str:
        """What a node gives, with the sizes that its primitive has it in."""
        written = []
        for post_op in post_ops:
            if isinstance(post_op, Binary):
                other = self._tensor(post_op.other, _of_rank(self._shape(post_op.other), len(shape)))
                written.append(
                    f"sum({other})"
                    if post_op.overwrites
                    else f"binary(dnnl_binary_{post_op.algorithm}, {other})"
                )
            else:
                values = f"{_number(post_op.alpha)}, {_number(post_op.beta)}"
                written.append(f"eltwise(dnnl_eltwise_{post_op.algorithm}, {values})")
        return f"{{{_dims(shape)}, dnnl_{node.type}, {{{', '.join(written)}}}}}"

    def _call(self, method: str, node: Node, before: Sequence[str], after: Sequence[str] = ()) -> str:
        """The call of a method that makes a node's primitive, of what stands before and after its result."""
        arguments = [*before, self._result(node, node.shape, node.post_ops), *after]
        return f"{method}({', '.join(arguments)})"

    def _quantized(self, node: Node) -> list[str]:
        """What integers of a product stand for; nothing where it has none."""
        if "scales" not in node.settings:
            return []
        scales, zero_point = node.settings["scales"], node.settings["zero_point"]
        shift = self._number_tensor(zero_point, "int32") if zero_point else "Tensor()"
        return [f"{{{self._tensor(scales)}, {shift}}}"]

    def _convolution(self, node: Node) -> str:
        source, weights, *bias = node.inputs
        arguments = [self._tensor(source), self._tensor(weights), self._optional(bias)]
        arguments += [str(node.settings["groups"]), _window(node)]
        return self._call(node.kind, node, arguments, self._quantized(node))

    _deconvolution = _convolution

    def _matmul(self, node: Node) -> str:
        source, weights, *bias = node.inputs
        operands = [self._tensor(weights), self._optional(bias)]
        if "rows" not in node.settings:
            return self._call("matmul", node, [self._tensor(source), *operands], self._quantized(node))
        shape = (node.settings["rows"], node.shape[-1])
        rows = self._tensor(source, (shape[0], self._shape(source)[-1]))
        arguments = [rows, *operands, self._result(node, shape, node.post_ops), *self._quantized(node)]
        return f"reshape(network.matmul({', '.join(arguments)}), {_dims(node.shape)})"

    def _pool(self, node: Node) -> str:
        algorithm, kernel = f"dnnl_pooling_{node.settings['algorithm']}", _dims(node.settings["kernel"])
        return self._call("pool", node, [algorithm, self._tensor(node.inputs[0]), kernel, _window(node)])

    def _resample(self, node: Node) -> str:
        algorithm = f"dnnl_resampling_{node.settings['algorithm']}"
        return self._call("resample", node, [algorithm, self._tensor(node.inputs[0])])

    def _softmax(self, node: Node) -> str:
        return self._call("softmax", node, [self._tensor(node.inputs[0]), str(node.settings["axis"])])

    def _layer_norm(self, node: Node) -> str:
        arguments = [self._tensor(operand) for operand in node.inputs]
        return self._call("layer_norm", node, [*arguments, _number(node.settings["epsilon"])])

    def _apply(self, node: Node) -> str:
        first, *rest = node.post_ops
        source = self._tensor(node.inputs[0])
        if not isinstance(first, Binary):
            return self._call("apply", node, [source])
        other = self._tensor(first.other, _of_rank(self._shape(first.other), len(node.shape)))
        arguments = [f"dnnl_binary_{first.algorithm}", source, other, self._result(node, node.shape, rest)]
        arguments += [self._number_tensor(scale, "float32") for scale in node.settings.get("scales", ())]
        return f"apply({', '.join(arguments)})"

    def _quantize(self, node: Node) -> str:
        scale = self._number_tensor(node.settings["scale"], "float32")
        zero_point = node.settings["zero_point"]
        shift = self._number_tensor(zero_point, "int32") if zero_point else "Tensor()"
        return f"{node.kind}({self._tensor(node.inputs[0])}, {scale}, {shift}, dnnl_{node.type})"

    _dequantize = _quantize

    def _concat(self, node: Node) -> str:
        sources = ", ".join(self._tensor(operand) for operand in node.inputs)
        return f"concat({{{sources}}}, {node.settings['axis']})"

    def _shuffle(self, node: Node) -> str:
        return f"shuffle({self._tensor(node.inputs[0])}, {node.settings['axis']}, {node.settings['groups']})"

    def _reshape(self, node: Node) -> str:
        return f"reshape({self._tensor(node.inputs[0])}, {_dims(node.shape)})"

    def _transpose(self, node: Node) -> str:
        return f"transpose({self._tensor(node.inputs[0])}, {_dims(node.settings['axes'])})"

    def _slice(self, node: Node) -> str:
        return f"slice({self._tensor(node.inputs[0])}, {_dims(node.settings['begin'])}, {_dims(node.shape)})"


def _of_rank(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """The sizes with as many dimensions as asked for, leading ones together where there are more."""
    if len(shape) > rank:
        return (prod(shape[: len(shape) - rank + 1]), *shape[len(shape) - rank + 1 :])
    return (*(1,) * (rank - len(shape)), *shape)


def _type(dtype: object) -> str:
    """oneDNN's name of a dtype."""
    return "dnnl_" + {"float32": "f32", "int8": "s8", "uint8": "u8", "int32": "s32"}[str(dtype)]


def _window(node: Node) -> str:
    parts = (node.settings[name] for name in ("strides", "dilation", "before", "after"))
    return "{" + ", ".join(_dims(part) for part in parts) + "}"


def _dims(values: Sequence[int]) -> str:
    return "{" + ", ".join(map(str, values)) + "}"


def _number(value: float) -> str:
    if value in (float("inf"), float("-inf")):
        return "INFINITY" if value > 0 else "-INFINITY"
    return f"{np.float32(value)!r}f".replace("np.float32(", "").replace(")", "")
