"""The page that ``compile --report`` writes: what became of a model, and how fast each part of it runs."""

from paddle_tvm.compiler.report.write import write_report

__all__ = ["write_report"]
