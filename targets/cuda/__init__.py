"""The CUDA target: whole models on NVIDIA GPUs, compiled with or without one at hand."""

from paddle_tvm.targets.cuda.target import CudaTarget, cuda_target

__all__ = ["CudaTarget", "cuda_target"]
