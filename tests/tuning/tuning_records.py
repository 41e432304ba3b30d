"""A workload that stands for the real ones, and records of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.records import Header, Trial, Winner
from paddle_tvm.targets.workload import WORKLOAD, Config, Workload

Log = Callable[..., Path]
"""Writes records under a header into a log, or appends them: ``log(name, header, *records)``."""


@dataclass(frozen=True)
class Rows(Workload):
    """Any work on rows: forms are tiles that divide ``rows``, and ``wide`` or not."""

    operator: ClassVar[str] = "rows of the tests"

    rows: int | None
    width: int
    window: tuple[int, int] = (1, 1)
    layout: str = "plain"

    def default(self) -> Config:
        return {"tile": 1, "wide": 0}

    def candidates(self) -> Sequence[Config]:
        tiles = [tile for tile in range(1, 65) if self.rows is None or self.rows % tile == 0]
        return [{"tile": tile, "wide": wide} for tile in tiles for wide in (0, 1)]

    def family(self) -> tuple[object, ...]:
        return (self.window, self.layout)

    def sizes(self) -> tuple[int | None, ...]:
        return (self.rows, self.width)

    def flops(self) -> int | None:
        return None if self.rows is None else self.rows * self.width

    def notes(self, config: Config) -> Mapping[str, Any]:
        return {WORKLOAD: self.key}


def header(target: str = "x86-avx512", threads: int = 2, **fields: object) -> Header:
    values = {
        "cpu": "Some CPU",
        "microarchitecture": "icelake-server",
        "features": ("avx2", "fma"),
        "date": "2026-11-22T10:00:00+00:00",
    }
    values.update({"paddle_tvm": "0.1.0", "tvm": "0.27.0", **fields})
    return Header(target=target, threads=threads, **values)  # type: ignore[arg-type]


def winner(
    workload: Workload, config: Config, gain: float = 1.5, seconds: float = 1e-3, threads: int = 2
) -> Winner:
    """The form is ``gain`` times as fast as the default, at ``threads`` and at one."""
    times = {count: seconds * (threads + 1 - count) for count in sorted({threads, 1}, reverse=True)}
    default = {count: time * gain for count, time in times.items()}
    return Winner(workload, config, times, workload.default(), default)


def trial(workload: Workload, config: Config, *seconds: float) -> Trial:
    return Trial(workload, Outcome(config, "ok", seconds or (1e-3,)))
