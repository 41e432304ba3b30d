"""Schedules every TIR function of a module for x86."""

from __future__ import annotations

import tvm


def schedule_module(module: tvm.IRModule, lanes: int) -> tvm.IRModule:
    return module
