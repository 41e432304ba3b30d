"""Tuning logs as files: read, whatever state they are in, checked, and appended to by several at once."""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from paddle_tvm.compiler.tuning.record_reader import BadRecordError, StaleRecordError, decode
from paddle_tvm.compiler.tuning.records import Header, Record, Winner, encode
from paddle_tvm.runtime.errors import UsageError

PACKED = ".gz"
"""What the names of the logs end in that an installed package brings: setup.py has compressed them."""

# Beyond this a line is none of ours, and is not held in memory.
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A record, under what it was measured, and where it stands."""

    path: Path
    line: int
    header: Header
    record: Record


@dataclass(frozen=True)
class Skipped:
    """A line that gave no record; ``stale`` where another version may be able to use it."""

    path: Path
    line: int
    reason: str
    stale: bool


@dataclass(frozen=True)
class Checked:
    """What this version can do with a record: ``problem`` is None where it can apply it."""

    entry: Entry
    problem: str | None


def check_appendable(path: Path) -> None:
    """Refuse a file that has something in it, and no record.

    Raises
    ------
    UsageError
        It is none that a tuner wrote; or it is missing, a directory, or not readable.
    """
    if _is_foreign(path):
        raise UsageError(
            f"{path} exists and is no tuning log: nothing is appended to it; name another with -o"
        )


def check_is_log(path: Path) -> None:
    """Refuse a file that has something in it, and no record, where a log is to be read.

    Raises
    ------
    UsageError
        It is none that a tuner wrote; or it is missing, a directory, or not readable.
    """
    if _is_foreign(path):
        raise UsageError(f"{path} is no tuning log: expected a .jsonl file that `paddle-tvm tune` wrote")


def check_replaceable(path: Path) -> None:
    """Refuse to put a log in the place of a file that is none.

    Raises
    ------
    UsageError
        There is a file that no tuner wrote.
    """
    _refuse_packed(path)
    if path.is_file() and _is_foreign(path):
        raise UsageError(f"{path} exists and is no tuning log, so --force does not replace it; name another")


def _refuse_packed(path: Path) -> None:
    if path.suffix == PACKED:
        raise UsageError(f"{path}: expected a tuning log as text, a .jsonl file; unpack it with gunzip")


def _is_foreign(path: Path) -> bool:
    """Whether a file has something in it, and no record where its first ones would be."""
    _refuse_packed(path)
    with _open(path) as file:
        beginning = file.read(_LONGEST_LINE)
    return bool(beginning.strip()) and b'"record"' not in beginning


def read_log(path: Path) -> Iterator[Entry | Skipped]:
    """Every record of a log, in its order, and every line that holds none; the file is not held in memory.

    Raises
    ------
    UsageError
        It is missing, a directory, or not readable.
    """
    file = _open(path)

    def entries() -> Iterator[Entry | Skipped]:
        with file:
            yield from _entries(file, path)

    return entries()


def in_force(entries: Iterable[Entry]) -> list[Entry]:
    """The entries of a log without the winners that a later comparison of the same workload has replaced.

    Also one at other sizes, where those are unknown: the last one is of the sizes that are wanted now.
    """
    kept: dict[object, Entry] = {}
    for number, entry in enumerate(entries):
        record, header = entry.record, entry.header
        machine = (header.target, header.cpu, header.microarchitecture, header.threads)
        is_winner = isinstance(record, Winner)
        key = (*machine, record.workload) if is_winner else number
        # Where the last one stood: what is replaced must not come before what replaces it.
        kept.pop(key, None)
        kept[key] = entry
    return list(kept.values())


def check_log(path: Path) -> Iterator[Checked | Skipped]:
    """As ``read_log``, and whether this version of paddle-tvm can apply what it reads."""
    for entry in read_log(path):
        yield entry if isinstance(entry, Skipped) else Checked(entry, problem_of(entry.record))


class LogWriter:
    """Appends to a log, to which others may append meanwhile.

    Records are whole or not there: each call writes once, under a lock. A line that was cut off before, by a
    kill or a full disk, is ended first, so that what is appended can be read.

    Parameters
    ----------
    path
        The file; made where it does not exist.
    header
        What the records are measured under.

    Raises
    ------
    UsageError
        The file would be a packed one.
    """

    def __init__(self, path: Path, header: Header) -> None:
        _refuse_packed(path)
        self._path = path
        self._header = encode(header)
        # The file, and its size when this writer had written last: then its header still holds at the end.
        self._end: tuple[int, int] | None = None

    def append(self, records: Sequence[Record]) -> None:
        """Add records; with none of them, the header alone, which shows whether the log can be written.

        Raises
        ------
        UsageError
            The log cannot be written to, or the disk is full; then nothing of them is in the log.
        """
        lines = b"".join(map(encode, records))
        try:
            with lock_log(self._path) as descriptor:
                status = os.fstat(descriptor)
                if (status.st_ino, status.st_size) != self._end:
                    lines = self._header + lines
                if status.st_size and os.pread(descriptor, 1, status.st_size - 1) != b"\n":
                    lines = b"\n" + lines
                self._end = None
                _write(descriptor, lines, status.st_size)
                self._end = (status.st_ino, status.st_size + len(lines))
        except OSError as error:
            raise UsageError(_write_failure(self._path, error)) from error


def remove_empty(path: Path) -> None:
    """Remove a log that has headers alone, as one that a run has made and found nothing to write into."""
    with suppress(OSError), lock_log(path):
        if all(b'"header"' in line for line in path.read_bytes().splitlines()):
            path.unlink()


@contextmanager
def lock_log(path: Path) -> Iterator[int]:
    """Open a log, made where it does not exist, for this process alone among those that lock it.

    Raises
    ------
    OSError
        It cannot be opened for writing.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # A merge may have put another file there meanwhile.
            if _is_at(descriptor, path):
                yield descriptor
                return
        finally:
            # A process forked meanwhile holds the descriptor, so closing it here does not end the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write(descriptor: int, lines: bytes, size: int) -> None:
    left = memoryview(lines)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError:
        # What was written of them stays where that fails too: the next append ends it.
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _write_failure(path: Path, error: OSError) -> str:
    again = "free some space, and run it again: it goes on from what the log holds"
    reasons = {
        errno.ENOSPC: f"the disk is full; {again}",
        errno.EDQUOT: f"the disk quota is used up; {again}",
        errno.EFBIG: "it would be larger than allowed (see ulimit -f)",
        errno.EISDIR: "it is a directory; name a file in it",
        errno.ENOENT: f"there is no directory {path.absolute().parent}; make it first",
    }
    reason = reasons.get(error.errno or 0, f"{error.strerror}; name another place")
    return f"cannot append to the tuning log {path}: {reason}"


