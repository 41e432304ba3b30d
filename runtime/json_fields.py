"""Typed access to parsed JSON: what is missing, unknown or of another type is named by its path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from paddle_tvm.runtime.errors import ArtifactError

T = TypeVar("T")

# bool is a subclass of int, so types are compared, not tested with isinstance.
_NAMES = {str: "a string", int: "an integer", float: "a number", bool: "true or false", list: "a list"}


def _check(value: object, kind: type, path: str, optional: bool) -> Any:
    if optional and value is None:
        return None
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        wanted = _NAMES[kind] + (" or null" if optional else "")
        raise ArtifactError(f"manifest.json: {path}: expected {wanted}, got {value!r}")
    return value


class Fields:
    """One JSON object; each field is taken once, and ``done`` refuses what nobody took."""

    def __init__(self, value: object, path: str = "") -> None:
        if type(value) is not dict:
            raise ArtifactError(
                f"manifest.json: {path or 'the whole file'}: expected an object, got {value!r:.80}"
            )
        self._left: dict[str, object] = dict(value)
        self._path = path

    def path(self, name: str) -> str:
        """Where the field stands in the file, as in ``inputs[0].dtype``."""
        return f"{self._path}.{name}" if self._path else name

    def _take(self, name: str) -> object:
        if name not in self._left:
            raise ArtifactError(f"manifest.json: {self.path(name)}: missing")
        return self._left.pop(name)

    def text(self, name: str) -> str:
        """Take a string."""
        taken: str = _check(self._take(name), str, self.path(name), False)
        return taken

    def optional_text(self, name: str) -> str | None:
        """Take a string or null."""
        taken: str | None = _check(self._take(name), str, self.path(name), True)
        return taken

    def flag(self, name: str) -> bool:
        """Take a boolean."""
        taken: bool = _check(self._take(name), bool, self.path(name), False)
        return taken

    def integer(self, name: str, minimum: int = 0) -> int:
        """Take an integer that is at least ``minimum``."""
        taken: int = _check(self._take(name), int, self.path(name), False)
        return self._at_least(taken, minimum, name)

    def optional_integer(self, name: str, minimum: int = 0) -> int | None:
        """Take an integer that is at least ``minimum``, or null."""
        taken: int | None = _check(self._take(name), int, self.path(name), True)
        return None if taken is None else self._at_least(taken, minimum, name)

    def _at_least(self, value: int, minimum: int, name: str) -> int:
        if value < minimum:
            raise ArtifactError(f"manifest.json: {self.path(name)}: expected at least {minimum}, got {value}")
        return value

    def number(self, name: str) -> float:
        """Take a number."""
        taken: float = _check(self._take(name), float, self.path(name), False)
        return taken

    def optional_number(self, name: str) -> float | None:
        """Take a number or null."""
        taken: float | None = _check(self._take(name), float, self.path(name), True)
        return taken

    def items(self, name: str, read: Callable[[object, str], T]) -> tuple[T, ...]:
        """Take a list, reading each element with ``read(value, path)``."""
        values = _check(self._take(name), list, self.path(name), False)
        return tuple(read(value, f"{self.path(name)}[{i}]") for i, value in enumerate(values))

    def mapping(self, name: str, read: Callable[[object, str], T]) -> dict[str, T]:
        """Take an object with free keys, reading each value with ``read(value, path)``."""
        values = Fields(self._take(name), self.path(name))._left
        return {key: read(value, f"{self.path(name)}[{key!r}]") for key, value in values.items()}

    def record(self, name: str, read: Callable[[object, str], T]) -> T:
        """Take an object, and read it with ``read(value, path)``."""
        return read(self._take(name), self.path(name))

    def optional_object(self, name: str, read: Callable[[object, str], T]) -> T | None:
        """Take an object or null."""
        value = self._take(name)
        return None if value is None else read(value, self.path(name))

    def done(self) -> None:
        """Refuse fields that nobody took."""
        if self._left:
            names = ", ".join(sorted(self.path(name) for name in self._left))
            raise ArtifactError(f"manifest.json: unknown fields: {names}")


def text(value: object, path: str) -> str:
    """Read a string as an element of a list."""
    checked: str = _check(value, str, path, False)
    return checked


def index(value: object, path: str) -> int:
    """Read a non-negative integer as an element of a list."""
    checked: int = _check(value, int, path, False)
    if checked < 0:
        raise ArtifactError(f"manifest.json: {path}: expected at least 0, got {checked}")
    return checked


def shape(value: object, path: str) -> tuple[int | str, ...]:
    """Read a shape: a list of sizes and symbol names."""
    if type(value) is not list:
        raise ArtifactError(f"manifest.json: {path}: expected a list of sizes and symbols, got {value!r}")
    return tuple(_dimension(v, f"{path}[{i}]") for i, v in enumerate(value))


def _dimension(value: object, path: str) -> int | str:
    if type(value) is str and value:
        return value
    if type(value) is int and value >= 0:
        return value
    raise ArtifactError(f"manifest.json: {path}: expected a size or the name of a symbol, got {value!r}")
