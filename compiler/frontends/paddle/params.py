"""Reads ``.pdiparams``: the tensors of a saved Paddle model, one behind the other.

The layout is that of Paddle's ``DenseTensor`` serialisation (``phi/core/framework/dense_tensor_serialize``
and ``tensor_desc`` in ``framework.proto``): per tensor a version, the LoD levels, a second version, a
protobuf ``TensorDesc`` and the bare values. Names are not stored; the tensors stand in the order of the
sorted names. Reading it here and not through Paddle lets a damaged file be named for what it is.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import ml_dtypes
import numpy as np
import numpy.typing as npt

from paddle_tvm.runtime.errors import UnsupportedModelError

# VarType.Type of framework.proto.
_DTYPES: Mapping[int, npt.DTypeLike] = {
    0: np.bool_,
    1: np.int16,
    2: np.int32,
    3: np.int64,
    4: np.float16,
    5: np.float32,
    6: np.float64,
    20: np.uint8,
    21: np.int8,
    22: ml_dtypes.bfloat16,
    23: np.complex64,
    24: np.complex128,
}


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = memoryview(path.read_bytes())
        self.offset = 0

    def take(self, size: int, what: str) -> memoryview:
        if size < 0 or self.offset + size > len(self.data):
            raise UnsupportedModelError(
                f"{self.path} is truncated or damaged: {what} needs {size} bytes at offset {self.offset}, "
                f"the file has {len(self.data)}"
            )
        part = self.data[self.offset : self.offset + size]
        self.offset += size
        return part

    def number(self, form: str, what: str) -> int:
        value: int = struct.unpack(form, self.take(struct.calcsize(form), what))[0]
        return value


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        shift += 7
        if not byte & 0x80:
            return value, position
        if shift > 63:
            raise ValueError("a varint of more than 10 bytes")


def _parse_desc(data: memoryview) -> tuple[int, list[int]]:
    """Read ``TensorDesc``: field 1 is the type, field 2 the dimensions, packed or not."""
    dtype, dims, position = -1, [], 0
    while position < len(data):
        tag, position = _varint(data, position)
        if tag == 0x08:
            dtype, position = _varint(data, position)
        elif tag == 0x10:
            dim, position = _varint(data, position)
            dims.append(dim)
        elif tag == 0x12:
            length, position = _varint(data, position)
            end = position + length
            while position < end:
                dim, position = _varint(data, position)
                dims.append(dim)
        else:
            raise ValueError(f"unknown tag {tag:#x}")
    return dtype, dims


def _read_tensor(reader: _Reader, name: str) -> npt.NDArray[np.generic]:
    what = f"the header of parameter '{name}'"
    versions = [reader.number("<I", what)]
    for _ in range(reader.number("<Q", what)):
        reader.take(reader.number("<Q", what), what)
    versions.append(reader.number("<I", what))
    if versions != [0, 0]:
        raise UnsupportedModelError(
            f"{reader.path} is damaged or no parameter file: parameter '{name}' has format versions "
            f"{versions}, expected [0, 0]"
        )
    try:
        code, dims = _parse_desc(reader.take(reader.number("<i", what), what))
        dtype = np.dtype(_DTYPES[code])
    except (ValueError, KeyError, IndexError) as error:
        raise UnsupportedModelError(
            f"{reader.path} is damaged: the description of parameter '{name}' cannot be read ({error})"
        ) from error
    count = int(np.prod(dims, dtype=object)) if dims else 1
    values = reader.take(count * dtype.itemsize, f"parameter '{name}' of shape {dims}")
    return np.frombuffer(values, dtype=dtype).reshape(dims)


def read_params(
    path: Path | None, expected: Mapping[str, Sequence[int]]
) -> dict[str, npt.NDArray[np.generic]]:
    """Read the tensors of a combined parameter file.

    Parameters
    ----------
    path
        The file; None where the model came without one.
    expected
        Name and shape of each parameter that the program declares.

    Raises
    ------
    UnsupportedModelError
        The file is missing, truncated, or holds another model's parameters.
    """
    if not expected:
        return {}
    if path is None:
        raise UnsupportedModelError(
            f"the program declares {len(expected)} parameters, but there is no .pdiparams file beside it"
        )
    reader = _Reader(path)
    params: dict[str, npt.NDArray[np.generic]] = {}
    for name in sorted(expected):
        if reader.offset == len(reader.data):
            raise UnsupportedModelError(
                f"{path} ends after {len(params)} parameters, the program declares {len(expected)}: "
                "it is truncated, or belongs to another model"
            )
        tensor = _read_tensor(reader, name)
        shape = tuple(expected[name])
        if tensor.shape != shape and not (tensor.size == 1 and int(np.prod(shape)) == 1):
            raise UnsupportedModelError(
                f"{path} does not belong to this program: parameter '{name}' should have shape "
                f"{list(shape)}, the file has {list(tensor.shape)} in its place"
            )
        params[name] = tensor.reshape(shape)
    if reader.offset != len(reader.data):
        raise UnsupportedModelError(
            f"{path} does not belong to this program: {len(reader.data) - reader.offset} bytes are left "
            f"after its {len(expected)} parameters"
        )
    return params
