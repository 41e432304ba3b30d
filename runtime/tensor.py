"""Handles of a predictor's inputs and outputs, with the methods of Paddle Inference's ``Tensor``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from paddle_tvm.runtime.data_type import DataType
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.ffi import Call
from paddle_tvm.runtime.manifest import ALIGNMENT, SymbolRange, TensorSpec
from paddle_tvm.runtime.native_tensor import NativeTensor, aligned_empty, from_dlpack, over
from paddle_tvm.runtime.shapes import check_dtype, check_shape

if TYPE_CHECKING:
    from paddle_tvm.runtime.cuda import Stream

Array = np.ndarray[Any, Any]


class RunState:
    """What a predictor shares with its handles, which keep no reference to the predictor itself.

    With one they would form a cycle, and the memory of a predictor would wait for the garbage collector.
    """

    def __init__(self, stream: Stream | None = None) -> None:
        self.call: Call | None = None
        """The call with the inputs as they are; None until the next run prepares it."""
        self.results: Sequence[NativeTensor | Array] = ()
        """The tensors of the latest run."""
        self.stream = stream
        """What is done on a GPU; None for the CPU."""

    def fetch(self, tensor: NativeTensor) -> Array:
        """Copy a tensor into a new array."""
        if self.stream is None or tensor.on_cpu:
            return tensor.numpy()
        return self.stream.download(tensor)


class Tensor:
    """An input or output of a predictor."""

    def __init__(self, spec: TensorSpec) -> None:
        self._spec = spec
        self._dtype = np.dtype(spec.dtype)

    def name(self) -> str:
        """Return the tensor's name."""
        return self._spec.name

    def type(self) -> DataType:
        """Return the type of the elements."""
        try:
            return DataType[self._spec.dtype.upper()]
        except KeyError:
            raise UsageError(f"Paddle has no DataType for {self._spec.dtype} ({self._spec.name!r})") from None

    def shape(self) -> list[int]:
        """Return the shape; before there is data, -1 stands for dynamic dimensions."""
        return [size if isinstance(size, int) else -1 for size in self._spec.shape]

    def lod(self) -> list[list[int]]:
        """Return the level of detail: always empty."""
        return []

    def set_lod(self, lod: Sequence[Sequence[int]]) -> None:
        """Accept an empty level of detail, and refuse any other: compiled models take dense tensors."""
        if lod:
            raise UsageError(f"{self._spec.name!r}: compiled models take dense tensors, got the LoD {lod!r}")

    def reshape(self, shape: Sequence[int] | int) -> None:
        """Set an input's shape."""
        raise self._wrong_direction("output", "reshape")

    def copy_from_cpu(self, data: Array) -> None:
        """Copy an array into an input."""
        raise self._wrong_direction("output", "copy_from_cpu")

    def share_external_data(self, data: object) -> None:
        """Let an input read memory of the caller's."""
        raise self._wrong_direction("output", "share_external_data")

    def share_external_data_by_ptr_name(self, *args: object) -> None:
        """Refuse: arrays are shared by ``share_external_data``."""
        raise UsageError(
            f"{self._spec.name!r}: share_external_data_by_ptr_name() is not here: use "
            "share_external_data(array)"
        )

    def copy_to_cpu(self) -> Array:
        """Copy an output into a new array."""
        raise self._wrong_direction("input", "copy_to_cpu")

    def _wrong_direction(self, kind: str, method: str) -> UsageError:
        return UsageError(f"{self._spec.name!r} is an {kind}: it has no {method}()")


