"""The page that ``compile --report`` writes: what became of a model, and how fast each part of it runs."""

from paddle_tvm.compiler.report.write import check_report_path, write_report

__all__ = ["check_report_path", "write_report"]
