"""A log keeps what was written to it: through kills, full disks, several writers and merges."""

from __future__ import annotations

import gzip
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuning_records import Log, Rows, header, trial, winner

from paddle_tvm.compiler.tuning.choices import TunedChoices
from paddle_tvm.compiler.tuning.known_trials import known_trials
from paddle_tvm.compiler.tuning.log import (
    Checked,
    Entry,
    LogWriter,
    Skipped,
    check_appendable,
    check_is_log,
    check_log,
    check_replaceable,
    lock_log,
    read_log,
    remove_empty,
)
from paddle_tvm.compiler.tuning.merge import merge_logs
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.records import Record, Trial, encode
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.x86 import x86_target
from paddle_tvm.targets.x86.graph_workloads import BlockWidth
from paddle_tvm.targets.x86.workloads import Conv2d

HERE, THERE = header(), header("x86-avx2", cpu="Another CPU")
RECORDS = [trial(Rows(8, width), {"tile": 2, "wide": 1}, width * 1e-3) for width in range(1, 6)]

# Appends numbered trials to a log as a process of its own: log, target, first number, how many.
WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from tuning_records import Rows, header, trial
from paddle_tvm.compiler.tuning.log import LogWriter
writer = LogWriter(Path(sys.argv[2]), header(sys.argv[3]))
for number in range(int(sys.argv[4]), int(sys.argv[4]) + int(sys.argv[5])):
    writer.append([trial(Rows(8, number), {"tile": 2}, 1e-3)])
    print(number, flush=True)
