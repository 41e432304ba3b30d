"""Kernels for the TIR functions of a model."""

from paddle_tvm.targets.cuda.schedules.module import schedule_module

__all__ = ["schedule_module"]
