"""``paddle-tvm compile --tuning-log``: kernels get the forms of the log, and the artifact says so."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cli_outcome import Run

from paddle_tvm import compiler
from paddle_tvm.compiler.profiling.kernel_table import KernelTable, kernels_file, read_kernel_table
from paddle_tvm.compiler.tuning.log import LogWriter
from paddle_tvm.compiler.tuning.records import Winner, header_here
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.manifest import MODEL_FILE, Variant
from paddle_tvm.targets.workload import Config, Workload
from paddle_tvm.targets.x86 import target, x86_target

SHAPE = "x=1,3,24,24"


def kernels(artifact: Path) -> KernelTable:
    return read_kernel_table((artifact / kernels_file(MODEL_FILE)).read_bytes(), "artifact")


def variant(artifact: Path) -> Variant:
    (only,) = read_manifest(artifact).variants
    return only


@dataclass(frozen=True)
class Tuned:
    """A log with a winner for the convolution of the small model, and the name of its kernel."""

    log: Path
    kernel: str
    workload: Workload
    config: Config


def write_log(path: Path, workload: Workload, config: Config, mcpu: str | None = None, **header: Any) -> Path:
    record = Winner(workload, config, {2: 1e-3, 1: 2e-3}, workload.default(), {2: 2e-3, 1: 4e-3})
    LogWriter(path, replace(header_here(x86_target(mcpu), threads=2), **header)).append([record])
    return path


def convolution(table: KernelTable) -> tuple[str, Workload]:
    ((kernel, key),) = (
        (name, schedule.workload)
        for name, schedule in table.schedules.items()
        if schedule.workload is not None and '"operator":"conv2d"' in schedule.workload
    )
    return kernel, Workload.from_key(key)


@pytest.fixture(scope="module")
def tuned(saved_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    folder = tmp_path_factory.mktemp("tuned")
    result = compiler.compile(
        saved_model, folder / "default.pdtvm", shapes={"x": (1, 3, 24, 24)}, shipped_logs=False
    )
    assert {choice.origin for choice in result.variants[0].choices.values()} == {"default"}
    kernel, workload = convolution(kernels(folder / "default.pdtvm"))
    config = next(config for config in workload.candidates() if config.get("points") == 3)
    assert config != workload.default()
    return Tuned(write_log(folder / "mine.jsonl", workload, config), kernel, workload, config)


def compile_with(run: Run, model: Path, output: Path, *arguments: object) -> Any:
    result = run("compile", model, "-o", output, "--shape", SHAPE, *arguments)
    assert result.code == 0, result.err
    return result


def test_the_form_of_a_record_is_applied_right_and_named(
    run: Run, model: Path, tuned: Tuned, tmp_path: Path
) -> None:
    output = tmp_path / "out.pdtvm"
    result = compile_with(run, model, output, "--tuning-log", tuned.log, "--verify", "--no-tuning-logs")
    assert "1 tuned" in result.out
    schedule = kernels(output).schedules[tuned.kernel]
    assert schedule.choice is not None
    assert (schedule.choice.config, schedule.choice.origin) == (tuned.config, "tuned")
    assert schedule.parameters["tile"] == tuned.config["points"]
    assert variant(output).threads == 2
    assert (tuned.kernel, "tuned", "mine.jsonl:2") in variant(output).tuning
    assert all(record.record is None for record in variant(output).tuning if record.origin == "default")
    verification = variant(output).verification
    assert verification is not None
    assert verification.passed
    profile = json.loads(run("profile", output, "--rounds", "1", "--json").out)
    forms = {kernel["kernel"]: kernel["form"] for kernel in profile["kernels"]}
    assert forms[tuned.kernel] == {
        "config": dict(tuned.config),
        "origin": "tuned",
        "source": "mine.jsonl:2",
    }
    # The table folds long lines.
    assert "tunedbymine.jsonl:2" in "".join(run("profile", output, "--rounds", "1").out.split())


def test_a_near_workload_lends_its_form_and_the_report_says_so(
    run: Run, model: Path, tuned: Tuned, tmp_path: Path
) -> None:
    output, page = tmp_path / "out.pdtvm", tmp_path / "page.html"
    arguments = ["-o", output, "--shape", "x=1,3,24,30", "--tuning-log", tuned.log, "--report", page]
    result = run("compile", model, *arguments, "--json", "--no-tuning-logs")
    (compiled,) = json.loads(result.out)["variants"]
    assert compiled["forms"]["transferred"] == 1
    assert compiled["forms"]["tuned"] == 0
    assert '<td title="transferred by mine.jsonl:2">transferred</td>' in page.read_text()


def test_a_log_of_other_instructions_changes_nothing(run: Run, model: Path, tmp_path: Path) -> None:
    here = x86_target()
    other = "haswell" if here.lanes == 16 else "icelake-server"
    first, second = tmp_path / "plain.pdtvm", tmp_path / "other.pdtvm"
    compile_with(run, model, first, "--no-tuning-logs")
    _, workload = convolution(kernels(first))
    config = next(config for config in workload.candidates() if config != workload.default())
    log = write_log(tmp_path / "other.jsonl", workload, config, other)
    result = compile_with(run, model, second, "--tuning-log", log, "--no-tuning-logs")
    (note,) = [line for line in result.err.splitlines() if line.startswith("note:")]
    measured = x86_target(other).target_class
    assert note == (
        f"note: nothing of {log} is used: it was measured for {measured}, and this is compiled for "
        f"{here.target_class}"
    )
    assert variant(second).tuning == variant(first).tuning
    assert (second / "model.so").read_bytes() == (first / "model.so").read_bytes()


def test_a_log_without_a_kernel_of_the_model_is_told(
    run: Run, model: Path, tuned: Tuned, tmp_path: Path
) -> None:
    arguments = ("--tuning-log", tuned.log, "--no-tuning-logs")
    # The log was measured at 24x24, and --shape is missing.
    result = run("compile", model, "-o", tmp_path / "out.pdtvm", *arguments)
    assert result.code == 0, result.err
    (note,) = [line for line in result.err.splitlines() if line.startswith("note:")]
    assert note.startswith(f"note: nothing of {tuned.log} is used: it has winners, but none for a kernel")
    assert "give the --shape that was tuned" in note
    (forms,) = [line for line in result.out.splitlines() if line.startswith("forms of kernels")]
    assert re.search(r": \d+ default$", forms)
    result = run("compile", model, "-o", tmp_path / "json.pdtvm", *arguments, "--json")
    (unused,) = json.loads(result.out)["unused_logs"]
    assert note == f"note: nothing of {unused['log']} is used: {unused['reason']}"
    # What says that the default wins is for this model.
    kept = write_log(tmp_path / "kept.jsonl", tuned.workload, tuned.workload.default())
    result = compile_with(run, model, tmp_path / "kept.pdtvm", "--tuning-log", kept, "--no-tuning-logs")
    assert "note:" not in result.err
    assert "forms of kernels" in result.out


def test_a_log_of_other_cores_is_applied_and_one_line_says_so(
    run: Run, model: Path, tuned: Tuned, tmp_path: Path
) -> None:
    log = write_log(
        tmp_path / "other.jsonl", tuned.workload, tuned.config, microarchitecture="a CPU of the future"
    )
    result = compile_with(
        run, model, tmp_path / "out.pdtvm", "--tuning-log", log, "--no-tuning-logs", "--json"
    )
    (note,) = [line for line in result.err.splitlines() if line.startswith("note:")]
    here = x86_target().microarchitecture
    assert note.startswith(
        f"note: {log} was measured on a CPU of the future, and this is compiled for {here}, whose cores"
    )
    content = json.loads(result.out)
    assert content["variants"][0]["forms"]["tuned"] == 1
    assert content["foreign_forms"] == [
        {"log": str(log), "measured_on": ["a CPU of the future"], "compiled_for": here}
    ]
    # Nothing is said where all is of this machine.
    result = compile_with(run, model, tmp_path / "own.pdtvm", "--tuning-log", tuned.log, "--no-tuning-logs")
    assert "note:" not in result.err


def test_for_a_named_cpu_the_artifact_does_not_depend_on_this_machine(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = []
    for here in ("znver4", "emeraldrapids"):
        monkeypatch.setattr(target, "microarchitecture_here", lambda here=here: here)
        compile_with(run, model, tmp_path / here, "--mcpu", "znver4")
        contents.append(
            {path.name: path.read_bytes() for path in (tmp_path / here).rglob("*") if path.is_file()}
        )
    assert contents[0] == contents[1]


def test_equal_logs_give_equal_artifacts(run: Run, model: Path, tuned: Tuned, tmp_path: Path) -> None:
    outputs = [tmp_path / "one.pdtvm", tmp_path / "two.pdtvm"]
    compile_with(run, model, outputs[0], "--tuning-log", tuned.log)
    compiler.compile(model, outputs[1], shapes={"x": (1, 3, 24, 24)}, tuning_logs=tuned.log)
    for file in outputs[0].rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (outputs[1] / file.relative_to(outputs[0])).read_bytes()


def test_bad_lines_are_counted_on_stderr(run: Run, model: Path, tuned: Tuned, tmp_path: Path) -> None:
    log = tmp_path / "bad.jsonl"
    log.write_bytes(b"?\n" + tuned.log.read_bytes() + b"{}\n")
    result = compile_with(run, model, tmp_path / "out.pdtvm", "--tuning-log", log, "--json")
    assert "2 lines were skipped, the first is line 1: not JSON" in result.err
    assert f"paddle-tvm tune --check {log}" in result.err
    skipped = json.loads(result.out)["skipped_records"]
    assert [(line["log"], line["line"]) for line in skipped] == [(str(log), 1), (str(log), 4)]


def test_logs_that_are_none_are_refused_before_anything_is_compiled(
    run: Run, model: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("milk\neggs\n")
    for log, message in (
        (tmp_path / "none.jsonl", "no such tuning log"),
        (tmp_path, "is a directory"),
        (notes, "is no tuning log"),
    ):
        result = run("compile", model, "-o", tmp_path / "out.pdtvm", "--tuning-log", log)
        assert result.code == 2
        assert message in result.err
        assert "import" not in result.err


def test_tables_of_kernels_without_choices_stay_readable(tuned: Tuned) -> None:
    schedule = {"rule": "register_tile", "parameters": {"tile": 4}, "parallel": [7], "view": False}
    fields = {"table_version": 1, "forms": {}, "schedules": {"conv": schedule}, "operators": {}}
    table = read_kernel_table(json.dumps(fields).encode(), "artifact")
    assert table.schedules["conv"].choice is None
    assert table.choices == {}
