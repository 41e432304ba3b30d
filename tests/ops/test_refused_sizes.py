"""A predictor names the inputs' dimensions where a model cannot take their sizes, and can be used on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from conftest import assert_close, run_paddle, save_model
from paddle import nn

from paddle_tvm import compiler
from paddle_tvm.runtime import Config, UsageError, create_predictor

Shapes = Sequence[tuple[int, ...]]


def _picture_to_vector() -> nn.Layer:
    return nn.Sequential(nn.Conv2D(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 5))


def _feature_pyramid() -> nn.Layer:
    class Pyramid(nn.Layer):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.fine = nn.Conv2D(3, 16, 3, stride=2, padding=1)
            self.coarse = nn.Conv2D(16, 16, 3, stride=2, padding=1)

        def forward(self, x: paddle.Tensor) -> paddle.Tensor:
            fine = self.fine(x)
            return fine + nn.functional.interpolate(self.coarse(fine), scale_factor=2)

    return Pyramid()


class _ReshapedWeight(nn.Layer):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.weight = self.create_parameter([6], default_initializer=nn.initializer.Uniform())

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return x.sum() + self.weight.reshape([paddle.shape(x)[0], -1])


@pytest.mark.parametrize(
    ("model", "declared", "wrong", "right", "told"),
    [
        pytest.param(
            lambda x, y: x + paddle.concat([y, y]),
            [(-1,), (-1,)],
            [(5,), (2,)],
            [(4,), (2,)],
            "expected x1_0 * 2 to be x0_0, 5 here, got 4 "
            "(x1_0 is dimension 0 of 'x1', x0_0 is dimension 0 of 'x0')",
            id="addition",
        ),
        pytest.param(
            lambda x: x.reshape([-1, 6]) + 1,
            [(-1, 4)],
            [(2, 4)],
            [(3, 4)],
            "expected x0_0 * 4 to be x0_0 * 4 // 6 * 6, 6 here, got 8 (x0_0 is dimension 0 of 'x0')",
            id="reshape",
        ),
        pytest.param(
            lambda x, y: paddle.matmul(x.reshape([0, 2, -1]), y),
            [(-1, -1), (-1, -1, 3)],
            [(2, 4), (2, 5, 3)],
            [(2, 4), (2, 2, 3)],
            "expected x0_1 // 2 to be x1_1, 5 here, got 2",
            id="matmul",
        ),
        pytest.param(
            nn.Linear(8, 3),
            [(-1, -1)],
            [(2, 7)],
            [(2, 8)],
            "expected x0_1 to be 8, got 7 (x0_1 is dimension 1 of 'x0')",
            id="weight",
        ),
        pytest.param(
            _ReshapedWeight(),
            [(-1, -1)],
            [(4, 1)],
            [(3, 1)],
            "expected x0_0 * (6 // x0_0) to be 6, got 4 (x0_0 is dimension 0 of 'x0')",
            id="reshaped-weight",
        ),
        pytest.param(
            _picture_to_vector(),
            [(-1, 3, -1, -1)],
            [(1, 3, 9, 8)],
            [(1, 3, 8, 8)],
            "to be 144, got 168 (x0_2 is dimension 2 of 'x0', x0_3 is dimension 3 of 'x0')",
            id="computed-tensor",
        ),
        pytest.param(
            _feature_pyramid(),
            [(-1, 3, -1, -1)],
            [(1, 3, 10, 12)],
            [(1, 3, 8, 12)],
            " here, got ",
            id="blocked-layout",
        ),
        pytest.param(
            lambda x: paddle.split(x, 2)[0] + 1,
            [(-1, 4)],
            [(5, 4)],
            [(6, 4)],
            "expected x0_0 to be x0_0 // 2 * 2, 4 here, got 5",
            id="equal-parts",
        ),
        pytest.param(
            lambda x: paddle.split(x, [2, 3])[1] + 1,
            [(-1, 4)],
            [(6, 4)],
            [(5, 4)],
            "expected x0_0 to be 5, got 6",
            id="given-parts",
        ),
        pytest.param(
            lambda x: paddle.topk(x.flatten(), 4)[0],
            [(-1, -1)],
            [(1, 3)],
            [(2, 3)],
            "the axis has fewer elements than topk",
            id="kernel",
        ),
    ],
)
def test_sizes_that_do_not_go_together(
    tmp_path: Path, rng: Any, model: Any, declared: Shapes, wrong: Shapes, right: Shapes, told: str
) -> None:
    save_model(model, tmp_path / "model", declared, ["float32"] * len(declared))
    compiler.compile(tmp_path / "model", tmp_path / "model.pdtvm")
    predictor = create_predictor(Config(str(tmp_path / "model.pdtvm")))
    arrays = [rng.standard_normal(shape).astype("float32") for shape in right]
    (expected,) = run_paddle(tmp_path / "model", arrays)
    for _ in range(2):
        with pytest.raises(UsageError) as refused:
            predictor.run([np.zeros(shape, "float32") for shape in wrong])
        message = str(refused.value)
        given = ", ".join(f"x{number} {list(shape)}" for number, shape in enumerate(wrong))
        option = " ".join(
            f"x{number}={','.join(map(str, shape))}" for number, shape in enumerate(wrong) if shape
        )
        assert f"model.pdtvm: the model cannot take {given}: " in message
        assert told in message
        assert message.endswith(f"--shape '{option}'")
        assert not [word for word in ("match_cast", "ErrorContext", "Check failed") if word in message]
        outputs = predictor.run(arrays)
        assert outputs is not None
        assert_close(outputs[0], expected)


def test_an_axis_too_short_for_topk_is_a_bound_of_the_input(tmp_path: Path) -> None:
    save_model(lambda x: paddle.topk(x, 3)[0], tmp_path / "model", [(-1,)], ["float32"])
    compiler.compile(tmp_path / "model", tmp_path / "model.pdtvm")
    predictor = create_predictor(Config(str(tmp_path / "model.pdtvm")))
    with pytest.raises(UsageError, match=r"input 'x0': expected at least 3 in dimension 0 \(x0_0\), got 2"):
        predictor.run([np.zeros(2, "float32")])


def test_more_memory_than_there_is(tmp_path: Path) -> None:
    save_model(
        lambda x: paddle.cumsum(x.unsqueeze(0) * x.unsqueeze(1), 0).max(),
        tmp_path / "model",
        [(-1,)],
        ["float32"],
    )
    compiler.compile(tmp_path / "model", tmp_path / "model.pdtvm")
    predictor = create_predictor(Config(str(tmp_path / "model.pdtvm")))
    with pytest.raises(UsageError, match=r"x0 \[40000000\] takes more memory than .* smaller sizes"):
        # The product has more bytes than a process can address.
        predictor.run([np.zeros(40_000_000, "float32")])
    assert predictor.run([np.ones(3, "float32")]) == [3.0]
