"""float32 products on AMX against NumPy in float64, and where they are chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from graph_reference import Graph, check, compiled
from tvm import relax, tirx

from paddle_tvm.compiler.lowering import build, lower
from paddle_tvm.runtime.cpu import cpu_features
from paddle_tvm.targets.cpu_names import AMX_FEATURES
from paddle_tvm.targets.workload import Choice, Config, Defaults, Workload
from paddle_tvm.targets.x86 import amx_workloads, x86_target
from paddle_tvm.targets.x86.amx import pack_tiles, packed_shape
from paddle_tvm.targets.x86.amx_plan import Sizes, best_division, cost, divisions, is_about_best, is_faster
from paddle_tvm.targets.x86.amx_workloads import AmxConv2d, AmxMatMul
from paddle_tvm.targets.x86.conv2d_workload import Conv2d

CPU, WITHOUT = "sapphirerapids", "icelake-server"

needs_amx = pytest.mark.skipif(
    not cpu_features() >= AMX_FEATURES, reason="this CPU has no AMX, or the system does not permit it"
)


class OnAmx:
    """Divides the rows of every product into so many units; what has no such form gets its default."""

    def __init__(self, row_units: int) -> None:
        self.row_units = row_units
        self.taken: list[Workload] = []

    def of(self, workload: Workload) -> Choice:
        if not isinstance(workload, AmxConv2d | AmxMatMul):
            return Choice(workload.default())
        self.taken.append(workload)
        config: Config = {"amx": 1, "row_units": self.row_units}
        return Choice(config if workload.fits(config) else workload.default(), "tuned", "test")


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """AMX for products of any size that it can compute."""
    monkeypatch.setattr(amx_workloads, "is_faster", lambda sizes: True)


def run_on_amx(
    inputs: list[list[int]], body: Callable[..., Any], row_units: int = 0, products: int = 1
) -> None:
    choices = OnAmx(row_units)
    check(inputs, body, CPU, choices=choices)
    assert len(choices.taken) == products


@needs_amx
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("row_units", [0, 1, 2, 8])
@pytest.mark.parametrize(
    ("shape", "outputs", "kernel", "stride", "padding", "dilation"),
    [
        pytest.param((1, 64, 8, 8), 64, 1, 1, 0, 1, id="whole-tiles"),
        pytest.param((1, 32, 5, 5), 48, 1, 1, 0, 1, id="25-rows-3-blocks"),
        pytest.param((1, 40, 7, 9), 24, 1, 1, 0, 1, id="40-channels"),
        pytest.param((2, 100, 7, 7), 80, 1, 1, 0, 1, id="batch-2-100-channels"),
        pytest.param((3, 48, 9, 11), 96, 1, 2, 0, 1, id="stride-2"),
        pytest.param((2, 64, 17, 13), 32, 3, 2, 1, 1, id="3x3-stride-2"),
        pytest.param((1, 32, 17, 12), 40, 5, 1, 2, 1, id="5x5"),
        pytest.param((1, 96, 15, 15), 64, 3, 1, 2, 2, id="dilated"),
        pytest.param((1, 2080, 4, 8), 48, 1, 1, 0, 1, id="2080-channels"),
    ],
)
def test_convolution_with_bias_residual_and_relu(
    shape: tuple[int, ...],
    outputs: int,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    row_units: int,
) -> None:
    def body(g: Graph, x: relax.Expr) -> relax.Expr:
        # Its result is in blocks, as the input of most convolutions.
        y = g.max_pool2d(x)
        z = g.conv(y, outputs, kernel, stride, padding, dilation)
        bias = g.add(z, g.const(1, outputs, 1, 1))
        return g.relu(g.add(bias, g.sigmoid(bias)))

    run_on_amx([list(shape)], body, row_units)


@needs_amx
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("row_units", [0, 1, 2, 8])
@pytest.mark.parametrize(
    ("shape", "columns"),
    [
        pytest.param((128, 64), 96, id="whole-tiles"),
        pytest.param((2, 3, 11, 48), 80, id="rank-4-48-deep"),
        pytest.param((33, 3072), 64, id="depth-in-runs"),
        pytest.param((300, 2048), 48, id="depth-in-runs-3-blocks"),
        pytest.param((7, 32), 16, id="7-rows-1-block"),
    ],
)
def test_product_with_bias_and_activation(
    rng: np.random.Generator, shape: tuple[int, ...], columns: int, row_units: int
) -> None:
    weight = rng.standard_normal((shape[-1], columns)) / np.sqrt(shape[-1])

    def body(g: Graph, x: relax.Expr) -> relax.Expr:
        return g.tanh(g.add(g.matmul(x, relax.const(weight.astype("float32"))), g.const(columns)))

    run_on_amx([list(shape)], body, row_units)


@needs_amx
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("depth", "columns"), [(64, 96), (48, 80), (3072, 48)])
def test_rows_whose_number_is_not_known(rng: np.random.Generator, depth: int, columns: int) -> None:
    weight = rng.standard_normal((depth, columns)) / np.sqrt(depth)

    def body(g: Graph, x: relax.Expr) -> relax.Expr:
        return g.relu(g.add(g.matmul(x, relax.const(weight.astype("float32"))), g.const(columns)))

    choices = OnAmx(0)
    sizes = [
        {"n": n, "m": m} for n, m in ((1, 1), (2, 8), (1, 17), (1, 32), (3, 11), (5, 26), (4, 64), (7, 41))
    ]
    check([["n", "m", depth]], body, CPU, sizes, choices=choices)
    assert len(choices.taken) == 1


@needs_amx
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("row_units", [0, 2])
@pytest.mark.parametrize("depth", [64, 3072])
def test_what_is_not_finite_comes_out_as_in_float32(
    rng: np.random.Generator, depth: int, row_units: int
) -> None:
    """Infinite times a weight that has zeros in its last parts is infinite, and times zero undefined."""
    weight = (rng.standard_normal((depth, 48)) / np.sqrt(depth)).astype("float32")
    weight[3, :16], weight[3, 16:20] = 0.5, 0
    x = rng.standard_normal((100, depth)).astype("float32")
    x[2, 3], x[40, 3], x[77, 5], x[99, 3] = np.inf, -np.inf, np.nan, 3e38
    (actual,) = product_of(weight, x.shape, OnAmx(row_units))(x)
    with np.errstate(invalid="ignore", over="ignore"):
        expected = x.astype("float64") @ weight.astype("float64")
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    np.testing.assert_array_equal(np.isposinf(actual), np.isposinf(expected))
    np.testing.assert_array_equal(np.isneginf(actual), np.isneginf(expected))
    rest = np.isfinite(expected) & (np.abs(expected) < 1e30)
    np.testing.assert_allclose(actual[rest], expected[rest], rtol=1e-4, atol=1e-5)


@needs_amx
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("scale", [1e-25, 1, 1e25])
def test_sums_are_as_exact_as_those_of_float32(rng: np.random.Generator, scale: float) -> None:
    weight = rng.standard_normal((768, 64)).astype("float32")
    x = (rng.standard_normal((96, 768)) * scale).astype("float32")
    expected = x.astype("float64") @ weight.astype("float64")
    errors = [
        np.abs(product_of(weight, x.shape, Defaults(), mcpu)(x)[0] - expected).max()
        for mcpu in (CPU, WITHOUT)
    ]
    assert errors[0] <= 2 * errors[1]


def product_of(
    weight: npt.NDArray[Any], shape: tuple[int, ...], choices: Any, mcpu: str = CPU
) -> Callable[..., list[npt.NDArray[Any]]]:
    module = Graph(shape).module(lambda g, x: g.matmul(x, relax.const(weight, "float32")))
    return compiled(module, mcpu, choices)


def instructions(body: Callable[..., Any], shape: list[Any], mcpu: str) -> str:
    """The code of a graph."""
    target = x86_target(mcpu)
    executable = build(lower(Graph(shape).module(body), target), target)
    return "\n".join(
        module.inspect_source("asm") for module in executable.mod.imports if module.kind == "llvm"
    )


def pointwise(g: Graph, x: relax.Expr) -> relax.Expr:
    return g.relu(g.conv(g.max_pool2d(x), 256, 1))


def test_large_products_use_it_where_it_is_and_its_registers_are_released() -> None:
    code = instructions(pointwise, [1, 256, 28, 28], CPU)
    assert "tdpbf16ps" in code
    assert code.count("tilerelease") >= code.count("ldtilecfg") > 0
    assert "tdpbf16ps" not in instructions(pointwise, [1, 256, 28, 28], WITHOUT)


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        pytest.param(pointwise, [1, 256, 1, 1], id="one-row"),
        pytest.param(pointwise, ["n", 256, 28, 28], id="unknown-batch"),
        pytest.param(pointwise, [1, 256, "h", 28], id="unknown-rows"),
        pytest.param(lambda g, x: g.conv(g.max_pool2d(x), 256, 1, groups=2), [1, 256, 28, 28], id="groups"),
        pytest.param(lambda g, x: g.conv(g.max_pool2d(x), 256, 3, 1, 1), [1, 256, 28, 28], id="winograd"),
        pytest.param(lambda g, x: g.matmul(x, x), [128, 128], id="no-weight"),
        pytest.param(
            lambda g, x: g.matmul(x, relax.const(np.full((256, 256), np.inf, "float32"))),
            [512, 256],
            id="infinite-weight",
        ),
    ],
)
def test_other_operators_do_without_it(body: Callable[..., Any], shape: list[Any]) -> None:
    assert "tdpbf16ps" not in instructions(body, shape, CPU)


def conv(size: int, channels: int, outputs: int) -> AmxConv2d:
    plain = Conv2d(1, size, size, channels, outputs, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), 1, 16, 16)
    made = AmxConv2d.of_conv(plain, np.zeros((outputs, channels, 1, 1), np.float32))
    assert made is not None
    return made


def test_workloads_have_forms_of_both_kinds_and_are_read_from_their_keys() -> None:
    for workload in (conv(28, 256, 128), AmxMatMul.of_weight((128, 768), np.zeros((768, 768), np.float32))):
        assert workload is not None
        assert Workload.from_key(workload.key) == workload
        assert workload.default() in workload.candidates()
        kinds = {"amx" in form for form in workload.candidates()}
        assert kinds == {True, False}
        assert workload.agrees(workload.default())
        assert all(workload.fits(form) for form in workload.candidates())
        assert not any(workload.agrees(form) for form in workload.candidates() if "amx" not in form)


def test_what_is_asked_of_an_operator_is_asked_of_its_products_on_amx_too() -> None:
    on_amx, product = conv(28, 128, 512), AmxMatMul(1, 128, 768, 3072, 16)
    assert on_amx.is_of({"conv2d"})
    assert on_amx.is_of({"amx_conv2d"})
    assert not on_amx.is_of({"matmul", "amx_matmul"})
    assert product.is_of({"conv2d", "matmul"})
    plain = Conv2d(**{field.name: getattr(on_amx, field.name) for field in fields(on_amx)})
    assert plain.is_of({"conv2d"})
    assert not plain.is_of({"amx_conv2d"})


def test_of_an_unknown_number_of_rows_no_operations_are_counted() -> None:
    """What tune asks of every workload before it searches."""
    workload = AmxMatMul.of_weight((tirx.Var("n", "int64"), 768), np.zeros((768, 768), np.float32))
    assert workload is not None
    assert workload.rows is None
    assert workload.flops() is workload.least_flops() is None
    assert [form["row_units"] for form in workload.candidates() if "amx" in form] == [0]


def test_weights_are_packed_as_their_shape_says() -> None:
    weight = np.arange(40 * 24, dtype=np.float32).reshape(40, 24)
    tiles = pack_tiles(weight)
    assert tiles.shape == packed_shape(40, 24) == (1, 2, 32, 32)
    np.testing.assert_array_equal(tiles[0].reshape(64, 32)[:40, :24], weight)
    assert not tiles[0].reshape(64, 32)[40:].any()
    assert not tiles[0].reshape(64, 32)[:, 24:].any()


@pytest.mark.parametrize(("rows", "columns", "depth"), [(3136, 64, 256), (196, 1024, 256), (128, 768, 3072)])
def test_the_model_divides_large_products_for_many_threads(rows: int, columns: int, depth: int) -> None:
    sizes = Sizes(rows, columns, depth)
    best = best_division(sizes)
    assert best == 0 or best >= 8
    assert is_faster(sizes)
    assert is_about_best(sizes, best)
    assert cost(sizes, best) <= min(cost(sizes, way) for way in divisions(sizes) if way == 0 or way >= 8)


@pytest.mark.parametrize(("rows", "columns", "depth"), [(1, 1000, 1280), (49, 160, 960), (12544, 16, 16)])
def test_few_rows_or_little_depth_stay_with_vectors(rows: int, columns: int, depth: int) -> None:
    assert not is_faster(Sizes(rows, columns, depth))
