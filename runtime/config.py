"""Where an artifact is and how to run it, with the methods of Paddle Inference's ``Config``."""

from __future__ import annotations

import os
from typing import overload

from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.gpu_options import GpuOptions
from paddle_tvm.runtime.manifest import TargetSpec
from paddle_tvm.runtime.paddle_options import PaddleOptions

_DEFAULT_CACHED_MEMORY_MB = 256


class Config(GpuOptions, PaddleOptions):
    """Configuration of a predictor.

    Parameters
    ----------
    model
        Directory of an artifact, or a configuration to copy. It may be set later with ``set_model``.
    params_file
        Refused: two files are a Paddle model that is not compiled.
    """

    @overload
    def __init__(self, model: Config) -> None: ...
    @overload
    def __init__(
        self, model: str | os.PathLike[str] | None = None, params_file: str | None = None
    ) -> None: ...
    def __init__(
        self, model: Config | str | os.PathLike[str] | None = None, params_file: str | None = None
    ) -> None:
        self._artifact: str | None = None
        self._threads = 1
        self._integrity_check = True
        self._mcpu: str | None = None
        self._cached_memory_mb = _DEFAULT_CACHED_MEMORY_MB
        self._onnxruntime = False
        self._bfloat16: str | None = None
        super().__init__()
        if isinstance(model, Config):
            self.__dict__.update(model.__dict__)
        elif model is not None:
            self.set_model(model, params_file)

    def set_model(self, model: str | os.PathLike[str], params_file: str | None = None) -> None:
        """Name the artifact's directory.

        Raises
        ------
        UsageError
            ``params_file`` is given: that is a Paddle model, which has to be compiled first.
        """
        path = os.fspath(model)
        if params_file is not None or path.endswith((".pdmodel", ".json", ".pdiparams", ".onnx")):
            raise UsageError(
                f"{path} is a model that is not compiled. Compile it first: "
                f"paddle-tvm compile {path} -o model.pdtvm; then use Config('model.pdtvm')"
            )
        self._artifact = path

    def model_dir(self) -> str:
        """Return the artifact's directory, or an empty string."""
        return self._artifact or ""

    def artifact(self) -> str:
        """Return the artifact's directory.

        Raises
        ------
        UsageError
            None was set.
        """
        if self._artifact is None:
            raise UsageError("the Config names no artifact: give its directory, Config('model.pdtvm')")
        return self._artifact

    def set_cpu_math_library_num_threads(self, threads: int) -> None:
        """Set how many threads one ``run`` uses; 1 if it is never called, as in Paddle.

        Raises
        ------
        UsageError
            It is less than 1.
        """
        if threads < 1:
            raise UsageError(f"expected at least 1 thread, got {threads}")
        self._threads = int(threads)

    def cpu_math_library_num_threads(self) -> int:
        """Return how many threads one ``run`` uses."""
        return self._threads

    def set_mcpu(self, mcpu: str | None) -> None:
        """Choose the variant of an artifact that was compiled for several CPUs; ``inspect`` names them.

        Unless this is called, or for None, it is the best that this machine can run.
        """
        self._mcpu = mcpu

    def mcpu(self) -> str | None:
        """Return the CPU that was set, or None; ``Predictor.mcpu`` says which variant runs."""
        return self._mcpu

    def enable_integrity_check(self, enabled: bool = True) -> None:
        """Choose whether loading compares the SHA-256 of the artifact's files; sizes are always compared.

        Reading and hashing takes about 1 ms for 1.5 MB of weights.
        """
        self._integrity_check = bool(enabled)

    def integrity_check_enabled(self) -> bool:
        """Return whether loading compares the SHA-256 of the artifact's files."""
        return self._integrity_check

    def set_cached_memory_limit_mb(self, megabytes: int) -> None:
        """Set how far the process may grow, in MB, before memory cached for earlier shapes is freed.

        Raises
        ------
        UsageError
            It is negative.
        """
        if megabytes < 0:
            raise UsageError(f"expected a limit of at least 0 MB, got {megabytes}")
        self._cached_memory_mb = int(megabytes)

    def cached_memory_limit_mb(self) -> int:
        """Return how far the process may grow, in MB, before memory cached for earlier shapes is freed."""
        return self._cached_memory_mb

    def enable_onnxruntime(self) -> None:
        """Ask for an artifact that was compiled for ONNX Runtime.

        Creating a predictor of another is refused: who computes is chosen when a model is compiled.
        """
        self._onnxruntime = True

    def disable_onnxruntime(self) -> None:
        """Take back ``enable_onnxruntime``; an artifact for ONNX Runtime still runs there."""
        self._onnxruntime = False

    def enable_mkldnn_bfloat16(self) -> None:
        """Ask for an artifact that computes in bfloat16; creating a predictor of another is refused."""
        self._bfloat16 = "enable_mkldnn_bfloat16"

    def enable_onednn_bfloat16(self) -> None:
        """Ask for an artifact that computes in bfloat16; creating a predictor of another is refused."""
        self._bfloat16 = "enable_onednn_bfloat16"

    def check_target(self, artifact: str, target: TargetSpec, precision: str) -> None:
        """Refuse an artifact that is not for what is asked for; ``create_predictor`` calls it.

        Raises
        ------
        UsageError
            It is compiled for something else.
        """
        if self._onnxruntime and target.kind != "onnxruntime":
            raise UsageError(
                f"Config.enable_onnxruntime(): {artifact} was compiled for target {target.kind}. Compile "
                "the model for it: paddle-tvm compile MODEL -o ARTIFACT --target onnxruntime; or leave the "
                "call out"
            )
        if self._bfloat16 is not None and precision != "bfloat16":
            raise UsageError(
                f"Config.{self._bfloat16}(): {artifact} computes in {precision}. Compile the model for it: "
                "paddle-tvm compile MODEL -o ARTIFACT --target onednn --precision bfloat16; or leave the "
                "call out"
            )
        super().check_target(artifact, target, precision)

    def onnxruntime_enabled(self) -> bool:
        """Return whether an artifact that was compiled for ONNX Runtime is asked for."""
        return self._onnxruntime

    def summary(self) -> str:
        """Return the options that have a meaning here, as a table."""
        rows = [
            ("artifact", self.model_dir() or "(not set)"),
            ("cpu_math_thread", str(self._threads)),
            ("mcpu", self._mcpu or "(the best for this machine)"),
            ("integrity_check", str(self._integrity_check).lower()),
            ("cached_memory_limit_mb", str(self._cached_memory_mb)),
            ("tensorrt_engine", str(self.tensorrt_engine_enabled()).lower()),
            ("trt_precision_mode", self.tensorrt_precision_mode().name),
            ("trt_dynamic_shape", str(self.tensorrt_dynamic_shape_enabled()).lower()),
            ("enable_onnxruntime", str(self._onnxruntime).lower()),
            ("use_gpu", str(self.use_gpu()).lower()),
            ("gpu_device_id", str(self.gpu_device_id())),
        ]
        widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
        rule = f"+-{'-' * widths[0]}-+-{'-' * widths[1]}-+\n"
        return rule + "".join(f"| {a:{widths[0]}} | {b:{widths[1]}} |\n" for a, b in rows) + rule
