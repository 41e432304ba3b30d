"""Asks ONNX Runtime which operators it has kernels for."""

from __future__ import annotations

from typing import Any

from paddle_tvm.targets.onnx_export import OnnxExport


class Kernels:
    """What the installed ONNX Runtime can run; answers are remembered."""

    def __init__(self) -> None:
        self._answers: dict[bytes, str | None] = {}

    def refuse(self, exported: OnnxExport) -> str | None:
        """Why it does not run a model; None where it does."""
        model = exported.model.SerializeToString(deterministic=True)
        if model not in self._answers:
            self._answers[model] = _refusal(model)
        return self._answers[model]


def open_session(model: bytes) -> Any:
    """A session of ONNX Runtime on the CPU, as the model stands, which logs nothing."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _refusal(model: bytes) -> str | None:
    try:
        open_session(model)
    except Exception as error:
        return f"ONNX Runtime refuses it: {first_line(error)}"
    return None


def first_line(error: Exception) -> str:
    """What an error of ONNX Runtime says, without the code before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].rpartition("[ONNXRuntimeError] : ")[2]
