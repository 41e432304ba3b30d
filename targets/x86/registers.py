"""Gives each vector of a small local buffer a variable of its own, so that LLVM keeps it in a register.

TVM 0.27 takes local buffers from the heap, with a call for each tile, unless they are global in scope and
smaller than 1 KB; and LLVM takes only what is on the stack apart.
"""

from __future__ import annotations

from typing import Any

import tvm_ffi
from tvm import ir, tirx

# More values than a tile of registers has: such a buffer is memory.
_VALUES = 64


def split_registers(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Split local buffers whose every access has a constant index into buffers of one element.

    Requires: flat buffers, tiles unrolled. Ensures: the same values.
    """
    allocated: dict[Any, tirx.Buffer] = {}
    indices: dict[Any, set[int] | None] = {}

    def allocate(statement: tirx.AllocBuffer) -> None:
        buffer = statement.buffer
        if buffer.scope() == "local" and len(buffer.shape) == 1:
            allocated[buffer] = buffer
            indices.setdefault(buffer, set())

    def access(buffer: tirx.Buffer, index: Any) -> None:
        known = indices.setdefault(buffer, set())
        if known is None:
            return
        if len(index) != 1 or not isinstance(index[0], tirx.IntImm):
            indices[buffer] = None
        else:
            known.add(int(index[0].value))

    def alias(statement: tirx.DeclBuffer) -> None:
        # StorageRewrite lets one buffer take the memory of another: that stays memory.
        def keep(variable: tirx.Var) -> None:
            indices[variable] = None

        tvm_ffi.structural_walk(statement.data, (tirx.Var, keep))

    tvm_ffi.structural_walk(
        function.body,
        (
            (tirx.AllocBuffer, allocate),
            (tirx.DeclBuffer, alias),
            (tirx.BufferStore, lambda store: access(store.buffer, store.indices)),
            (ir.TensorLoad, lambda load: access(load.source, load.indices)),
        ),
    )
    if not allocated:
        return function
    registers = {
        data: {
            index: tirx.decl_buffer((1,), buffer.dtype, f"{buffer.name}_{index}")
            for index in sorted(indices[data] or ())
        }
        for data, buffer in allocated.items()
        if indices[data] is not None and len(indices[data] or ()) <= _VALUES
    }
    zero = tirx.IntImm("int64", 0)
    loads = {
        data: {index: tirx.BufferLoad(register, [zero]) for index, register in found.items()}
        for data, found in registers.items()
    }

    def load(node: ir.TensorLoad) -> Any:
        found = loads.get(node.source)
        return node if found is None else found[int(node.indices[0].value)]

    def store(node: tirx.BufferStore) -> Any:
        found = registers.get(node.buffer)
        if found is None:
            return node
        return tirx.BufferStore(found[int(node.indices[0].value)], node.value, [zero])

    def declare(node: tirx.AllocBuffer) -> Any:
        found = registers.get(node.buffer)
        if not found:
            return node
        split = [tirx.AllocBuffer(register) for register in found.values()]
        return split[0] if len(split) == 1 else tirx.SeqStmt(split)

    body = tvm_ffi.structural_map(
        function.body, ((ir.TensorLoad, load), (tirx.BufferStore, store), (tirx.AllocBuffer, declare))
    )
    return function.with_body(body)
