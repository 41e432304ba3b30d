"""The second road: ONNX models, and Paddle models through paddle2onnx."""

from paddle_tvm.compiler.frontends.onnx.importer import import_onnx
from paddle_tvm.compiler.frontends.onnx.operators import missing_onnx_operators
from paddle_tvm.compiler.frontends.onnx.paddle_to_onnx import paddle_to_onnx

__all__ = ["import_onnx", "missing_onnx_operators", "paddle_to_onnx"]
