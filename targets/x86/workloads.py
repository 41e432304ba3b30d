"""Every workload of the target: importing it makes them known to ``workload_from_json``."""

from paddle_tvm.targets.x86.amx_workloads import AmxConv2d, AmxMatMul
from paddle_tvm.targets.x86.conv2d_workload import Conv2d
from paddle_tvm.targets.x86.depthwise_workload import Depthwise
from paddle_tvm.targets.x86.graph_workloads import BlockWidth, Epilogue
from paddle_tvm.targets.x86.matmul_workload import MatMul

__all__ = ["AmxConv2d", "AmxMatMul", "BlockWidth", "Conv2d", "Depthwise", "Epilogue", "MatMul"]
