"""The x86 target."""

from paddle_tvm.targets.x86.target import X86Target, x86_target, x86_targets

__all__ = ["X86Target", "x86_target", "x86_targets"]
