"""Records survive the way through JSON, and nothing that is in a line makes its reader fail."""

from __future__ import annotations

import json
import math
import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tuning_records import Rows, header, trial, winner

from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.record_reader import BadRecordError, StaleRecordError, decode
from paddle_tvm.compiler.tuning.records import SCHEMA, Elsewhere, Trial, Winner, encode, header_here
from paddle_tvm.targets.workload import workload_from_json
from paddle_tvm.targets.x86 import x86_target
from paddle_tvm.targets.x86.cpus import microarchitecture_here
from paddle_tvm.targets.x86.workloads import Conv2d

CONVOLUTION = Conv2d(1, 56, None, 64, 64, (3, 3), (1, 1), (1, 1), (1, 1, 1, 1), 1, 16, 16)

times = st.floats(min_value=1e-9, max_value=1e6, exclude_min=True)
configs = st.dictionaries(st.text(max_size=8), st.integers(-(2**40), 2**40), max_size=6)
workloads = st.builds(
    Rows,
    st.none() | st.integers(0, 2**40),
    st.integers(0, 2**40),
    st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    st.text(max_size=9),
)
outcomes = st.builds(Outcome, configs, st.just("ok"), st.lists(times, min_size=1).map(tuple)) | st.builds(
    Outcome,
    configs,
    st.sampled_from(["wrong", "crash", "timeout", "memory", "error"]),
    st.just(()),
    st.text(max_size=50),
)
seconds = st.tuples(times, times).map(lambda pair: {2: pair[0], 1: pair[1]})
shapes = st.lists(st.lists(st.integers(1, 2**40), min_size=1, max_size=5).map(tuple), max_size=3).map(tuple)
elsewhere = st.lists(st.builds(Elsewhere, shapes, seconds, seconds), max_size=2).map(tuple)
records = st.builds(Trial, workloads, outcomes, shapes) | st.builds(
    Winner, workloads, configs, seconds, configs, seconds, shapes, elsewhere, st.booleans()
)


@given(records)
def test_a_record_reads_as_it_was_written(record: Trial | Winner) -> None:
    line = encode(record)
    assert line.count(b"\n") == 1
    assert decode(line) == record
    assert encode(decode(line)) == line


def test_the_header_of_this_machine_reads_as_it_was_written() -> None:
    here = header_here(x86_target("haswell"), threads=2)
    assert here.target == "x86-avx2"
    assert "fma" in here.features
    assert here.microarchitecture == microarchitecture_here()
    assert decode(encode(here)) == here


def test_a_header_of_schema_1_reads_and_names_no_microarchitecture() -> None:
    fields = json.loads(encode(header())) | {"schema": 1}
    del fields["microarchitecture"]
    old = decode(json.dumps(fields).encode())
    assert old == header(microarchitecture=None, schema=1)
    # A merge writes it again.
    assert decode(encode(old)) == old


def test_a_header_comes_first_and_says_its_schema() -> None:
    fields = json.loads(encode(header()))
    assert list(fields)[:2] == ["record", "schema"]
    assert fields["schema"] == SCHEMA


def test_a_workload_of_the_target_reads_with_its_tuples_and_unknown_sizes() -> None:
    assert workload_from_json(json.loads(CONVOLUTION.key)) == CONVOLUTION
    record = winner(CONVOLUTION, {"winograd": 0, "points": 7, "blocks": 2})
    assert decode(encode(record)) == record


def test_what_is_not_finite_is_not_written() -> None:
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="JSON compliant"):
            encode(trial(Rows(8, 8), {"tile": 1}, bad))


def _changed(**fields: Any) -> bytes:
    return json.dumps(json.loads(encode(winner(Rows(8, 8), {"tile": 2, "wide": 1}))) | fields).encode()


