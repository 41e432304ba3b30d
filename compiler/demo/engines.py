"""The two engines that the demo compares; one class serves both, because both have Paddle Inference's API."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from .picture import FloatArray
from .weights import OcrWeights


class _Handle(Protocol):
    def reshape(self, shape: list[int]) -> Any: ...
    def copy_from_cpu(self, data: FloatArray) -> Any: ...
    def copy_to_cpu(self) -> Any: ...


class _Predictor(Protocol):
    def get_input_names(self) -> list[str]: ...
    def get_input_handle(self, name: str) -> Any: ...
    def get_output_names(self) -> list[str]: ...
    def get_output_handle(self, name: str) -> Any: ...
    def run(self) -> Any: ...


class PredictorEngine:
    """Runs models on predictors with Paddle Inference's API.

    Attributes
    ----------
    load_seconds
        What it took to create each predictor, by the model's name.
    """

    def __init__(self, models: Mapping[str, Path], load: Callable[[Path], _Predictor]) -> None:
        self.load_seconds: dict[str, float] = {}
        self._predictors: dict[str, _Predictor] = {}
        for name, path in models.items():
            started = time.perf_counter()
            self._predictors[name] = load(path)
            self.load_seconds[name] = time.perf_counter() - started

    def run(self, model: str, array: FloatArray) -> FloatArray:
        """Run one model on its one input and return its one output."""
        predictor = self._predictors[model]
        source: _Handle = predictor.get_input_handle(predictor.get_input_names()[0])
        source.reshape(list(array.shape))
        source.copy_from_cpu(array)
        predictor.run()
        result: _Handle = predictor.get_output_handle(predictor.get_output_names()[0])
        output: FloatArray = result.copy_to_cpu()
        return output


def import_paddle() -> None:
    """Import Paddle, which takes seconds, without its notes about compilers and its log."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import paddle.inference  # noqa: F401


def paddle_engine(weights: OcrWeights, threads: int) -> PredictorEngine:
    """Load the models into Paddle Inference, with its default settings for a CPU (oneDNN on)."""
    from paddle import inference

    def load(program: Path) -> _Predictor:
        config = inference.Config(str(program), str(program.with_suffix(".pdiparams")))
        config.disable_gpu()
        config.disable_glog_info()
        config.set_cpu_math_library_num_threads(threads)
        predictor: _Predictor = inference.create_predictor(config)
        return predictor

    return PredictorEngine(weights.programs, load)


def compiled_engine(artifacts: Mapping[str, Path], threads: int) -> PredictorEngine:
    """Load compiled artifacts into the runtime."""
    from paddle_tvm import runtime

    def load(artifact: Path) -> _Predictor:
        config = runtime.Config(str(artifact))
        config.set_cpu_math_library_num_threads(threads)
        predictor: _Predictor = runtime.create_predictor(config)
        return predictor

    return PredictorEngine(artifacts, load)


class RecordingEngine:
    """Passes everything on to another engine and keeps the inputs of each model."""

    def __init__(self, engine: PredictorEngine) -> None:
        self.inputs: dict[str, list[FloatArray]] = {}
        self._engine = engine

    def run(self, model: str, array: FloatArray) -> FloatArray:
        """Run one model on its one input and return its one output."""
        self.inputs.setdefault(model, []).append(array)
        return self._engine.run(model, array)
