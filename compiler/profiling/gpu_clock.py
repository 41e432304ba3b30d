"""Times what runs on a stream of a GPU, by the GPU's own clock."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import POINTER, byref, c_float, c_int, c_size_t, c_void_p
from math import ceil
from time import perf_counter
from typing import Any

from paddle_tvm.runtime.cuda import DeviceMemory, Stream

# What keeps the GPU busy while the CPU prepares what is timed: memory that is filled with zeros. So much that
# the fastest GPUs take some ten times as long for it as the CPU takes to ask for it.
_FILLED_BYTES = 128 << 20
_FILLS = 2
# So much longer than the CPU took last time, and at least so long.
_MARGIN, _LEAST_S = 1.5, 100e-6
# A stream takes about a thousand requests; who makes more waits until there is room.
_MOST_FILLS = 500


def fill(stream: Stream, address: int, byte: int, size: int) -> None:
    """Begin to fill memory of a GPU with a byte."""
    function = stream.device.runtime.library.cudaMemsetAsync
    function.argtypes, function.restype = (c_void_p, c_int, c_size_t, c_void_p), c_int
    stream.device.runtime.check(function(address, byte, size, stream.handle), "filling memory")


class Mark:
    """A place in a stream, whose time the GPU writes down when it gets there: a ``cudaEvent_t``."""

    def __init__(self, clock: GpuClock) -> None:
        self._clock = clock
        handle = c_void_p()
        clock.check(clock.functions.cudaEventCreate(byref(handle)), "making an event")
        self.handle = handle

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self._clock.functions.cudaEventDestroy(self.handle)


class GpuClock:
    """Times work on a stream.

    A kernel takes microseconds, and so does the CPU to start it: a GPU that waits for the next start would
    have that counted. So the GPU is kept busy first, for as long as the CPU needs to put what is timed on
    the stream; it then finds it all there. What keeps it busy also passes through its caches.

    Parameters
    ----------
    stream
        The stream. Its device has to be that of the calling thread (``Device.use``).
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        runtime = stream.device.runtime
        self.check = runtime.check
        self.functions: Any = runtime.library
        for name, parameters in (
            ("cudaEventCreate", (POINTER(c_void_p),)),
            ("cudaEventDestroy", (c_void_p,)),
            ("cudaEventRecord", (c_void_p, c_void_p)),
            ("cudaEventElapsedTime", (POINTER(c_float), c_void_p, c_void_p)),
        ):
            function = getattr(self.functions, name)
            function.argtypes, function.restype = parameters, c_int
        stream.device.use()
        self._filled = DeviceMemory(stream.device, _FILLED_BYTES)
        self._preparing = _LEAST_S
        self._fill_seconds = self._time_fill()

    def mark(self, mark: Mark) -> None:
        """Put a mark on the stream."""
        self.check(self.functions.cudaEventRecord(mark.handle, self._stream.handle), "recording an event")

    def seconds(self, first: Mark, last: Mark) -> float:
        """Time between two marks; the stream has to be behind both of them."""
        milliseconds = c_float()
        code = self.functions.cudaEventElapsedTime(byref(milliseconds), first.handle, last.handle)
        self.check(code, "reading the time between two events")
        return milliseconds.value / 1e3

    def prepare(self, put: Callable[[], Any]) -> None:
        """Call what puts work on the stream, with the GPU busy until it is done with that."""
        for _ in range(min(_MOST_FILLS, ceil(_MARGIN * self._preparing / self._fill_seconds))):
            self._fill()
        begin = perf_counter()
        put()
        self._preparing = max(_LEAST_S, perf_counter() - begin)

    def time(self, put: Callable[[], Any], before: Callable[[], Any] = lambda: None) -> float:
        """Seconds of what a function puts on the stream, after what another one does."""
        first, last = Mark(self), Mark(self)

        def marked() -> None:
            before()
            self.mark(first)
            put()
            self.mark(last)

        self.prepare(marked)
        self._stream.synchronize()
        return self.seconds(first, last)

    def _fill(self) -> None:
        fill(self._stream, self._filled.address, 0, _FILLED_BYTES)

    def _time_fill(self) -> float:
        first, last = Mark(self), Mark(self)
        # The first finds the memory as it was allocated.
        self._fill()
        self.mark(first)
        for _ in range(_FILLS):
            self._fill()
        self.mark(last)
        self._stream.synchronize()
        return max(1e-6, self.seconds(first, last) / _FILLS)
