"""How this target lowers Relax operators that it does not leave to TVM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tvm import ir, relax

from paddle_tvm.targets.workload import Choices
from paddle_tvm.targets.x86.conv2d import legalize_conv2d
from paddle_tvm.targets.x86.conv2d_transpose import legalize_conv2d_transpose
from paddle_tvm.targets.x86.conv3d import legalize_conv3d
from paddle_tvm.targets.x86.matmul import legalize_matmul
from paddle_tvm.targets.x86.max_pool import legalize_max_pool
from paddle_tvm.targets.x86.rows import legalize_layer_norm, legalize_softmax
from paddle_tvm.targets.zero_operand import legalize_zero_operand


def legalizations(lanes: int, choices: Choices, *, amx: bool) -> Mapping[str, Callable[..., Any]]:
    """Relax operator name to its lowering, for vectors of ``lanes`` float32 values, in the chosen forms."""
    return {
        "relax.nn.conv2d": lambda builder, call: legalize_conv2d(builder, call, lanes),
        "relax.nn.conv3d": lambda builder, call: legalize_conv3d(builder, call, lanes),
        "relax.nn.conv2d_transpose": lambda builder, call: legalize_conv2d_transpose(builder, call, lanes),
        "relax.nn.max_pool2d": lambda builder, call: legalize_max_pool(builder, call, _as_tvm_does),
        "relax.nn.max_pool3d": lambda builder, call: legalize_max_pool(builder, call, _as_tvm_does),
        "relax.matmul": lambda builder, call: legalize_matmul(builder, call, lanes, choices, amx=amx),
        "relax.nn.softmax": lambda builder, call: legalize_softmax(builder, call, lanes, _as_tvm_does),
        "relax.nn.layer_norm": lambda builder, call: legalize_layer_norm(builder, call, _as_tvm_does),
        "relax.multiply": lambda builder, call: legalize_zero_operand(builder, call, _as_tvm_does),
        "relax.divide": lambda builder, call: legalize_zero_operand(builder, call, _as_tvm_does),
    }


def _as_tvm_does(builder: relax.BlockBuilder, call: relax.Call) -> relax.Expr:
    lowered: relax.Expr = ir.Op.get(call.op.name).get_attr("FLegalize")(builder, call)
    return lowered
