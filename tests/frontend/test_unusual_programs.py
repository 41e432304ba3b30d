"""Programs that Paddle writes in rare cases, or that were damaged, and loading in other threads."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.static import InputSpec

from paddle_tvm import compiler
from paddle_tvm.compiler.frontends.paddle.program import Program, load_program
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.runtime import Config, create_predictor
from paddle_tvm.runtime.errors import PaddleTvmError, UnsupportedModelError, UsageError


class Apply(nn.Layer):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: paddle.Tensor):
        return self.function(x)


def save(folder: Path, function, dtype: str = "float32", legacy: bool = False) -> Path:
    layer = Apply(function)
    layer.eval()
    with paddle.pir_utils.OldIrGuard() if legacy else nullcontext():
        paddle.jit.save(layer, str(folder / "inference"), input_spec=[InputSpec([None, 4], dtype, "x")])
    return folder


def load(folder: Path) -> Program:
    return load_program(find_model(folder))


def test_outputs_of_the_same_name_get_a_number(tmp_path: Path) -> None:
    # Paddle 3.3 gives x + 1 the name of x.
    program = load(save(tmp_path, lambda x: (x, x + 1)))
    assert [port.name for port in program.outputs] == ["x", "x_1"]


def test_a_dtype_that_no_artifact_holds_is_refused_with_the_inputs_name(tmp_path: Path) -> None:
    model = save(tmp_path / "model", lambda x: x.astype("float32") * 2, "bfloat16")
    with pytest.raises(UnsupportedModelError, match="input 'x' is bfloat16"):
        compiler.compile(model, tmp_path / "out.pdtvm")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("attribute", ["col", "name"])
def test_an_attribute_that_is_missing_is_damage(tmp_path: Path, attribute: str) -> None:
    save(tmp_path, lambda x: x * 2 + 1)
    path = tmp_path / "inference.json"
    path.write_text(path.read_text().replace(f'"N":"{attribute}"', '"N":"damaged"'))
    with pytest.raises(UnsupportedModelError, match=rf"inference.json .*'{attribute}'"):
        load(tmp_path)


@pytest.mark.parametrize("legacy", [False, True])
def test_models_compile_in_several_threads(tmp_path: Path, legacy: bool) -> None:
    save(tmp_path / "model", lambda x: nn.functional.relu(x) * 2, legacy=legacy)
    failures: list[PaddleTvmError] = []
    passed: list[bool] = []

    def work(number: int) -> None:
        try:
            result = compiler.compile(tmp_path / "model", tmp_path / f"{number}.pdtvm", verify=True)
        except PaddleTvmError as error:
            failures.append(error)
        else:
            assert result.verification is not None
            passed.append(result.verification.passed)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert passed == [True] * 3
    assert paddle.in_dynamic_mode()


def test_shapes_as_the_command_line_writes_them_are_refused(tmp_path: Path) -> None:
    for shapes in ("x=1,3", ["x=1,3"]):
        with pytest.raises(UsageError, match=r"shapes: expected sizes by input name"):
            compiler.compile(tmp_path / "model", tmp_path / "a.pdtvm", shapes=shapes)


class Lengths(nn.Layer):
    def forward(self, one: paddle.Tensor, other: paddle.Tensor):
        return one * 2, other.sum(axis=1)


def test_inputs_whose_names_differ_in_a_sign_have_sizes_of_their_own(tmp_path: Path) -> None:
    specs = [InputSpec([None, 4], "float32", name) for name in ("x.y", "x_y")]
    paddle.jit.save(Lengths(), str(tmp_path / "model"), input_spec=specs)
    compiler.compile(tmp_path / "model", tmp_path / "out.pdtvm")
    predictor = create_predictor(Config(str(tmp_path / "out.pdtvm")))
    one, other = np.arange(8, dtype="float32").reshape(2, 4), np.ones((3, 4), "float32")
    for name, value in (("x.y", one), ("x_y", other)):
        predictor.get_input_handle(name).copy_from_cpu(value)
    predictor.run()
    outputs = [predictor.get_output_handle(name).copy_to_cpu() for name in predictor.get_output_names()]
    np.testing.assert_array_equal(outputs[0], one * 2)
    np.testing.assert_array_equal(outputs[1], [4, 4, 4])
