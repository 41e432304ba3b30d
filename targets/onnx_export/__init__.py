"""Subgraphs of Relax operators as ONNX models."""

from paddle_tvm.targets.onnx_export.export import OnnxExport, export_call, export_subgraph
from paddle_tvm.targets.onnx_export.patterns import patterns_of

__all__ = ["OnnxExport", "export_call", "export_subgraph", "patterns_of"]