DAMAGED = {
    "empty object": (b"{}", "record: missing"),
    "list": (b"[1]", "expected an object"),
    "cut": (encode(trial(Rows(8, 8), {"tile": 1}))[:-9], "not JSON"),
    "bytes": (b"\xff\xfe{", "not UTF-8"),
    "zeros": (b"\0" * 64, "not JSON"),
    "nested": (b"[" * 100_000, "nested"),
    "long number": (b"1" * 10_000, "not JSON"),
    "NaN": (_changed(seconds={"2": math.nan, "1": 1.0}), "NaN is no number"),
    "infinite": (_changed().replace(b"0.001", b"1e999"), "positive number of seconds, got inf"),
    "huge": (_changed(seconds={"2": 10**400, "1": 1.0}), "positive number of seconds"),
    "negative": (_changed(seconds={"2": -1.0, "1": 1.0}), "positive number of seconds"),
    "no time": (_changed(seconds={}, default={}), "seconds: expected times, got none"),
    "no times of the default": (_changed(default={}), "default: expected times for [1, 2] threads, got []"),
    "ratios beyond all numbers": (_changed(seconds={"2": 1e8, "1": 5e-324}), "positive number of seconds"),
    "taken back": (_changed(taken_back=1), "taken_back: expected bool, got 1"),
    "threads": (_changed(seconds={"two": 1.0}), "number of threads"),
    "other threads": (_changed(default={"4": 1.0}), "expected times for [1, 2] threads, got [4]"),
    "other threads elsewhere": (
        _changed(elsewhere=[{"shapes": [[8, 8]], "seconds": {"2": 1.0}, "default": {"2": 1.0}}]),
        "elsewhere: expected times for [1, 2] threads, got [2]",
    ),
    "no time elsewhere": (_changed(elsewhere=[{"shapes": [[8, 8]]}]), "seconds: missing"),
    "no shapes elsewhere": (_changed(elsewhere=[{"seconds": {}, "default": {}}]), "shapes: missing"),
    "no sizes": (_changed(shapes=[[]]), "shapes: expected positive sizes, got []"),
    "elsewhere": (_changed(elsewhere=[3]), "expected an object, got 3"),
    "shapes": (_changed(shapes=[8, 8]), "shapes: expected list, got 8"),
    "empty shape": (_changed(shapes=[[8, 0]]), "shapes: expected positive sizes, got [8, 0]"),
    "knob": (_changed(config={"tile": 2.5}), "config.tile: expected int, got 2.5"),
    "flag as knob": (_changed(config={"tile": True}), "config.tile: expected int, got True"),
    "config": (_changed(config=[1]), "config: expected dict"),
    "size": (
        _changed(workload=json.loads(Rows(8, 8).key) | {"width": "8"}),
        "workload.width: expected int, got '8'",
    ),
    "tuple": (_changed(workload=json.loads(Rows(8, 8).key) | {"window": [1]}), "workload.window: expected"),
    "null": (_changed(workload=json.loads(Rows(8, 8).key) | {"width": None}), "workload.width: expected int"),
    "status": (encode(trial(Rows(8, 8), {})).replace(b'"ok"', b'"fine"'), "status: expected one of ok"),
    "failed with times": (encode(trial(Rows(8, 8), {})).replace(b'"ok"', b'"crash"'), "do not go with"),
    "no microarchitecture": (
        encode(header()).replace(b'"microarchitecture":"icelake-server",', b""),
        "microarchitecture: missing",
    ),
    "microarchitecture": (
        encode(header()).replace(b'"icelake-server"', b"4"),
        "microarchitecture: expected str, got 4",
    ),
    "header": (encode(header()).replace(b'"threads":2', b'"threads":0'), "threads: expected at least 1"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_lines_say_what_is_wrong(name: str) -> None:
    line, message = DAMAGED[name]
    with pytest.raises(BadRecordError) as caught:
        decode(line)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300
    assert not isinstance(caught.value, StaleRecordError)


STALE = {
    "kind": (b'{"record":"model","seconds":1}', "kind of record 'model'"),
    "schema": (encode(header()).replace(b'"schema":4', b'"schema":5'), "schema 5 is newer"),
    "target": (encode(header()).replace(b"x86-avx512", b"arm64-sve"), "target class 'arm64-sve'"),
    "operator": (_changed(workload={"operator": "convolve"}), "operator 'convolve' is not known"),
    "no operator": (_changed(workload={}), "operator None is not known"),
    "field": (_changed(workload=json.loads(Rows(8, 8).key) | {"depth": 3}), "others by now: depth"),
}


@pytest.mark.parametrize("name", STALE)
def test_what_another_version_wrote_is_stale_and_not_damaged(name: str) -> None:
    line, message = STALE[name]
    with pytest.raises(StaleRecordError, match=message):
        decode(line)


def test_fields_that_a_newer_version_adds_do_no_harm() -> None:
    assert decode(_changed(temperature=40)) == winner(Rows(8, 8), {"tile": 2, "wide": 1})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=12,
)
lines = st.sampled_from(
    [encode(header()), encode(winner(CONVOLUTION, {"points": 7})), encode(trial(Rows(8, 8), {"tile": 1}))]
)


@settings(deadline=None)
@given(lines, st.data())
def test_any_change_of_a_line_is_read_or_refused(line: bytes, data: st.DataObject) -> None:
    fields = json.loads(line)
    name = data.draw(st.sampled_from(sorted(fields)))
    fields[name] = data.draw(json_values)
    damaged = bytearray(line)
    damaged[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.integers(0, 255))
    for changed in (json.dumps(fields).encode(), bytes(damaged)):
        with suppress(BadRecordError):
            decode(changed)


@given(st.floats(min_value=1e-9, max_value=1e6))
def test_times_keep_their_last_bit(time: float) -> None:
    read = decode(encode(trial(Rows(8, 8), {}, time)))
    assert isinstance(read, Trial)
    assert struct.pack("d", read.outcome.seconds[0]) == struct.pack("d", time)
