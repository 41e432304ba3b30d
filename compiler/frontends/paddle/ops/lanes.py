"""Vectorised functions for hand-written TIR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tvm import tirx
from tvm.tirx.script import builder as T


class Lanes:
    """The last axis of a local buffer, computed in place, all elements at once.

    Parameters
    ----------
    buffer
        Floats; its last axis has ``count`` elements.
    index
        Indices of the axes before the last.
    count
        A multiple of the vector length, or the code that LLVM makes is slow.
    """

    def __init__(self, buffer: tirx.Buffer, index: list[Any], count: int) -> None:
        self.buffer, self.index, self.count = buffer, index, count

    def assign(self, value: Callable[[Any], Any]) -> None:
        """Store ``value(lane)``."""
        with T.vectorized(T.int64(self.count)) as lane:
            T.buffer_store(self.buffer, value(lane), [*self.index, lane])

    def _update(self, function: Callable[[Any], Any]) -> None:
        self.assign(lambda lane: function(self.buffer[(*self.index, lane)]))

    def sigmoid(self) -> None:
        """Replace each value by its logistic function."""
        self._update(lambda x: -x)
        self._exp()
        self._update(lambda x: 1 / (1 + x))

    def tanh(self) -> None:
        """Replace each value by its hyperbolic tangent."""
        self._update(lambda x: x * -2)
        self._exp()
        self._update(lambda x: 2 / (1 + x) - 1)

    def _exp(self) -> None:
        """``exp`` in float32 to 2 ulp: LLVM would call the C library once for each lane (TVM 0.27)."""
        if self.buffer.dtype != "float32":
            self._update(T.exp)
            return
        power = T.alloc_buffer((self.count,), "float32", scope="local")
        # The order of operands lets a NaN pass.
        self._update(lambda x: T.min(T.float32(88.0), T.max(T.float32(-87.0), x)))
        with T.vectorized(T.int64(self.count)) as lane:
            exponent = self.buffer[(*self.index, lane)] * T.float32(1.44269504) + T.float32(0.5)
            T.buffer_store(power, T.floor(exponent), [lane])
        # ln 2 in two parts, so that the difference is exact.
        self.assign(
            lambda lane: (
                self.buffer[(*self.index, lane)]
                - power[lane] * T.float32(0.693359375)
                - power[lane] * T.float32(-2.12194440e-4)
            )
        )
        self._update(_exp_polynomial)
        self.assign(
            lambda lane: (
                self.buffer[(*self.index, lane)]
                * T.reinterpret("float32", T.shift_left(T.cast(power[lane], "int32") + 127, T.int32(23)))
            )
        )


def _exp_polynomial(x: Any) -> Any:
    """``exp`` for ``|x| <= ln(2) / 2``; the minimax polynomial of the Cephes library."""
    result = T.float32(1.9875691500e-4)
    for factor in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5, 1.0, 1.0):
        result = result * x + T.float32(factor)
    return result
