"""The runtime: loads artifacts and runs them, with Paddle Inference's API."""

from paddle_tvm.runtime.config import Config
from paddle_tvm.runtime.data_type import DataType, PlaceType, PrecisionType, get_num_bytes_of_data_type
from paddle_tvm.runtime.errors import ArtifactError, PaddleTvmError, UsageError
from paddle_tvm.runtime.native_tensor import aligned_empty
from paddle_tvm.runtime.paddle_devices import XpuConfig, convert_to_mixed_precision
from paddle_tvm.runtime.pool import PredictorPool
from paddle_tvm.runtime.predictor import Predictor, create_predictor
from paddle_tvm.runtime.tensor import Tensor
from paddle_tvm.runtime.version import get_trt_compile_version, get_trt_runtime_version, get_version

__all__ = [
    "ArtifactError",
    "Config",
    "DataType",
    "PaddleTvmError",
    "PlaceType",
    "PrecisionType",
    "Predictor",
    "PredictorPool",
    "Tensor",
    "UsageError",
    "XpuConfig",
    "aligned_empty",
    "convert_to_mixed_precision",
    "create_predictor",
    "get_num_bytes_of_data_type",
    "get_trt_compile_version",
    "get_trt_runtime_version",
    "get_version",
]
