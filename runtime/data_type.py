"""Paddle Inference's enumerations."""

from __future__ import annotations

from enum import Enum

from paddle_tvm.runtime.manifest import ITEM_SIZES


class DataType(Enum):
    """Type of a tensor's elements."""

    FLOAT32 = 0
    INT64 = 1
    INT32 = 2
    UINT8 = 3
    INT8 = 4
    FLOAT16 = 5
    BOOL = 6
    FLOAT64 = 7
    BFLOAT16 = 8


class PlaceType(Enum):
    """Where a tensor lies."""

    UNK = -1
    CPU = 0
    GPU = 1
    XPU = 2
    CUSTOM = 4


class PrecisionType(Enum):
    """Precision that a model computes in."""

    Float32 = 0
    Int8 = 1
    Half = 2
    Bfloat16 = 3


def get_num_bytes_of_data_type(data_type: DataType) -> int:
    """Return the size of one element in bytes."""
    return ITEM_SIZES.get(data_type.name.lower(), 2)
