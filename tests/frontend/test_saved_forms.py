"""Every way that Paddle saves an inference model, however its files are named and pointed at."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import paddle
import pytest
from paddle.static import InputSpec

from paddle_tvm.compiler.frontends.paddle.importer import import_program
from paddle_tvm.compiler.frontends.paddle.program import load_program
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.imported import ImportedModel
from paddle_tvm.runtime.errors import UnsupportedModelError, UsageError


class TwoInputs(paddle.nn.Layer):
    """Inputs and outputs whose order differs from that of their names."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = paddle.nn.Linear(8, 4)

    def forward(self, tokens, bias):
        hidden = self.linear(bias)
        return hidden, tokens + 1


SPECS = [InputSpec([None, 3], "int64", name="tokens"), InputSpec([None, 8], "float32", name="bias")]


def save_by_jit(folder: Path) -> None:
    net = TwoInputs()
    net.eval()
    paddle.jit.save(net, str(folder / "inference"), input_spec=SPECS)


def save_by_high_level_api(folder: Path) -> None:
    paddle.Model(TwoInputs(), inputs=SPECS).save(str(folder / "inference"), training=False)


def save_by_static_graph(folder: Path) -> None:
    paddle.enable_static()
    try:
        with paddle.static.program_guard(paddle.static.Program(), paddle.static.Program()):
            tokens = paddle.static.data("tokens", [None, 3], "int64")
            bias = paddle.static.data("bias", [None, 8], "float32")
            hidden = paddle.static.nn.fc(bias, 4)
            executor = paddle.static.Executor(paddle.CPUPlace())
            executor.run(paddle.static.default_startup_program())
            paddle.static.save_inference_model(
                str(folder / "inference"), [tokens, bias], [hidden, tokens + 1], executor
            )
    finally:
        paddle.disable_static()


def save_as_pdmodel(folder: Path) -> None:
    """The older form, which needs a process of its own: the switch is read when Paddle is imported."""
    script = textwrap.dedent(
        f"""
        import paddle
        paddle.enable_static()
        with paddle.static.program_guard(paddle.static.Program(), paddle.static.Program()):
            tokens = paddle.static.data("tokens", [None, 3], "int64")
            bias = paddle.static.data("bias", [None, 8], "float32")
            hidden = paddle.static.nn.fc(bias, 4)
            executor = paddle.static.Executor(paddle.CPUPlace())
            executor.run(paddle.static.default_startup_program())
            paddle.static.save_inference_model(
                {str(folder / "inference")!r}, [tokens, bias], [hidden, tokens + 1], executor
            )
        """
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={"FLAGS_enable_pir_api": "0"})


SAVERS = {
    "jit.save": save_by_jit,
    "Model.save": save_by_high_level_api,
    "save_inference_model": save_by_static_graph,
    "pdmodel": save_as_pdmodel,
}


@pytest.fixture(scope="module", params=SAVERS)
def saved(request, tmp_path_factory) -> Path:
    """A folder with the same model, saved in each way."""
    folder = tmp_path_factory.mktemp(request.param)
    SAVERS[request.param](folder)
    return folder


def imported(path: Path) -> ImportedModel:
    return import_program(load_program(find_model(path)))


def inference_ports(folder: Path) -> tuple[list[str], list[str]]:
    """The names that Paddle Inference reports."""
    import paddle.inference as paddle_infer

    source = find_model(folder)
    config = paddle_infer.Config(str(source.program), str(source.params))
    config.disable_glog_info()
    if source.kind == "pir":
        config.enable_new_ir(True)
        config.enable_new_executor(True)
    predictor = paddle_infer.create_predictor(config)
    return predictor.get_input_names(), predictor.get_output_names()


def test_inputs_and_outputs_are_those_of_paddle_inference(saved):
    model = imported(saved)
    names = ([port.name for port in model.inputs], [port.name for port in model.outputs])
    assert names == inference_ports(saved)
    assert {port.name: (port.dtype, port.shape[1]) for port in model.inputs} == {
        "tokens": ("int64", 3),
        "bias": ("float32", 8),
    }
    assert all(isinstance(port.shape[0], str) for port in model.inputs)
    assert [(port.dtype, port.shape[1]) for port in model.outputs] == [("float32", 4), ("int64", 3)]


def test_a_model_is_found_by_directory_prefix_and_either_file(saved):
    program = find_model(saved).program
    for path in (saved, saved / "inference", program, saved / "inference.pdiparams"):
        source = find_model(path)
        assert (source.program, source.params) == (program, saved / "inference.pdiparams")


def test_files_may_have_any_name(saved, tmp_path):
    source = find_model(saved)
    program = tmp_path / f"mein modell.v2{source.program.suffix}"
    shutil.copy(source.program, program)
    shutil.copy(source.params, tmp_path / "gewichte.pdiparams")
    (tmp_path / "config.json").write_text('{"Global": {"model_name": "something else"}}')
    for path in (tmp_path, program, tmp_path / "gewichte.pdiparams"):
        assert len(imported(path).outputs) == 2


def test_the_bare_names_of_old_models(saved, tmp_path):
    source = find_model(saved)
    if source.kind != "pdmodel":
        # A PIR program is always a .json file.
        return
    shutil.copy(source.program, tmp_path / "__model__")
    shutil.copy(source.params, tmp_path / "__params__")
    assert len(imported(tmp_path).outputs) == 2


def test_parameters_are_read_bit_by_bit(tmp_path):
    net = TwoInputs()
    net.eval()
    paddle.jit.save(net, str(tmp_path / "inference"), input_spec=SPECS)
    params = load_program(find_model(tmp_path)).params
    for name, parameter in (("w_0", net.linear.weight), ("b_0", net.linear.bias)):
        (stored,) = (array for key, array in params.items() if key.endswith(name))
        np.testing.assert_array_equal(stored, parameter.numpy())


def test_two_models_in_one_folder_are_a_question_to_the_user(saved, tmp_path):
    source = find_model(saved)
    for name in ("first", "second"):
        shutil.copy(source.program, tmp_path / f"{name}{source.program.suffix}")
        shutil.copy(source.params, tmp_path / f"{name}.pdiparams")
    with pytest.raises(UsageError, match=r"several models.*first.*second"):
        find_model(tmp_path)
    assert find_model(tmp_path / "second").program.stem == "second"


def test_missing_parameters_are_named(saved, tmp_path):
    source = find_model(saved)
    shutil.copy(source.program, tmp_path / source.program.name)
    with pytest.raises(UnsupportedModelError, match=r"no \.pdiparams"):
        load_program(find_model(tmp_path))
