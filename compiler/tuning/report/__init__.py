"""The page that ``tune --report`` writes: how the search went, and what it found."""

from paddle_tvm.compiler.tuning.report.content import Content
from paddle_tvm.compiler.tuning.report.write import write_tuning_report

__all__ = ["Content", "write_tuning_report"]
