"""Every model of the zoo compiles and gives Paddle's numbers, at two shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from emulated_cuda import Emulator
from zoo import ZOO, ZooModel

from paddle_tvm import compiler
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.reference import open_reference
from paddle_tvm.compiler.verify import verify_artifact

MODELS = [
    pytest.param(model, id=name, marks=[] if model.quick else [pytest.mark.slow])
    for name, model in ZOO.items()
]


@pytest.mark.parametrize("model", MODELS)
def test_compiled_model_equals_paddle_at_two_shapes(model: ZooModel, tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    saved = model.save(tmp_path / "saved")
    reference = open_reference(find_model(saved))
    for shapes in model.shapes:
        require_signal(reference, model, shapes)
    artifact = tmp_path / "model.pdtvm"
    compiler.compile(saved, artifact)
    for seed, shapes in enumerate(model.shapes):
        inputs = model.random_inputs(shapes, seed)
        for threads in (1, 2):
            verify_artifact(artifact, saved, threads=threads, inputs=inputs).require_passed()


def require_signal(reference: Any, model: ZooModel, shapes: Any) -> None:
    """Outputs must depend on the input: comparing those of a network that is dead proves nothing."""
    first, second = (reference.run(model.random_inputs(shapes, seed)) for seed in (0, 1))
    for one, other in zip(first, second, strict=True):
        assert np.abs(one - other).max() > 1e-2 * np.abs(one).max()


# Those of the quick models that a CPU computes as fast as a GPU's threads one after the other.
PLAYED = ("lenet", "squeezenet", "shufflenet_v2", "encoder", "lstm_classifier", "gru_classifier")
ON_GPU = [
    pytest.param(model, id=name, marks=[] if name in PLAYED else [pytest.mark.slow])
    for name, model in ZOO.items()
]


@pytest.mark.parametrize("model", ON_GPU)
def test_model_compiled_for_gpus_equals_paddle_at_two_shapes(
    model: ZooModel, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "saved").mkdir()
    saved = model.save(tmp_path / "saved")
    artifact = tmp_path / "model.pdtvm"
    compiler.compile(saved, artifact, target="cuda")
    before = emulator.kernels
    for seed, shapes in enumerate(model.shapes):
        inputs = model.random_inputs(shapes, seed)
        verify_artifact(artifact, saved, inputs=inputs).require_passed()
    assert emulator.kernels > before


@pytest.mark.slow
@pytest.mark.parametrize("model", [pytest.param(model, id=name) for name, model in ZOO.items()])
def test_every_model_compiles_for_two_architectures(model: ZooModel, tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    saved = model.save(tmp_path / "saved")
    compiler.compile(saved, tmp_path / "model.pdtvm", target="cuda", architectures=["sm_80", "sm_90"])
