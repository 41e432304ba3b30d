"""Compilation applies what was measured for the same workload and instructions, and else what is near."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tuning_records import Log, Rows, header, trial, winner

from paddle_tvm.compiler.tuning.choices import TunedChoices, shipped_logs
from paddle_tvm.compiler.tuning.log import Entry, LogWriter, read_log
from paddle_tvm.compiler.tuning.log_use import ForeignForms, UnusedLog, unused_by_all
from paddle_tvm.compiler.tuning.records import Elsewhere
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.workload import Choice
from paddle_tvm.targets.x86 import X86Target, target, x86_target
from paddle_tvm.targets.x86.workloads import Conv2d

HERE = header()
DEFAULT = Choice({"tile": 1, "wide": 0})
FORM = {"tile": 4, "wide": 1}


@dataclass(frozen=True)
class Chooser:
    """``of`` a target: which choice the logs give for a workload."""

    target: X86Target = field(default_factory=lambda: x86_target("icelake-server"))

    def of(self, workload: Rows, *logs: Path, **options: Any) -> Choice:
        return TunedChoices(self.target, logs, **options).of(workload)


AVX512 = Chooser()
AVX2 = Chooser(x86_target("haswell"))


def test_a_workload_gets_the_form_of_its_record(log: Log) -> None:
    path = log("a.jsonl", HERE, trial(Rows(8, 8), {"tile": 8, "wide": 1}), winner(Rows(8, 8), FORM))
    assert AVX512.of(Rows(8, 8), path) == Choice(FORM, "tuned", "a.jsonl:3")
    assert AVX512.of(Rows(8, 8)) == DEFAULT


def test_a_record_of_other_instructions_is_never_applied(log: Log) -> None:
    path = log("a.jsonl", header("x86-avx2"), winner(Rows(8, 8), FORM))
    assert AVX512.of(Rows(8, 8), path) == DEFAULT
    assert AVX512.of(Rows(8, 9), path) == DEFAULT
    assert AVX2.of(Rows(8, 8), path).origin == "tuned"
    assert Chooser(x86_target("x86-64")).of(Rows(8, 8), path) == DEFAULT


def test_what_gains_nothing_leaves_the_default(log: Log) -> None:
    same = Rows(8, 8).default()
    path = log("a.jsonl", HERE, winner(Rows(8, 8), same, gain=1.3), winner(Rows(8, 64), FORM, gain=1.019))
    for workload in (Rows(8, 8), Rows(8, 64), Rows(8, 10), Rows(8, 60)):
        assert AVX512.of(workload, path) == DEFAULT


def test_trials_alone_decide_nothing(log: Log) -> None:
    path = log("a.jsonl", HERE, trial(Rows(8, 8), FORM, 1e-9))
    assert AVX512.of(Rows(8, 8), path) == DEFAULT


def test_the_most_threads_up_to_those_asked_for_count(log: Log) -> None:
    forms = {threads: {"tile": threads, "wide": 1} for threads in (1, 2, 4, 8)}
    paths = [
        log(f"{threads}.jsonl", header(threads=threads), winner(Rows(8, 8), form, threads=threads))
        for threads, form in forms.items()
    ]
    for asked, taken in ((None, 8), (64, 8), (8, 8), (7, 4), (2, 2)):
        choices = TunedChoices(AVX512.target, paths, threads=asked)
        assert choices.of(Rows(8, 8)).config == forms[taken]
        assert choices.threads == taken
    # Where all were measured with more, those with the fewest are nearest.
    assert AVX512.of(Rows(8, 8), *paths[2:], threads=2).config == forms[4]


def test_the_users_logs_count_before_shipped_ones(log: Log) -> None:
    shipped = log("shipped.jsonl", HERE, winner(Rows(8, 8), {"tile": 8, "wide": 1}, gain=3))
    mine = log("mine.jsonl", HERE, winner(Rows(8, 8), FORM, gain=1.1))
    assert AVX512.of(Rows(8, 8), mine, shipped=[shipped]) == Choice(FORM, "tuned", "mine.jsonl:2")
    unchanged = log("unchanged.jsonl", HERE, winner(Rows(8, 8), Rows(8, 8).default()))
    assert AVX512.of(Rows(8, 8), unchanged, shipped=[shipped]) == DEFAULT


def test_shipped_records_hold_for_cores_of_their_family_alone(log: Log) -> None:
    def origins(measured_on: str | None, mcpu: str) -> list[str]:
        shipped = log(f"{measured_on}.jsonl", header(microarchitecture=measured_on), winner(Rows(8, 8), FORM))
        choices = TunedChoices(x86_target(mcpu), shipped=[shipped])
        found = [choices.of(workload).origin for workload in (Rows(8, 8), Rows(8, 9))]
        assert choices.foreign_forms == ()
        return found

    assert origins("znver4", "znver4") == ["tuned", "transferred"]
    assert origins("emeraldrapids", "icelake-server") == ["tuned", "transferred"]
    assert origins("znver4", "sapphirerapids") == ["default", "default"]
    assert origins("icelake-client", "icelake-server") == ["default", "default"]
    assert origins(None, "znver4") == ["default", "default"]


def test_without_a_named_cpu_shipped_records_are_those_of_this_machine(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = x86_target()
    shipped = log("a.jsonl", header(here.target_class, microarchitecture="znver4"), winner(Rows(8, 8), FORM))
    for name, origin in (("znver4", "tuned"), ("emeraldrapids", "default")):
        monkeypatch.setattr(target, "microarchitecture_here", lambda name=name: name)
        assert TunedChoices(x86_target(), shipped=[shipped]).of(Rows(8, 8)).origin == origin
        # With a name, nothing depends on the machine.
        assert TunedChoices(x86_target("icelake-server"), shipped=[shipped]).of(Rows(8, 8)) == DEFAULT


@pytest.mark.parametrize("measured_on", ["znver4", None])
def test_the_users_records_of_other_cores_apply_and_are_named(log: Log, measured_on: str | None) -> None:
    under = header(microarchitecture=measured_on)
    path = log("mine.jsonl", under, winner(Rows(8, 8), FORM), winner(Rows(8, 64), Rows(8, 64).default()))
    choices = TunedChoices(AVX512.target, [path])
    # Nothing of them is in use yet; then nothing but the default.
    assert choices.foreign_forms == ()
    assert choices.of(Rows(8, 64)) == DEFAULT
    assert choices.foreign_forms == ()
    assert choices.of(Rows(8, 8)) == Choice(FORM, "tuned", "mine.jsonl:2")
    assert choices.foreign_forms == (ForeignForms(path, (measured_on,), "icelake-server"),)


def test_records_of_the_cores_that_are_compiled_for_count_before_others(log: Log) -> None:
    other = {"tile": 8, "wide": 1}
    path = log(
        "mine.jsonl", header(microarchitecture="znver4", threads=4), winner(Rows(8, 8), other, 3, 1e-4, 4)
    )
    log("mine.jsonl", header(microarchitecture="cascadelake"), winner(Rows(8, 8), FORM, 1.1))
    choices = TunedChoices(AVX512.target, [path], threads=4)
    assert choices.of(Rows(8, 8)) == Choice(FORM, "tuned", "mine.jsonl:4")
    assert choices.foreign_forms == ()
    assert Chooser(x86_target("znver4")).of(Rows(8, 8), path).config == other
    # Who names a log asks for it, whatever it was measured on.
    foreign = log("foreign.jsonl", header(microarchitecture="znver4"), winner(Rows(8, 8), other))
    shipped = log("shipped.jsonl", HERE, winner(Rows(8, 8), FORM))
    assert AVX512.of(Rows(8, 8), foreign, shipped=[shipped]).config == other


def test_a_form_that_this_version_lacks_gives_way_to_the_next_best(log: Log) -> None:
    lost = winner(Rows(8, 8), {"tile": 4, "wide": 1, "tall": 1}, gain=9)
    path = log("a.jsonl", HERE, lost, winner(Rows(8, 8), FORM))
    assert AVX512.of(Rows(8, 8), path) == Choice(FORM, "tuned", "a.jsonl:3")


def test_the_nearest_neighbour_lends_its_form(log: Log) -> None:
    path = log("a.jsonl", HERE, winner(Rows(8, 8), {"tile": 8, "wide": 1}), winner(Rows(8, 16), FORM))
    assert AVX512.of(Rows(8, 14), path) == Choice(FORM, "transferred", "a.jsonl:3")
    assert AVX512.of(Rows(8, 9), path) == Choice({"tile": 8, "wide": 1}, "transferred", "a.jsonl:2")
    # Twice the size, over all sizes together, is the farthest.
    assert AVX512.of(Rows(8, 32), path).origin == "transferred"
    assert AVX512.of(Rows(8, 33), path) == DEFAULT
    assert AVX512.of(Rows(16, 32), path) == DEFAULT


def test_a_neighbour_whose_form_does_not_fit_is_passed_over(log: Log) -> None:
    path = log("a.jsonl", HERE, winner(Rows(16, 8), {"tile": 16, "wide": 1}), winner(Rows(24, 8), FORM))
    assert AVX512.of(Rows(20, 8), path) == Choice(FORM, "transferred", "a.jsonl:3")


def test_other_families_and_unknown_sizes_are_no_neighbours(log: Log) -> None:
    path = log("a.jsonl", HERE, winner(Rows(8, 8), FORM))
    assert AVX512.of(Rows(8, 8, window=(3, 3)), path) == DEFAULT
    assert AVX512.of(Rows(8, 8, layout="blocked"), path) == DEFAULT
    assert AVX512.of(Rows(None, 8), path) == DEFAULT
    path = log("b.jsonl", HERE, winner(Rows(None, 8), FORM))
    assert AVX512.of(Rows(None, 9), path).origin == "transferred"


def test_convolutions_lend_their_form_over_sizes_and_channels(log: Log) -> None:
    def convolution(**fields: Any) -> Conv2d:
        common: dict[str, Any] = {"batch": 1, "rows": 28, "columns": 28, "channels": 64, "outputs": 64}
        common |= {"kernel": (1, 1), "strides": (1, 1), "dilation": (1, 1), "padding": (0, 0, 0, 0)}
        return Conv2d(**(common | {"groups": 1, "lanes_in": 16, "lanes": 16} | fields))

    form = {"winograd": 0, "points": 7, "blocks": 2, "chunks": 0}
    path = log("a.jsonl", HERE, winner(convolution(), form))
    choices = TunedChoices(AVX512.target, [path])
    assert choices.of(convolution()) == Choice(form, "tuned", "a.jsonl:2")
    assert choices.of(convolution(channels=96)) == Choice(form, "transferred", "a.jsonl:2")
    # Three blocks of outputs do not divide by two.
    assert choices.of(convolution(outputs=48)).origin == "default"
    for fields in ({"strides": (2, 2)}, {"lanes": 8}, {"lanes_in": 8}, {"kernel": (3, 3)}, {"rows": None}):
        assert choices.of(convolution(**fields)).origin == "default"
    # The record's own workload gets it, and no other: by the model it is slow.
    path = log("b.jsonl", HERE, winner(convolution(), {**form, "points": 1}))
    choices = TunedChoices(AVX512.target, [path])
    assert choices.of(convolution()).origin == "tuned"
    assert choices.of(convolution(channels=96)).origin == "default"


def test_winograd_and_direct_convolution_are_not_taken_over_against_the_model() -> None:
    def convolution(rows: int, channels: int) -> Conv2d:
        square: Any = ((3, 3), (1, 1), (1, 1), (1, 1, 1, 1))
        return Conv2d(1, rows, rows, channels, channels, *square, 1, 16, 16)

    large, small = convolution(56, 64), convolution(7, 512)
    assert large.default()["winograd"] == 4
    assert large.agrees(large.default())
    assert not large.agrees({"winograd": 0, "points": 14, "blocks": 1})
    assert not small.agrees({**large.default(), "winograd": 4})


def test_every_choice_is_remembered(log: Log) -> None:
    path = log("a.jsonl", HERE, winner(Rows(8, 8), FORM))
    choices = TunedChoices(AVX512.target, [path])
    asked = [Rows(8, 8), Rows(8, 9), Rows(8, 800), Rows(8, 8)]
    made = {workload.key: choices.of(workload) for workload in asked}
    assert choices.made == made
    assert [choice.origin for choice in choices.made.values()] == ["tuned", "transferred", "default"]


def test_bad_lines_are_counted_and_the_rest_is_applied(log: Log) -> None:
    path = log("a.jsonl", HERE)
    path.write_bytes(path.read_bytes() + b"?\n")
    log("a.jsonl", HERE, winner(Rows(8, 8), FORM))
    choices = TunedChoices(AVX512.target, [path])
    assert choices.of(Rows(8, 8)).origin == "tuned"
    assert [(line.path, line.line) for line in choices.skipped] == [(path, 2)]


def test_a_log_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such tuning log"):
        TunedChoices(AVX512.target, [tmp_path / "none.jsonl"])


def test_shipped_logs_are_sound_and_of_their_class_and_name_who_measured() -> None:
    for mcpu in ("icelake-server", "haswell", "x86-64"):
        target = x86_target(mcpu)
        logs = shipped_logs(target)
        assert all(log.parent.name == target.target_class for log in logs)
        assert not TunedChoices(target, shipped=logs).skipped
        entries = [entry for log in logs for entry in read_log(log) if isinstance(entry, Entry)]
        assert all(entry.header.microarchitecture is not None for entry in entries)


@pytest.mark.parametrize(
    ("measured", "family"),
    [("znver4", {"znver4"}), ("sapphirerapids", {"sapphirerapids", "icelake-server", "skylake-avx512"})],
)
def test_what_is_shipped_holds_for_the_family_that_measured(measured: str, family: set[str]) -> None:
    (path,) = (log for log in shipped_logs(x86_target("znver4")) if log.name.startswith(measured))
    workloads = {entry.record.workload for entry in read_log(path) if isinstance(entry, Entry)}
    for mcpu in ("znver4", "znver5", "sapphirerapids", "icelake-server", "skylake-avx512"):
        choices = TunedChoices(x86_target(mcpu), shipped=[path])
        origins = {choices.of(workload).origin for workload in workloads}
        assert ("tuned" in origins) is (mcpu in family)


winners = st.builds(
    winner,
    st.builds(Rows, st.sampled_from([8, 16]), st.sampled_from([8, 9, 12])),
    st.fixed_dictionaries({"tile": st.sampled_from([1, 2, 8]), "wide": st.integers(0, 1)}),
    gain=st.sampled_from([1.0, 1.1, 1.2]),
    seconds=st.sampled_from([1e-3, 2e-3]),
)


@given(parts=st.lists(st.lists(winners, max_size=4), max_size=4), order=st.randoms(use_true_random=False))
def test_the_order_of_the_logs_does_not_matter(
    parts: Sequence[Sequence[Any]], order: Any, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("logs")
    paths = [folder / f"{number}.jsonl" for number in range(len(parts))]
    for path, records in zip(paths, parts, strict=True):
        LogWriter(path, HERE).append(records)
    shuffled = order.sample(paths, len(paths))
    workloads = [Rows(rows, width) for rows in (8, 16) for width in (8, 9, 10, 12)]
    one, other = TunedChoices(AVX512.target, paths), TunedChoices(AVX512.target, shuffled)
    assert [one.of(workload) for workload in workloads] == [other.of(w) for w in reversed(workloads)][::-1]


def test_what_saves_more_at_its_sizes_counts_where_they_are_unknown(log: Log) -> None:
    rows, other = Rows(None, 8), {"tile": 4, "wide": 1}
    # Twice as fast where a call is short.
    small = replace(winner(rows, FORM, gain=2.0, seconds=1e-5), shapes=((10, 8),))
    large = replace(winner(rows, other, gain=1.2, seconds=1e-2), shapes=((10000, 8),))
    paths = [log("small.jsonl", HERE, small), log("large.jsonl", HERE, large)]
    assert TunedChoices(AVX512.target, paths).of(rows).config == other
    # A record that does not say at which sizes comes last.
    old = log("old.jsonl", header(schema=3), winner(rows, FORM, gain=3.0))
    assert TunedChoices(AVX512.target, [old, *paths]).of(rows).config == other
    assert TunedChoices(AVX512.target, [old]).of(rows).config == FORM


def test_the_gain_is_the_mean_over_the_sizes(log: Log) -> None:
    rows = Rows(None, 8)
    won = replace(
        winner(rows, FORM, gain=1.01),
        shapes=((10, 8),),
        elsewhere=(Elsewhere(((100, 8),), {2: 1e-3, 1: 2e-3}, {2: 1.5e-3, 1: 3e-3}),),
    )
    assert won.gain(2) == pytest.approx((1.01 * 1.5) ** 0.5)
    assert TunedChoices(AVX512.target, [log("a.jsonl", HERE, won)]).of(rows).origin == "tuned"


def test_a_log_without_a_record_for_what_was_asked_is_unused(log: Log) -> None:
    path = log("a.jsonl", HERE, winner(Rows(8, 8), FORM))
    choices = TunedChoices(AVX512.target, [path])
    assert choices.of(Rows(8, 800)) == DEFAULT
    (unused,) = choices.unused_logs
    assert unused == UnusedLog(path, ("x86-avx512",), "x86-avx512")
    assert "give the --shape that was tuned" in unused.reason
    # A near workload's form is a use of it.
    assert choices.of(Rows(8, 9)).origin == "transferred"
    assert choices.unused_logs == ()


def test_logs_that_say_nothing_new_are_used_all_the_same(log: Log) -> None:
    default = log("default.jsonl", HERE, winner(Rows(8, 8), Rows(8, 8).default(), gain=1.0))
    slower = log("slower.jsonl", HERE, winner(Rows(8, 8), FORM, gain=1.1))
    choices = TunedChoices(AVX512.target, [default, slower], shipped=[default])
    assert choices.of(Rows(8, 8)).origin == "tuned"
    assert choices.unused_logs == ()
    # A default that is kept is a use, too.
    kept = TunedChoices(AVX512.target, [default])
    assert kept.of(Rows(8, 8)) == DEFAULT
    assert kept.unused_logs == ()


def test_a_log_without_winners_is_unused(log: Log) -> None:
    choices = TunedChoices(AVX512.target, [log("trials.jsonl", HERE, trial(Rows(8, 8), FORM))])
    assert choices.of(Rows(8, 8)) == DEFAULT
    (unused,) = choices.unused_logs
    assert unused.measured_for == ()
    assert "--trials 0" in unused.reason


def test_a_form_that_this_version_does_not_have_is_skipped_and_told(log: Log) -> None:
    path = log("a.jsonl", HERE, winner(Rows(8, 8), {"tile": 12345}))
    choices = TunedChoices(AVX512.target, [path])
    assert choices.skipped == ()
    assert choices.of(Rows(8, 8)) == DEFAULT
    (line,) = choices.skipped
    assert (line.line, line.stale) == (2, True)
    assert "this version has no such form" in line.reason


def test_of_several_targets_the_reason_is_that_of_the_logs_class(log: Log) -> None:
    path = log("a.jsonl", HERE, winner(Rows(8, 8), FORM))
    both = [TunedChoices(target, [path]) for target in (AVX2.target, AVX512.target)]
    for choices in both:
        choices.of(Rows(8, 800))
    (unused,) = unused_by_all([choices.unused_logs for choices in both])
    assert unused.of_class
    both[1].of(Rows(8, 8))
    assert unused_by_all([choices.unused_logs for choices in both]) == ()
