"""What a report of a tuning run shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paddle_tvm.compiler.tuning.history import History

if TYPE_CHECKING:
    from paddle_tvm.compiler.tuning.tune import TuneResult


@dataclass(frozen=True)
class Content:
    """A run.

    Attributes
    ----------
    model
        The model's name.
    subtitle
        What it was tuned for, and how.
    threads
        Of a trial.
    history
        How the run went.
    result
        What came of it; None where it was interrupted.
    environment
        The machine, the packages, and what the run was asked for.
    on_gpu
        Whether a GPU measured; then threads say nothing.
    """

    model: str
    subtitle: str
    threads: int
    history: History
    result: TuneResult | None
    environment: Mapping[str, str]
    on_gpu: bool = False
