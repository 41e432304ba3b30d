"""What the suite makes of measurements: ratios, means, notes, a page and a plot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paddle_tvm.compiler.bench.result import EngineResult, time_ratio
from paddle_tvm.compiler.bench.suite.page import suite_page
from paddle_tvm.compiler.bench.suite.plot import draw_suite
from paddle_tvm.compiler.bench.suite.result import (
    Form,
    Memory,
    Row,
    SuiteResult,
    WorkloadResult,
    geometric_mean,
)
from paddle_tvm.compiler.bench.suite.tables import suite_notes, suite_tables


def _workload(title: str, threads: int = 1, **engines: EngineResult) -> WorkloadResult:
    return WorkloadResult(
        title.lower(),
        title,
        {"x": (1, 3, 8, 8)},
        rows=[Row(threads, {result.engine: result for result in engines.values()}, "paddle")],
        forms={"ours": Form(3.0, 5_000_000, 7)},
        memory={"ours": Memory(40_000_000), "onnxruntime": Memory(80_000_000)},
        complete=True,
    )


def _timed(engine: str, milliseconds: float, **details: object) -> EngineResult:
    return EngineResult(engine, ((milliseconds / 1e3,) * 3,), **details)  # type: ignore[arg-type]


def _suite(*workloads: WorkloadResult, interrupted: bool = False) -> SuiteResult:
    engines = ["ours", "paddle", "onnxruntime", "openvino"]
    return SuiteResult(
        list(workloads), {"engines": engines, "rounds": 3}, {"cpu": "a CPU"}, len(workloads), interrupted
    )


FAST = _workload(
    "Fast",
    a=_timed("ours", 2.0),
    b=_timed("paddle", 8.0),
    c=_timed("onnxruntime", 4.0),
    d=EngineResult("openvino", failure="no such operator"),
)
SLOW = _workload(
    "Slow",
    a=_timed("ours", 40.0),
    b=_timed("paddle", 20.0),
    c=_timed("onnxruntime", 1.0, difference=0.5),
    d=_timed("openvino", 10.0, disturbance=1.2, restless=True),
)


def test_a_time_is_the_median_of_the_rounds_medians() -> None:
    rounds = ((1.0, 1.0, 9.0), (2.0, 2.0, 2.0, 2.0, 2.0), (50.0,))
    assert EngineResult("ours", rounds).median == 2.0


def test_the_best_is_the_fastest_that_answers_rightly() -> None:
    assert FAST.rows[0].best_peer() == "onnxruntime"
    assert FAST.rows[0].ratio("ours", "onnxruntime") == pytest.approx(0.5)
    assert SLOW.rows[0].best_peer() == "openvino"
    assert SLOW.rows[0].ratio("ours", "onnxruntime") is None


def test_the_mean_of_ratios_is_geometric() -> None:
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    assert geometric_mean([]) is None
    times, costs = suite_tables(_suite(FAST, SLOW))
    assert times.header[-4:] == (
        "ours / Paddle oneDNN",
        "ours / ONNX Runtime",
        "ours / OpenVINO",
        "ours / best",
    )
    # 0.25 and 2; 0.5 alone; 4 alone; 0.5 and 4.
    assert [cell.text for cell in times.rows[-1][-4:]] == ["0.71", "0.50", "4.00 ~", "1.41 ~"]
    assert costs.rows[-1][-1].text == "0.50"


def test_what_the_numbers_do_not_say_is_noted() -> None:
    notes = "\n".join(suite_notes(_suite(FAST, SLOW, interrupted=True)))
    assert "Fast: OpenVINO does not run it: no such operator" in notes
    assert "Slow: ONNX Runtime is WRONG, by 5.0e-01" in notes
    assert "Slow: the threads of OpenVINO kept running" in notes
    assert "up to 1.2 cores busy during 1 of these measurements" in notes
    assert "Interrupted: 2 of 2 models are complete." in notes


def test_a_disturbed_form_marks_its_ratio() -> None:
    form = _workload(
        "Form", a=_timed("ours", 1.0), b=_timed("paddle", 2.0), d=_timed("ours:dynamic", 3.0, disturbance=0.4)
    )
    form.forms["ours:dynamic"] = Form(4.0, 5_000_000, 7)
    result = SuiteResult([form], {"engines": ["ours", "ours:dynamic", "paddle"], "rounds": 3}, {}, 1, False)
    forms = suite_tables(result)[1]
    assert [cell.text for cell in forms.rows[0][2:5]] == ["1.00", "3.00 ~", "3.00 ~"]
    assert forms.rows[-1][4].text == "3.00 ~"
    assert form.disturbed
    assert result.as_json()["summary"][0]["disturbed"] == ["ours:dynamic"]


def test_a_result_survives_json() -> None:
    broken = _workload(
        "Broken", a=_timed("ours", 1.0, difference=float("inf")), b=_timed("paddle", 2.0, load_seconds=0.5)
    )
    for workload in (FAST, SLOW, broken):
        text = json.dumps(workload.as_json(), allow_nan=False)
        assert WorkloadResult.from_json(json.loads(text)) == workload


def test_the_page_has_every_table_and_the_machine() -> None:
    page = suite_page(_suite(FAST, SLOW), "suite.png")
    assert "![Our time and that of the other engines](suite.png)" in page
    assert "| Fast | 2.00 | 8.00 | **4.00** | - | 0.25 | 0.50 | - | 0.50 |" in page
    assert "| Slow | 40.0 | 20.0 | **1.00 WRONG** | **10.0 ~** | 2.00 | - | 4.00 ~ | 4.00 ~ |" in page
    assert "| cpu | a CPU |" in page


def test_the_plot_names_every_model(tmp_path: Path) -> None:
    other = _workload("Other", threads=2, a=_timed("ours", 1.0), b=_timed("paddle", 100.0))
    nothing = _workload("Nothing", a=EngineResult("ours", failure="no"), b=_timed("paddle", 1.0))
    files = [tmp_path / "suite.png", tmp_path / "suite.svg"]
    draw_suite(_suite(FAST, other, nothing), files)
    assert files[0].read_bytes().startswith(b"\x89PNG")
    svg = files[1].read_text()
    for text in ("Fast", "Other", "Nothing", "2 threads", "ONNX Runtime", "ours: none"):
        assert text in svg
    assert "disturbed" not in svg


def test_the_plot_marks_what_was_disturbed(tmp_path: Path) -> None:
    file = tmp_path / "suite.svg"
    draw_suite(_suite(FAST, SLOW), [file])
    svg = file.read_text()
    for text in ("hollow, ~: other processes disturbed it", "4.00 ~", "geometric mean 1.41 ~"):
        assert text in svg
    # The other model was measured quietly.
    assert "0.50 ~" not in svg


def test_ratios_are_of_the_same_rounds() -> None:
    # In the third round the machine became half as fast, between the two.
    ours = EngineResult("ours", ((1.0, 1.1, 0.9), (1.0,), (1.0,), (2.0,), (2.0,)))
    paddle = EngineResult("paddle", ((2.0,), (2.0,), (4.0, 3.9, 4.1), (4.0,), (4.0,)))
    assert time_ratio(ours, paddle) == 0.5
    assert time_ratio(paddle, ours) == 2.0
    assert time_ratio(ours, EngineResult("openvino", failure="no such operator")) is None
