"""What a model's outputs should be: its framework's own executor, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from paddle_tvm.compiler.frontends.paddle.paddle_library import import_paddle, static_mode
from paddle_tvm.compiler.frontends.paddle.program import load_program
from paddle_tvm.compiler.frontends.source import ModelSource
from paddle_tvm.compiler.index_bounds import find_index_bounds
from paddle_tvm.compiler.sample_inputs import Arrays
from paddle_tvm.compiler.staging import scratch_directory
from paddle_tvm.runtime.errors import UnsupportedModelError, UsageError
from paddle_tvm.runtime.manifest import TensorSpec


class RefusedInputError(Exception):
    """The reference cannot run the model on these inputs."""


class Reference(Protocol):
    """Runs a model as its framework does."""

    name: str
    inputs: tuple[TensorSpec, ...]
    index_bounds: dict[str, int]
    """See ``find_index_bounds``."""

    def run(self, arrays: Arrays) -> list[npt.NDArray[np.generic]]:
        """The outputs, in the model's order.

        Raises
        ------
        RefusedInputError
            The framework refuses these inputs.
        """


class PaddleReference:
    """Paddle's plain executor: no oneDNN, no graph passes."""

    def __init__(self, source: ModelSource) -> None:
        program = load_program(source)
        self._paddle = paddle = import_paddle()
        self.name = f"Paddle {paddle.__version__}"
        self.inputs = tuple(
            TensorSpec(port.name, port.value.dtype or "float32", port.value.shape or ())
            for port in program.inputs
        )
        self.index_bounds = find_index_bounds(program)
        self._legacy = source.kind == "pdmodel"
        self._scope = paddle.static.Scope()
        with static_mode(), paddle.static.scope_guard(self._scope):
            self._executor = paddle.static.Executor(paddle.CPUPlace())
            self._program, _, self._fetches = load_saved(source, self._executor)

    def run(self, arrays: Arrays) -> list[npt.NDArray[np.generic]]:
        paddle = self._paddle
        with static_mode(), paddle.static.scope_guard(self._scope), _IrGuard(paddle, self._legacy):
            try:
                results = list(self._executor.run(self._program, feed=arrays, fetch_list=self._fetches))
            except Exception as error:
                raise RefusedInputError(_last_line(error)) from error
        # Paddle 3.3's executor fetches by name.
        if any(result is None for result in results):
            raise RefusedInputError("two outputs of the program have the same name, and one has no result")
        return results


class OnnxReference:
    """ONNX Runtime on the CPU."""

    def __init__(self, source: ModelSource) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise UsageError(
                f"the reference for {source.program} is ONNX Runtime, which is not installed: "
                "pip install 'paddle-tvm[bench]'"
            ) from error
        self.name = f"ONNX Runtime {onnxruntime.__version__}"
        try:
            self._session = onnxruntime.InferenceSession(
                str(source.program), providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise UnsupportedModelError(
                f"{self.name} cannot load {source.program}: {_last_line(error)}"
            ) from error
        self.inputs = tuple(
            TensorSpec(node.name, _onnx_dtype(node.type), tuple(_onnx_dim(dim) for dim in node.shape))
            for node in self._session.get_inputs()
        )
        self.index_bounds = _onnx_index_bounds(source.program)

    def run(self, arrays: Arrays) -> list[npt.NDArray[np.generic]]:
        try:
            return list(self._session.run(None, arrays))
        except Exception as error:
            raise RefusedInputError(_last_line(error)) from error


def open_reference(source: ModelSource) -> Reference:
    """The reference for a model: Paddle for Paddle's, ONNX Runtime for ONNX."""
    return OnnxReference(source) if source.kind == "onnx" else PaddleReference(source)


def load_saved(source: ModelSource, executor: Any) -> tuple[Any, list[str], Sequence[Any]]:
    """Load a model with Paddle's own loader: program, feed names and fetch targets.

    To be called in static mode, within the guard of the scope that receives the parameters.
    """
    paddle = import_paddle()
    legacy = source.kind == "pdmodel"
    with scratch_directory("paddle-tvm-model") as folder:
        # Paddle takes a prefix, and expects both files to share it.
        prefix = folder / "model"
        prefix.with_suffix(".pdmodel" if legacy else ".json").symlink_to(source.program.resolve())
        if source.params is not None:
            prefix.with_suffix(".pdiparams").symlink_to(source.params.resolve())
        with _IrGuard(paddle, legacy):
            program, feeds, fetches = paddle.static.load_inference_model(str(prefix), executor)
    return program, list(feeds), list(fetches)


class _IrGuard:
    """Paddle's old program form, where the model is saved in it."""

    def __init__(self, paddle: Any, legacy: bool) -> None:
        self._guard = paddle.pir_utils.OldIrGuard() if legacy else None

    def __enter__(self) -> None:
        if self._guard is not None:
            self._guard.__enter__()

    def __exit__(self, *error: Any) -> None:
        if self._guard is not None:
            self._guard.__exit__(*error)


def _last_line(error: Exception) -> str:
    """What a Paddle error says, without its C++ frames."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "Error:" in line or line.startswith("(")]
    return (telling or lines or [type(error).__name__])[0]


def _onnx_dtype(name: str) -> str:
    inner = name.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(inner, inner)


def _onnx_dim(dim: int | str | None) -> int | str:
    return -1 if dim is None else dim


def _onnx_index_bounds(model: Path) -> dict[str, int]:
    """As ``find_index_bounds``, for Gather on a table that the model holds."""
    import onnx

    graph = onnx.load(str(model), load_external_data=False).graph
    tables = {tensor.name: tensor.dims for tensor in graph.initializer}
    origin = {port.name: port.name for port in graph.input if port.name not in tables}
    bounds: dict[str, int] = {}
    for node in graph.node:
        if (
            node.op_type in ("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze")
            and node.input[0] in origin
        ):
            origin[node.output[0]] = origin[node.input[0]]
        if node.op_type == "Gather" and node.input[0] in tables and node.input[1] in origin:
            axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 0)
            name, rows = origin[node.input[1]], int(tables[node.input[0]][axis])
            bounds[name] = min(rows, bounds.get(name, rows))
    return bounds
