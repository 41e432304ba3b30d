"""Joins tuning logs into one, which keeps the best of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from paddle_tvm.compiler.array_files import check_writable, replacing
from paddle_tvm.compiler.tuning.log import (
    Entry,
    Skipped,
    check_is_log,
    check_replaceable,
    in_force,
    lock_log,
    read_log,
)
from paddle_tvm.compiler.tuning.records import Header, Winner, encode
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.wording import counted


@dataclass(frozen=True)
class Merged:
    """How many records a merge has written, and the lines of its inputs that it could not read.

    ``defaults`` are winners' records that say that nothing was faster than the default.
    """

    winners: int
    defaults: int
    trials: int
    skipped: tuple[Skipped, ...]


def merge_logs(logs: Sequence[Path], output: Path, *, trials: bool = False, force: bool = False) -> Merged:
    """Write the best winner for each target class, microarchitecture, thread count and workload into one log.

    The best is that with the largest gain over its default; of equals, the fastest. Of a workload of unknown
    sizes, which logs may have measured at several, it is that which saves the most seconds. Of an input that
    has compared the same several times the last comparison counts. The same logs give the same bytes, in
    whatever order they come.

    Parameters
    ----------
    logs
        The inputs, which stay as they are.
    output
        The file to write; it changes in one step. It may be one of the inputs.
    trials
        Whether to keep the trials too, once each.
    force
        Whether to replace an output that exists and is no input, or that would lose lines: trials, or what
        cannot be read.

    Raises
    ------
    UsageError
        An input cannot be read, or the output cannot be written or would lose something.
    """
    for log in logs:
        check_is_log(log)
    check_writable(output)
    in_place = _is_one_of(output, logs)
    if not in_place and os.path.lexists(output) and not force:
        raise UsageError(f"{output} exists and is none of the merged logs; replace it with --force")
    check_replaceable(output)
    with _kept_still(output if in_place else None):
        entries: list[Entry] = []
        skipped: list[Skipped] = []
        dropped = 0
        for log in logs:
            lines = list(read_log(log))
            skipped += [line for line in lines if isinstance(line, Skipped)]
            for entry in in_force(line for line in lines if isinstance(line, Entry)):
                if isinstance(entry.record, Winner):
                    # What is taken back says nothing by itself.
                    entries += [] if entry.record.taken_back else [entry]
                elif trials:
                    entries.append(entry)
                else:
                    dropped += in_place and _is_one_of(output, [entry.path])
        lost = [line for line in skipped if _is_one_of(output, [line.path])]
        if lost and not force:
            raise UsageError(
                f"{output} is merged into itself and would lose {len(lost)} of its lines, which cannot be "
                f"read (line {lost[0].line}: {lost[0].reason}); merge to another file, or use --force"
            )
        if dropped and not force:
            raise UsageError(
                f"{output} is merged into itself and would lose {counted(dropped, 'trial')}, which a search "
                "needs; merge to another file, or use --force"
            )
        if not entries:
            raise UsageError(
                f"{', '.join(map(str, logs))}: no winner, so there is nothing to merge; `tune --trials 0` on "
                "the model compares what a search has found"
            )
        best = _best(entries)
        written = sorted(best.keys() | _trials(entries))
        with replacing(output) as file:
            under = None
            for header, _, line in written:
                if header != under:
                    file.write(header)
                    under = header
                file.write(line)
            file.flush()
            with suppress(OSError):
                os.fsync(file.fileno())
    defaults = sum(winner.keeps_default for winner in best.values())
    return Merged(len(best) - defaults, defaults, len(written) - len(best), tuple(skipped))


def best_first(header: Header, winner: Winner) -> tuple[bool, float, float, bytes]:
    """The order of winners of a workload: by what they gain, by time, and then by what they say."""
    said = encode(header) + encode(winner)
    return (*winner.worth(header.threads), winner.seconds[header.threads], said)


# A line of the merged log: its header, whether it is a trial, and itself.
_Line = tuple[bytes, int, bytes]


def _best(entries: Sequence[Entry]) -> dict[_Line, Winner]:
    best: dict[tuple[str, str | None, int, str], Entry] = {}
    for entry in entries:
        header, winner = entry.header, entry.record
        if isinstance(winner, Winner):
            key = (header.target, header.microarchitecture, header.threads, winner.workload.key)
            known = best.setdefault(key, entry)
            assert isinstance(known.record, Winner)
            if best_first(header, winner) < best_first(known.header, known.record):
                best[key] = entry
    return {
        (encode(entry.header), 0, encode(entry.record)): entry.record
        for entry in best.values()
        if isinstance(entry.record, Winner)
    }


def _trials(entries: Sequence[Entry]) -> set[_Line]:
    return {
        (encode(entry.header), 1, encode(entry.record))
        for entry in entries
        if not isinstance(entry.record, Winner)
    }


def _is_one_of(path: Path, others: Sequence[Path]) -> bool:
    return path.exists() and any(path.samefile(other) for other in others)


@contextmanager
def _kept_still(path: Path | None) -> Iterator[None]:
    """Let nobody append to a log that is about to be replaced: the merge would lose it."""
    if path is None:
        yield
        return
    with ExitStack() as stack:
        try:
            stack.enter_context(lock_log(path))
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}; merge to another file") from error
        yield