class InputTensor(Tensor):
    """An input of a predictor."""

    def __init__(self, spec: TensorSpec, symbols: Mapping[str, SymbolRange], state: RunState) -> None:
        super().__init__(spec)
        self._symbols = symbols
        self._state = state
        self._shape: tuple[int, ...] | None = None
        # The VM's tensor, and NumPy's view of it; the view is None where the memory is the caller's.
        self._tensor: NativeTensor | None = None
        self._view: Array | None = None

    def shape(self) -> list[int]:
        """Return the shape; before one is set, -1 stands for dynamic dimensions."""
        return super().shape() if self._shape is None else list(self._shape)

    def reshape(self, shape: Sequence[int] | int) -> None:
        """Set the shape.

        Data that are there stay if their number fits; else ``copy_from_cpu`` must follow.

        Parameters
        ----------
        shape
            All dimensions, none of them -1.

        Raises
        ------
        UsageError
            The model does not take this shape.
        """
        dims = (int(shape),) if np.isscalar(shape) else tuple(int(size) for size in shape)  # type: ignore[union-attr, arg-type]
        check_shape(self._spec, self._symbols, dims)
        if dims == self._shape:
            return
        data = None
        if self._tensor is not None and prod(self._tensor.shape) == prod(dims):
            data = self._state.fetch(self._tensor).reshape(dims)
        self._tensor = self._view = None
        self._shape = dims
        self._state.call = None
        if data is not None:
            self.copy_from_cpu(data)

    def copy_from_cpu(self, data: Array) -> None:
        """Copy an array into this input; changing the array later changes nothing here.

        Parameters
        ----------
        data
            Of the input's dtype, in either byte order, any strides, read-only or not.

        Raises
        ------
        UsageError
            The dtype or the shape is not what the model takes.
        """
        view = self._view
        if (
            view is None
            or not isinstance(data, np.ndarray)
            or data.dtype != self._dtype
            or data.shape != self._shape
        ):
            view = self._new_view(data)
        stream = self._state.stream
        if stream is None:
            np.copyto(view, data)
            return
        stream.finish_uploads()
        np.copyto(view, data)
        assert self._tensor is not None
        stream.upload(self._tensor, view)

    def _new_view(self, data: object) -> Array:
        if not isinstance(data, np.ndarray):
            raise UsageError(
                f"input {self._spec.name!r}: expected a numpy.ndarray, got {type(data).__name__}: convert it "
                f"with numpy.asarray(x, dtype={self._spec.dtype!r})"
            )
        check_dtype(self._spec, data.dtype)
        if self._view is None or data.shape != self._shape:
            check_shape(self._spec, self._symbols, data.shape)
            if self._state.stream is None:
                self._view = aligned_empty(data.shape, self._dtype)
                self._tensor = over(self._view)
            else:
                self._tensor, self._view = self._state.stream.new_input(data.shape, self._dtype)
            self._shape = data.shape
            self._state.call = None
        return self._view

    def share_external_data(self, data: object) -> None:
        """Let the input read memory of the caller's, without a copy; later changes to it count.

        Parameters
        ----------
        data
            An array or anything else with ``__dlpack__``, on the device that the model runs on,
            C-contiguous, writable and aligned to 64 bytes (``paddle_tvm.runtime.aligned_empty`` makes such
            arrays). On a GPU its content has to be complete, whatever stream it came from.

        Raises
        ------
        UsageError
            It is not such a tensor, or its dtype or shape is not what the model takes.
        """
        try:
            tensor = from_dlpack(data, ALIGNMENT)
        except Exception as error:
            raise UsageError(
                f"input {self._spec.name!r}: this {type(data).__name__} cannot be shared ({error}): use "
                "copy_from_cpu(), or make it with paddle_tvm.runtime.aligned_empty()"
            ) from error
        stream = self._state.stream
        here = tensor.on_cpu if stream is None else tensor.device == stream.device.dlpack
        if tensor.dtype != self._spec.dtype or not here:
            place = "the CPU" if stream is None else f"GPU {stream.device.number}"
            raise UsageError(
                f"input {self._spec.name!r}: expected {self._spec.dtype} on {place}, got {tensor.dtype} on "
                f"{'the CPU' if tensor.on_cpu else 'another device'}"
            )
        shape = tensor.shape
        check_shape(self._spec, self._symbols, shape)
        # Without elements there is nothing to share.
        if prod(shape):
            self._tensor = tensor
        elif stream is None:
            self._tensor = over(aligned_empty(shape, self._dtype))
        else:
            self._tensor, _ = stream.new_input(shape, self._dtype)
        self._view = None
        self._shape = shape
        self._state.call = None

    def bound(self) -> NativeTensor:
        """Return the tensor that the VM reads.

        Raises
        ------
        UsageError
            No data were given.
        """
        if self._tensor is None:
            given = "no data" if self._shape is None else f"the shape {list(self._shape)} and no data"
            raise UsageError(f"input {self._spec.name!r} has {given}: call copy_from_cpu() before run()")
        return self._tensor


class OutputTensor(Tensor):
    """An output of a predictor, the one at ``index``."""

    def __init__(self, spec: TensorSpec, state: RunState, index: int) -> None:
        super().__init__(spec)
        self._state = state
        self._index = index

    def _result(self) -> NativeTensor | Array | None:
        # A run in another thread may clear the results between a look and a use.
        results = self._state.results
        return results[self._index] if results else None

    def shape(self) -> list[int]:
        """Return the shape after the latest run; before the first, -1 stands for dynamic dimensions."""
        result = self._result()
        return super().shape() if result is None else [int(size) for size in result.shape]

    def copy_to_cpu(self) -> Array:
        """Copy this output of the latest run into a new array, which is the caller's.

        Raises
        ------
        UsageError
            The predictor has not run.
        """
        result = self._result()
        if result is None:
            raise UsageError(f"output {self._spec.name!r} has no data: call run() first")
        return self._state.fetch(result) if isinstance(result, NativeTensor) else result.copy()
