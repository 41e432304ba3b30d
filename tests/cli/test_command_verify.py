"""``paddle-tvm verify``: passes where outputs are equal, and names what differs where they are not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle
import pytest
from cli_outcome import Run
from paddle import nn
from paddle.static import InputSpec
from saved_layers import save

from paddle_tvm import compiler
from paddle_tvm.runtime.artifact import read_manifest


def test_two_shapes_and_two_scales_by_default(run: Run, artifact: Path, model: Path) -> None:
    result = run("verify", artifact, "--model", model, "--json")
    assert result.code == 0, result.err
    content = json.loads(result.out)
    assert content["passed"] is True
    assert content["warnings"] == []
    shapes = [check["shapes"]["x"] for check in content["checks"]]
    assert shapes == [[1, 3, 64, 96], [1, 3, 64, 96], [2, 3, 96, 64], [2, 3, 96, 64]]
    assert {check["scale"] for check in content["checks"]} == {1.0, 0.1}


def test_given_shapes_and_inputs(run: Run, artifact: Path, model: Path, tmp_path: Path) -> None:
    result = run("verify", artifact, "--model", model, "--shape", "x=1,3,5,5;x=4,3,6,2", "--json")
    assert [check["shapes"]["x"][0] for check in json.loads(result.out)["checks"]] == [1, 1, 4, 4]
    np.savez(tmp_path / "in.npz", x=np.ones((1, 3, 4, 4), "float32"))
    result = run("verify", artifact, "--model", model, "--inputs", tmp_path / "in.npz", "--json")
    assert [check["scale"] for check in json.loads(result.out)["checks"]] == [None]


@pytest.mark.parametrize(
    ("dims", "specialised"),
    [
        # What is tried of the dynamic form first, and then what comes next where the batch alone is open.
        ((None, 3, None, None), ((1, 3, 64, 96), (2, 3, 96, 64))),
        ((None, 3, 8, 8), ((1, 3, 8, 8), (2, 3, 8, 8), (3, 3, 8, 8))),
        ((1, 3, None, 8), ((1, 3, 64, 8), (1, 3, 96, 8))),
    ],
)
def test_every_form_is_run(
    run: Run, tmp_path: Path, dims: tuple[int | None, ...], specialised: tuple[tuple[int, ...], ...]
) -> None:
    model = save(nn.ReLU(), tmp_path / "model", InputSpec(list(dims), "float32", "x"))
    several = tmp_path / "several.pdtvm"
    compiler.compile(model, several, shapes=[{"x": shape} for shape in specialised])
    result = run("verify", several, "--model", model, "--json")
    assert result.code == 0, result.err
    content = json.loads(result.out)
    shapes: dict[str, set[tuple[int, ...]]] = {}
    for check in content["checks"]:
        shapes.setdefault(check["form"], set()).add(tuple(check["shapes"]["x"]))
    assert len(shapes.pop("main")) == 2
    assert shapes == {f"main_{number}": {shape} for number, shape in enumerate(specialised, 1)}
    assert content["warnings"] == []
    assert "main_1" in run("verify", several, "--model", model).out


def test_a_form_that_ties_dimensions_is_run(run: Run, tmp_path: Path) -> None:
    model = save(nn.Sigmoid(), tmp_path / "model", InputSpec([None, None], "float32", "x"))
    tied = tmp_path / "tied.pdtvm"
    assert run("compile", model, "-o", tied, "--shape", "x=n,n;").code == 0
    content = json.loads(run("verify", tied, "--model", model, "--json").out)
    shapes: dict[str, list[list[int]]] = {}
    for check in content["checks"]:
        shapes.setdefault(check["form"], []).append(check["shapes"]["x"])
    assert set(shapes) == {"main", "main_1"}
    assert all(first == second for first, second in shapes["main_1"])
    assert content["warnings"] == []


def test_wrong_code_of_the_dynamic_form_is_found(run: Run, tmp_path: Path, wrong_relu: None) -> None:
    model = save(nn.ReLU(), tmp_path / "model", InputSpec([None, 3, None, None], "float32", "x"))
    several = tmp_path / "several.pdtvm"
    compiler.compile(model, several, shapes=[{"x": (1, 3, 64, 96)}, {"x": (2, 3, 96, 64)}])
    content = json.loads(run("verify", several, "--model", model, "--json").out)
    assert "main" in {check["form"] for check in content["checks"] if not check["outputs"][0]["passed"]}


def test_a_wrong_operator_is_named(run: Run, model: Path, tmp_path: Path, wrong_relu: None) -> None:
    wrong = tmp_path / "wrong.pdtvm"
    compiler.compile(model, wrong)
    result = run("verify", wrong, "--model", model)
    assert result.code == 4
    assert "first operator that diverges is pd_op.relu" in result.err
    assert "relative error" in result.out


def test_a_wrong_operator_of_an_old_model_is_named(run: Run, tmp_path: Path, wrong_relu: None) -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    network.eval()
    with paddle.pir_utils.OldIrGuard():
        prefix = str(tmp_path / "old" / "inference")
        paddle.jit.save(network, prefix, input_spec=[InputSpec([None, 3], "float32", "x")])
    assert (tmp_path / "old" / "inference.pdmodel").is_file()
    compiler.compile(tmp_path / "old", tmp_path / "old.pdtvm")
    result = run("verify", tmp_path / "old.pdtvm", "--model", tmp_path / "old")
    assert result.code == 4
    assert "first operator that diverges is pd_op.relu" in result.err


def test_another_models_weights_differ(run: Run, artifact: Path, tmp_path: Path) -> None:
    class Shifted(nn.Layer):  # type: ignore[misc]
        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            return x.flatten(2).max(axis=-1)[:, :1].expand([-1, 5]) * 3

    other = save(Shifted(), tmp_path / "other", InputSpec([None, 3, None, None], "float32", "x"))
    result = run("verify", artifact, "--model", other)
    assert result.code == 4
    *_, last = result.err.splitlines()
    told = f"{other / 'inference.json'} is not the model that {artifact} was compiled from"
    assert last.startswith(f"error: {told}")
    assert (result.out + result.err).count("is not the model that") == 1
    assert "fetch_name_0" in last
    told, _, failures = last.partition(". The artifact (--mcpu ")
    assert f"SHA-256 begins with {read_manifest(artifact).source.sha256[:16]}, and" in told
    # Several runs of the same shapes differ in the scale of their input.
    _, *failed = failures.split("output 'fetch_name_0' at ")
    assert len(failed) > 1
    assert len(set(failed)) == len(failed)
    assert len({failure.partition(", input scale ")[0] for failure in failed}) < len(failed)
    # The other model's operators say nothing about this artifact.
    assert "diverging operator" not in result.err


def test_the_same_network_saved_again_passes_with_a_warning(run: Run, artifact: Path, model: Path) -> None:
    program = model / "inference.json"
    program.write_bytes(program.read_bytes() + b"\n")
    result = run("verify", artifact, "--model", model, "--shape", "x=1,3,8,8")
    assert result.code == 0, result.err
    *_, last = result.err.splitlines()
    assert last.startswith(f"warning: {program} is not the model that {artifact} was compiled from")
    assert (result.out + result.err).count("is not the model that") == 1


def test_a_model_with_other_inputs(run: Run, artifact: Path, tmp_path: Path) -> None:
    class Doubled(nn.Layer):  # type: ignore[misc]
        def forward(self, y: paddle.Tensor) -> paddle.Tensor:
            return y * 2

    other = save(Doubled(), tmp_path / "other", InputSpec([None, 3], "float32", "y"))
    result = run("verify", artifact, "--model", other)
    assert result.code == 2
    assert "was not compiled from" in result.err
    assert "its inputs are x, the model's y" in result.err


def test_an_output_that_does_not_depend_on_the_input_is_warned_of(run: Run, tmp_path: Path) -> None:
    class Dead(nn.Layer):  # type: ignore[misc]
        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            return x * 0.0 + 1.0

    model = save(Dead(), tmp_path / "dead", InputSpec([None, 3], "float32", "x"))
    compiler.compile(model, tmp_path / "dead.pdtvm")
    result = run("verify", tmp_path / "dead.pdtvm", "--model", model)
    assert result.code == 0
    assert "proves nothing" in result.out


def test_inputs_smaller_than_the_windows_are_refused_and_not_tried(run: Run, tmp_path: Path) -> None:
    net = nn.Sequential(nn.AvgPool2D(33, 32), nn.Conv2D(3, 2, 3, stride=2))
    model = save(net, tmp_path / "large", InputSpec([None, 3, None, None], "float32", "x"))
    artifact = tmp_path / "large.pdtvm"
    compiler.compile(model, artifact)
    result = run("verify", artifact, "--model", model, "--json")
    assert result.code == 0, result.err
    shapes = [check["shapes"]["x"] for check in json.loads(result.out)["checks"]]
    assert [1, 3, 224, 256] in shapes
    assert [1, 3, 64, 96] not in shapes
    # Paddle makes a row of such an input, but a form for all shapes cannot.
    result = run("verify", artifact, "--model", model, "--shape", "x=1,3,96,97")
    assert result.code == 2
    assert "expected at least 97 in dimension 2" in result.err
    compiler.compile(model, tmp_path / "fixed.pdtvm", shapes={"x": (1, 3, 96, 97)})
    assert run("verify", tmp_path / "fixed.pdtvm", "--model", model).code == 0


def test_indices_stay_within_the_embedding(run: Run, tmp_path: Path) -> None:
    class Words(nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(7, 4)

        def forward(self, words: paddle.Tensor, mask: paddle.Tensor) -> paddle.Tensor:
            return (self.table(words) * mask.unsqueeze(-1)).sum(axis=1)

    specs = (InputSpec([None, None], "int64", "words"), InputSpec([None, None], "float32", "mask"))
    model = save(Words(), tmp_path / "words", *specs)
    compiler.compile(model, tmp_path / "words.pdtvm")
    result = run("verify", tmp_path / "words.pdtvm", "--model", model, "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["checks"][-1]["shapes"] == {"words": [2, 24], "mask": [2, 24]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shape", "x=1,4,8,8"], "'x'"),
        (["--shape", "y=1"], "no input y"),
        (["--shape", "x=n,3,8,8"], "must be a number"),
        (["--inputs", "nowhere.npz"], "no such file"),
        (["--tolerance", "0"], "tolerance"),
        (["--tolerance", "nan"], "tolerance"),
    ],
)
def test_bad_options(run: Run, artifact: Path, model: Path, arguments: list[str], message: str) -> None:
    result = run("verify", artifact, "--model", model, *arguments)
    assert result.code == 2
    assert message in result.err


def test_inputs_that_are_not_the_models(run: Run, artifact: Path, model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", z=np.ones(1, "float32"))
    result = run("verify", artifact, "--model", model, "--inputs", tmp_path / "in.npz")
    assert result.code == 2
    assert "the model takes x" in result.err
