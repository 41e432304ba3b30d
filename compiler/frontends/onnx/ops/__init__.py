"""Converters and folds by family; importing the package registers them."""

from paddle_tvm.compiler.frontends.onnx.ops import (
    activation,
    creation,
    indexing,
    matmul,
    passing,
    quantization,
    reshaping,
    resize,
    scan,
    shape_arithmetic,
    slicing,
    sorting,
)

__all__ = [
    "activation",
    "creation",
    "indexing",
    "matmul",
    "passing",
    "quantization",
    "reshaping",
    "resize",
    "scan",
    "shape_arithmetic",
    "slicing",
    "sorting",
]
