"""Binds the C API of libtvm_ffi.so, through which native code is called.

The package ``tvm_ffi`` binds it too, but importing that takes 134 modules and longer than all else that a
process does before its first result; so only its library is loaded. Layouts, ownership and return codes are
those of ``tvm/ffi/c_api.h`` in apache-tvm-ffi 0.1.14.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, Structure, byref, c_char_p, c_int32, c_int64, c_uint64, c_void_p
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

_NONE, _INT, _BOOL, _RAW_STRING, _OBJECT = 0, 1, 2, 8, 64


class Value(Structure):
    """``TVMFFIAny``; the value is a number, or the address of an object or a string."""

    _fields_ = (("type_index", c_int32), ("padding", c_int32), ("value", c_int64))


class Header(Structure):
    """``TVMFFIObject``, with which every object begins."""

    _fields_ = (
        ("reference_counts", c_uint64),
        ("type_index", c_int32),
        ("padding", c_int32),
        ("deleter", c_void_p),
    )


class _Bytes(Structure):
    """``TVMFFIByteArray``."""

    _fields_ = (("data", c_void_p), ("size", c_uint64))


class _Text(Structure):
    """A string object: ``TVMFFIStringObj``, as far as it is read here."""

    _fields_ = (("header", Header), ("content", _Bytes))


class _Error(Structure):
    """An error object: ``TVMFFIErrorCell``, as far as it is read here."""

    _fields_ = (("header", Header), ("kind", _Bytes), ("message", _Bytes))


def _package() -> Path:
    spec = find_spec("tvm_ffi")
    if spec is None or spec.origin is None:
        raise ImportError("apache-tvm-ffi is not installed: pip install --force-reinstall paddle-tvm")
    return Path(spec.origin).parent


_folder = _package()
# The dynamic linker knows a file that it has loaded, so an `import tvm_ffi` loads no second copy.
# Global, because the code of models looks for the functions of this library among all that are loaded.
_library = ctypes.CDLL(str(_folder / "lib" / "libtvm_ffi.so"), mode=ctypes.RTLD_GLOBAL)


def bind(name: str, *parameters: Any) -> Any:
    """Return a function of the C API that returns 0, or else leaves an error for ``raised``."""
    function = getattr(_library, name)
    function.argtypes = parameters
    function.restype = c_int32
    return function


_get_global = bind("TVMFFIFunctionGetGlobal", POINTER(_Bytes), POINTER(c_void_p))
_call = bind("TVMFFIFunctionCall", c_void_p, c_void_p, c_int32, POINTER(Value))
_set_global = bind("TVMFFIFunctionSetGlobal", POINTER(_Bytes), c_void_p, c_int32)
_release = bind("TVMFFIObjectDecRef", c_void_p)
_set_stream = bind("TVMFFIEnvSetStream", c_int32, c_int32, c_void_p, POINTER(c_void_p))
_raise = _library.TVMFFIErrorSetRaisedFromCStr
_raise.argtypes, _raise.restype = (c_char_p, c_char_p), None
_move_error = _library.TVMFFIErrorMoveFromRaised
_move_error.argtypes, _move_error.restype = (POINTER(c_void_p),), None


class NativeError(Exception):
    """An error that native code raised, with its message."""


_classes: dict[int, type[Object]] = {}


class Borrowed:
    """An object of native code that something else keeps alive."""

    __slots__ = ("address",)

    def __init__(self, address: int) -> None:
        self.address = address


class Object(Borrowed):
    """One reference to an object of native code; subclasses name the type index they stand for."""

    __slots__ = ()

    def __init_subclass__(cls, type_index: int) -> None:
        _classes[type_index] = cls

    def __del__(self, release: Any = _release) -> None:
        release(self.address)


class Function(Object, type_index=68):
    """A function of native code; it takes and returns None, numbers, strings and objects."""

    __slots__ = ()

    def __call__(self, *arguments: object) -> Any:
        return Call(self, arguments)()


class Call:
    """A call with arguments that are converted once, for many calls, one at a time. It releases the GIL."""

    __slots__ = ("_arguments", "_count", "_function", "_kept", "_result", "_result_address")

    def __init__(self, function: Function, arguments: tuple[object, ...]) -> None:
        values = (Value * len(arguments))()
        self._kept: list[object] = [function, values]
        self._kept += [_set(value, argument) for value, argument in zip(values, arguments, strict=True)]
        self._function = c_void_p(function.address)
        self._arguments = ctypes.cast(values, c_void_p)
        self._count = len(arguments)
        self._result = Value()
        self._result_address = byref(self._result)

    def __call__(self) -> Any:
        # A Ctrl-C during the last call comes up right after it, before its result was taken.
        if self._result.type_index:
            _take(self._result)
        if _call(self._function, self._arguments, self._count, self._result_address):
            raise raised()
        return _take(self._result)


class Module(Object, type_index=73):
    """A module of native code; its functions are its items."""

    __slots__ = ()

    def __getitem__(self, name: str) -> Function:
        return self.find(name, False)

    def find(self, name: str, in_imports: bool) -> Function:
        """Return a function of the module, or of one that it imports where that is allowed.

        Raises
        ------
        KeyError
            There is none of the name.
        """
        function = get_function("ffi.ModuleGetFunction")(self, name, in_imports)
        if function is None:
            raise KeyError(name)
        found: Function = function
        return found


def find_function(name: str) -> Function | None:
    """Return a function that a loaded library has registered under this name, or None."""
    encoded = name.encode()
    found = c_void_p()
    if _get_global(_Bytes(ctypes.cast(c_char_p(encoded), c_void_p), len(encoded)), byref(found)):
        raise raised()
    return None if found.value is None else Function(found.value)


def get_function(name: str) -> Function:
    """Return a function that a loaded library has registered under this name.

    Raises
    ------
    LookupError
        There is none.
    """
    function = find_function(name)
    if function is None:
        raise LookupError(f"no library has registered the function {name!r}")
    return function


def set_global(name: str, function: Function) -> None:
    """Register a function under a name, for native code to find; it has to live from then on."""
    encoded = name.encode()
    if _set_global(
        byref(_Bytes(ctypes.cast(c_char_p(encoded), c_void_p), len(encoded))), function.address, 1
    ):
        raise raised()


def set_error(kind: str, message: str) -> None:
    """Leave an error for the native code that called a function of ours."""
    _raise(kind.encode(), message.encode())


def load_module(path: str) -> Module:
    """Load a library of compiled code and keep it for as long as the process lives."""
    module: Module = get_function("ffi.ModuleLoadFromFile")(path)
    get_function("ffi.ModuleGlobalsAdd")(module)
    return module


def set_stream(device_type: int, device: int, stream: int | None) -> int | None:
    """Have kernels that this thread starts on a device go to a stream; returns the one before."""
    before = c_void_p()
    if _set_stream(device_type, device, stream, byref(before)):
        raise raised()
    return before.value


def version() -> str:
    """Return the version of the installed apache-tvm-ffi."""
    loaded = sys.modules.get("tvm_ffi")
    if loaded is not None:
        return str(loaded.__version__)
    spec = spec_from_file_location("tvm_ffi._version", _folder / "_version.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.__version__)


def _set(value: Any, argument: object) -> object:
    """Write an argument, and return what has to live for as long as it is used."""
    if argument is None:
        value.type_index, value.value = _NONE, 0
    elif isinstance(argument, Borrowed):
        value.type_index = Header.from_address(argument.address).type_index
        value.value = argument.address
    elif isinstance(argument, bool):
        value.type_index, value.value = _BOOL, argument
    elif isinstance(argument, int):
        value.type_index, value.value = _INT, argument
    elif isinstance(argument, str):
        encoded = c_char_p(argument.encode())
        value.type_index, value.value = _RAW_STRING, ctypes.cast(encoded, c_void_p).value
        return encoded
    else:
        raise TypeError(f"native code takes no {type(argument).__name__} from here")
    return argument


def _take(value: Any) -> Any:
    type_index, value.type_index = value.type_index, _NONE
    return _own(type_index, value.value)


def _own(type_index: int, value: int) -> Any:
    if type_index >= _OBJECT:
        return _classes.get(type_index, Object)(value)
    if type_index == _NONE:
        return None
    if type_index == _BOOL:
        return bool(value)
    if type_index == _INT:
        return value
    raise TypeError(f"native code returned a value of type {type_index}, which is not known here")


def read_bytes(address: int) -> bytes:
    """Return what a string object holds."""
    content = _Text.from_address(address).content
    return ctypes.string_at(content.data, content.size)


def raised() -> NativeError:
    """Take the error that the last call on this thread has left."""
    moved = c_void_p()
    _move_error(byref(moved))
    if moved.value is None:
        return NativeError("native code failed without an error")
    # Frees the error object when this returns.
    owner = Object(moved.value)
    message = _Error.from_address(owner.address).message
    return NativeError(ctypes.string_at(message.data, message.size).decode(errors="replace"))
