"""The weights of models in the memory of GPUs, once for all predictors of a process."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from weakref import WeakValueDictionary

from paddle_tvm.runtime.cuda import ALIGNMENT, TO_DEVICE, Array, Device, DeviceMemory, DeviceTensor, Stream
from paddle_tvm.runtime.native_tensor import NativeTensor

_uploading = threading.Lock()


class DeviceWeights(dict[int, NativeTensor]):
    """Weights on a device, by their number in the manifest."""


_uploaded: WeakValueDictionary[tuple[object, ...], DeviceWeights] = WeakValueDictionary()


def upload_weights(key: tuple[object, ...], device: Device, arrays: Mapping[int, Array]) -> DeviceWeights:
    """Put weights on a device; those of a key that are there already are the same."""
    with _uploading:
        known = _uploaded.get(key)
        if known is not None and arrays.keys() <= known.keys():
            return known
        offsets, size = {}, 0
        for number, array in arrays.items():
            offsets[number] = size
            size += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        memory = DeviceMemory(device, size)
        stream = Stream(device)
        weights = DeviceWeights()
        for number, array in arrays.items():
            weights[number] = DeviceTensor(device, memory, offsets[number], array.dtype.name, array.shape)
        with device.turns.together():
            device.use()
            for number, array in arrays.items():
                place = memory.address + offsets[number]
                device.copy(place, array.ctypes.data, array.nbytes, TO_DEVICE, stream.handle)
            stream.synchronize()
        _uploaded[key] = weights
        return weights
