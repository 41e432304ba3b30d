"""Memory stays bounded over many shapes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from paddle_tvm.runtime import Config, UsageError, create_predictor
from paddle_tvm.runtime.memory import free_cached, resident_bytes

MB = 1 << 20


def test_many_shapes_stay_within_the_limit(pair: Path) -> None:
    config = Config(str(pair))
    config.set_cached_memory_limit_mb(32)
    predictor = create_predictor(config)
    scalar = np.array(1, "int64")

    def run(rows: int) -> None:
        data = np.ones((rows, 4), "float32")
        predictor.run([data, data, np.zeros(rows, bool), scalar])

    run(1)
    free_cached()
    before = resident_bytes()
    most = 0
    # The sum alone takes 1 MB, in 200 sizes.
    for n in range(200):
        run((1 << 16) + 256 * n)
        most = max(most, resident_bytes() - before)
    assert most < 64 * MB


def test_the_same_shape_again_does_not_grow(parallel: Path) -> None:
    predictor = create_predictor(Config(str(parallel)))
    rows = np.ones((500, 128), "float32")
    for _ in range(5):
        predictor.run([rows])
    before = resident_bytes()
    for _ in range(100):
        predictor.run([rows])
    assert resident_bytes() - before < 2 * MB


def test_predictors_that_end_give_their_memory_back(parallel: Path) -> None:
    rows = np.ones((500, 128), "float32")
    for _ in range(5):
        create_predictor(Config(str(parallel))).run([rows])
    before = resident_bytes()
    for _ in range(60):
        create_predictor(Config(str(parallel))).run([rows])
    assert resident_bytes() - before < 10 * MB


def test_shrinking_frees_what_is_cached(parallel: Path) -> None:
    predictor = create_predictor(Config(str(parallel)))
    predictor.run([np.ones((40000, 128), "float32")])
    predictor.get_input_handle("x").copy_from_cpu(np.ones((1, 128), "float32"))
    predictor.run()
    assert predictor.try_shrink_memory() > 15 * MB
    predictor.clear_intermediate_tensor()
    predictor.run()


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 0 MB, got -1"):
        Config().set_cached_memory_limit_mb(-1)
