"""Runs an artifact once, through the runtime's public API."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from paddle_tvm.runtime import Config, create_predictor


def load_predictor(artifact: Path, threads: int | None = None, mcpu: str | None = None) -> Any:
    """A predictor of an artifact; ``mcpu`` chooses among the code for several CPUs."""
    config = Config(str(artifact))
    config.set_mcpu(mcpu)
    if threads is not None:
        config.set_cpu_math_library_num_threads(threads)
    return create_predictor(config)


def predict(predictor: Any, arrays: Mapping[str, npt.NDArray[np.generic]]) -> list[npt.NDArray[np.generic]]:
    """Feed every input by name, run, and copy the outputs out in their order."""
    for name in predictor.get_input_names():
        handle = predictor.get_input_handle(name)
        handle.reshape(list(arrays[name].shape))
        handle.copy_from_cpu(np.ascontiguousarray(arrays[name]).reshape(arrays[name].shape))
    predictor.run()
    return [
        np.asarray(predictor.get_output_handle(name).copy_to_cpu()) for name in predictor.get_output_names()
    ]
