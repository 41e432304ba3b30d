"""Options of Paddle Inference's ``Config`` about TensorRT."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from paddle_tvm.runtime.data_type import PrecisionType
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.manifest import TargetSpec

Shapes = Mapping[str, Sequence[int]]


class ShapeRange(NamedTuple):
    """The shapes of the model's inputs that engines are built for."""

    least: Shapes
    most: Shapes
    optimal: Shapes


class EngineOptions(NamedTuple):
    """How engines are built."""

    workspace_bytes: int = 1 << 30
    precision: PrecisionType = PrecisionType.Float32
    shapes: ShapeRange | None = None
    cache: str | None = None
    """A folder for engines; None stands for the user's cache."""


class TensorRtOptions:
    """How the engines of an artifact for TensorRT are built; others are refused."""

    def __init__(self) -> None:
        self._tensorrt: EngineOptions | None = None
        self._shape_range: ShapeRange | None = None
        self._engine_cache: str | None = None

    def enable_tensorrt_engine(
        self,
        workspace_size: int = 1 << 30,
        max_batch_size: int = 1,
        min_subgraph_size: int = 3,
        precision_mode: PrecisionType = PrecisionType.Float32,
        use_static: bool = False,
        use_calib_mode: bool = False,
        use_cuda_graph: bool = False,
    ) -> None:
        """Say how engines are built; the artifact has to be compiled with ``--target tensorrt``.

        Parameters
        ----------
        workspace_size
            Bytes of memory that TensorRT may use for a layer.
        max_batch_size
            Accepted without effect: shapes say it.
        min_subgraph_size
            Accepted without effect: subgraphs were cut out when the model was compiled
            (``--min-subgraph-size``).
        precision_mode
            ``Float32``, ``Half``, ``Bfloat16``, or ``Int8`` for a model that has scales of its own.
        use_static
            Accepted without effect: engines are always kept on the disk.
        use_calib_mode
            Refused: there is no calibration, models bring their scales.
        use_cuda_graph
            Accepted without effect.

        Raises
        ------
        UsageError
            ``use_calib_mode`` is set, or the size is not positive.
        """
        if use_calib_mode:
            raise UsageError(
                "Config.enable_tensorrt_engine(): there is no calibration: quantise the model, which then "
                "has its scales, and leave use_calib_mode out"
            )
        if workspace_size <= 0:
            raise UsageError(f"expected a workspace of some bytes, got {workspace_size}")
        self._tensorrt = EngineOptions(int(workspace_size), PrecisionType(precision_mode))

    def tensorrt_engine_enabled(self) -> bool:
        """Return whether ``enable_tensorrt_engine`` was called."""
        return self._tensorrt is not None

    def tensorrt_precision_mode(self) -> PrecisionType:
        """Return what engines compute in."""
        return (self._tensorrt or EngineOptions()).precision

    def set_trt_dynamic_shape_info(
        self,
        min_input_shape: Shapes,
        max_input_shape: Shapes,
        optim_input_shape: Shapes,
        disable_trt_plugin_fp16: bool = False,
    ) -> None:
        """Say which shapes the model's inputs may have, by name, and which engines are to be fastest at.

        Names of tensors within the model are ignored: their shapes follow from the inputs'.

        Raises
        ------
        UsageError
            The three do not name the same inputs, or sizes are not in order.
        """
        given = ShapeRange(dict(min_input_shape), dict(max_input_shape), dict(optim_input_shape))
        if not given.least.keys() == given.most.keys() == given.optimal.keys():
            raise UsageError(
                "Config.set_trt_dynamic_shape_info(): the least, largest and optimal shapes name different "
                f"inputs: {', '.join(given.least)}; {', '.join(given.most)}; {', '.join(given.optimal)}"
            )
        for name in given.least:
            low, best, high = (list(shapes[name]) for shapes in (given.least, given.optimal, given.most))
            if not len(low) == len(best) == len(high) or not all(
                a <= b <= c for a, b, c in zip(low, best, high, strict=True)
            ):
                raise UsageError(
                    f"Config.set_trt_dynamic_shape_info(): {name!r}: expected least <= optimal <= largest, "
                    f"got {low}, {best}, {high}"
                )
        self._shape_range = given

    def tensorrt_dynamic_shape_enabled(self) -> bool:
        """Return whether ``set_trt_dynamic_shape_info`` was called."""
        return self._shape_range is not None

    def set_optim_cache_dir(self, directory: str) -> None:
        """Set the folder in which engines of TensorRT are kept; by default the user's cache."""
        self._engine_cache = directory

    def engine_options(self) -> EngineOptions:
        """Return how engines are to be built."""
        options = self._tensorrt or EngineOptions()
        return options._replace(shapes=self._shape_range, cache=self._engine_cache)

    def check_engine(self, artifact: str, target: TargetSpec) -> None:
        """Refuse an artifact that is not for TensorRT where that was asked for.

        Raises
        ------
        UsageError
            It is not.
        """
        asked = (
            "enable_tensorrt_engine"
            if self._tensorrt is not None
            else "set_trt_dynamic_shape_info"
            if self._shape_range is not None
            else None
        )
        if asked is not None and target.kind != "tensorrt":
            raise UsageError(
                f"Config.{asked}(): {artifact} is compiled for {target.kind}: compile the "
                "model for TensorRT, paddle-tvm compile MODEL -o ARTIFACT --target tensorrt, or leave it out"
            )
