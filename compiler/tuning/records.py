"""What a tuning log is made of, and how that stands in it as JSON; docs/tuning.md describes it.

History of ``SCHEMA``: 1 (November 2026) is the first; 2 (November 2026) names the microarchitecture that
measured; 3 (November 2026) has forms timed as in a model, and not in a loop with warm caches; 4 (November
2026) says at which shapes kernels of unknown sizes were measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from statistics import geometric_mean
from typing import TYPE_CHECKING, Any, TypeAlias

from paddle_tvm.compiler.bench.suite.machine import cpu_info
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.targets.workload import Config, Shapes, Workload

if TYPE_CHECKING:
    # It imports TVM, which reading the logs' paths does not need.
    from paddle_tvm.targets.base import Target

SCHEMA = 4

LEAST_GAIN = 1.02
"""A form that was measured to gain less than this over the default is not taken for it."""

Seconds: TypeAlias = Mapping[int, float]
"""Seconds of a call, by the number of threads."""


@dataclass(frozen=True)
class Header:
    """Under what the records after it were measured, up to the next header.

    Attributes
    ----------
    target
        The target class; records hold for no other.
    cpu
        The CPU's name, or the GPU's.
    microarchitecture
        LLVM's name of the CPU, or the GPU's architecture; None in headers of schema 1, which do not say.
    features
        CPU features that the measured code could use.
    threads
        Threads of a trial.
    date
        When that run began, in ISO 8601.
    paddle_tvm, tvm
        Versions.
    schema
        Of what wrote it.
    """

    target: str
    cpu: str
    microarchitecture: str | None
    features: tuple[str, ...]
    threads: int
    date: str
    paddle_tvm: str
    tvm: str
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        return {
            "record": "header",
            "schema": self.schema,
            "paddle_tvm": self.paddle_tvm,
            "tvm": self.tvm,
            "target": self.target,
            "cpu": self.cpu,
            "microarchitecture": self.microarchitecture,
            "features": list(self.features),
            "threads": self.threads,
            "date": self.date,
        }


def header_here(target: Target, threads: int) -> Header:
    """The header of a run that begins now, with the CPU of this machine."""
    # Only now, because it imports TVM.
    from paddle_tvm.targets.x86.cpus import microarchitecture_here

    name = cpu_info().get("model name", "unknown")
    return header_of(target, name, microarchitecture_here(), threads)


def header_of(target: Target, machine: str, microarchitecture: str, threads: int) -> Header:
    """The header of a run that begins now, with a CPU or a GPU of this name."""
    return Header(
        target=target.target_class,
        cpu=machine,
        microarchitecture=microarchitecture,
        features=target.features,
        threads=threads,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        paddle_tvm=metadata.version("paddle-tvm"),
        tvm=metadata.version("apache-tvm"),
    )


@dataclass(frozen=True)
class Trial:
    """A form of a workload was tried; ``shapes`` are those of a workload of unknown sizes, as measured."""

    workload: Workload
    outcome: Outcome
    shapes: Shapes = ()

    def to_json(self) -> dict[str, Any]:
        outcome = self.outcome
        return {
            "record": "trial",
            "workload": _workload_to_json(self.workload),
            **_shapes_to_json(self.shapes),
            "config": dict(outcome.config),
            "status": outcome.status,
            "seconds": list(outcome.seconds),
            "detail": outcome.detail,
        }


@dataclass(frozen=True)
class Elsewhere:
    """A form of a workload of unknown sizes and the default, measured in turns at these shapes, too.

    ``seconds`` are the form's; ``default`` has the same numbers of threads.
    """

    shapes: Shapes
    seconds: Seconds
    default: Seconds

    def to_json(self) -> dict[str, Any]:
        return {
            "shapes": [list(shape) for shape in self.shapes],
            "seconds": _seconds_to_json(self.seconds),
            "default": _seconds_to_json(self.default),
        }


@dataclass(frozen=True)
class Winner:
    """The form that a search found best, and the default, measured in turns.

    Where nothing is faster than the default, ``config`` is ``default_config``. ``seconds`` and ``default``
    have the same numbers of threads, and so has every one of ``elsewhere``. ``shapes`` are those of a
    workload of unknown sizes, as it was searched and measured. Where it is ``taken_back``, it says nothing
    but that what the log said before does not hold: a model as a whole became slower by it.
    """

    workload: Workload
    config: Config
    seconds: Seconds
    default_config: Config
    default: Seconds
    shapes: Shapes = ()
    elsewhere: tuple[Elsewhere, ...] = ()
    taken_back: bool = False

    @property
    def keeps_default(self) -> bool:
        """Whether nothing was faster than the default."""
        return self.config == self.default_config

    def gain(self, threads: int) -> float:
        """How many times as fast as the default it is: the geometric mean over all sizes that were timed."""
        timed: Sequence[Winner | Elsewhere] = (self, *self.elsewhere)
        return geometric_mean([one.default[threads] / one.seconds[threads] for one in timed])

    def worth(self, threads: int) -> tuple[bool, float]:
        """What orders the winners of a workload, the best first.

        That is the gain. Where sizes are unknown it is the seconds that a call saves, as what small sizes
        want may be slow at large ones; records before schema 4, which do not say at which, come last.
        """
        gain = self.gain(threads)
        if not self.shapes:
            return True, -gain
        saved = self.default[threads] - self.seconds[threads]
        return False, -(saved if gain >= LEAST_GAIN else 0.0)

    def to_json(self) -> dict[str, Any]:
        return {
            "record": "winner",
            "workload": _workload_to_json(self.workload),
            **_shapes_to_json(self.shapes),
            "config": dict(self.config),
            "seconds": _seconds_to_json(self.seconds),
            "default": _seconds_to_json(self.default),
            "default_config": dict(self.default_config),
            **({"elsewhere": [one.to_json() for one in self.elsewhere]} if self.elsewhere else {}),
            **({"taken_back": True} if self.taken_back else {}),
        }


Record: TypeAlias = Trial | Winner


def encode(record: Header | Record) -> bytes:
    """A record as a line.

    Raises
    ------
    ValueError
        A number in it is not finite.
    """
    return json.dumps(record.to_json(), separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"


def _workload_to_json(workload: Workload) -> Any:
    return json.loads(workload.key)


def _shapes_to_json(shapes: Shapes) -> dict[str, Any]:
    return {"shapes": [list(shape) for shape in shapes]} if shapes else {}


def _seconds_to_json(times: Seconds) -> dict[str, float]:
    return {str(threads): seconds for threads, seconds in times.items()}
