"""Tensors of native code, and their memory.

Layouts and ownership are those of ``dlpack/dlpack.h`` and ``tvm/ffi/c_api.h`` in apache-tvm-ffi 0.1.14.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import (
    POINTER,
    Structure,
    byref,
    c_char_p,
    c_int32,
    c_int64,
    c_uint8,
    c_uint16,
    c_uint64,
    c_void_p,
)
from math import prod
from typing import Any

import numpy as np

from paddle_tvm.runtime.ffi import Borrowed, Header, Object, Value, bind, raised
from paddle_tvm.runtime.manifest import ALIGNMENT, ITEM_SIZES

_CPU = 1
CUDA = 2
"""DLPack's number for memory of NVIDIA's GPUs."""

_DL_TENSOR = 7
_TENSOR = 70
_HEADER_SIZE = ctypes.sizeof(Header)

_KINDS = {"int": 0, "uint": 1, "float": 2, "bool": 6}
_CODES = {name: (_KINDS[name.rstrip("0123456789")], 8 * size) for name, size in ITEM_SIZES.items()}
_DTYPES = {code: name for name, code in _CODES.items()}


class _DLTensor(Structure):
    """``DLTensor`` with its ``DLDevice`` and ``DLDataType``."""

    _fields_ = (
        ("data", c_void_p),
        ("device_type", c_int32),
        ("device_id", c_int32),
        ("ndim", c_int32),
        ("code", c_uint8),
        ("bits", c_uint8),
        ("lanes", c_uint16),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),
        ("byte_offset", c_uint64),
    )


class _Sequence(Structure):
    """An array object: ``TVMFFISeqCell``, as far as it is read here."""

    _fields_ = (("header", Header), ("data", POINTER(Value)), ("size", c_int64))


_from_dlpack = bind("TVMFFITensorFromDLPack", c_void_p, c_int32, c_int32, POINTER(c_void_p))
_create_view = bind("TVMFFITensorCreateUnsafeView", c_void_p, POINTER(_DLTensor), POINTER(c_void_p))

# Prototypes of our own: those in ctypes.pythonapi belong to everyone in the process.
_capsule_pointer = ctypes.PYFUNCTYPE(c_void_p, ctypes.py_object, c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_set_capsule_name = ctypes.PYFUNCTYPE(c_int32, ctypes.py_object, c_char_p)(
    ("PyCapsule_SetName", ctypes.pythonapi)
)
# A capsule keeps the address of its name, not a copy.
_USED = c_char_p(b"used_dltensor")


class NativeTensor(Borrowed):
    """A tensor of native code, which ``owner`` keeps alive."""

    __slots__ = ("_fields", "_owner")

    def __init__(self, owner: Object, address: int) -> None:
        self.address = address
        self._owner = owner
        self._fields = _DLTensor.from_address(address + _HEADER_SIZE)

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions."""
        return tuple(self._fields.shape[: self._fields.ndim])

    @property
    def dtype(self) -> str:
        """NumPy's name of its dtype, or the codes of one that NumPy lacks."""
        fields = self._fields
        known = _DTYPES.get((fields.code, fields.bits)) if fields.lanes == 1 else None
        return known or f"DLPack dtype ({fields.code}, {fields.bits}, {fields.lanes})"

    @property
    def on_cpu(self) -> bool:
        """Whether its memory is the CPU's."""
        return bool(self._fields.device_type == _CPU)

    @property
    def device(self) -> tuple[int, int]:
        """DLPack's number for the kind of device that its memory is of, and which of them."""
        return self._fields.device_type, self._fields.device_id

    @property
    def data(self) -> int:
        """Address of its first element."""
        return (self._fields.data or 0) + int(self._fields.byte_offset)

    def numpy(self) -> np.ndarray[Any, Any]:
        """Copy its elements into a new array. They must be compact, as kernels leave them."""
        array = np.empty(self.shape, self.dtype)
        if array.size:
            # Of all ways to an array's address this is the fastest.
            ctypes.memmove(byref(c_uint8.from_buffer(array.data)), self.data, array.nbytes)
        return array

    def view(self, dtype: str, shape: tuple[int, ...]) -> NativeTensor:
        """Return a compact tensor that begins where this one does, and keep the memory."""
        return self._view(self.data, (_CPU, 0), dtype, shape)

    def _view(self, data: int, device: tuple[int, int], dtype: str, shape: tuple[int, ...]) -> NativeTensor:
        ndim = len(shape)
        strides = [prod(shape[axis + 1 :]) for axis in range(ndim)]
        sizes = c_int64 * ndim
        code, bits = _CODES[dtype]
        described = _DLTensor(data, *device, ndim, code, bits, 1, sizes(*shape), sizes(*strides), 0)
        created = c_void_p()
        if _create_view(self.address, byref(described), byref(created)):
            raise raised()
        return _own(created)


class Outputs(Object, type_index=71):
    """An array of native code, as models return one."""

    __slots__ = ()

    def tensors(self) -> list[NativeTensor]:
        """Return its elements, which keep it."""
        sequence = _Sequence.from_address(self.address)
        tensors = []
        for value in sequence.data[: sequence.size]:
            if value.type_index != _TENSOR:
                raise TypeError(f"expected tensors from the model, got a value of type {value.type_index}")
            tensors.append(NativeTensor(self, value.value))
        return tensors


def borrowed(argument: Value) -> NativeTensor:
    """Return a tensor that native code gives as an argument, for as long as the call lasts."""
    if argument.type_index not in (_DL_TENSOR, _TENSOR):
        raise TypeError(f"expected a tensor, got a value of type {argument.type_index}")
    tensor = NativeTensor.__new__(NativeTensor)
    tensor.address = argument.value
    header = _HEADER_SIZE if argument.type_index == _TENSOR else 0
    tensor._fields = _DLTensor.from_address(argument.value + header)
    return tensor


def _own(created: c_void_p) -> NativeTensor:
    owner = Object(created.value or 0)
    return NativeTensor(owner, owner.address)


def from_dlpack(data: Any, alignment: int) -> NativeTensor:
    """Return a tensor in the memory of anything with ``__dlpack__``, and keep that; compact and aligned."""
    capsule = data.__dlpack__()
    created = c_void_p()
    if _from_dlpack(_capsule_pointer(capsule, b"dltensor"), alignment, 1, byref(created)):
        raise raised()
    _set_capsule_name(capsule, _USED)
    return _own(created)


def over(array: np.ndarray[Any, Any]) -> NativeTensor:
    """Return a tensor in the memory of an array, compact and aligned, and keep that."""
    if array.size:
        return from_dlpack(array, ALIGNMENT)
    # NumPy gives arrays without elements strides of 0, which kernels refuse.
    return from_dlpack(np.empty(1, np.uint8), 1).view(array.dtype.name, array.shape)


def at_address(address: int, device: int, dtype: str, shape: tuple[int, ...]) -> NativeTensor:
    """Return a compact tensor in memory of a GPU, which the caller has to keep."""
    # The library makes views alone, so this is one of a tensor that nobody looks at.
    nothing = from_dlpack(np.empty(1, np.uint8), 1)
    return nothing._view(address, (CUDA, device), dtype, shape)


def aligned_empty(shape: Sequence[int], dtype: str | np.dtype[Any] | type) -> np.ndarray[Any, Any]:
    """Return a new array, not initialised, that ``share_external_data`` takes.

    Parameters
    ----------
    shape
        Its dimensions.
    dtype
        Its dtype.
    """
    size = prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(tuple(shape))
