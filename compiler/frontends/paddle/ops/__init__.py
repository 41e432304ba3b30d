"""Converters, grouped by family; importing this package registers them all."""

from paddle_tvm.compiler.frontends.paddle.ops import (
    activation,
    arithmetic,
    conv,
    creation,
    shape_arithmetic,
)

__all__ = ["activation", "arithmetic", "conv", "creation", "shape_arithmetic"]
