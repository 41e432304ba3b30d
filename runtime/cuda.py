"""GPUs: CUDA's runtime library, memory of a device, and the stream that a predictor works on."""

from __future__ import annotations

import ctypes
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from ctypes import POINTER, byref, c_int, c_size_t, c_void_p
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from paddle_tvm.runtime import ffi
from paddle_tvm.runtime.errors import ArtifactError, PaddleTvmError, UsageError
from paddle_tvm.runtime.gpus import DRIVER
from paddle_tvm.runtime.native_tensor import CUDA, NativeTensor, at_address
from paddle_tvm.runtime.turns import Turns

CUDART = "libcudart.so.13"
RUNTIME_FILE = "lib/libtvm_runtime_cuda.so"
_CUDART_FILE = f"lib/{CUDART}"

# Attributes of cudaDeviceGetAttribute, and kinds of cudaMemcpy.
_MAJOR, _MINOR = 75, 76
TO_DEVICE, _FROM_DEVICE = 1, 2

_OUT_OF_MEMORY = 2

# As cudaMalloc aligns, so that every kernel reads what it would of memory of its own.
ALIGNMENT = 256

Array = np.ndarray[Any, Any]

_opening = threading.Lock()


class _Runtime:
    """``libcudart.so``, as far as it is called here."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self._error_text = library.cudaGetErrorString
        self._error_text.argtypes, self._error_text.restype = (c_int,), ctypes.c_char_p
        for name, parameters in (
            ("cudaGetDeviceCount", (POINTER(c_int),)),
            ("cudaGetDeviceProperties", (c_void_p, c_int)),
            ("cudaSetDevice", (c_int,)),
            ("cudaDeviceGetAttribute", (POINTER(c_int), c_int, c_int)),
            ("cudaMemGetInfo", (POINTER(c_size_t), POINTER(c_size_t))),
            ("cudaMalloc", (POINTER(c_void_p), c_size_t)),
            ("cudaFree", (c_void_p,)),
            ("cudaMallocHost", (POINTER(c_void_p), c_size_t)),
            ("cudaFreeHost", (c_void_p,)),
            ("cudaMemcpyAsync", (c_void_p, c_void_p, c_size_t, c_int, c_void_p)),
            ("cudaStreamCreate", (POINTER(c_void_p),)),
            ("cudaStreamDestroy", (c_void_p,)),
            ("cudaStreamSynchronize", (c_void_p,)),
        ):
            function = getattr(library, name)
            function.argtypes, function.restype = parameters, c_int
            setattr(self, name, function)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    def check(self, code: int, what: str) -> None:
        """Raise what CUDA says of a call."""
        if code:
            text = (self._error_text(code) or b"").decode(errors="replace")
            raise PaddleTvmError(f"CUDA: {what} failed: {text} (error {code})")


class Device:
    """A GPU that this process uses."""

    def __init__(self, runtime: _Runtime, number: int) -> None:
        self.runtime = runtime
        self.number = number
        # Alone goes what records a graph, during which CUDA takes no request for memory, and what gives
        # memory back as it runs: TVM's pool hands it to the next, whose kernels may be on another stream.
        self.turns = Turns()
        # Memory to free, by the function for it; whoever lets go of some may be in the middle of anything.
        self._garbage: deque[tuple[Any, int]] = deque()
        # What was in use when that was last looked at.
        self._baseline: int | None = None

    @property
    def dlpack(self) -> tuple[int, int]:
        """DLPack's name of it."""
        return CUDA, self.number

    def describe(self) -> str:
        """Its name, and what code runs on it."""
        # The structure begins with the name; all of it is smaller than this in CUDA 13.
        properties = ctypes.create_string_buffer(1 << 14)
        self.runtime.check(
            self.runtime.cudaGetDeviceProperties(properties, self.number), "asking for a GPU's name"
        )
        major, minor = self.capability
        return f"{properties.value.decode(errors='replace')} sm_{major}{minor}"

    @property
    def capability(self) -> tuple[int, int]:
        """Its architecture: (9, 0) runs code for ``sm_90``."""
        return self.attribute(_MAJOR), self.attribute(_MINOR)

    def attribute(self, number: int) -> int:
        """What CUDA says of it, by the number that ``cudaDeviceAttr`` gives an attribute."""
        value = c_int()
        code = self.runtime.cudaDeviceGetAttribute(byref(value), number, self.number)
        self.runtime.check(code, f"asking for attribute {number} of a GPU")
        return value.value

    def use(self) -> None:
        """Let calls of this thread go to the device."""
        self.runtime.check(self.runtime.cudaSetDevice(self.number), f"choosing device {self.number}")

    def allocate(self, function: Any, size: int, what: str) -> int:
        """Memory of at least a byte, by a function of CUDA's."""
        address = c_void_p()
        with self.turns.together():
            self.sweep()
            self.use()
            code = function(byref(address), max(size, 1))
        if code == _OUT_OF_MEMORY:
            self.free_cached()
            with self.turns.together():
                self.use()
                code = function(byref(address), max(size, 1))
        if code == _OUT_OF_MEMORY:
            raise UsageError(
                f"GPU {self.number} has no {size} bytes of {what} left: use smaller inputs, fewer "
                "predictors, or another GPU"
            )
        self.runtime.check(code, f"allocating {size} bytes of {what}")
        return address.value or 0

    def free_cached(self) -> None:
        """Free memory that TVM keeps for later runs, when nobody runs."""
        with self.turns.alone():
            self.sweep()
            self.use()
            ffi.get_function("vm.builtin.memory_manager.clear")()

    def free_above(self, limit: int) -> None:
        """Free cached memory where more than ``limit`` bytes were taken since last time."""
        used = self.used()
        if self._baseline is None or used < self._baseline:
            # Others may have given memory back meanwhile.
            self._baseline = used
        elif used > self._baseline + limit:
            self.free_cached()
            self._baseline = self.used()

    def used(self) -> int:
        """Bytes of the GPU's memory that are in use, by whomever."""
        left, total = c_size_t(), c_size_t()
        self.use()
        self.runtime.check(self.runtime.cudaMemGetInfo(byref(left), byref(total)), "asking for memory")
        return total.value - left.value

    def let_go(self, function: Any, address: int) -> None:
        """Free memory with a function of CUDA's, when it is time."""
        self._garbage.append((function, address))

    def sweep(self) -> None:
        """Free what was let go of; nothing may be recorded meanwhile."""
        while True:
            try:
                function, address = self._garbage.popleft()
            except IndexError:
                # Others may sweep, too.
                return
            function(address)

    def copy(self, to: int, source: int, size: int, kind: int, stream: int | None) -> None:
        """Begin a copy, after what is on the stream already."""
        if size:
            code = self.runtime.cudaMemcpyAsync(to, source, size, kind, stream)
            self.runtime.check(code, f"copying {size} bytes")


