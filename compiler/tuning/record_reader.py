"""Reads the lines of tuning logs, which may hold anything."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from paddle_tvm.compiler.tuning.outcome import Outcome, Status
from paddle_tvm.compiler.tuning.records import SCHEMA, Elsewhere, Header, Record, Seconds, Trial, Winner
from paddle_tvm.targets.cpu_names import TARGET_CLASSES
from paddle_tvm.targets.gpu_names import ARCHITECTURES, gpu_class
from paddle_tvm.targets.workload import Config, Shapes, UnknownWorkloadError, Workload, workload_from_json

_THREADS = re.compile("[1-9][0-9]{0,5}")
# What a record may say: ratios of it are numbers.
_LEAST_SECONDS, _MOST_SECONDS = 1e-12, 1e9
_CLASSES = {*TARGET_CLASSES.values(), *(gpu_class([architecture]) for architecture in ARCHITECTURES)}


class BadRecordError(ValueError):
    """A line that is damaged: not what any version writes."""


class StaleRecordError(BadRecordError):
    """A line that this version cannot use, and another may."""


def decode(line: bytes) -> Header | Record:
    """Read a line.

    Raises
    ------
    StaleRecordError
        Another version wrote it.
    BadRecordError
        It is no JSON, or lacks something, or something in it has another type.
    """
    try:
        value = json.loads(line.decode().rstrip(), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise BadRecordError("not UTF-8") from None
    except RecursionError:
        raise BadRecordError("not JSON of a record: nested too deeply") from None
    except json.JSONDecodeError as error:
        # Not its own words: they say `line 1`, of this line, and readers look for it in the log.
        what = error.msg.removesuffix(" starting at")
        raise BadRecordError(f"not JSON from column {error.pos + 1} on: {what}") from None
    except ValueError as error:
        raise BadRecordError(f"not JSON: {error}") from None
    fields = _Fields(value)
    kind = fields.text("record")
    if kind not in _READERS:
        raise StaleRecordError(f"the kind of record {kind!r:.80} is not known")
    return _READERS[kind](fields)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


@dataclass(frozen=True)
class _Fields:
    """Typed access to an object; fields that nobody asks for may be of a newer version."""

    values: Any

    def __post_init__(self) -> None:
        if type(self.values) is not dict:
            raise BadRecordError(f"expected an object, got {self.values!r:.80}")

    def take(self, name: str, kind: type) -> Any:
        if name not in self.values:
            raise BadRecordError(f"{name}: missing")
        return _of_type(self.values[name], kind, name)

    def text(self, name: str) -> str:
        return str(self.take(name, str))

    def text_or_none(self, name: str) -> str | None:
        return None if self.values.get(name, "") is None else self.text(name)

    def positive(self, name: str) -> int:
        number = int(self.take(name, int))
        if number < 1:
            raise BadRecordError(f"{name}: expected at least 1, got {number}")
        return number

    def flag(self, name: str) -> bool:
        """False where it is missing."""
        return bool(self.take(name, bool)) if name in self.values else False

    def config(self, name: str) -> Config:
        return {knob: _of_type(value, int, f"{name}.{knob}") for knob, value in self.take(name, dict).items()}

    def seconds(self, name: str) -> Seconds:
        times = {}
        for threads, time in self.take(name, dict).items():
            if not _THREADS.fullmatch(threads):
                raise BadRecordError(f"{name}: expected a number of threads, got {threads!r:.80}")
            times[int(threads)] = _seconds(time, f"{name}.{threads}")
        return times

    def shapes(self) -> Shapes:
        """None where the record has no such field: all sizes are known, or the schema is an older one."""
        if "shapes" not in self.values:
            return ()
        return self.whole_shapes()

    def whole_shapes(self) -> Shapes:
        return tuple(_shape(shape, "shapes") for shape in self.take("shapes", list))

    def elsewhere(self) -> tuple[Elsewhere, ...]:
        if "elsewhere" not in self.values:
            return ()
        places = map(_Fields, self.take("elsewhere", list))
        return tuple(
            Elsewhere(place.whole_shapes(), place.seconds("seconds"), place.seconds("default"))
            for place in places
        )

    def workload(self) -> Workload:
        # Registers the workloads of the targets. Only now, because it imports TVM.
        import paddle_tvm.targets.cuda.workloads
        import paddle_tvm.targets.x86.workloads  # noqa: F401

        try:
            return workload_from_json(self.take("workload", dict))
        except UnknownWorkloadError as error:
            raise StaleRecordError(str(error)) from None
        except BadRecordError:
            raise
        except ValueError as error:
            raise BadRecordError(str(error)) from None


def _of_type(value: object, kind: type, where: str) -> Any:
    # bool is a subclass of int, so types are compared.
    if type(value) is not kind:
        raise BadRecordError(f"{where}: expected {kind.__name__}, got {value!r:.80}")
    return value


def _shape(value: object, where: str) -> tuple[int, ...]:
    shape = tuple(_of_type(size, int, where) for size in _of_type(value, list, where))
    if not shape or any(size < 1 for size in shape):
        raise BadRecordError(f"{where}: expected positive sizes, got {list(shape)!r:.80}")
    return shape


def _seconds(value: object, where: str) -> float:
    seconds = value if type(value) is int else _of_type(value, float, where)
    if not _LEAST_SECONDS < seconds < _MOST_SECONDS:
        raise BadRecordError(f"{where}: expected a positive number of seconds, got {seconds!r:.80}")
    return float(seconds)


def _header(fields: _Fields) -> Header:
    schema = fields.positive("schema")
    if schema > SCHEMA:
        raise StaleRecordError(f"schema {schema} is newer than {SCHEMA}, which this version reads")
    header = Header(
        target=fields.text("target"),
        cpu=fields.text("cpu"),
        # Headers of schema 1 that were written again, by a merge, have null.
        microarchitecture=fields.text_or_none("microarchitecture") if schema > 1 else None,
        features=tuple(_of_type(name, str, "features") for name in fields.take("features", list)),
        threads=fields.positive("threads"),
        date=fields.text("date"),
        paddle_tvm=fields.text("paddle_tvm"),
        tvm=fields.text("tvm"),
        schema=schema,
    )
    if header.target not in _CLASSES:
        raise StaleRecordError(f"the target class {header.target!r:.80} is not known")
    return header


def _trial(fields: _Fields) -> Trial:
    status: Status = fields.take("status", str)
    if status not in get_args(Status):
        raise BadRecordError(f"status: expected one of {', '.join(get_args(Status))}, got {status!r:.80}")
    seconds = tuple(_seconds(value, "seconds") for value in fields.take("seconds", list))
    if bool(seconds) != (status == "ok"):
        raise BadRecordError(f"seconds: {len(seconds)} of them do not go with the status {status!r}")
    outcome = Outcome(fields.config("config"), status, seconds, fields.text("detail"))
    return Trial(fields.workload(), outcome, fields.shapes())


def _winner(fields: _Fields) -> Winner:
    winner = Winner(
        workload=fields.workload(),
        config=fields.config("config"),
        seconds=fields.seconds("seconds"),
        default_config=fields.config("default_config"),
        default=fields.seconds("default"),
        shapes=fields.shapes(),
        elsewhere=fields.elsewhere(),
        taken_back=fields.flag("taken_back"),
    )
    counts = sorted(winner.seconds)
    times = [winner.default, *(of for one in winner.elsewhere for of in (one.seconds, one.default))]
    other = next((place for place, of in enumerate(times) if sorted(of) != counts), None)
    if other is not None:
        where = "elsewhere" if other else "default"
        raise BadRecordError(f"{where}: expected times for {counts} threads, got {sorted(times[other])}")
    if not counts:
        raise BadRecordError("seconds: expected times, got none")
    return winner


_READERS: Mapping[str, Callable[[_Fields], Header | Record]] = {
    "header": _header,
    "trial": _trial,
    "winner": _winner,
}
