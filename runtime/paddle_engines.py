"""Options of Paddle Inference's ``Config`` for engines, devices and passes that do not run here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from paddle_tvm.runtime.data_type import PrecisionType
from paddle_tvm.runtime.errors import UsageError

_DEVICE = "compiled models run on CPUs and NVIDIA GPUs; leave the call out"
_TENSORRT = "engines of TensorRT are built without it; leave the call out"
_PARTITION = (
    "what TensorRT computes was decided when the model was compiled; compile it for CUDA alone, --target "
    "cuda, or leave the call out"
)
_PRECISION = "the precision is chosen when the model is compiled; leave the call out"
_INTEGERS = (
    "a model that carries quantisation is computed on integers where it is compiled with --target onednn, "
    "and no other is; leave the call out"
)
_PASSES = "Paddle's passes do not run here, the graph was optimised when the model was compiled; leave it out"


def _refused(method: str, why: str) -> Callable[..., NoReturn]:
    def refuse(self: object, *args: object, **kwargs: object) -> NoReturn:
        raise UsageError(f"Config.{method}(): {why}")

    return _named(refuse, method, f"Refuse: {why}.")


def _accepted(method: str, why: str) -> Callable[..., None]:
    def accept(self: object, *args: object, **kwargs: object) -> None:
        pass

    return _named(accept, method, f"Accept: {why}.")


def _answer(method: str, value: Any) -> Callable[..., Any]:
    def answer(self: object) -> Any:
        return value

    return _named(answer, method, f"Return {value!r}: what it asks for does not run here.")


def _named(function: Callable[..., Any], name: str, text: str) -> Callable[..., Any]:
    function.__name__ = name
    function.__qualname__ = f"PaddleEngines.{name}"
    function.__doc__ = text
    return function


class PaddleEngines:
    """Options of what does not run here: accepted where they are hints alone, else refused."""

    Precision = PrecisionType
    Float32 = PrecisionType.Float32
    Half = PrecisionType.Half
    Int8 = PrecisionType.Int8
    Bfloat16 = PrecisionType.Bfloat16

    disable_mkldnn_fc_passes = _accepted("disable_mkldnn_fc_passes", "Paddle's passes do not run here")
    disable_onednn_fc_passes = _accepted("disable_onednn_fc_passes", "Paddle's passes do not run here")
    set_mkldnn_op = _accepted("set_mkldnn_op", "which kernels run was chosen at compile time")
    set_onednn_op = _accepted("set_onednn_op", "which kernels run was chosen at compile time")
    enable_cinn = _accepted("enable_cinn", "the model is compiled")
    enable_ort_optimization = _accepted(
        "enable_ort_optimization",
        "ONNX Runtime, where a model is compiled for it, always optimises its graph",
    )
    use_optimized_model = _accepted("use_optimized_model", "the artifact is the optimised model")
    exp_enable_use_cutlass = _accepted("exp_enable_use_cutlass", "which kernels run was chosen before")
    exp_sparse_conv_using_buffer = _accepted(
        "exp_sparse_conv_using_buffer", "which kernels run was chosen at compile time"
    )
    exp_disable_mixed_precision_ops = _accepted(
        "exp_disable_mixed_precision_ops", "the precision is chosen when the model is compiled"
    )

    enable_mkldnn_int8 = _refused("enable_mkldnn_int8", _INTEGERS)
    enable_onednn_int8 = _refused("enable_onednn_int8", _INTEGERS)
    set_bfloat16_op = _refused("set_bfloat16_op", _PRECISION)
    exp_enable_mixed_precision_ops = _refused("exp_enable_mixed_precision_ops", _PRECISION)

    enable_ipu = _refused("enable_ipu", _DEVICE)
    set_ipu_config = _refused("set_ipu_config", _DEVICE)
    set_ipu_custom_info = _refused("set_ipu_custom_info", _DEVICE)
    load_ipu_config = _refused("load_ipu_config", _DEVICE)
    set_xpu_config = _refused("set_xpu_config", _DEVICE)
    set_xpu_device_id = _refused("set_xpu_device_id", _DEVICE)
    xpu_config = _refused("xpu_config", _DEVICE)

    enable_tensorrt_dla = _refused("enable_tensorrt_dla", _TENSORRT)
    enable_tensorrt_explicit_quantization = _refused("enable_tensorrt_explicit_quantization", _TENSORRT)
    enable_tensorrt_inspector = _refused("enable_tensorrt_inspector", _TENSORRT)
    enable_tensorrt_memory_optim = _refused("enable_tensorrt_memory_optim", _TENSORRT)
    enable_tensorrt_varseqlen = _refused("enable_tensorrt_varseqlen", _TENSORRT)
    enable_tuned_tensorrt_dynamic_shape = _refused("enable_tuned_tensorrt_dynamic_shape", _TENSORRT)
    exp_specify_tensorrt_subgraph_precision = _refused("exp_specify_tensorrt_subgraph_precision", _TENSORRT)
    mark_trt_engine_outputs = _refused("mark_trt_engine_outputs", _TENSORRT)
    set_tensorrt_optimization_level = _refused("set_tensorrt_optimization_level", _TENSORRT)

    exp_disable_tensorrt_ops = _refused("exp_disable_tensorrt_ops", _PARTITION)
    exp_disable_tensorrt_subgraph = _refused("exp_disable_tensorrt_subgraph", _PARTITION)
    exp_disable_tensorrt_dynamic_shape_ops = _refused("exp_disable_tensorrt_dynamic_shape_ops", _PARTITION)

    enable_custom_passes = _refused("enable_custom_passes", _PASSES)
    pass_builder = _refused("pass_builder", _PASSES)
    collect_shape_range_info = _refused(
        "collect_shape_range_info",
        "no shapes are collected: fix them at compile time, paddle-tvm compile MODEL -o ARTIFACT --shape ...",
    )
    to_native_config = _refused("to_native_config", "there is no other kind of Config here")

    def enable_save_optim_model(self, save_optimized_model: bool = False) -> None:
        """Refuse, unless it is switched off: the artifact is the optimised model."""
        if save_optimized_model:
            raise UsageError(
                "Config.enable_save_optim_model(): no model is written from here, the artifact is the "
                "optimised one; leave the call out"
            )

    fraction_of_gpu_memory_for_pool = _answer("fraction_of_gpu_memory_for_pool", 0.0)
    xpu_device_id = _answer("xpu_device_id", 0)
    mkldnn_int8_enabled = _answer("mkldnn_int8_enabled", False)
    onednn_int8_enabled = _answer("onednn_int8_enabled", False)
    model_from_memory = _answer("model_from_memory", False)
    new_ir_enabled = _answer("new_ir_enabled", False)
    openvino_engine_enabled = _answer("openvino_engine_enabled", False)
    params_file = _answer("params_file", "")
    prog_file = _answer("prog_file", "")
    shape_range_info_collected = _answer("shape_range_info_collected", False)
    shape_range_info_path = _answer("shape_range_info_path", "")
    tensorrt_dla_enabled = _answer("tensorrt_dla_enabled", False)
    tensorrt_explicit_quantization_enabled = _answer("tensorrt_explicit_quantization_enabled", False)
    tensorrt_inspector_enabled = _answer("tensorrt_inspector_enabled", False)
    tensorrt_optimization_level = _answer("tensorrt_optimization_level", 0)
    tensorrt_varseqlen_enabled = _answer("tensorrt_varseqlen_enabled", False)
    trt_allow_build_at_runtime = _answer("trt_allow_build_at_runtime", False)
    tuned_tensorrt_dynamic_shape = _answer("tuned_tensorrt_dynamic_shape", False)
