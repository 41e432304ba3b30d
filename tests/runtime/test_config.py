"""A configuration takes what Paddle's does, and refuses what would not happen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import paddle_tvm.runtime
from paddle_tvm.runtime import (
    Config,
    DataType,
    PlaceType,
    PrecisionType,
    UsageError,
    XpuConfig,
    convert_to_mixed_precision,
    create_predictor,
    get_num_bytes_of_data_type,
    get_trt_compile_version,
    get_trt_runtime_version,
    get_version,
)


def test_what_a_script_for_paddle_calls_is_accepted(affine: Path) -> None:
    config = Config()
    config.set_model(str(affine))
    config.disable_gpu()
    config.disable_glog_info()
    config.enable_memory_optim()
    config.enable_memory_optim(False)
    config.switch_ir_optim(True)
    config.switch_ir_debug(False)
    config.switch_use_feed_fetch_ops(False)
    config.switch_specify_input_names(True)
    config.set_optimization_level(2)
    config.delete_pass("conv_bn_fuse_pass")
    config.enable_new_ir(True)
    config.enable_new_executor(True)
    config.enable_mkldnn()
    config.enable_onednn()
    config.set_mkldnn_cache_capacity(10)
    config.set_onednn_cache_capacity(10)
    config.disable_mkldnn()
    config.disable_onednn()
    config.set_mkldnn_op({"conv2d"})
    config.disable_mkldnn_fc_passes()
    config.disable_onednn_fc_passes()
    config.disable_onnxruntime()
    config.enable_ort_optimization()
    config.enable_cinn()
    config.set_optim_cache_dir("cache")
    config.use_optimized_model(True)
    config.enable_save_optim_model(False)
    config.set_cpu_math_library_num_threads(2)
    assert create_predictor(config).get_input_names() == ["x", "y"]


def test_questions_get_true_answers(affine: Path) -> None:
    config = Config(str(affine))
    assert config.model_dir() == str(affine)
    assert config.cpu_math_library_num_threads() == 1
    assert config.glog_info_disabled()
    assert config.ir_optim()
    assert config.specify_input_name()
    for claim in (
        config.use_gpu,
        config.use_xpu,
        config.mkldnn_enabled,
        config.onednn_enabled,
        config.tensorrt_engine_enabled,
        config.use_feed_fetch_ops_enabled,
        config.onnxruntime_enabled,
        config.onednn_int8_enabled,
        config.prog_file,
    ):
        assert not claim()


@pytest.mark.parametrize(
    "call",
    [
        lambda config: config.enable_xpu(),
        lambda config: config.enable_custom_device("npu", 0),
        lambda config: config.enable_tensorrt_engine(use_calib_mode=True),
        lambda config: config.enable_openvino_engine(),
        lambda config: config.enable_mkldnn_int8(),
        lambda config: config.enable_low_precision_io(True),
        lambda config: config.enable_profile(),
        lambda config: config.enable_onednn_int8({"fc"}),
        lambda config: config.enable_ipu(),
        lambda config: config.set_tensorrt_optimization_level(3),
        lambda config: config.collect_shape_range_info("shapes.txt"),
        lambda config: config.enable_save_optim_model(True),
        lambda config: config.pass_builder(),
        lambda config: config.set_model_buffer("", 0, "", 0),
        lambda config: config.set_prog_file("inference.json"),
        lambda config: config.set_params_file("inference.pdiparams"),
    ],
)
def test_what_would_not_happen_is_refused(call: Callable[[Config], None]) -> None:
    with pytest.raises(UsageError, match=r"Config\.\w+\(\): "):
        call(Config())


@pytest.mark.parametrize("name", ["Config", "Predictor", "Tensor"])
def test_everything_that_paddle_has_is_here(name: str) -> None:
    import paddle.inference

    theirs = {method for method in dir(getattr(paddle.inference, name)) if not method.startswith("_")}
    assert not theirs - set(dir(getattr(paddle_tvm.runtime, name)))
    names = {name for name in paddle.inference.__all__ if not name.startswith("_")}
    assert not names - set(paddle_tvm.runtime.__all__)


def test_a_profile_is_made_by_the_command_line() -> None:
    with pytest.raises(UsageError, match="`paddle-tvm profile ARTIFACT`"):
        Config().enable_profile()


def test_what_is_no_option_is_refused_too(affine: Path) -> None:
    predictor = create_predictor(Config(str(affine)))
    for call in (
        predictor.register_input_hook,
        predictor.register_output_hook,
        predictor.get_input_handle("x").share_external_data_by_ptr_name,
        convert_to_mixed_precision,
    ):
        with pytest.raises(UsageError, match=f"{call.__name__}\\(\\)"):
            call(print)
    with pytest.raises(UsageError, match="run on the CPU"):
        XpuConfig()


@pytest.mark.parametrize(
    "files", [("inference.pdmodel", "inference.pdiparams"), ("inference.json",), ("model.onnx",)]
)
def test_a_model_that_is_not_compiled(files: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=f"paddle-tvm compile {files[0]} -o"):
        Config(*files)


def test_a_predictor_without_an_artifact() -> None:
    with pytest.raises(UsageError, match="names no artifact"):
        create_predictor(Config())


def test_a_predictor_keeps_the_configuration_it_was_made_with(affine: Path) -> None:
    config = Config(str(affine))
    predictor = create_predictor(config)
    config.set_cpu_math_library_num_threads(8)
    assert predictor._config.cpu_math_library_num_threads() == 1
    assert Config(config).cpu_math_library_num_threads() == 8


def test_the_summary_shows_what_has_a_meaning(affine: Path) -> None:
    config = Config(str(affine))
    config.set_cpu_math_library_num_threads(3)
    config.enable_integrity_check(False)
    summary = config.summary()
    assert str(affine) in summary
    assert "| cpu_math_thread        | 3 " in summary
    assert "| integrity_check        | false " in summary


def test_enumerations_have_paddles_names_and_values() -> None:
    import paddle.inference as paddle

    for ours in (DataType, PlaceType, PrecisionType):
        theirs = getattr(paddle, ours.__name__)
        assert {m.name: m.value for m in ours} == {n: int(v) for n, v in theirs.__members__.items()}
    for data_type in DataType:
        theirs = paddle.DataType.__members__[data_type.name]
        # -1 where Paddle does not know the size either.
        assert paddle.get_num_bytes_of_data_type(theirs) in {-1, get_num_bytes_of_data_type(data_type)}


def test_versions() -> None:
    assert get_version().startswith("version: ")
    assert get_trt_compile_version() == get_trt_runtime_version() == (0, 0, 0)


@pytest.mark.parametrize("method", ["enable_mkldnn_bfloat16", "enable_onednn_bfloat16"])
def test_bfloat16_is_refused_for_an_artifact_in_float32(affine: Path, method: str) -> None:
    config = Config(str(affine))
    getattr(config, method)()
    with pytest.raises(UsageError, match=rf"{method}\(\): .* float32\. .*--precision bfloat16"):
        create_predictor(config)


def test_onnxruntime_is_refused_for_other_artifacts(affine: Path) -> None:
    config = Config(str(affine))
    config.enable_onnxruntime()
    assert config.onnxruntime_enabled()
    assert Config(config).onnxruntime_enabled()
    with pytest.raises(UsageError, match="compiled for target x86"):
        create_predictor(config)
    config.disable_onnxruntime()
    create_predictor(config)
