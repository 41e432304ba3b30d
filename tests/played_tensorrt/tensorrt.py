"""Plays TensorRT: the part of its Python API that the runtime calls, with ONNX Runtime behind it.

It is as strict as the original is said to be: shapes outside of the profile, tensors without an address and
models that the parser refuses do what TensorRT documents. What it does not show is what TensorRT computes.
"""

from __future__ import annotations

import ctypes
import json
import os
from enum import Enum, auto
from math import prod
from typing import Any

import numpy as np
import onnx
import onnxruntime

__version__ = os.environ.get("PLAYED_TENSORRT_VERSION", "10.13.3.9")

built: list[dict[str, Any]] = []
"""What engines were built with, by this process."""


class MemoryPoolType(Enum):
    WORKSPACE = auto()


class BuilderFlag(Enum):
    TF32 = auto()
    FP16 = auto()
    BF16 = auto()
    INT8 = auto()


class Logger:
    ERROR = 1

    def __init__(self, severity: int) -> None:
        self.severity = severity


class _Network:
    model: bytes | None = None


class _Error:
    def __init__(self, text: str) -> None:
        self._text = text

    def desc(self) -> str:
        return self._text


class OnnxParser:
    def __init__(self, network: _Network, logger: Logger) -> None:
        self._network = network
        self._errors: list[_Error] = []

    def parse(self, model: bytes) -> bool:
        parsed = onnx.load_from_string(model)
        onnx.checker.check_model(parsed, full_check=True)
        refused = os.environ.get("PLAYED_TENSORRT_REFUSES")
        if any(node.op_type == refused for node in parsed.graph.node):
            self._errors.append(_Error(f"no importer registered for op: {refused}"))
            return False
        self._network.model = model
        return True

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> _Error:
        return self._errors[index]


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, list[list[int]]] = {}

    def set_shape(self, name: str, least: Any, best: Any, most: Any) -> None:
        self.shapes[name] = [list(least), list(best), list(most)]


class _Config:
    def __init__(self) -> None:
        # As in TensorRT, TF32 is on unless it is switched off.
        self.flags = {BuilderFlag.TF32}
        self.workspace = 0
        self.profiles: list[_Profile] = []

    def set_memory_pool_limit(self, pool: MemoryPoolType, size: int) -> None:
        assert pool is MemoryPoolType.WORKSPACE
        self.workspace = size

    def set_flag(self, flag: BuilderFlag) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: BuilderFlag) -> None:
        self.flags.discard(flag)

    def add_optimization_profile(self, profile: _Profile) -> int:
        self.profiles.append(profile)
        return len(self.profiles) - 1


class Builder:
    def __init__(self, logger: Logger) -> None:
        pass

    def create_network(self, flags: int) -> _Network:
        assert flags == 0
        return _Network()

    def create_builder_config(self) -> _Config:
        return _Config()

    def create_optimization_profile(self) -> _Profile:
        return _Profile()

    def build_serialized_network(self, network: _Network, config: _Config) -> bytes | None:
        assert network.model is not None
        model = onnx.load_from_string(network.model)
        profile = config.profiles[0].shapes if config.profiles else {}
        for port in model.graph.input:
            dynamic = any(dim.dim_param for dim in port.type.tensor_type.shape.dim)
            if dynamic and port.name not in profile:
                return None
        about = {
            "flags": sorted(flag.name for flag in config.flags),
            "workspace": config.workspace,
            "profile": profile,
        }
        built.append(about)
        return json.dumps(about).encode() + b"\n" + network.model


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        least_best_most = self._engine.profile.get(name)
        declared = self._engine.inputs[name]
        if least_best_most is None:
            fits = list(shape) == declared
        else:
            least, _, most = least_best_most
            fits = len(shape) == len(least) and all(
                low <= size <= high for low, size, high in zip(least, shape, most, strict=True)
            )
        if fits:
            self._shapes[name] = shape
        return fits

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert address
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        cudart = ctypes.CDLL("libcudart.so.13", mode=os.RTLD_NOLOAD)
        copy = cudart.cudaMemcpyAsync
        copy.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p)
        feeds = {}
        for port in self._engine.session.get_inputs():
            array = np.empty(self._shapes[port.name], _DTYPES[port.type])
            copy(array.ctypes.data, self._addresses[port.name], array.nbytes, 2, stream)
            feeds[port.name] = array
        names = [port.name for port in self._engine.session.get_outputs()]
        for name, result in zip(names, self._engine.session.run(names, feeds), strict=True):
            whole = np.ascontiguousarray(result)
            copy(self._addresses[name], whole.ctypes.data, prod(whole.shape) * whole.itemsize, 1, stream)
        return True


class _Engine:
    def __init__(self, plan: bytes) -> None:
        about, _, model = plan.partition(b"\n")
        self.profile = json.loads(about)["profile"]
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self.inputs = {port.name: list(port.shape) for port in self.session.get_inputs()}

    def create_execution_context(self) -> _Context:
        return _Context(self)


class Runtime:
    def __init__(self, logger: Logger) -> None:
        pass

    def deserialize_cuda_engine(self, plan: bytes) -> _Engine | None:
        # A plan that is damaged, or of another version, gives None.
        return _Engine(plan) if plan.startswith(b"{") else None


_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
}
