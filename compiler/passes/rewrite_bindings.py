"""Replaces the bindings of a function, block by block."""

from __future__ import annotations

from collections.abc import Callable

from tvm import relax


def rewrite_bindings(
    function: relax.Function, rewrite: Callable[[list[relax.Binding]], list[relax.Binding]]
) -> relax.Function:
    """The function with what ``rewrite`` makes of the bindings of each block."""
    body = function.body
    blocks = [
        relax.BindingBlock(rewrite(list(block.bindings)))
        for block in (body.blocks if isinstance(body, relax.SeqExpr) else [])
    ]
    if not blocks:
        return function
    rewritten = relax.Function(
        function.params, relax.SeqExpr(blocks, body.body), function.ret_ty, function.is_pure
    )
    return rewritten.with_attrs(function.attrs) if function.attrs else rewritten
