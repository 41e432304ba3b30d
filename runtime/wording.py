"""Numbers in sentences."""

from __future__ import annotations


def counted(number: int, name: str) -> str:
    """How many there are of something, such as ``2 kernels``."""
    return f"{number} {name}{'' if number == 1 else 's'}"


def agreeing(number: int, one: str, many: str) -> str:
    """The form of a verb that goes with a number, such as ``differs`` or ``differ``."""
    return one if number == 1 else many
