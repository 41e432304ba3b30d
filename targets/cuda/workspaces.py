"""Memory between the kernels of a TIR function, which the graph gives it like its results."""

from __future__ import annotations

from typing import Any, NamedTuple

import tvm
from tvm import ir, relax, tirx
from tvm.relax.expr_functor import PyExprMutator, mutator
from tvm.s_tir.stmt import SBlock, SBlockRealize

from paddle_tvm.targets.cuda.schedules.threads import sequence, substitute
from paddle_tvm.targets.expressions import extent


def pass_workspaces(module: tvm.IRModule) -> tvm.IRModule:
    """Make global memory that TIR functions allocate arguments of theirs, after their results.

    So it is planned with all other memory, and belongs to one predictor: what TVM allocates for a function in
    a run belongs to a thread, and kernels of a CUDA graph that another thread starts would write into it.

    Requires: functions allocate such memory at their beginning. Ensures: none is allocated.
    """
    functions = dict(module.functions.items())
    changed: dict[ir.GlobalVar, _Changed] = {}
    builder = relax.BlockBuilder()
    for variable, function in module.functions.items():
        if not isinstance(function, tirx.PrimFunc):
            continue
        body, buffers = _without_global(function.body)
        if buffers:
            parameters = [*function.params, *buffers]
            del functions[variable]
            made = tirx.PrimFunc(parameters, body, function.ret_type, function.attrs)
            # Another variable, since its type is that of the function.
            taking = builder.add_func(made, variable.name_hint)
            functions[taking] = made
            changed[variable] = _Changed(taking, function, buffers)
    for variable, function in module.functions.items():
        if isinstance(function, relax.Function):
            functions[variable] = _Passer(changed).visit_expr(function)
    return tvm.IRModule(functions, attrs=module.attrs)


class _Changed(NamedTuple):
    taking: ir.GlobalVar
    function: tirx.PrimFunc
    buffers: list[Any]


def _without_global(body: tirx.Stmt) -> tuple[tirx.Stmt, list[Any]]:
    """A function's body without the global memory that it allocates, and that memory."""
    if isinstance(body, SBlockRealize):
        block = body.block
        taken = [buffer for buffer in block.alloc_buffers if _is_global(buffer)]
        kept = [buffer for buffer in block.alloc_buffers if not _is_global(buffer)]
        inner = block.body
        if isinstance(inner, tirx.SeqStmt):
            inner, more = _without_global(inner)
            taken += more
        rest = SBlock(
            [], block.reads, block.writes, block.name_hint, inner, None, kept, [], block.annotations
        )
        return SBlockRealize([], True, rest), taken
    if isinstance(body, tirx.SeqStmt):
        statements = list(body.seq)
        taken = [statement.buffer for statement in statements if _allocates(statement)]
        return sequence([statement for statement in statements if not _allocates(statement)]), taken
    return body, []


def _allocates(statement: tirx.Stmt) -> bool:
    return isinstance(statement, tirx.AllocBuffer) and _is_global(statement.buffer)


def _is_global(buffer: Any) -> bool:
    return buffer.scope() in ("", "global")


@mutator
class _Passer(PyExprMutator):  # type: ignore[misc]  # TVM has no types
    def __init__(self, changed: dict[ir.GlobalVar, _Changed]) -> None:
        super().__init__()
        self.changed = changed

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        call = super().visit_call_(call)
        if getattr(call.op, "name", "") != "relax.call_tir" or call.args[0] not in self.changed:
            return call
        taking, function, buffers = self.changed[call.args[0]]
        (result,) = call.ty_args
        results = list(result.fields) if isinstance(result, ir.TupleType) else [result]
        values = _sizes(function, call, results)
        memory = [
            relax.TensorType([substitute(dim, values) for dim in buffer.shape], str(buffer.dtype))
            for buffer in buffers
        ]
        made = relax.call_tir(taking, call.args[1], [*results, *memory])
        parts = self.builder_.emit(made)
        if not isinstance(result, ir.TupleType):
            return relax.TupleGetItem(parts, 0)
        return relax.Tuple([relax.TupleGetItem(parts, number) for number in range(len(results))])


def _sizes(function: tirx.PrimFunc, call: relax.Call, results: list[Any]) -> list[tuple[Any, Any]]:
    """What the symbols of a TIR function are where it is called."""
    values: list[tuple[Any, Any]] = []
    for parameter, given in zip(function.params, [*call.args[1].fields, *results], strict=True):
        if not isinstance(parameter.ty, tirx.BufferType):
            values.append((parameter, _integer(given)))
            continue
        shape = (given if isinstance(given, relax.TensorType) else given.ty).shape
        for own, size in zip(parameter.shape, shape, strict=True):
            if isinstance(own, tirx.Var):
                values.append((own, _integer(size)))
    return values


def _integer(size: Any) -> Any:
    value = extent(size)
    return tirx.IntImm("int64", value) if isinstance(value, int) else value
