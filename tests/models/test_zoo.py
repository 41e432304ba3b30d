"""Every model of the zoo compiles and gives Paddle's numbers, at two shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
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
