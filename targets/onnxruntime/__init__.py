"""The ONNX Runtime target: an accelerator that runs subgraphs as ONNX models."""

from paddle_tvm.targets.onnxruntime.accelerator import OnnxRuntime

__all__ = ["OnnxRuntime"]
