"""Times every call that a virtual machine makes.

TVM's VM calls an instrument before and after each function, kernel or builtin. Ours is a C callback made
with ctypes, on the C API that the runtime binds, so it runs wherever the runtime does.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, byref, c_int32, c_void_p
from time import perf_counter_ns
from typing import Any, NamedTuple

from paddle_tvm.runtime.ffi import Function, Module, Value, bind, raised, set_error

_SAFE_CALL = CFUNCTYPE(c_int32, c_void_p, POINTER(Value), c_int32, POINTER(Value))
_create_function = bind("TVMFFIFunctionCreate", c_void_p, _SAFE_CALL, c_void_p, POINTER(c_void_p))

_RAW_STRING, _SMALL_STRING, _STRING = 8, 11, 65
_HEADER_SIZE = 24
# What the instrument gets: the function, its name, whether it is about to run, the result, the arguments.
_NAME, _BEFORE = 1, 2


class TimedCall(NamedTuple):
    """A call of the last run: how long it took, without the calls that it made itself."""

    name: str
    nanoseconds: int


class Hook:
    """Has a virtual machine call a function of ours before and after each call; it lives as long as that.

    Parameters
    ----------
    vm
        The virtual machine.
    function
        Gets the name of what is called before it is, and None after it was.
    """

    def __init__(self, vm: Module, function: Callable[[str | None], None]) -> None:
        def hook(handle: Any, arguments: Any, count: int, result: Any) -> int:
            try:
                function(_text(arguments[_NAME]) if arguments[_BEFORE].value else None)
            except Exception as error:
                set_error("RuntimeError", str(error))
                return -1
            return 0

        self._kept = _attach(vm, hook)


class Instrument:
    """Times the calls of one virtual machine; it has to live as long as that."""

    def __init__(self, vm: Module) -> None:
        self._calls: list[TimedCall] = []
        # Begun calls: name, time spent in calls of theirs, begin.
        self._open: list[list[Any]] = []
        self._kept = _attach(vm, self._make_hook())

    def take(self) -> list[TimedCall]:
        """The calls since the last time, in the order in which they ended."""
        taken = list(self._calls)
        self._calls.clear()
        self._open.clear()
        return taken

    def _make_hook(self) -> Callable[..., int]:
        calls, unfinished = self._calls, self._open
        now = perf_counter_ns

        def hook(handle: Any, arguments: Any, count: int, result: Any) -> int:
            ended = now()
            if arguments[_BEFORE].value:
                entry = [_text(arguments[_NAME]), 0, 0]
                unfinished.append(entry)
                # Last of all, so that nothing of this is counted.
                entry[2] = now()
                return 0
            name, inner, begin = unfinished.pop()
            spent = ended - begin
            calls.append(TimedCall(name, spent - inner))
            if unfinished:
                unfinished[-1][1] += now() - begin
            return 0

        return hook


def _attach(vm: Module, hook: Callable[..., int]) -> object:
    """Make a function a virtual machine's instrument; returns what has to live as long as that."""
    callback = _SAFE_CALL(hook)
    created = c_void_p()
    if _create_function(None, callback, None, byref(created)):
        raise raised()
    function = Function(created.value or 0)
    vm["set_instrument"](function)
    return callback, function


def _text(value: Any) -> str:
    if value.type_index == _RAW_STRING:
        return ctypes.string_at(value.value).decode()
    if value.type_index == _SMALL_STRING:
        # The bytes themselves stand where else an address does; their number is in the other field.
        return str(value.value.to_bytes(8, "little", signed=True)[: value.padding], "utf-8")
    if value.type_index != _STRING:
        raise TypeError(f"expected a function's name, got a value of type {value.type_index}")
    address = ctypes.cast(value.value + _HEADER_SIZE, POINTER(c_void_p))
    size = ctypes.cast(value.value + _HEADER_SIZE + 8, POINTER(ctypes.c_uint64))
    return ctypes.string_at(address[0] or 0, size[0]).decode()
