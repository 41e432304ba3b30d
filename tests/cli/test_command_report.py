"""``paddle-tvm compile --report``: a page that stands alone, or a clear error before anything is compiled."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import paddle
import pytest
from cli_outcome import Run
from paddle import nn
from paddle.static import InputSpec
from saved_layers import save

from paddle_tvm.compiler import driver, output_places
from paddle_tvm.compiler.bench.disturbance import Others
from paddle_tvm.compiler.cli.text_table import format_count
from paddle_tvm.compiler.graph_nodes import operator_family


class WithNormalisation(nn.Layer):  # type: ignore[misc]
    """Convolutions with what is folded into them and fused behind them, and a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2D(3, 16, 3, padding=1, bias_attr=False)
        self.norm = nn.BatchNorm2D(16)
        self.second = nn.Conv2D(16, 16, 1)
        self.linear = nn.Linear(16, 5)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = nn.functional.relu(self.norm(self.first(x)))
        x = x + self.second(x)
        return nn.functional.softmax(self.linear(x.mean([2, 3])))


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.boxes: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [value for name, value in attrs if name in ("src", "href") and value]
        classes = (given.get("class") or "").split()
        if "box" in classes:
            self.boxes.append(classes[1])

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture(scope="module")
def normalised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = InputSpec([None, 3, 16, 16], "float32", "x")
    return save(WithNormalisation(), tmp_path_factory.mktemp("saved") / "net", spec)


