"""The stage that a kernel runs on each of its results while that is in a register."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import tvm_ffi
from tvm import ir, s_tir, tirx
from tvm.sym import Analyzer

from paddle_tvm.targets.blocks import reduces, root_blocks
from paddle_tvm.targets.expressions import extent
from paddle_tvm.targets.x86.schedules.epilogue import inline_epilogue, inline_side_branches
from paddle_tvm.targets.x86.schedules.generic import schedule_block
from paddle_tvm.targets.x86.schedules.loop_nest import (
    holds_block,
    int64,
    replace_loads,
    replace_root,
    root_statements,
    substitute,
)


@dataclass(frozen=True)
class FusedStage:
    """A kernel's main block, and the stage, if any, that reads nothing of its result but its own place."""

    main: Any
    stage: Any
    result: Any

    def replace(self, schedule: s_tir.Schedule, loops: tirx.Stmt) -> None:
        """Let loops do what the blocks did."""
        blocks = [self.main] if self.stage is None else [self.main, self.stage]
        statements = root_statements(schedule)
        last = [holds_block(statement, blocks[-1:]) for statement in statements].index(True)
        statements[last] = loops
        rest = [statement for statement in statements if not holds_block(statement, blocks)]
        replace_root(schedule, rest, [] if self.stage is None else [self.result])

    def store(self, value: Any, index: Sequence[Any]) -> tirx.Stmt:
        """Run the stage on a value of the result, and write what it makes."""
        if self.stage is None:
            return tirx.BufferStore(self.result, value, list(index))
        body = self.stage.body
        axes = [axis.var for axis in self.stage.iter_vars]
        values = list(zip(axes, map(int64, index), strict=True))
        stored = replace_loads(substitute(body.value, values), self.result, lambda _: value)
        return tirx.BufferStore(body.buffer, stored, [substitute(place, values) for place in body.indices])


def take_stage(schedule: s_tir.Schedule, main: Any) -> FusedStage:
    """Join what follows a block into one stage; other blocks of the function get their schedules."""
    blocks = root_blocks(schedule)
    place = [schedule.get(block).name_hint for block in blocks].index(schedule.get(main).name_hint)
    before = inline_side_branches(schedule, main, blocks[:place])
    after = blocks[place + 1 :]
    stages = inline_epilogue(schedule, after) if after else []
    fused = stages[:1] if stages and _runs_elementwise(schedule, main, stages[0]) else []
    for block in [*before, *stages[len(fused) :]]:
        schedule_block(schedule, block)
    body = schedule.get(main)
    return FusedStage(body, schedule.get(fused[0]) if fused else None, body.writes[0].source)


def _runs_elementwise(schedule: s_tir.Schedule, main: Any, stage: Any) -> bool:
    """Whether a stage, and no other, reads the main block's result, and at its own place only."""
    if reduces(schedule, stage) or len(schedule.get_consumers(main)) != 1:
        return False
    result = schedule.get(main).writes[0].source
    body = schedule.get(stage)
    if not isinstance(body.body, tirx.BufferStore):
        return False
    axes = [axis.var for axis in body.iter_vars]
    extents = [axis.dom.extent for axis in body.iter_vars]
    if len(axes) != len(result.shape):
        return False
    loads: list[ir.TensorLoad] = []
    tvm_ffi.structural_walk(body.body, (ir.TensorLoad, loads.append))
    indices = [load.indices for load in loads if load.source.same_as(result)]
    analyzer = Analyzer()

    def is_same(index: Any, axis: Any, size: Any) -> bool:
        return bool(index.same_as(axis)) or (extent(index) == 0 and extent(size) == 1)

    return (
        bool(indices)
        and all(map(analyzer.can_prove_equal, extents, result.shape))
        and all(all(map(is_same, index, axes, result.shape)) for index in indices)
    )
