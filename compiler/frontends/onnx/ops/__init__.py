"""Converters and folds by family; importing the package registers them."""

from paddle_tvm.compiler.frontends.onnx.ops import (
    creation,
    indexing,
    matmul,
    passing,
    reshaping,
    resize,
    shape_arithmetic,
    slicing,
)

__all__ = [
    "creation",
    "indexing",
    "matmul",
    "passing",
    "reshaping",
    "resize",
    "shape_arithmetic",
    "slicing",
]
