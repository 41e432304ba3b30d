"""What a command needs beyond the base install, and what to type where it is missing."""

from __future__ import annotations

from importlib.util import find_spec

from paddle_tvm.runtime.errors import UsageError

COMPILER_MODULES = {
    "tvm": "apache-tvm",
    "paddle": "paddlepaddle",
    "rich": "rich",
    "onnx": "onnx",
}


def require_compiler(command: str) -> None:
    """Check for the compiler extra.

    Raises
    ------
    UsageError
        A package of it is missing.
    """
    missing = [package for module, package in COMPILER_MODULES.items() if find_spec(module) is None]
    if missing:
        raise UsageError(
            f"'paddle-tvm {command}' needs the compiler, and {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not installed: pip install 'paddle-tvm[compiler]'"
        )
