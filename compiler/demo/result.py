"""What a demo run found and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from paddle_tvm.runtime.errors import VerificationError
from paddle_tvm.runtime.wording import agreeing

from .pipeline import TextLine


@dataclass(frozen=True)
class LinePair:
    """One line as read by both engines; None where an engine has no such line."""

    ours: TextLine | None
    paddle: TextLine | None

    @property
    def equal(self) -> bool:
        """Whether both engines read the same text, character for character."""
        return self.ours is not None and self.paddle is not None and self.ours.text == self.paddle.text


@dataclass(frozen=True)
class ModelMeasurement:
    """One model: times in seconds, sizes in bytes; the latency is that of all its calls for the picture.

    A model that the picture does not need (there is no text in it) has no calls and no latency, 0.
    """

    name: str
    calls: int
    compile_seconds: float
    load_seconds: float
    paddle_load_seconds: float
    latency: float
    paddle_latency: float
    artifact_bytes: int
    model_bytes: int


@dataclass(frozen=True)
class DemoResult:
    """All that a demo run reports; ``drawn`` is the text of the shipped picture, None for another one."""

    picture: Path
    annotated: Path
    threads: int
    lines: tuple[LinePair, ...]
    drawn: tuple[str, ...] | None
    models: tuple[ModelMeasurement, ...]
    runtime_bytes: int
    paddle_bytes: int

    @property
    def equal(self) -> bool:
        """Whether every line equals Paddle's, character for character."""
        return all(pair.equal for pair in self.lines)

    @property
    def lines_as_drawn(self) -> int | None:
        """How many lines equal the text that was drawn; None where that is not known."""
        if self.drawn is None:
            return None
        read = [pair.ours.text if pair.ours else None for pair in self.lines]
        return sum(one == other for one, other in zip(self.drawn, read, strict=False))

    def require_equal(self) -> None:
        """Raise unless every line equals Paddle's.

        Raises
        ------
        VerificationError
            Names each line that differs, and both texts.
        """
        if self.equal:
            return
        differing = [
            f"line {number}: got {_text(pair.ours)}, Paddle has {_text(pair.paddle)}"
            for number, pair in enumerate(self.lines, start=1)
            if not pair.equal
        ]
        differ = agreeing(len(differing), "differs", "differ")
        raise VerificationError(
            f"{len(differing)} of {len(self.lines)} lines {differ} from Paddle Inference's: "
            f"{'; '.join(differing)}. Run `paddle-tvm verify ARTIFACT --model MODEL` on the demo's artifacts "
            "to find the operator"
        )

    def as_json(self) -> dict[str, Any]:
        """Return everything as values that ``json`` can write."""
        return {
            "picture": str(self.picture),
            "annotated": str(self.annotated),
            "threads": self.threads,
            "equal": self.equal,
            "lines": [
                {
                    "number": number,
                    "equal": pair.equal,
                    "ours": _line(pair.ours),
                    "paddle": _line(pair.paddle),
                }
                for number, pair in enumerate(self.lines, start=1)
            ],
            "lines_as_drawn": self.lines_as_drawn,
            "models": [vars(model) for model in self.models],
            "runtime_bytes": self.runtime_bytes,
            "paddle_bytes": self.paddle_bytes,
        }


def pair_lines(ours: Sequence[TextLine], paddle: Sequence[TextLine]) -> tuple[LinePair, ...]:
    """Pair the lines of two readings, in reading order."""
    return tuple(LinePair(one, other) for one, other in zip_longest(ours, paddle))


def _text(line: TextLine | None) -> str:
    return "no line" if line is None else repr(line.text)


def _line(line: TextLine | None) -> dict[str, Any] | None:
    if line is None:
        return None
    return {"text": line.text, "score": line.score, "turned": line.turned, "box": line.box.round(1).tolist()}