"""


def start_writer(log: Path, target: str, first: int, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, Path(__file__).parent, log, target, str(first), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def entries(path: Path) -> list[Entry]:
    found = list(read_log(path))
    assert not [line for line in found if isinstance(line, Skipped)]
    return [entry for entry in found if isinstance(entry, Entry)]


def records(path: Path) -> list[Record]:
    return [entry.record for entry in entries(path)]


def skipped(path: Path) -> list[Skipped]:
    return [line for line in read_log(path) if isinstance(line, Skipped)]


def usable(path: Path) -> list[Record]:
    return [entry.record for entry in read_log(path) if isinstance(entry, Entry)]


def test_records_stand_under_the_header_of_who_wrote_them(log: Log) -> None:
    path = log("a.jsonl", HERE, *RECORDS[:2])
    log("a.jsonl", THERE, *RECORDS[2:])
    assert [entry.header for entry in entries(path)] == [HERE] * 2 + [THERE] * 3
    assert records(path) == RECORDS
    assert [entry.line for entry in entries(path)] == [2, 3, 5, 6, 7]


def test_a_writer_repeats_its_header_only_where_another_wrote_between(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    here, there = LogWriter(path, HERE), LogWriter(path, THERE)
    here.append(RECORDS[:1])
    here.append(RECORDS[1:2])
    there.append(RECORDS[2:3])
    here.append(RECORDS[3:4])
    assert [entry.header for entry in entries(path)] == [HERE, HERE, THERE, HERE]
    assert path.read_bytes().count(b'"header"') == 3


def test_an_empty_append_shows_that_the_log_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    LogWriter(path, HERE).append([])
    assert path.read_bytes() == encode(HERE)
    with pytest.raises(UsageError, match="there is no directory"):
        LogWriter(tmp_path / "no" / "a.jsonl", HERE).append([])
    with pytest.raises(UsageError, match="is a directory"):
        LogWriter(tmp_path, HERE).append([])


@given(cut=st.data())
def test_a_log_that_was_cut_anywhere_goes_on(cut: st.DataObject, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("cut") / "a.jsonl"
    LogWriter(path, HERE).append(RECORDS[:3])
    whole = path.read_bytes()
    kept = cut.draw(st.integers(0, len(whole)))
    os.truncate(path, kept)
    LogWriter(path, THERE).append(RECORDS[3:])
    found = [entry for entry in read_log(path) if isinstance(entry, Entry)]
    before = max(whole[: kept + 1].count(b"\n") - 1, 0)
    assert [entry.record for entry in found] == RECORDS[:before] + RECORDS[3:]
    assert [entry.header for entry in found] == [HERE] * before + [THERE] * 2
    assert len(skipped(path)) <= 1


BAD_LINES = {
    "text": (b"tuned on a friday\n", "not JSON"),
    "binary": (bytes(range(128, 256)) + b"\n", "not UTF-8"),
    "cut": (encode(RECORDS[0])[:30] + b"\n", "not JSON"),
    "other types": (b'{"record":"trial","workload":[]}\n', "missing"),
    "no number": (encode(RECORDS[0]).replace(b"0.001", b"NaN"), "NaN is no number"),
    "operator": (encode(RECORDS[0]).replace(b"rows of", b"columns of"), "is not known"),
    "very long": (b"x" * 3_000_000 + b"\n" + encode(HERE), "longer than"),
    "no time for the header": (
        encode(winner(Rows(8, 8), {"tile": 2, "wide": 1}, threads=4)),
        "the 2 threads of the header",
    ),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_skipped_and_named(log: Log, name: str) -> None:
    line, reason = BAD_LINES[name]
    path = log("a.jsonl", HERE, *RECORDS[:2])
    path.write_bytes(path.read_bytes() + line + b"".join(map(encode, RECORDS[2:])))
    assert usable(path) == RECORDS
    (bad,) = skipped(path)
    assert (bad.path, bad.line) == (path, 4)
    assert reason in bad.reason
    assert bad.stale == (name == "operator")


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line.replace(b'"threads":2', b'"threads":"2"'),
        lambda line: line[:60] + b"\n",
        lambda line: encode(RECORDS[0])[:40] + line,
    ],
)
def test_records_under_a_damaged_header_are_not_taken_for_those_of_the_one_before(
    log: Log, damage: Any
) -> None:
    path = log("a.jsonl", HERE, *RECORDS[:2])
    path.write_bytes(path.read_bytes() + damage(encode(THERE)) + b"".join(map(encode, RECORDS[2:])))
    assert usable(path) == RECORDS[:2]
    assert [line.line for line in skipped(path)] == [4, 5, 6, 7]
    assert "its header, in line 4" in skipped(path)[1].reason
    log("a.jsonl", THERE, RECORDS[0])
    assert usable(path) == [*RECORDS[:2], RECORDS[0]]


def test_records_without_a_header_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(encode(RECORDS[0]))
    assert [line.reason for line in skipped(path)] == ["there is no header before it"]


def test_records_of_a_newer_schema_are_stale(log: Log) -> None:
    path = log("a.jsonl", HERE, *RECORDS)
    path.write_bytes(path.read_bytes().replace(b'"schema":4', b'"schema":7') + b"\n\n")
    assert [line.stale for line in skipped(path)] == [True] * 6
    assert not usable(path)


def test_trials_of_the_same_kind_of_machine_count_as_known(log: Log) -> None:
    path = log("a.jsonl", HERE, RECORDS[0], winner(Rows(8, 8), {"tile": 2, "wide": 1}))
    # Of another class, CPU, microarchitecture, number of threads, and of a version that timed otherwise.
    log("a.jsonl", THERE, RECORDS[1])
    log("a.jsonl", header(cpu="Another CPU"), RECORDS[1])
    log("a.jsonl", header(microarchitecture="znver4"), RECORDS[2])
    log("a.jsonl", header(threads=4), RECORDS[3])
    log("a.jsonl", header(schema=2), RECORDS[3])
    log("a.jsonl", header(schema=3), RECORDS[4])
    path.write_bytes(path.read_bytes() + b"?\n")
    known, skipped = known_trials(path, HERE)
    assert known == {(one.workload, ()): [one.outcome] for one in (RECORDS[0], RECORDS[4])}
    assert len(skipped) == 1


def test_failures_are_forgotten_where_the_default_never_ran(log: Log) -> None:
    rows = Rows(64, 8)
    failed = [
        Trial(rows, Outcome(config, "crash", detail="killed by SIGKILL")) for config in rows.candidates()[:2]
    ]
    other = Trial(rows, Outcome(rows.candidates()[2], "ok", (1e-3,)))
    path = log("a.jsonl", HERE, *failed, other)
    assert known_trials(path, HERE)[0] == {(rows, ()): [other.outcome]}
    log("a.jsonl", HERE, Trial(rows, Outcome(rows.default(), "ok", (1e-3,))))
    assert len(known_trials(path, HERE)[0][rows, ()]) == 4


def test_what_was_tried_at_other_sizes_is_another_question(log: Log) -> None:
    rows = Rows(None, 8)
    small, large = (
        Trial(rows, Outcome(rows.default(), "ok", (seconds,)), ((size, 8),))
        for seconds, size in ((1e-3, 10), (1e-2, 100))
    )
    # Before schema 4 it was not known at which.
    old = Trial(rows, small.outcome)
    path = log("a.jsonl", HERE, small, large)
    log("a.jsonl", header(schema=3), old)
    assert known_trials(path, HERE)[0] == {(rows, one.shapes): [one.outcome] for one in (small, large, old)}


def test_failures_above_kernels_are_remembered(log: Log) -> None:
    # Their default has no trial.
    width = BlockWidth("a graph", 24, 16)
    failed = Trial(width, Outcome(width.candidates()[1], "error", detail="UnsupportedModelError"))
    assert known_trials(log("a.jsonl", HERE, failed), HERE)[0] == {(width, ()): [failed.outcome]}


def test_a_log_of_headers_alone_is_removed_and_no_other(log: Log, tmp_path: Path) -> None:
    path = log("a.jsonl", HERE)
    remove_empty(path)
    assert not path.exists()
    for path in (log("b.jsonl", HERE, RECORDS[0]), tmp_path / "notes.txt"):
        path.write_bytes(path.read_bytes() if path.exists() else b"notes\n")
        remove_empty(path)
        assert path.exists()


def test_a_file_without_its_last_line_break_is_whole(log: Log) -> None:
    path = log("a.jsonl", HERE, *RECORDS)
    os.truncate(path, path.stat().st_size - 1)
    assert records(path) == RECORDS


def test_paths_that_are_no_log(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such tuning log"):
        read_log(tmp_path / "none.jsonl")
    with pytest.raises(UsageError, match="is a directory"):
        read_log(tmp_path)
    with pytest.raises(UsageError, match="no regular file"):
        read_log(Path("/dev/null"))
    (tmp_path / "empty.jsonl").touch()
    assert not list(read_log(tmp_path / "empty.jsonl"))


def test_packed_logs_are_the_packages_alone(log: Log, tmp_path: Path) -> None:
    path = log("a.jsonl", HERE, *RECORDS)
    packed = tmp_path / "b.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert records(packed) == RECORDS
    for use in (check_is_log, check_appendable, check_replaceable, lambda log: LogWriter(log, HERE)):
        with pytest.raises(UsageError, match="unpack it with gunzip"):
            use(packed)


def test_a_full_disk_is_said_and_leaves_the_log_as_it_was(log: Log) -> None:
    path = log("a.jsonl", HERE, *RECORDS)
    before = path.read_bytes()
    writer = LogWriter(path, THERE)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, hard))
    try:
        with pytest.raises(UsageError, match="larger than allowed"):
            writer.append(RECORDS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    writer.append(RECORDS[:1])
    assert entries(path)[-1].header == THERE
    with pytest.raises(UsageError, match="the disk is full; free some space"):
        LogWriter(Path("/dev/full"), HERE).append(RECORDS)


def test_two_writers_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    started = [start_writer(path, "x86-avx512", 0, 150), start_writer(path, "x86-avx2", 1000, 150)]
    for process in started:
        process.communicate()
        assert process.returncode == 0
    for target, first in (("x86-avx512", 0), ("x86-avx2", 1000)):
        widths = [_width(entry) for entry in entries(path) if entry.header.target == target]
        assert widths == list(range(first, first + 150))


def _width(entry: Entry) -> int:
    workload = entry.record.workload
    assert isinstance(workload, Rows)
    return workload.width


def test_a_killed_writer_loses_nothing_that_it_had_written(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    count = 0
    for number in range(3):
        process = start_writer(path, "x86-avx512", count, 10_000)
        assert process.stdout is not None
        for _ in range(20 + 30 * number):
            count = int(process.stdout.readline()) + 1
        process.send_signal(signal.SIGKILL)
        # What it had said before it died was in the log by then.
        count = max(
            [
                count,
                *(
                    int(line) + 1
                    for line in process.stdout.read().splitlines(keepends=True)
                    if line.endswith("\n")
                ),
            ]
        )
        process.wait()
        widths = [_width(entry) for entry in read_log(path) if isinstance(entry, Entry)]
        assert set(widths) >= set(range(count))
        count = max(widths) + 1
    assert widths == list(range(count))


def test_check_says_what_can_be_applied_and_why_not(log: Log) -> None:
    impossible = Conv2d(1, 8, 8, 0, 0, (3, 3), (0, 0), (1, 1), (0, 0, 0, 0), 0, 16, 16)
    path = log(
        "a.jsonl",
        HERE,
        winner(Rows(8, 8), {"tile": 2, "wide": 1}),
        winner(Rows(8, 8), {"tile": 3, "wide": 1}),
        trial(Rows(8, 8), {"tile": 2, "wide": 1, "tall": 1}),
        trial(impossible, {"winograd": 0}),
    )
    path.write_bytes(path.read_bytes() + b"?\n")
    results = list(check_log(path))
    problems = [result.problem for result in results if isinstance(result, Checked)]
    assert problems[0] is None
    assert "no such form of the workload: {'tile': 3, 'wide': 1}" in str(problems[1])
    assert "tall" in str(problems[2])
    assert problems[3] is not None
    assert isinstance(results[4], Skipped)


FORM = {"tile": 2, "wide": 1}


def test_a_merge_keeps_the_best_winner_of_each_workload_class_and_thread_count(
    log: Log, tmp_path: Path
) -> None:
    workload, four = Rows(8, 8), header(threads=4)
    best = winner(workload, FORM, gain=1.6)
    faster = winner(Rows(8, 9), {"tile": 4, "wide": 0}, gain=1.2, seconds=1e-3)
    other_class = winner(workload, FORM, gain=1.1)
    at_four = winner(workload, FORM, gain=1.1, threads=4)
    first = log("a.jsonl", HERE, *RECORDS, winner(workload, {"tile": 4, "wide": 0}, gain=1.5), faster)
    log("a.jsonl", four, at_four)
    second = log("b.jsonl", HERE, best, winner(Rows(8, 9), FORM, gain=1.2, seconds=2e-3))
    log("b.jsonl", THERE, other_class)
    before = [first.read_bytes(), second.read_bytes()]
    merged = merge_logs([first, second], tmp_path / "ab.jsonl")
    assert (merged.winners, merged.trials) == (4, 0)
    found = {(entry.header, entry.record.workload): entry.record for entry in entries(tmp_path / "ab.jsonl")}
    assert found == {
        (HERE, workload): best,
        (HERE, Rows(8, 9)): faster,
        (THERE, workload): other_class,
        (four, workload): at_four,
    }
    assert [first.read_bytes(), second.read_bytes()] == before
    merge_logs([second, first, second], tmp_path / "ba.jsonl")
    merge_logs([tmp_path / "ab.jsonl"], tmp_path / "again.jsonl")
    contents = {(tmp_path / name).read_bytes() for name in ("ab.jsonl", "ba.jsonl", "again.jsonl")}
    assert len(contents) == 1


def test_the_last_comparison_of_a_log_counts(log: Log, tmp_path: Path) -> None:
    rows, form = Rows(8, 8), {"tile": 4, "wide": 1}
    won, kept = winner(rows, form, gain=1.5), winner(rows, rows.default(), gain=1.0)
    path = log("a.jsonl", HERE, won, kept)
    target = x86_target("icelake-server")
    assert TunedChoices(target, [path]).of(rows).origin == "default"
    merge_logs([path], tmp_path / "b.jsonl")
    assert usable(tmp_path / "b.jsonl") == [kept]
    # Another machine's says nothing of it.
    log("a.jsonl", header(cpu="Another CPU"), won)
    merge_logs([path], tmp_path / "c.jsonl")
    assert usable(tmp_path / "c.jsonl") == [won]
    log("a.jsonl", HERE, won)
    assert TunedChoices(target, [path]).of(rows).config == form


def test_what_is_taken_back_says_nothing(log: Log, tmp_path: Path) -> None:
    rows, other, form = Rows(None, 8), Rows(16, 8), {"tile": 4, "wide": 1}
    small, large = (replace(winner(rows, form), shapes=((size, 8),)) for size in (10, 100))
    taken_back = replace(winner(rows, rows.default(), gain=1.0), shapes=large.shapes, taken_back=True)
    # At whatever size it had won.
    path = log("a.jsonl", HERE, small, large, taken_back, winner(other, form))
    shipped = log("shipped.jsonl", HERE, winner(rows, {"tile": 2, "wide": 1}))
    target = x86_target("icelake-server")
    choices = TunedChoices(target, [path])
    assert choices.of(rows).origin == "default"
    assert choices.unused_logs == ()
    # What there is without the log holds again.
    assert TunedChoices(target, [path], [shipped]).of(rows) == TunedChoices(target, [], [shipped]).of(rows)
    assert TunedChoices(target, [path], [shipped]).of(rows).origin == "tuned"
    merge_logs([path], tmp_path / "b.jsonl")
    assert usable(tmp_path / "b.jsonl") == [winner(other, form)]


def test_of_other_sizes_a_merge_keeps_what_saves_more(log: Log, tmp_path: Path) -> None:
    rows = Rows(None, 8)
    small = replace(winner(rows, {"tile": 2}, gain=2.0, seconds=1e-5), shapes=((10, 8),))
    large = replace(winner(rows, {"tile": 4}, gain=1.2, seconds=1e-2), shapes=((100, 8),))
    # Where a record does not say at which sizes, it comes last.
    old = winner(rows, {"tile": 8}, gain=9.0)
    paths = [log(f"{number}.jsonl", HERE, one) for number, one in enumerate((small, large, old))]
    assert merge_logs(paths, tmp_path / "all.jsonl").winners == 1
    assert usable(tmp_path / "all.jsonl") == [large]
    # Nor does one that gains next to nothing hide another.
    negligible = replace(winner(rows, {"tile": 4}, gain=1.01, seconds=1.0), shapes=((1000, 8),))
    paths = [log("5.jsonl", HERE, negligible), paths[0]]
    merge_logs(paths, tmp_path / "two.jsonl")
    assert usable(tmp_path / "two.jsonl") == [small]
    # In one log the last comparison counts: its sizes are those that are wanted now.
    one_log = log("one.jsonl", HERE, large, small)
    merge_logs([one_log], tmp_path / "last.jsonl")
    assert usable(tmp_path / "last.jsonl") == [small]


def test_a_merge_keeps_what_was_measured_on_other_cores(log: Log, tmp_path: Path) -> None:
    headers = [header(microarchitecture=name) for name in ("znver4", "sapphirerapids", None)]
    for number, under in enumerate(headers):
        log("a.jsonl", under, winner(Rows(8, 8), FORM, gain=1.2 + number / 10))
        log("b.jsonl", under, winner(Rows(8, 8), FORM, gain=1.1))
    merged = merge_logs([tmp_path / "b.jsonl", tmp_path / "a.jsonl"], tmp_path / "ab.jsonl")
    assert merged.winners == 3
    found = {entry.header: entry.record for entry in entries(tmp_path / "ab.jsonl")}
    assert found == {
        under: winner(Rows(8, 8), FORM, gain=1.2 + number / 10) for number, under in enumerate(headers)
    }


def test_a_merge_keeps_trials_if_asked(log: Log, tmp_path: Path) -> None:
    path = log("a.jsonl", HERE, *RECORDS, winner(Rows(8, 8), FORM))
    merged = merge_logs([path, path], tmp_path / "b.jsonl", trials=True)
    assert (merged.winners, merged.trials) == (1, 5)
    assert len(records(tmp_path / "b.jsonl")) == 6


def test_a_merge_replaces_only_inputs_or_other_logs_by_force(log: Log, tmp_path: Path) -> None:
    first, second = log("a.jsonl", HERE, *RECORDS, winner(Rows(8, 8), FORM)), log("b.jsonl", HERE)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"exists and is none of the merged logs; .* --force"):
        merge_logs([first], tmp_path / "notes.txt")
    with pytest.raises(UsageError, match="is no tuning log, so --force does not replace it"):
        merge_logs([first], tmp_path / "notes.txt", force=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    merge_logs([first, second], second)
    assert records(second) == [winner(Rows(8, 8), FORM)]
    other = log("c.jsonl", HERE, *RECORDS)
    merge_logs([first], other, force=True)
    assert records(other) == [winner(Rows(8, 8), FORM)]
    with pytest.raises(UsageError, match="no such tuning log"):
        merge_logs([first, tmp_path / "none.jsonl"], tmp_path / "d.jsonl")
    with pytest.raises(UsageError, match="is a directory"):
        merge_logs([first], tmp_path, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl", "c.jsonl", "notes.txt"]


def test_a_merge_into_itself_does_not_drop_what_it_cannot_read(log: Log) -> None:
    path = log("a.jsonl", HERE, winner(Rows(8, 8), FORM))
    path.write_bytes(path.read_bytes() + b'{"record":"of the future"}\n')
    before = path.read_bytes()
    with pytest.raises(UsageError, match="would lose 1 of its lines"):
        merge_logs([path], path)
    assert path.read_bytes() == before
    assert len(merge_logs([path], path, force=True).skipped) == 1


def test_what_is_appended_while_a_log_is_replaced_is_not_lost(log: Log) -> None:
    path = log("a.jsonl", HERE, *RECORDS[:1])
    writer = LogWriter(path, HERE)
    writer.append(RECORDS[1:2])
    appending = threading.Thread(target=writer.append, args=(RECORDS[2:],))
    with lock_log(path):
        appending.start()
        time.sleep(0.2)
        replacement = path.with_suffix(".new")
        LogWriter(replacement, THERE).append(RECORDS[:1])
        replacement.replace(path)
    appending.join()
    assert records(path) == [RECORDS[0], *RECORDS[2:]]
    assert [entry.header for entry in entries(path)] == [THERE, HERE, HERE, HERE]


@given(order=st.permutations(range(6)), cut=st.integers(0, 5))
def test_merging_does_not_depend_on_the_order(order: Sequence[int], cut: int, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("merge")
    pool = [winner(Rows(8, n % 2), FORM, gain=1 + n // 2 / 10, seconds=1e-3 * (n + 1)) for n in range(6)]
    logs, best = [], [-1, -1]
    for name, part in (("a", order[:cut]), ("b", order[cut:])):
        logs.append(folder / name)
        LogWriter(logs[-1], HERE).append([pool[n] for n in part])
        # Of each log the last comparison of a workload counts, and of several logs the best.
        for workload, number in {n % 2: n for n in part}.items():
            best[workload] = max(best[workload], number)
    merge_logs(logs, folder / "out")
    merge_logs(logs[::-1], folder / "back")
    assert (folder / "out").read_bytes() == (folder / "back").read_bytes()
    assert {str(record) for record in records(folder / "out")} == {str(pool[number]) for number in best}


def test_what_is_no_log_is_not_appended_to(log: Log, tmp_path: Path) -> None:
    notes, empty = tmp_path / "notes.txt", tmp_path / "empty.jsonl"
    notes.write_text("milk\neggs\n")
    empty.touch()
    with pytest.raises(UsageError, match="exists and is no tuning log"):
        check_appendable(notes)
    check_appendable(empty)
    damaged = log("a.jsonl", HERE, *RECORDS)
    damaged.write_bytes(b"?\n" + damaged.read_bytes())
    check_appendable(damaged)


def test_a_merge_into_itself_keeps_trials_unless_forced(log: Log) -> None:
    path = log("a.jsonl", HERE, RECORDS[0], winner(Rows(8, 8), {"tile": 2, "wide": 1}))
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"would lose 1 trial,.* --force"):
        merge_logs([path], path)
    assert path.read_bytes() == before
    assert merge_logs([path], path, force=True).winners == 1


def test_a_merge_without_winners_writes_nothing(log: Log, tmp_path: Path) -> None:
    path = log("a.jsonl", HERE, RECORDS[0])
    with pytest.raises(UsageError, match="no winner, so there is nothing to merge"):
        merge_logs([path], tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