@pytest.fixture(scope="module")
def page(normalised: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    from paddle_tvm import compiler
    from paddle_tvm.compiler.report import write_report

    folder = tmp_path_factory.mktemp("report")
    result = compiler.compile(normalised, folder / "net.pdtvm", shapes={"x": (1, 3, 16, 16)})
    write_report(result, folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


def test_the_page_needs_no_other_file(page: str) -> None:
    links = _Page(page).links
    assert all(link.startswith("#") for link in links)
    assert "http" not in page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "<!--" not in page.replace("<!doctype", "")


def test_the_page_shows_each_operator_and_what_became_of_it(page: str) -> None:
    rows = re.findall(r'<tr data-kind="(\w+)"[^>]*><td>([^<]+)</td>', page)
    fates = {name.split(" ")[0]: kind for kind, name in rows}
    assert fates["batch_norm"] == "folded"
    assert fates["relu"] == "fused"
    assert fates["conv2d"] == "own"
    assert {"add", "mean", "matmul", "softmax"} <= set(fates)
    # Layers whose results look alike are told apart.
    assert "conv2d 3x3 3-&gt;16 16x16: register_tile" in page
    assert "conv2d 1x1 16-&gt;16 16x16: register_tile" in page


def test_the_page_draws_each_kernel_with_the_layout_of_its_result(page: str) -> None:
    parsed = _Page(page)
    assert parsed.boxes.count("input") == parsed.boxes.count("output") == 1
    (line,) = re.findall(r"const calls = (\[.*\]);", page)
    calls = json.loads(line)
    assert len(calls) == len(parsed.boxes) - 2
    assert any(line.startswith("NCHW") for call in calls for line in call["outputs"])
    assert calls[0]["measured"], "the code is this machine's, so it was run"
    assert "this machine reaches" in " ".join(parsed.text)


def test_views_are_no_layout_transforms_and_dynamic_dimensions_are_named(run: Run, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2D(3, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2D(1), nn.Flatten())
    model = save(net, tmp_path / "net", InputSpec([None, 3, 16, 16], "float32", "x"))
    report = tmp_path / "page.html"
    assert run("compile", str(model), "-o", str(tmp_path / "net.pdtvm"), "--report", str(report)).code == 0
    text = " ".join(_Page(report.read_text()).text)
    assert "a layout" not in text
    assert re.search(r"Layout transforms: +0", text)
    assert "x [x_0, 3, 16, 16] (dynamic; here [1, 3, 16, 16])" in text


def test_forms_are_shown_only_where_a_record_gave_them(page: str) -> None:
    assert "data-sort>operators and schedule</th>" in page
    assert "data-sort>form</th>" not in page
    (line,) = re.findall(r"const calls = (\[.*\]);", page)
    assert {call["form"] for call in json.loads(line)} == {""}


def test_counts_stand_apart_from_their_unit() -> None:
    assert [format_count(n, "FLOP") for n in (272, 2720, 1.5e9)] == ["272 FLOP", "2.72 kFLOP", "1.5 GFLOP"]
    assert [format_count(n) for n in (272, 2720)] == ["272", "2.72 k"]


def test_the_colours_are_explained(page: str) -> None:
    keys = re.findall(r'<div class="key below"[^>]*>(.*?)</div>', page)
    assert len(keys) == 3
    explained = dict(re.findall(r'<i class="mark (\w+)"></i>([^<]+)', keys[0]))
    assert explained["convolution"] == "convolution"
    assert explained["folded"] == "folded into weights, wholly or in part"
    assert explained["runtime"] == "outside kernels"
    used = set(re.findall(r'class="mark (\w+)"', page.partition('<section id="graph-section">')[2]))
    assert used <= set(explained)
    # In the table and in the graph an operator has the same colour.
    table = re.findall(r'<i class="mark (\w+)"></i>batch_norm', page)
    assert table == ["folded"]
    assert "100 % of this machine's peak at the dashed line" in keys[1]


@pytest.mark.parametrize(
    ("paddle_name", "onnx_name"),
    [
        ("depthwise_conv2d", "ConvTranspose"), ("matmul", "Gemm"), ("rnn", "LSTM"),
        ("batch_norm_", "BatchNormalization"), ("relu", "Relu"), ("pool2d", "GlobalAveragePool"),
        ("add", "Mul"), ("reshape", "Unsqueeze"),
        ("multiply", "QuantizeLinear"), ("expand", "Expand"), ("nearest_interp", "Resize"),
    ],
)  # fmt: skip
def test_operators_of_onnx_have_the_colours_of_paddles(paddle_name: str, onnx_name: str) -> None:
    assert operator_family(f"pd_op.{paddle_name}") == operator_family(onnx_name) != "other"


def test_bars_of_the_peak_are_full_at_the_peak_or_above(page: str) -> None:
    (full,) = map(float, re.findall(r"--full:([\d.]+)", page))
    bars = re.findall(r'bar peak" data-value="([^"]+)"><i style="--length:([\d.]+)"', page)
    assert bars
    for share, length in bars:
        assert float(length) == pytest.approx(float(share) * full, abs=1e-3)
        assert float(length) <= 1
    assert "max-width: calc" not in page


def test_what_is_said_of_threads_is_what_the_schedule_has(page: str) -> None:
    (line,) = re.findall(r"const calls = (\[.*\]);", page)
    calls = json.loads(line)
    rows = re.findall(r'data-kind="(?:own|loops)" data-place="(\d+)">.*?</span></td><td>([^<]+)</td>', page)
    assert rows
    for place, said in rows:
        alone = calls[int(place)]["schedule"].endswith("one thread")
        assert ("one thread" in said) == alone
        assert ("in parallel" in said) != alone


def test_the_page_counts_the_kernels_of_its_table(page: str) -> None:
    (count,) = re.findall(r"<span>kernels</span><b>(\d+)</b>", page)
    assert int(count) == page.count("<tr data-places=")


@pytest.mark.parametrize("cores", [0.0, 1.5])
def test_a_disturbed_measurement_is_marked(
    normalised: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: float
) -> None:
    from paddle_tvm import compiler
    from paddle_tvm.compiler.report import write_report

    monkeypatch.setattr(Others, "cores", lambda self: cores)
    result = compiler.compile(normalised, tmp_path / "net.pdtvm", shapes={"x": (1, 3, 16, 16)})
    write_report(result, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert ("other processes kept 1.5 cores busy" in page) == bool(cores)
    assert bool(re.search(r"<b>[\d.]+ ms ~</b>", page)) == bool(cores)


def test_the_command_writes_it_and_says_so(run: Run, model: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    result = run("compile", model, "-o", tmp_path / "out.pdtvm", "--report", report)
    assert result.code == 0, result.err
    assert f"report: {report}" in result.out
    assert report.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out.pdtvm", "report.html"]


def test_names_are_escaped(run: Run, model: Path, tmp_path: Path) -> None:
    odd = model.rename(tmp_path / "<b>&")
    report = tmp_path / "report.html"
    assert run("compile", odd, "-o", tmp_path / "out.pdtvm", "--report", report).code == 0
    text = report.read_text(encoding="utf-8")
    assert "<b>&<" not in text
    assert "&lt;b&gt;&amp;" in text


def test_code_for_another_machine_is_reported_without_times(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "cpu_features", frozenset)
    report = tmp_path / "report.html"
    result = run("compile", model, "-o", tmp_path / "out.pdtvm", "--mcpu", "haswell", "--report", report)
    assert result.code == 0, result.err
    text = report.read_text(encoding="utf-8")
    assert re.search("Not timed: this machine&#x27;s CPU lacks [^<]*avx2", text)
    assert "timebar" not in text.partition("</style>")[2]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("missing/report.html", "there is no directory"),
        ("folder", "it is a directory"),
        ("out.pdtvm", "inside the artifact"),
        ("out.pdtvm/weights.bin", "inside the artifact"),
        ("/proc/report.html", "cannot write /proc/report.html: no file can be made in /proc"),
        ("/dev/null/report.html", "there is no directory"),
    ],
)
def test_a_bad_path_is_refused_before_the_model_is_compiled(
    run: Run, model: Path, tmp_path: Path, place: str, message: str
) -> None:
    (tmp_path / "folder").mkdir()
    result = run("compile", model, "-o", tmp_path / "out.pdtvm", "--report", tmp_path / place)
    assert result.code == 2
    assert message in result.err
    assert "import" not in result.err
    assert not (tmp_path / "out.pdtvm").exists()


def test_a_folder_without_permission_is_refused(
    run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    # The tests may run as root, who may write anywhere.
    monkeypatch.setattr(output_places.os, "access", lambda path, mode: Path(path) != folder)
    result = run("compile", model, "-o", tmp_path / "out.pdtvm", "--report", folder / "report.html")
    assert result.code == 2
    assert "no permission" in result.err
    assert not (tmp_path / "out.pdtvm").exists()


def test_a_report_that_is_there_is_replaced_whole(run: Run, model: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("<!DOCTYPE html>" + "old " * 1_000_000)
    assert run("compile", model, "-o", tmp_path / "out.pdtvm", "--report", report).code == 0
    assert "old old" not in report.read_text(encoding="utf-8")


def test_a_report_takes_the_place_of_reports_alone(run: Run, model: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("milk\n")
    for command in (
        ["compile", model, "-o", tmp_path / "out.pdtvm"],
        ["tune", model, "-o", tmp_path / "a.jsonl"],
    ):
        refused = run(*command, "--report", notes)
        assert refused.code == 2
        assert "is a file of another kind, and no page" in refused.err
    assert not (tmp_path / "out.pdtvm").exists()
    assert not (tmp_path / "a.jsonl").exists()
    assert notes.read_text() == "milk\n"


def test_a_log_takes_the_place_of_nothing_else(run: Run, model: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("milk\n")
    refused = run("tune", model, "-o", notes)
    assert refused.code == 2
    assert "exists and is no tuning log" in refused.err
    assert notes.read_text() == "milk\n"
