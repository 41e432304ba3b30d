"""How this target lowers Relax operators that it does not leave to TVM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

LEGALIZATIONS: Mapping[str, Callable[..., Any]] = {}
