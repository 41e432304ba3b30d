"""The oneDNN target in bfloat16 against Paddle's float32, and what is said of CPUs that have none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from onednn_models import Compiled
from paddle import nn
from paddle.nn import functional as F
from paddle.static import InputSpec

from paddle_tvm import compiler
from paddle_tvm.compiler.cli.main import run_command_line
from paddle_tvm.compiler.verify import TOLERANCES, verify_artifact
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.cpu import cpu_features
from paddle_tvm.runtime.errors import ArtifactError, UsageError
from paddle_tvm.targets.offload import measured_name
from paddle_tvm.targets.onednn import OneDnn, target
from paddle_tvm.targets.registry import targets_of
from paddle_tvm.targets.x86.cpus import features_of

Compile = Callable[..., Compiled]
needs_bfloat16 = pytest.mark.skipif(
    "avx512_bf16" not in cpu_features(), reason="this machine's CPU has no avx512_bf16, which bfloat16 needs"
)


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    return lambda layers, shapes, function: Compiled(
        tmp_path, layers, shapes, function, precision="bfloat16", verify=True
    )


def _check(model: Compiled, rounding: float = 1.0) -> None:
    """Compare with Paddle.

    Elements may differ by ``rounding`` times the largest error of rounding the largest one to bfloat16.
    """
    half_ulp = 2.0**-8
    for threads in (1, 2):
        results = model.predictor(threads).run(model.inputs)
        for got, wanted in zip(results, model.expected, strict=True):
            assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
            assert np.abs(got - wanted).max() <= rounding * half_ulp * np.abs(wanted).max()


def _types(model: Compiled, primitive: str) -> list[list[str]]:
    """What primitives of a kind read and write."""
    return [
        [layout.split()[0] if " " in layout else "f32" for layout in layouts.split(" -> ")]
        for name, _, layouts in model.described()
        if primitive in name
    ]


@needs_bfloat16
def test_convolutions(compiled: Compile) -> None:
    layers = {
        "plain": nn.Conv2D(5, 16, 3, padding=1),
        "strided": nn.Conv2D(5, 33, 3, stride=2, padding=[0, 1, 1, 2], bias_attr=False),
        "dilated": nn.Conv2D(16, 8, 3, dilation=2, padding=2),
        "grouped": nn.Conv2D(16, 32, 3, groups=4),
        "depthwise": nn.Conv2D(16, 16, 5, groups=16, padding=2),
        "pointwise": nn.Conv2D(16, 7, 1),
        "deeper": nn.Conv3D(2, 3, 3, padding=1),
        "flatter": nn.Conv1D(5, 4, 3, stride=2),
        "doubled": nn.Conv2DTranspose(16, 8, 2, stride=2),
        "uneven": nn.Conv2DTranspose(16, 4, 3, groups=2, padding=1),
    }

    def function(m: Any, x: paddle.Tensor) -> Any:
        plain = F.relu(m.plain(x))
        volume, line = x[:, :4].reshape([2, 2, 2, 13, 11]), x[:, :, 0]
        return (
            m.strided(x), m.dilated(plain), m.grouped(plain), m.depthwise(plain), m.pointwise(plain),
            m.deeper(volume), m.flatter(line), m.doubled(plain), m.uneven(plain),
        )  # fmt: skip

    model = compiled(layers, [(2, 5, 13, 11)], function)
    _check(model, 2)
    model.check_all_taken()
    # Those whose results are given out write float32 themselves.
    types = _types(model, "convolution")
    assert len(types) == 10
    assert sorted({tuple(pair) for pair in types}) == [("bf16", "bf16"), ("bf16", "f32")]


@needs_bfloat16
def test_products_softmax_and_norms(compiled: Compile) -> None:
    layers = {
        "dense": nn.Linear(24, 40),
        "norm": nn.LayerNorm(24),
        "unbiased": nn.Linear(24, 9, bias_attr=False),
    }

    def function(m: Any, x: paddle.Tensor, y: paddle.Tensor) -> Any:
        heads = x.reshape([2, 6, 4, 6]).transpose([0, 2, 1, 3])
        scores = F.softmax(paddle.matmul(heads * 0.4, heads, transpose_y=True), axis=-1)
        mixed = paddle.matmul(scores, heads).transpose([0, 2, 1, 3]).reshape([2, 6, 24])
        return F.gelu(m.dense(x)), m.norm(x + mixed), m.unbiased(x[:, 2:5]), paddle.matmul(x, y)

    model = compiled(layers, [(2, 6, 24), (2, 24, 3)], function)
    _check(model, 4)
    model.check_all_taken()
    assert all(types[0] == "bf16" for types in _types(model, "matmul"))
    assert _types(model, "softmax") == [["bf16", "bf16"]]


@needs_bfloat16
def test_pooling_resampling_and_arithmetic(compiled: Compile) -> None:
    def function(m: Any, x: paddle.Tensor) -> Any:
        one = m.one(x)
        gate = F.sigmoid(F.adaptive_avg_pool2d(one, 1))
        joined = paddle.concat([one * gate, F.hardswish(m.two(one)) + one], axis=1)
        shuffled = joined.reshape([2, 4, 10, 12, 9]).transpose([0, 2, 1, 3, 4]).reshape([2, 40, 12, 9])
        return (
            F.max_pool2d(one, 3, stride=2, padding=1),
            F.avg_pool2d(one, [2, 3], stride=[2, 1], ceil_mode=True),
            F.interpolate(one, scale_factor=2, mode="nearest"),
            F.interpolate(one, size=[15, 7], mode="bilinear"),
            m.last(shuffled),
            paddle.exp(-paddle.abs(one)) * 3.0 - 0.5,
            one[:, 3:9, 1:, :4],
            # What oneDNN has no bfloat16 for as it lies: arithmetic of the input itself.
            m.three(F.tanh(x)),
        )

    layers = {
        "one": nn.Conv2D(3, 20, 3, padding=1),
        "two": nn.Conv2D(20, 20, 1),
        "three": nn.Conv2D(3, 8, 3),
        "last": nn.Conv2D(40, 8, 1),
    }
    model = compiled(layers, [(2, 3, 12, 9)], function)
    _check(model, 4)
    model.check_all_taken()


class _Block(nn.Layer):  # type: ignore[misc]  # Paddle has no types.
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2D(3, 32, 3, stride=2, padding=1), nn.BatchNorm2D(32), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2D(32, 32, 3, padding=1), nn.ReLU(), nn.Conv2D(32, 32, 1))

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.stem(x)
        for _ in range(3):
            x = F.relu(self.body(x) + x)
        return x


@needs_bfloat16
def test_residual_blocks_stay_in_bfloat16(compiled: Compile, tmp_path: Path) -> None:
    model = compiled(
        {"net": _Block(), "head": nn.Linear(32, 10)},
        [(1, 3, 32, 32)],
        lambda m, x: m.head(F.adaptive_avg_pool2d(m.net(x), 1).flatten(1)),
    )
    _check(model, 4)
    model.check_all_taken()
    names = [name for name in model.primitives() if "reorder" in name]
    # The input becomes bfloat16; the last product writes float32.
    assert names == ["reorder of an input"]
    assert model.primitives().count("convolution+sum+eltwise") == 3
    assert _types(model, "convolution") == [["bf16", "bf16"]] * 7
    assert _types(model, "matmul") == [["bf16", "f32"]]
    result = verify_artifact(model.artifact, tmp_path / "model")
    assert result.passed
    assert result.tolerance == TOLERANCES["bfloat16"]


@needs_bfloat16
def test_artifacts_name_the_feature_that_they_need(
    compiled: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = compiled({"one": nn.Linear(8, 8)}, [(2, 8)], lambda m, x: m.one(x))
    (variant,) = read_manifest(model.artifact).variants
    assert "avx512_bf16" in variant.target.features
    lesser = frozenset(cpu_features() - {"avx512_bf16"})
    monkeypatch.setattr("paddle_tvm.runtime.variants.cpu_features", lambda: lesser)
    with pytest.raises(ArtifactError, match="lacks avx512_bf16"):
        model.predictor()


def test_cpus_without_bfloat16_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for mcpus, named in (
        (["haswell"], "--mcpu haswell lacks"),
        (["sapphirerapids", "icelake-server"], "--mcpu icelake-server lacks"),
    ):
        with pytest.raises(UsageError, match=f"needs avx512_bf16, which {named}.*--mcpu .*cooperlake"):
            targets_of("onednn", mcpus, precision="bfloat16")
    monkeypatch.setattr(target, "cpu_features", lambda: frozenset({"avx2"}))
    with pytest.raises(UsageError, match="which this machine's CPU lacks"):
        targets_of("onednn", [], precision="bfloat16")
    (made,) = targets_of("onednn", ["znver4"], precision="bfloat16")
    assert made.accelerator is not None
    assert "avx512_bf16" in made.features


def test_a_note_says_that_bfloat16_may_be_slow_without_amx(monkeypatch: pytest.MonkeyPatch) -> None:
    def notes(*mcpus: str, precision: str = "bfloat16") -> list[str]:
        return [note for made in targets_of("onednn", mcpus, precision=precision) for note in made.notes]

    assert notes("sapphirerapids", "graniterapids") == []
    (note,) = notes("sapphirerapids", "cooperlake")
    assert note.startswith("--mcpu cooperlake has no AMX (amx_bf16)")
    assert notes("cooperlake", precision="float32") == []
    # Measured to be twice as fast there.
    assert notes("znver5") == []
    features = frozenset(features_of("cooperlake"))
    monkeypatch.setattr(target, "cpu_features", lambda: features)
    monkeypatch.setattr(target, "microarchitecture_here", lambda: "znver5")
    assert notes() == []
    monkeypatch.setattr(target, "microarchitecture_here", lambda: "cooperlake")
    (note,) = notes()
    assert note.startswith("this machine's CPU has no AMX (amx_bf16)")
    monkeypatch.setattr(target, "cpu_features", lambda: features | {"amx_bf16"})
    assert notes() == []


def test_compile_prints_the_note_and_gives_it_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prefix = tmp_path / "model" / "inference"
    paddle.jit.save(nn.Linear(8, 8), str(prefix), input_spec=[InputSpec((2, 8), "float32", "x")])
    arguments = ["compile", str(prefix), "--target", "onednn", "--precision", "bfloat16", "--json"]
    noted = {}
    for mcpu in ("cooperlake", "sapphirerapids"):
        output = tmp_path / f"{mcpu}.pdtvm"
        assert run_command_line([*arguments, "--mcpu", mcpu, "-o", str(output)]) == 0
        shown = capsys.readouterr()
        noted[mcpu] = json.loads(shown.out)["notes"]
        assert [line for line in shown.err.splitlines() if line.startswith("note: ")] == [
            f"note: {note}" for note in noted[mcpu]
        ]
    assert (len(noted["cooperlake"]), len(noted["sapphirerapids"])) == (1, 0)


def test_other_precisions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--target cuda: onednn computes in float32 or bfloat16"):
        compiler.compile(tmp_path, tmp_path / "out", target="onednn", precision="float16")
    with pytest.raises(UsageError, match="--target cuda or onednn: x86 computes in float32"):
        compiler.compile(tmp_path, tmp_path / "out", target="x86", precision="bfloat16")


def test_measurements_in_float32_say_nothing_of_bfloat16() -> None:
    assert measured_name(OneDnn()) == "onednn"
    assert measured_name(OneDnn("bfloat16")) == "onednn in bfloat16"


def test_measurements_beside_kernels_on_amx_say_nothing_of_cpus_without() -> None:
    names = [measured_name(OneDnn(), features_of(mcpu)) for mcpu in ("icelake-server", "sapphirerapids")]
    assert names == ["onednn", "onednn beside kernels on AMX"]
