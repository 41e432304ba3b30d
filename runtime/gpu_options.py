"""Options of Paddle Inference's ``Config`` about GPUs."""

from __future__ import annotations

from paddle_tvm.runtime.data_type import PrecisionType
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.manifest import TargetSpec
from paddle_tvm.runtime.tensorrt_options import TensorRtOptions

_PRECISIONS = {
    PrecisionType.Float32: ("float32", "tf32"),
    PrecisionType.Half: ("float16",),
    PrecisionType.Bfloat16: ("bfloat16",),
}


class GpuOptions(TensorRtOptions):
    """Which GPU a model runs on. Whether it runs on one was decided when it was compiled."""

    def __init__(self) -> None:
        super().__init__()
        self._gpu: bool | None = None
        self._device_id = 0
        self._pool_mb = 0
        self._gpu_precision: PrecisionType | None = None

    def enable_use_gpu(
        self,
        memory_pool_init_size_mb: int = 0,
        device_id: int = 0,
        precision_mode: PrecisionType = PrecisionType.Float32,
    ) -> None:
        """Run on a GPU; the artifact has to be compiled with ``--target cuda``.

        Parameters
        ----------
        memory_pool_init_size_mb
            Accepted without effect: a model takes the memory that was planned for it.
        device_id
            The GPU, by CUDA's number.
        precision_mode
            What the model computes in. It was chosen when it was compiled: another is refused when the
            predictor is created.

        Raises
        ------
        UsageError
            A number is negative, or none.
        """
        for name, number in (
            ("memory_pool_init_size_mb", memory_pool_init_size_mb),
            ("device_id", device_id),
        ):
            if not isinstance(number, int) or number < 0:
                raise UsageError(f"Config.enable_use_gpu(): expected a {name} from 0, got {number!r}")
        self._gpu = True
        self._device_id = int(device_id)
        self._pool_mb = int(memory_pool_init_size_mb)
        self._gpu_precision = PrecisionType(precision_mode)

    def disable_gpu(self) -> None:
        """Run on the CPU; an artifact that is compiled for GPUs is then refused."""
        self._gpu = False

    def use_gpu(self) -> bool:
        """Return whether ``enable_use_gpu`` asks for a GPU."""
        return bool(self._gpu)

    def gpu_device_id(self) -> int:
        """Return the GPU, by CUDA's number."""
        return self._device_id

    def memory_pool_init_size_mb(self) -> int:
        """Return what was given for it; it has no effect."""
        return self._pool_mb

    def check_target(self, artifact: str, target: TargetSpec, precision: str) -> None:
        """Refuse an artifact that is not for what is asked for; ``create_predictor`` calls it.

        Raises
        ------
        UsageError
            It is for the CPU and ``enable_use_gpu`` was called, for GPUs and ``disable_gpu`` was, or it
            computes in another precision.
        """
        self.check_engine(artifact, target)
        compile_it = "paddle-tvm compile MODEL -o ARTIFACT --target"
        if self._gpu and not target.devices:
            raise UsageError(
                f"Config.enable_use_gpu(): {artifact} is compiled for {target.kind}: compile the model for "
                f"GPUs, {compile_it} cuda, or leave the call out"
            )
        if self._gpu is False and target.devices:
            raise UsageError(
                f"Config.disable_gpu(): {artifact} is compiled for GPUs: compile the model for the CPU, "
                f"{compile_it} x86, or leave the call out"
            )
        asked = self._gpu_precision
        if self._gpu and asked is not None and precision not in _PRECISIONS.get(asked, ()):
            wanted = _PRECISIONS.get(asked, ("another precision",))[0]
            raise UsageError(
                f"Config.enable_use_gpu(): precision_mode {asked.name} is asked for, and {artifact} "
                f"computes in {precision}: compile the model with --precision {wanted}, or ask for what it is"
            )
