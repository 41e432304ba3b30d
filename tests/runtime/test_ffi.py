"""The binding of native code: values, references, memory and errors cross it unharmed."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import threading
import weakref
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_tvm.runtime import Config, aligned_empty, create_predictor, ffi
from paddle_tvm.runtime.ffi import Call, NativeError, find_function, get_function
from paddle_tvm.runtime.manifest import ITEM_SIZES
from paddle_tvm.runtime.native_tensor import NativeTensor, from_dlpack, over


def references(tensor: NativeTensor) -> int:
    """How many owners an object has: the lower half of its two counters."""
    return int(ffi.Header.from_address(tensor.address).reference_counts & 0xFFFFFFFF)


def tensor_of(*shape: int) -> NativeTensor:
    array = aligned_empty(shape, "float32")
    array[...] = 1
    return over(array)


@pytest.mark.parametrize("dtype", list(ITEM_SIZES))
@pytest.mark.parametrize("shape", [(2, 3, 1), (5,), (), (0, 4), (3, 0)])
def test_arrays_go_in_and_come_back(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> None:
    array = aligned_empty(shape, dtype)
    array[...] = rng.integers(0, 2, shape).astype(dtype)
    tensor = over(array)
    assert (tensor.dtype, tensor.shape, tensor.on_cpu) == (dtype, shape, True)
    copied = tensor.numpy()
    assert (copied.dtype, copied.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(copied, array)
    copied[...] = 0
    np.testing.assert_array_equal(tensor.numpy(), array)


def test_a_tensor_keeps_the_memory_it_reads_and_lets_it_go() -> None:
    array = aligned_empty((1000,), "float32")
    array[...] = 7
    alive = weakref.ref(array)
    tensor = over(array)
    del array
    gc.collect()
    assert alive() is not None
    assert tensor.numpy().tolist() == [7.0] * 1000
    del tensor
    assert alive() is None


def test_memory_that_does_not_fit_stays_its_owners() -> None:
    array = aligned_empty((8,), "float32")[1:]
    with pytest.raises(NativeError, match="not aligned to 64 bytes"):
        from_dlpack(array, 64)
    alive = weakref.ref(array)
    del array
    assert alive() is None


def test_results_keep_their_elements_and_let_them_go() -> None:
    tensor = tensor_of(2)
    make = Call(get_function("ffi.Array"), (tensor, tensor))
    assert references(tensor) == 1
    first, second = make().tensors()
    assert references(tensor) == 3
    del first
    assert second.numpy().tolist() == [1.0, 1.0]
    del second
    assert references(tensor) == 1


def test_a_result_that_ctrl_c_left_behind_is_released_by_the_next_call() -> None:
    tensor = tensor_of(2)
    make = Call(get_function("ffi.Array"), (tensor,))
    # All that a call does up to the moment in which the interrupt is raised.
    assert ffi._call(make._function, make._arguments, make._count, make._result_address) == 0
    assert references(tensor) == 2
    outputs = make()
    assert references(tensor) == 2
    del outputs
    assert references(tensor) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_predictors_return_every_reference_to_the_weights(parallel: Path, threads: int) -> None:
    config = Config(str(parallel))
    config.set_cpu_math_library_num_threads(threads)
    predictor = create_predictor(config)
    (weight,) = predictor._model.weights.values()
    before = references(weight)
    for rows in (1, 2, 2, 3):
        clone = predictor.clone()
        for _ in range(3):
            clone.run([np.ones((rows, 128), "float32")])
        del clone
    assert references(weight) == before


def test_numbers_strings_and_nothing_are_values() -> None:
    assert find_function("no.such.function") is None
    with pytest.raises(LookupError, match=r"'no\.such\.function'"):
        get_function("no.such.function")
    assert get_function("runtime.NumThreads")() >= 1
    assert get_function("vm.builtin.memory_manager.clear")() is None
    with pytest.raises(TypeError, match="takes no list"):
        get_function("runtime.NumThreads")([])


def test_an_error_has_the_message_of_native_code() -> None:
    load = get_function("ffi.ModuleLoadFromFile")
    with pytest.raises(NativeError, match=r"/nowhere/größe\.so"):
        load("/nowhere/größe.so")
    with pytest.raises(NativeError, match="Mismatched type"):
        load(5)


def test_each_thread_gets_its_own_error() -> None:
    load = get_function("ffi.ModuleLoadFromFile")
    wrong: list[str] = []

    def fail(number: int) -> None:
        for _ in range(50):
            try:
                load(f"/nowhere/{number}.so")
            except NativeError as error:
                if f"/nowhere/{number}.so" not in str(error):
                    wrong.append(str(error))

    threads = [threading.Thread(target=fail, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_the_version_is_that_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = metadata.version("apache-tvm-ffi")
    assert ffi.version() == expected
    monkeypatch.delitem(sys.modules, "tvm_ffi", raising=False)
    assert ffi.version() == expected


def test_without_the_package_the_import_says_what_to_install() -> None:
    script = "import sys; sys.modules['tvm_ffi'] = None; import paddle_tvm.runtime"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "ImportError: apache-tvm-ffi is not installed: pip install" in done.stderr


def test_dlpack_of_others_is_read(parallel: Path) -> None:
    class Other:
        def __init__(self, array: np.ndarray[Any, Any]) -> None:
            self.array = array

        def __dlpack__(self) -> object:
            return self.array.__dlpack__()

    tensor = from_dlpack(Other(np.arange(6, dtype="int32").reshape(2, 3)), 1)
    assert tensor.numpy().tolist() == [[0, 1, 2], [3, 4, 5]]
    strided = np.zeros((4, 4), "float32")[:, ::2]
    with pytest.raises(NativeError, match="not contiguous"):
        from_dlpack(strided, 1)


def test_layouts_are_those_of_the_c_header() -> None:
    assert ctypes.sizeof(ffi.Value) == 16
    assert ctypes.sizeof(ffi.Header) == 24
