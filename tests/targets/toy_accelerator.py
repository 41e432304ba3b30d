"""An accelerator for the tests: arithmetic on tensors of known shape, a loop in C for each subgraph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from tvm import ir, relax
from tvm.relax.dpl import DFPattern, is_op, wildcard

from paddle_tvm.targets.offload import Generated, Pattern, RuntimeHalf, Step, Subgraph

_UNARY = {"relu": ("relax.nn.relu", "({0} < 0 ? 0 : {0})"), "negate": ("relax.negative", "-{0}")}
_BINARY = {"add": ("relax.add", "{0} + {1}"), "multiply": ("relax.multiply", "{0} * {1}")}
_CODE = {name: code for name, (_, code) in (*_UNARY.items(), *_BINARY.items())}

_FUNCTION = """
#include <stdint.h>
#include <tvm/ffi/c_api.h>

static float *data(const TVMFFIAny *argument) {{
  /* A tensor is an object; what it holds follows its header. */
  int is_object = argument->type_index == kTVMFFITensor;
  DLTensor *tensor = (DLTensor *)((char *)argument->v_ptr + (is_object ? sizeof(TVMFFIObject) : 0));
  return (float *)((char *)tensor->data + tensor->byte_offset);
}}

int __tvm_ffi_{symbol}(void *self, const TVMFFIAny *arguments, int32_t count, TVMFFIAny *result) {{
  {pointers}
  for (int64_t i = 0; i < {size}; ++i) {{
    {statements}
  }}
  result->type_index = kTVMFFINone;
  return 0;
}}
"""


class Toy:
    """Computes sums, products, negation and ReLU of float32 tensors that are all of one shape."""

    name = "toy"
    runtime = RuntimeHalf(language="c", options=["-O2", "-std=c11"])

    def patterns(self) -> Sequence[Pattern]:
        unary = [self._pattern(name, is_op(op)(wildcard())) for name, (op, _) in _UNARY.items()]
        binary = [self._pattern(name, is_op(op)(wildcard(), wildcard())) for name, (op, _) in _BINARY.items()]
        return unary + binary

    def _pattern(self, name: str, pattern: DFPattern) -> Pattern:
        return Pattern(name, pattern, refuse=self._refuse)

    def _refuse(self, parts: Mapping[str, relax.Expr]) -> str | None:
        shapes = [_shape(operand) for operand in [parts["root"], *parts["root"].args]]
        if any(shape is None for shape in shapes):
            return "toy computes tensors of known shape"
        if any(shape != shapes[0] for shape in shapes):
            return "toy does not broadcast"
        if str(parts["root"].ty.dtype) != "float32":
            return f"toy computes float32, and this is {parts['root'].ty.dtype}"
        return None

    def reason(self, operator: str, call: Any) -> str | None:
        return "toy has no multipliers to spare" if operator in ("conv2d", "matmul") else None

    def decline(self, subgraph: Subgraph) -> str | None:
        return None

    def generate(self, subgraph: Subgraph) -> Generated:
        weights: list[np.ndarray] = []
        names = {variable: f"in{number}[i]" for number, variable in enumerate(subgraph.inputs)}
        statements = []
        for number, step in enumerate(subgraph.steps):
            operands = [self._operand(operand, step, names, weights) for operand in _call(step).args]
            statements.append(f"float v{number} = {_CODE[step.pattern].format(*operands)};")
            names[step.result] = f"v{number}"
        for number, variable in enumerate(subgraph.results):
            statements.append(f"out{number}[i] = {names[variable]};")
        arguments = [
            *(f"in{number}" for number in range(len(subgraph.inputs))),
            *(f"weight{number}" for number in range(len(weights))),
            *(f"out{number}" for number in range(len(subgraph.results))),
        ]
        pointers = [f"float *{name} = data(arguments + {place});" for place, name in enumerate(arguments)]
        source = _FUNCTION.format(
            symbol=subgraph.symbol,
            pointers="\n  ".join(pointers),
            size=prod(_shape(subgraph.results[0]) or ()),
            statements="\n    ".join(statements),
        )
        return Generated(source, weights)

    def _operand(
        self, operand: relax.Expr, step: Step, names: Mapping[relax.Var, str], weights: list[np.ndarray]
    ) -> str:
        if isinstance(operand, ir.Constant):
            weights.append(operand.value.numpy())
            return f"weight{len(weights) - 1}[i]"
        # A parameter of the match stands for a value of the subgraph.
        return names[step.inputs[list(step.function.params).index(operand)]]


def _call(step: Step) -> relax.Call:
    (call,) = step.calls((_UNARY | _BINARY)[step.pattern][0])
    return call


def _shape(expr: relax.Expr) -> tuple[int, ...] | None:
    shape = expr.ty.shape
    if shape is None or not all(hasattr(dim, "value") for dim in shape):
        return None
    return tuple(int(dim.value) for dim in shape)
