"""Which parts of a graph TensorRT takes, as ONNX models for its parser."""

from paddle_tvm.targets.tensorrt.accelerator import TensorRt
from paddle_tvm.targets.tensorrt.partition import TensorRtPartition

__all__ = ["TensorRt", "TensorRtPartition"]
