"""Runs a part of a kernel on every thread, with parallel loops in it that they share."""

from __future__ import annotations

from typing import Any

import tvm_ffi
from tvm import tirx

ON_EVERY_THREAD = "paddle_tvm.on_every_thread"
"""Annotation of a loop that stands for the threads, and not for work that they share."""
_LAUNCH = "pragma_parallel_launch_point"


def on_every_thread(body: tirx.Stmt) -> tirx.Stmt:
    """What every thread runs, with buffers of its own.

    It stands there as a parallel loop until buffers have their places: StorageRewrite of TVM 0.27 would move
    them out of what TVM has for it, so that threads shared them.
    """
    variable = tirx.Var("thread", "int64")
    annotations = {ON_EVERY_THREAD: 1}
    return tirx.For(variable, _integer(0), _integer(2), tirx.ForKind.PARALLEL, body, None, annotations)


def launch_threads(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """Replace marked loops by what TVM has for them.

    Requires: buffers are where they are allocated.
    """

    def launch(loop: tirx.For) -> Any:
        if ON_EVERY_THREAD not in loop.annotations:
            return loop
        return tirx.AttrStmt(_integer(0), _LAUNCH, _integer(1), loop.body)

    body = tvm_ffi.structural_map(function.body, (tirx.For, launch))
    return function if body.same_as(function.body) else function.with_body(body)


def _integer(value: int) -> Any:
    return tirx.IntImm("int64", value)