class DeviceMemory:
    """Memory of a device, for as long as this lives."""

    def __init__(self, device: Device, size: int) -> None:
        self.address = device.allocate(device.runtime.cudaMalloc, size, "the GPU's memory")
        self._device = device

    def __del__(self) -> None:
        if hasattr(self, "_device"):
            self._device.let_go(self._device.runtime.cudaFree, self.address)


class DeviceTensor(NativeTensor):
    """A tensor in memory of a device that belongs to it, or to it and others."""

    __slots__ = ("_memory",)

    def __init__(
        self, device: Device, memory: DeviceMemory, offset: int, dtype: str, shape: Sequence[int]
    ) -> None:
        made = at_address(memory.address + offset, device.number, dtype, tuple(shape))
        super().__init__(made._owner, made.address)
        self._memory = memory


class _HostMemory:
    """Memory of the CPU that a device copies from by itself."""

    def __init__(self, device: Device, size: int) -> None:
        self.address = device.allocate(device.runtime.cudaMallocHost, size, "pinned memory")
        self._device = device

    def __del__(self) -> None:
        if hasattr(self, "_device"):
            self._device.let_go(self._device.runtime.cudaFreeHost, self.address)


class Stream:
    """What one predictor does on a device, one thing after the other."""

    def __init__(self, device: Device) -> None:
        self.device = device
        handle = c_void_p()
        with device.turns.together():
            device.use()
            device.runtime.check(device.runtime.cudaStreamCreate(byref(handle)), "making a stream")
        self._handle = handle.value or 0
        self._uploading = False

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            self.device.let_go(self.device.runtime.cudaStreamDestroy, self._handle)

    @property
    def handle(self) -> int:
        """Its ``cudaStream_t``."""
        return self._handle

    def new_place(self) -> DeviceMemory:
        """A little memory of the device."""
        return DeviceMemory(self.device, ALIGNMENT)

    def new_input(self, shape: Sequence[int], dtype: np.dtype[Any]) -> tuple[NativeTensor, Array]:
        """A tensor on the device, and memory of the CPU from which ``upload`` fills it."""
        size = prod(shape) * dtype.itemsize
        tensor = DeviceTensor(self.device, DeviceMemory(self.device, size), 0, dtype.name, shape)
        memory = _HostMemory(self.device, size)
        buffer: Any = (ctypes.c_uint8 * max(size, 1)).from_address(memory.address)
        # The array's base keeps the buffer, and that the memory.
        buffer._memory = memory
        view = np.frombuffer(buffer, np.uint8, size).view(dtype).reshape(tuple(shape))
        return tensor, view

    def upload(self, tensor: NativeTensor, data: Array) -> None:
        """Begin to copy memory that ``new_input`` gave to its tensor."""
        with self.device.turns.together():
            self.device.use()
            self.device.copy(tensor.data, data.ctypes.data, data.nbytes, TO_DEVICE, self._handle)
        self._uploading = True

    def finish_uploads(self) -> None:
        """Wait until memory that is being copied may be written again."""
        if self._uploading:
            with self.device.turns.together():
                self.synchronize()

    def download(self, tensor: NativeTensor) -> Array:
        """Copy a tensor into a new array."""
        array = np.empty(tensor.shape, tensor.dtype)
        with self.device.turns.together():
            self.device.use()
            self.device.copy(array.ctypes.data, tensor.data, array.nbytes, _FROM_DEVICE, self._handle)
            self.synchronize()
        return array

    def synchronize(self) -> None:
        """Wait for all that was begun."""
        code = self.device.runtime.cudaStreamSynchronize(self._handle)
        self._uploading = False
        self.device.runtime.check(code, "running the model")

    def call(self, call: Callable[[], Any], alone: bool) -> Any:
        """Call a function of a model with its kernels on this stream, and wait for them.

        ``alone`` says that it records a graph, or frees memory as it runs.
        """
        turns = self.device.turns
        with turns.alone() if alone else turns.together():
            self.device.sweep()
            self.device.use()
            before = ffi.set_stream(CUDA, self.device.number, self._handle)
            try:
                return call()
            finally:
                ffi.set_stream(CUDA, self.device.number, before)
                # After an error too: kernels that were started use memory that is free by now.
                self.synchronize()


