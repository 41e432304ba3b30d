"""A TIR schedule that takes its arguments as they are."""

from __future__ import annotations

from tvm import s_tir


class UncheckedSchedule(s_tir.Schedule):  # type: ignore[misc]  # TVM has no types
    """`s_tir.Schedule` without the checks of argument types that TVM makes in Python at each call.

    They take as long as the primitives of a small kernel do, and a type checker makes them once. TVM still
    checks in C++ that a primitive keeps what the function computes.
    """


for _name, _method in vars(s_tir.Schedule).items():
    # TVM's decorator keeps what it wraps.
    if hasattr(_method, "__wrapped__"):
        setattr(UncheckedSchedule, _name, _method.__wrapped__)