def _open(path: Path) -> IO[bytes]:
    try:
        # A pipe would block, and can be read once only.
        if not stat.S_ISREG(path.stat().st_mode):
            kind = "a directory" if path.is_dir() else "no regular file"
            raise UsageError(f"{path} is {kind}; expected a tuning log, a .jsonl file")
        return cast("IO[bytes]", gzip.open(path)) if path.suffix == PACKED else path.open("rb")
    except FileNotFoundError:
        raise UsageError(f"no such tuning log: {path}") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _entries(file: IO[bytes], path: Path) -> Iterator[Entry | Skipped]:
    header: Header | BadRecordError = BadRecordError("there is no header before it")
    for number, line in enumerate(_lines(file), 1):
        if not line.strip():
            continue
        try:
            if len(line) > _LONGEST_LINE:
                raise BadRecordError(f"longer than {_LONGEST_LINE} bytes")
            record = decode(line)
        except BadRecordError as error:
            # What may have been a header: the one before it holds no longer, and records of another
            # machine must not be taken for its own.
            if b'"header"' in line or len(line) > _LONGEST_LINE:
                header = type(error)(f"its header, in line {number}, cannot be used: {error}")
            yield Skipped(path, number, str(error), isinstance(error, StaleRecordError))
            continue
        if isinstance(record, Header):
            header = record
        elif isinstance(header, BadRecordError):
            yield Skipped(path, number, str(header), isinstance(header, StaleRecordError))
        elif isinstance(record, Winner) and header.threads not in record.seconds:
            reason = f"seconds: expected a time for the {header.threads} threads of the header"
            yield Skipped(path, number, reason, False)
        else:
            yield Entry(path, number, header, record)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines; of one that is too long, its beginning."""
    while line := file.readline(_LONGEST_LINE + 1):
        rest = line
        while not rest.endswith(b"\n") and len(rest) > _LONGEST_LINE:
            rest = file.readline(_LONGEST_LINE + 1)
        yield line


def problem_of(record: Record) -> str | None:
    """Why this version cannot apply a record; None where it can."""
    config = record.config if isinstance(record, Winner) else record.outcome.config
    try:
        fits = record.workload.fits(config)
    # Whatever sizes somebody has written: an analytic model may divide by them.
    except Exception as error:
        return f"the workload has no forms in this version: {type(error).__name__}: {error}"
    return None if fits else f"this version has no such form of the workload: {dict(config)}"
