"""Engines of TensorRT: built from the ONNX models of an artifact, kept on the disk, and run.

TensorRT is called through its own Python package, ``tensorrt``, of release 10. What is called is in the
documentation of its Python API (docs.nvidia.com/deeplearning/tensorrt, "TensorRT Python API Reference").
"""

from __future__ import annotations

import ast
import ctypes
import hashlib
import json
import operator
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, byref, c_int32, c_void_p
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from paddle_tvm.runtime import ffi, native_tensor
from paddle_tvm.runtime.cuda import Stream
from paddle_tvm.runtime.data_type import PrecisionType
from paddle_tvm.runtime.errors import ArtifactError, PaddleTvmError, UsageError
from paddle_tvm.runtime.manifest import Manifest
from paddle_tvm.runtime.tensorrt_options import EngineOptions, ShapeRange
from paddle_tvm.runtime.tensorrt_package import PACKAGE, find_tensorrt

_building = threading.Lock()
_engines: dict[tuple[object, ...], Any] = {}
_current = threading.local()

_OPERATIONS: Mapping[type, Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


class _Ports(NamedTuple):
    """The inputs and results of a subgraph; sizes of inputs are numbers, or expressions over symbols."""

    inputs: Sequence[str]
    outputs: Sequence[str]
    shapes: Mapping[str, Sequence[int | str]]
    quantized: bool


class _Loaded(NamedTuple):
    ports: _Ports
    context: Any


class Session:
    """What one predictor runs of TensorRT: a context for each subgraph, on its stream."""

    def __init__(self, artifact: str, manifest: Manifest, options: EngineOptions, stream: Stream) -> None:
        self._trt = import_tensorrt(artifact)
        self._artifact = artifact
        self._manifest = manifest
        self._options = options
        self._stream = stream
        # An empty tensor has no address, and TensorRT wants one.
        self._somewhere = stream.new_place()
        self._loaded: dict[str, _Loaded] = {}
        self.error: BaseException | None = None
        """What went wrong in a call of native code."""
        register()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Have calls of subgraphs that this thread makes go to this session."""
        before = getattr(_current, "session", None)
        _current.session = self
        self.error = None
        try:
            yield
        except Exception as error:
            # Native code passes on no more than its text.
            if self.error is not None:
                raise self.error from error
            raise
        finally:
            _current.session = before

    def load(self, key: str, described: bytes, model: bytes) -> None:
        """Make ready the subgraph of a key, whose ONNX model this is."""
        if key in self._loaded:
            return
        ports = _Ports(**json.loads(described))
        profile = _profile(self._manifest, ports, self._options.shapes)
        if self._options.precision is PrecisionType.Int8 and not ports.quantized:
            raise UsageError(
                f"Config.enable_tensorrt_engine(): precision_mode Int8 is asked for, and {self._artifact} "
                "has no scales of its own: quantise the model and compile it again, or ask for another one"
            )
        engine = self._engine(key, model, profile)
        with self._stream.device.turns.together():
            context = engine.create_execution_context()
        if context is None:
            raise PaddleTvmError(f"{self._artifact}: TensorRT has no memory for a context of its engine")
        self._loaded[key] = _Loaded(ports, context)

    def run(self, key: str, tensors: Sequence[Any]) -> None:
        """Run the subgraph of a key on tensors of the GPU: its inputs, and then its results."""
        ports, context = self._loaded[key]
        names = [*ports.inputs, *ports.outputs]
        for name, tensor in zip(names, tensors, strict=True):
            if name in ports.shapes and not context.set_input_shape(name, tuple(tensor.shape)):
                raise UsageError(
                    f"TensorRT's engine is not built for the shape {list(tensor.shape)} of {name}, which has "
                    f"{list(ports.shapes[name])}: widen Config.set_trt_dynamic_shape_info()"
                )
            context.set_tensor_address(name, tensor.data or self._somewhere.address)
        if not context.execute_async_v3(self._stream.handle):
            raise PaddleTvmError(f"{self._artifact}: TensorRT failed to run a part of the model")

    def _engine(self, key: str, model: bytes, profile: Mapping[str, Any]) -> Any:
        trt, options = self._trt, self._options
        device = self._stream.device
        built_for = {
            "subgraph": key,
            "precision": options.precision.name,
            "workspace": options.workspace_bytes,
            "profile": profile,
            "tensorrt": str(trt.__version__),
            "device": device.describe(),
        }
        name = hashlib.sha256(json.dumps(built_for, sort_keys=True).encode()).hexdigest()
        with _building:
            known = (device.number, name)
            if known not in _engines:
                # TensorRT measures, and takes memory: nobody runs or records meanwhile.
                with device.turns.alone():
                    device.use()
                    _engines[known] = self._kept(name) or self._built(name, model, profile)
            return _engines[known]

    def _kept(self, name: str) -> Any:
        """The engine of the cache, if there is one that this TensorRT reads."""
        try:
            plan = (self._folder() / f"{name}.engine").read_bytes()
        except OSError:
            return None
        return self._trt.Runtime(_logger(self._trt)).deserialize_cuda_engine(plan)

    def _built(self, name: str, model: bytes, profile: Mapping[str, Any]) -> Any:
        trt = self._trt
        logger = _logger(trt)
        builder = trt.Builder(logger)
        network = builder.create_network(0)
        parser = trt.OnnxParser(network, logger)
        if not parser.parse(model):
            errors = "; ".join(str(parser.get_error(i).desc()) for i in range(parser.num_errors))
            raise ArtifactError(
                f"{self._artifact}: TensorRT {trt.__version__} does not take a part of the model: {errors}. "
                "Compile it for CUDA alone: paddle-tvm compile MODEL -o ARTIFACT --target cuda"
            )
        config = builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, self._options.workspace_bytes)
        # Float32 is float32: TensorRT takes TF32 for it unless told otherwise.
        config.clear_flag(trt.BuilderFlag.TF32)
        flags = {
            PrecisionType.Half: ("FP16",),
            PrecisionType.Bfloat16: ("BF16",),
            PrecisionType.Int8: ("INT8", "FP16"),
        }
        for flag in flags.get(self._options.precision, ()):
            config.set_flag(getattr(trt.BuilderFlag, flag))
        if profile:
            shapes = builder.create_optimization_profile()
            for tensor, (least, best, most) in profile.items():
                shapes.set_shape(tensor, tuple(least), tuple(best), tuple(most))
            config.add_optimization_profile(shapes)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise PaddleTvmError(
                f"{self._artifact}: TensorRT {trt.__version__} built no engine; it says why on stderr"
            )
        self._keep(name, bytes(plan))
        return trt.Runtime(logger).deserialize_cuda_engine(plan)

    def _keep(self, name: str, plan: bytes) -> None:
        """Write an engine into the cache, whole or not at all; without one it is built again next time."""
        folder = self._folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor, unfinished = tempfile.mkstemp(dir=folder, prefix=f".{name}.")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(plan)
                os.replace(unfinished, folder / f"{name}.engine")
            except BaseException:
                os.unlink(unfinished)
                raise
        except OSError:
            return

    def _folder(self) -> Path:
        if self._options.cache is not None:
            return Path(self._options.cache)
        home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        return Path(home) / "paddle-tvm" / "tensorrt"


def import_tensorrt(artifact: str) -> Any:
    """The package of TensorRT.

    Raises
    ------
    ArtifactError
        It is not installed, or too old; the message names the package and the version.
    """
    found = find_tensorrt()
    if found.problem:
        raise ArtifactError(
            f"{artifact}: has parts for TensorRT 10, {found.problem}: pip install '{PACKAGE}', or compile "
            "the model for CUDA alone, paddle-tvm compile MODEL -o ARTIFACT --target cuda"
        )
    return found.module


def _logger(trt: Any) -> Any:
    return trt.Logger(trt.Logger.ERROR)


def _profile(
    manifest: Manifest, ports: _Ports, given: ShapeRange | None
) -> dict[str, tuple[list[int], list[int], list[int]]]:
    """The least, best and largest shape of each input of a subgraph that has dynamic sizes."""
    dynamic = {
        name: shape for name, shape in ports.shapes.items() if any(isinstance(dim, str) for dim in shape)
    }
    if not dynamic:
        return {}
    if given is None:
        names = ", ".join(spec.name for spec in manifest.inputs)
        raise UsageError(
            f"TensorRT builds its engines for ranges of shapes: give those of the inputs ({names}) with "
            "Config.set_trt_dynamic_shape_info(), or compile the model with --shape"
        )
    least, best, most = (_symbols(manifest, shapes) for shapes in (given.least, given.optimal, given.most))
    return {
        name: (_sizes(shape, least), _sizes(shape, best), _sizes(shape, most))
        for name, shape in dynamic.items()
    }


def _sizes(shape: Sequence[int | str], symbols: Mapping[str, int]) -> list[int]:
    return [_size(dim, symbols) for dim in shape]


def _symbols(manifest: Manifest, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """The sizes of the model's symbols at shapes of its inputs."""
    values: dict[str, int] = {}
    for spec in manifest.inputs:
        if not any(isinstance(dim, str) for dim in spec.shape):
            continue
        shape = shapes.get(spec.name)
        if shape is None or len(shape) != len(spec.shape):
            raise UsageError(
                f"Config.set_trt_dynamic_shape_info(): input {spec.name!r} has the shape "
                f"{list(spec.shape)}; got " + ("nothing for it" if shape is None else str(list(shape)))
            )
        values.update(
            {dim: int(size) for dim, size in zip(spec.shape, shape, strict=True) if isinstance(dim, str)}
        )
    return values


def _size(dim: int | str, symbols: Mapping[str, int]) -> int:
    """The value of a size: a number, or an expression over symbols as TVM prints it."""
    if isinstance(dim, int):
        return dim

    def value(node: ast.expr) -> int:
        if isinstance(node, ast.Name) and node.id in symbols:
            return symbols[node.id]
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return node.value
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            arguments = [value(argument) for argument in node.args]
            if node.func.attr in ("max", "min"):
                return max(arguments) if node.func.attr == "max" else min(arguments)
            if node.func.attr in ("int64", "int32", "truncdiv", "Mul"):
                (single,) = arguments[:1] if len(arguments) == 1 else [arguments[0] * arguments[1]]
                return single
        raise ArtifactError(f"the size {dim!r} of a part for TensorRT is not understood")

    return value(ast.parse(dim, mode="eval").body)


# --- the functions that an artifact's code calls ---

_SAFE_CALL = CFUNCTYPE(c_int32, c_void_p, POINTER(ffi.Value), c_int32, POINTER(ffi.Value))
_create = ffi.bind("TVMFFIFunctionCreate", c_void_p, _SAFE_CALL, c_void_p, POINTER(c_void_p))
_registered: list[object] = []


def register() -> None:
    """Make the functions known that code for TensorRT calls; once in a process."""
    with _building:
        if _registered:
            return
        for name, body in (("paddle_tvm.tensorrt.load", _load), ("paddle_tvm.tensorrt.run", _run)):
            callback = _SAFE_CALL(_guarded(body))
            created = c_void_p()
            if _create(None, callback, None, byref(created)):
                raise ffi.raised()
            function = ffi.Function(created.value or 0)
            ffi.set_global(name, function)
            _registered.extend((callback, function))


def _guarded(body: Callable[[str, list[Any]], None]) -> Callable[..., int]:
    def call(handle: Any, arguments: Any, count: int, result: Any) -> int:
        try:
            key = ctypes.string_at(arguments[0].value).decode()
            body(key, [native_tensor.borrowed(arguments[i]) for i in range(1, count)])
        except BaseException as error:
            session = getattr(_current, "session", None)
            if session is not None:
                session.error = error
            ffi.set_error("RuntimeError", str(error))
            return -1
        return 0

    return call


def _session() -> Session:
    session = getattr(_current, "session", None)
    if not isinstance(session, Session):
        raise PaddleTvmError("a part for TensorRT is called outside of a predictor")
    return session


def _load(key: str, tensors: list[Any]) -> None:
    described, model = (np.asarray(tensor.numpy()).tobytes() for tensor in tensors)
    _session().load(key, described, model)


def _run(key: str, tensors: list[Any]) -> None:
    _session().run(key, tensors)
