"""``paddle-tvm inspect`` on models: numbers, and the page with the picture."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import onnx
import paddle
import pytest
from cli_outcome import Run
from onnx import helper
from paddle import nn
from paddle.static import InputSpec
from saved_layers import save

from paddle_tvm.runtime.artifact import MANIFEST_FILE, encode_manifest, read_manifest
from paddle_tvm.runtime.manifest import FORMAT_VERSION


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.boxes = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.links += [value for name, value in attrs if name in ("src", "href") and value]
        self.boxes += "box" in (given.get("class") or "").split()


def test_counts_parameters_and_arithmetic(run: Run, model: Path) -> None:
    result = run("inspect", model, "--json", "--shape", "x=2,3,8,10")
    assert result.code == 0, result.err
    content = json.loads(result.out)
    assert content["inputs"] == [{"name": "x", "dtype": "float32", "shape": [-1, 3, -1, -1]}]
    assert content["parameters"] == 4 * 3 * 9 + 4 + 4 * 5 + 5
    assert content["parameter_bytes"] == 4 * content["parameters"]
    flops = {use["name"]: use["flops"] for use in content["operators"]}
    assert flops["pd_op.conv2d"] == 2 * (2 * 4 * 8 * 10) * (3 * 3 * 3)
    assert flops["pd_op.matmul"] == 2 * (2 * 5) * 4
    assert flops["pd_op.relu"] == 2 * 4 * 8 * 10
    assert content["uncounted"] == 0
    assert content["unsupported"] == {}


def test_recurrent_arithmetic(run: Run, tmp_path: Path) -> None:
    class Recurrent(nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(6, 8)

        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            return self.lstm(x)[0]

    model = save(Recurrent(), tmp_path / "model", InputSpec([None, None, 6], "float32", "x"))
    content = json.loads(run("inspect", model, "--json", "--shape", "x=3,5,6").out)
    flops = {use["name"]: use["flops"] for use in content["operators"]}
    assert flops["pd_op.rnn"] == 2 * 3 * 5 * (4 * 8 * 6 + 4 * 8 * 8)


def test_the_page_stands_alone_and_shows_every_operation(run: Run, model: Path, tmp_path: Path) -> None:
    page = tmp_path / "model.html"
    assert run("inspect", model, "--html", page).code == 0
    text = page.read_text()
    tags = _Tags()
    tags.feed(text)
    assert tags.links == []
    for name in ("conv2d", "relu", "matmul"):
        assert f">{name}</text>" in text
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    # Input, convolution with its followers, reduction, linear layer, output.
    assert tags.boxes == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shape", "x=1,4,8,8"], "'x'"),
        (["--shape", "y=1"], "no input y"),
        (["--shape", "x=0,3,8,8"], "expected at least 1 in dimension 0, got 0"),
        (["--html", "/no/such/x.html"], "/no"),
    ],
)
def test_bad_options(run: Run, model: Path, arguments: list[str], message: str) -> None:
    result = run("inspect", model, *arguments)
    assert result.code == 2
    assert message in result.err


def test_the_page_does_not_take_the_place_of_another_kind_of_file(run: Run, model: Path) -> None:
    program = model / "inference.json"
    before = program.read_bytes()
    result = run("inspect", model, "--html", program)
    assert result.code == 2
    assert f"--html {program}: that is a file of another kind, and no page" in result.err
    assert program.read_bytes() == before


def test_artifacts_have_no_picture(run: Run, artifact: Path, tmp_path: Path) -> None:
    assert run("inspect", artifact, "--html", tmp_path / "x.html").code == 2
    assert json.loads(run("inspect", artifact, "--json").out)["format_version"] == FORMAT_VERSION


def _save_onnx(path: Path, *operators: tuple[str, str]) -> Path:
    """A chain of operators, each of a domain."""
    names = ["x", *(f"v{number}" for number in range(1, len(operators))), "y"]
    nodes = [
        helper.make_node(operator, [names[number]], [names[number + 1]], domain=domain)
        for number, (domain, operator) in enumerate(operators)
    ]
    ports = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, 3, 3]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "graph", ports[:1], ports[1:])
    imports = [helper.make_opsetid("", 18)]
    imports += [helper.make_opsetid(domain, 1) for domain in {domain for domain, _ in operators} - {""}]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), str(path))
    return path


def test_operators_that_onnxruntime_runs_are_told_from_those_that_nobody_does(
    run: Run, tmp_path: Path
) -> None:
    kept = _save_onnx(tmp_path / "kept.onnx", ("", "Relu"), ("com.microsoft", "QuickGelu"))
    said = run("inspect", kept).out
    assert "is unsupported" not in said
    assert "--target onnxruntime keeps it for ONNX Runtime to run: com.microsoft::QuickGelu (1 time)" in said
    lost = _save_onnx(tmp_path / "lost.onnx", ("", "Relu"), ("acme", "Thing"), ("acme", "Thing"))
    said = run("inspect", lost).out
    assert "1 operator is unsupported: acme::Thing (2 times)" in said
    assert "onnxruntime" not in said
    uses = {use["name"]: use for use in json.loads(run("inspect", kept, "--json").out)["operators"]}
    assert (uses["com.microsoft::QuickGelu"]["supported"], uses["com.microsoft::QuickGelu"]["kept"]) == (
        False,
        True,
    )


def test_a_tensor_of_unknown_rank_is_told_from_a_scalar(run: Run, tmp_path: Path) -> None:
    def port(name: str, shape: list[object] | None) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Add", ["h", "s"], ["y"])]
    weight = onnx.numpy_helper.from_array(np.ones((4, 5), "float32"), "w")
    inputs = [port("x", None), port("s", []), port("n", ["n", None])]
    graph = helper.make_graph(nodes, "graph", inputs, [port("y", None)], [weight])
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))

    shapes = [["input", "x", "unknown rank"], ["input", "s", "[]"], ["input", "n", "[n, ?]"]]
    shown = [line.replace("float32", "") for line in run("inspect", path).out.splitlines()]
    for kind, name, shape in [*shapes, ["output", "y", "unknown rank"]]:
        assert [line for line in shown if line.split(None, 2) == [kind, name, shape]]
    content = json.loads(run("inspect", path, "--json").out)
    assert [port["shape"] for port in content["inputs"]] == [None, [], ["n", -1]]
    assert [port["shape"] for port in content["outputs"]] == [None]
    assert "x" not in content["shapes"]
    assert (content["flops"], content["uncounted"]) == (0, 1)

    asked = json.loads(run("inspect", path, "--json", "--shape", "x=2,3,4").out)
    assert asked["shapes"]["x"] == [2, 3, 4]
    assert (asked["flops"], asked["uncounted"]) == (2 * (2 * 3 * 5) * 4, 0)
    refused = run("inspect", path, "--shape", "z=1")
    assert refused.code == 2
    assert "its inputs are n, s, x" in refused.err


def test_what_can_record_a_verification_depends_on_the_code(run: Run, artifact: Path) -> None:
    assert "no (compile --verify records it)" in run("inspect", artifact).out
    manifest = read_manifest(artifact)
    (variant,) = manifest.variants
    on_gpu = variant._replace(target=variant.target._replace(kind="cuda", devices=("sm_90",)))
    (artifact / MANIFEST_FILE).write_bytes(encode_manifest(manifest._replace(variants=(on_gpu,))))
    assert "no (compile --verify records it, on a machine with a GPU)" in run("inspect", artifact).out
