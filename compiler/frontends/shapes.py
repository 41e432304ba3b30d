"""The shapes of a model's inputs: what the model says, and what the user fixes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.shapes import show
from paddle_tvm.runtime.wording import counted


def check_shapes(
    name: str,
    declared: Sequence[int],
    asked: Sequence[int | str] | None,
    stem: str,
    symbols: Sequence[str | None] | None = None,
) -> tuple[int | str, ...]:
    """Join the declared shape of an input (-1 for unknown) with the asked one.

    Unknown dimensions get the symbol that ``symbols`` names, else ``<stem>_<axis>``; a string in
    ``asked`` names the symbol.

    Raises
    ------
    UsageError
        ``asked`` has another rank, another value where the model fixes one, or one that is no size.
    """
    given = symbols or [None] * len(declared)
    named = [symbol or f"{stem}_{axis}" for axis, symbol in enumerate(given)]
    model_shape = show(["?" if dim == -1 else dim for dim in declared])
    if asked is None:
        asked = [-1] * len(declared)
    if len(asked) != len(declared):
        raise UsageError(
            f"--shape for input '{name}' has {counted(len(asked), 'dimension')} {show(tuple(asked))}, "
            f"the model has {len(declared)}: {model_shape}"
        )
    shape: list[int | str] = []
    for axis, (dim, want) in enumerate(zip(declared, asked, strict=True)):
        if isinstance(want, int) and want != -1 and want < 1 and want != dim:
            raise UsageError(
                f"--shape for input '{name}': dimension {axis} is {want}; give a size of at least 1, or "
                "-1 to leave it dynamic"
            )
        if dim >= 0:
            if want not in (dim, -1):
                raise UsageError(
                    f"--shape for input '{name}' asks {want} at dimension {axis}, "
                    f"but the model fixes it at {dim} (its shape is {model_shape})"
                )
            shape.append(dim)
        else:
            shape.append(named[axis] if want == -1 else want)
    return tuple(shape)


def symbol_stems(names: Iterable[str]) -> dict[str, str]:
    """Names as identifiers, of which no two are the same."""
    stems: dict[str, str] = {}
    for name in dict.fromkeys(names):
        stem = symbol_stem(name)
        while stem in stems.values():
            stem += "_"
        stems[name] = stem
    return stems


def symbol_stem(name: str) -> str:
    """A name as an identifier."""
    stem = "".join(char if char.isalnum() else "_" for char in name)
    return stem if stem[:1].isalpha() else f"input_{stem}"
