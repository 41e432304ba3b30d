"""Schedules over TIR for x86 CPUs."""

from paddle_tvm.targets.x86.schedules.module import schedule_module

__all__ = ["schedule_module"]
