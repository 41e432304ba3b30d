"""Imports ``tvm_ffi``, the foreign-function interface that native code is called through."""

from __future__ import annotations

import sys

# tvm_ffi 0.1.14 imports torch wherever it is installed, which takes seconds and may start a C++ compiler. An
# entry of None makes that import fail, which tvm_ffi accepts; a torch that is loaded already is left alone.
_hide_torch = "torch" not in sys.modules and "tvm_ffi" not in sys.modules
if _hide_torch:
    sys.modules["torch"] = None  # type: ignore[assignment]
try:
    import tvm_ffi
finally:
    if _hide_torch:
        del sys.modules["torch"]

__all__ = ["tvm_ffi"]
