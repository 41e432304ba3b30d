"""Moves the constants of a module out of the code, into parameters that the runtime maps from a file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import tvm
from tvm import ir, relax

from paddle_tvm.compiler.passes.trust_weights import INPUTS


@dataclass(frozen=True)
class LiftedModule:
    """A module without constants.

    ``weights`` are the distinct constants; ``used`` says for each function which of them it takes after
    its inputs, in order.
    """

    module: tvm.IRModule
    weights: tuple[npt.NDArray[np.generic], ...]
    used: dict[str, tuple[int, ...]]


@relax.expr_functor.mutator
class _Lift(relax.PyExprMutator):  # type: ignore[misc]  # TVM has no types
    def __init__(self, indices: dict[tuple[str, tuple[int, ...], bytes], int]) -> None:
        super().__init__()
        self.indices = indices
        self.arrays: dict[int, npt.NDArray[np.generic]] = {}
        self.params: dict[int, relax.Var] = {}

    def visit_generic_const_(self, constant: ir.Constant) -> relax.Expr:
        array = constant.value.numpy()
        # Equal constants of several layers or forms are stored once.
        content = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        key = (str(array.dtype), array.shape, hashlib.sha256(content).digest())
        index = self.indices.setdefault(key, len(self.indices))
        if index not in self.params:
            self.arrays[index] = array
            self.params[index] = relax.Var(f"weight_{index}", constant.ty)
        return self.params[index]


def lift_weights(module: tvm.IRModule) -> LiftedModule:
    """Replace every constant of every Relax function by a parameter.

    Requires: nothing folds constants after this. Ensures: the module holds no constant tensors; functions
    take theirs after their inputs.
    """
    indices: dict[tuple[str, tuple[int, ...], bytes], int] = {}
    weights: dict[int, npt.NDArray[np.generic]] = {}
    used: dict[str, tuple[int, ...]] = {}
    functions = dict(module.functions.items())
    for variable, function in module.functions.items():
        if not isinstance(function, relax.Function):
            continue
        lift = _Lift(indices)
        body = lift.visit_expr(function.body)
        order = sorted(lift.params)
        lifted = relax.Function(
            [*function.params, *(lift.params[index] for index in order)],
            body,
            function.ret_ty,
            function.is_pure,
            function.attrs,
        )
        functions[variable] = lifted.with_attr(INPUTS, len(function.params))
        weights.update(lift.arrays)
        used[variable.name_hint] = tuple(order)
    return LiftedModule(
        tvm.IRModule(functions, attrs=module.attrs), tuple(weights[index] for index in sorted(weights)), used
    )
