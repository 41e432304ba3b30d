"""Writes docs/operators.md from the registry: ``python -m paddle_tvm.compiler.operators_page``."""

from __future__ import annotations

from collections import defaultdict

# Importing the package registers the operators.
from paddle_tvm.compiler.frontends.paddle import ops as _ops  # noqa: F401
from paddle_tvm.compiler.frontends.paddle.registry import find_converter, find_fold, supported_operators

_HEAD = """# Supported operators

Generated from the registry by `make docs`; a test keeps it in step.

{count} operators of Paddle's intermediate representation (PIR), by the file that imports them
(`compiler/frontends/paddle/ops/<family>.py`). Names are Paddle's, the prefix `pd_op.` left out. A trailing
underscore is the in-place form. *Shapes only* marks operators that are computed while importing and so
need inputs that depend on nothing but the model and the shapes of its inputs.

`paddle-tvm inspect MODEL` says which operators of a model are missing, and how often each occurs.

| family | operators |
|---|---|
"""


def operators_page() -> str:
    """The page, in Markdown."""
    families: dict[str, list[str]] = defaultdict(list)
    names = supported_operators()
    for name in names:
        converter = find_converter(name)
        function = converter or find_fold(name)
        family = function.__module__.rpartition(".")[2] if function else "importer"
        plain = name.removeprefix("pd_op.").replace("_", r"\_")
        families[family].append(plain if converter or not function else f"{plain} *(shapes only)*")
    rows = [f"| {family} | {', '.join(sorted(families[family]))} |" for family in sorted(families)]
    return _HEAD.format(count=len(names)) + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(operators_page(), end="")