_opened: _Runtime | None = None
_devices: dict[int, Device] = {}


def open_device(
    directory: str, architectures: Sequence[str], number: int, same_installed: Callable[[str], str]
) -> Device:
    """Load CUDA's libraries from an artifact, and take a GPU that runs its code.

    Parameters
    ----------
    directory
        The artifact's directory.
    architectures
        What its code was compiled for, such as ``sm_80``, the newest last.
    number
        The GPU, by CUDA's number.
    same_installed
        Finds the file that ``import tvm`` would load instead of one of the artifact's, where it is the same.

    Raises
    ------
    ArtifactError
        There is no driver, no GPU, or it is older than all that the code is for.
    UsageError
        There is no GPU of this number.
    """
    with _opening:
        runtime = _open_runtime(directory, same_installed)
        count = c_int()
        code = runtime.cudaGetDeviceCount(byref(count))
        if code or not count.value:
            text = (runtime._error_text(code) or b"").decode(errors="replace") if code else "none is there"
            raise ArtifactError(
                f"{directory}: is compiled for CUDA, and this machine has no GPU that it can use ({text}): "
                "compile the model for its CPU, paddle-tvm compile MODEL -o ARTIFACT --target x86"
            )
        if number >= count.value or number < 0:
            raise UsageError(
                f"there is no GPU {number}: this machine has {count.value}, numbered from 0; change "
                "device_id in Config.enable_use_gpu()"
            )
        device = _devices.setdefault(number, Device(runtime, number))
        if not runs_on(architectures, device.capability):
            name = "sm_{}{}".format(*device.capability)
            raise ArtifactError(
                f"{directory}: is compiled for {', '.join(architectures)} and newer, and GPU {number} is "
                f"{name}: compile the model for it, paddle-tvm compile MODEL -o ARTIFACT --target cuda "
                f"--arch {name}"
            )
        return device


def runs_on(architectures: Sequence[str], capability: tuple[int, int]) -> bool:
    """Whether a GPU runs code for some architectures: of its own family, or the PTX of the newest of them."""
    numbers = [divmod(int(name.removeprefix("sm_")), 10) for name in architectures]
    return any(major == capability[0] and minor <= capability[1] for major, minor in numbers) or (
        max(numbers) <= capability
    )


def _open_runtime(directory: str, same_installed: Callable[[str], str]) -> _Runtime:
    global _opened
    if _opened is not None:
        return _opened
    try:
        ctypes.CDLL(DRIVER, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise ArtifactError(
            f"{directory}: is compiled for CUDA, and this machine has no NVIDIA driver ({DRIVER}): install "
            "one for CUDA 13, or compile the model for the CPU, paddle-tvm compile MODEL -o ARTIFACT "
            "--target x86"
        ) from error
    try:
        library = ctypes.CDLL(CUDART, mode=os.RTLD_NOLOAD | ctypes.RTLD_GLOBAL)
    except OSError:
        library = _load(os.path.join(directory, _CUDART_FILE))
    if ffi.find_function("device_api.cuda") is None:
        # The same file loaded twice is one library, so that `import tvm` still works afterwards.
        _load(same_installed(os.path.join(directory, RUNTIME_FILE)))
    _opened = _Runtime(library)
    return _opened


def _load(path: str) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be loaded: {error}") from error
