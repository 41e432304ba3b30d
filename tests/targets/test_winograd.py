"""Winograd convolution over blocked activations against direct convolution in float64."""

from __future__ import annotations

import numpy as np
import pytest
from graph_reference import CPUS as EVERY_CPU
from graph_reference import check
from kernel_build import lower_graph, run_graph
from tvm import relax, te, tirx

from paddle_tvm.targets.x86.conv2d import FUSES_WHAT_FOLLOWS, Window
from paddle_tvm.targets.x86.winograd import choose, transform_weight, winograd, workload
from paddle_tvm.targets.x86.winograd_plan import Plan, best_plan, plan_cost
from paddle_tvm.targets.x86.winograd_transforms import transform_matrices

# mcpu, and how many channels are a block there.
CPUS = [pytest.param(None, 16, id="here"), pytest.param("haswell", 8, id="haswell")]
SAME = ((1, 1), (1, 1))


def window(before: tuple[int, int] = (1, 1), after: tuple[int, int] = (1, 1)) -> Window:
    return Window((3, 3), (1, 1), (1, 1), before, after)


def block(array: np.ndarray, lanes: int) -> np.ndarray:
    """NCHW to blocks, with NaN in the lanes that hold no channel."""
    batch, channels, rows, columns = array.shape
    blocks = -(-channels // lanes)
    padded = np.full((batch, blocks * lanes, rows, columns), np.nan, array.dtype)
    padded[:, :channels] = array
    blocked = padded.reshape(batch, blocks, lanes, rows, columns).transpose(0, 1, 3, 4, 2)
    return np.ascontiguousarray(blocked)


def unblock(array: np.ndarray, channels: int) -> np.ndarray:
    batch, blocks, rows, columns, lanes = array.shape
    return array.transpose(0, 1, 4, 2, 3).reshape(batch, blocks * lanes, rows, columns)[:, :channels]


def convolve(x: np.ndarray, w: np.ndarray, padding) -> np.ndarray:
    (top, left), (bottom, right) = padding
    padded = np.pad(x.astype("float64"), ((0, 0), (0, 0), (top, bottom), (left, right)))
    rows, columns = padded.shape[2] - 2, padded.shape[3] - 2
    return sum(
        np.einsum("nchw,oc->nohw", padded[:, :, i : i + rows, j : j + columns], w[:, :, i, j], optimize=True)
        for i in range(3)
        for j in range(3)
    )


def he_scaled(rng, total: int, depth: int) -> np.ndarray:
    return (rng.standard_normal((total, depth, 3, 3)) * np.sqrt(2 / (9 * depth))).astype("float32")


def run_winograd(x, w, m, lanes, mcpu, padding=SAME, dynamic=(), plan=None, epilogue=None, others=()):
    """Run one convolution, and what ``epilogue`` adds from further blocked inputs."""
    total, depth = w.shape[:2]
    packed = transform_weight(w, m, lanes, lanes)
    blocked = [block(array, lanes) for array in (x, *others)]
    names = {0: "n", 2: "h", 3: "w"}
    sizes = [names[axis] if axis in dynamic else size for axis, size in enumerate(blocked[0].shape)]

    def graph(builder: relax.BlockBuilder, data: relax.Var, *rest: relax.Var) -> relax.Expr:
        result = builder.emit(
            builder.call_te(
                lambda a, b: winograd(a, b, window(*padding), depth, total, m, plan),
                data,
                relax.const(packed),
                primfunc_name_hint="conv2d",
                primfunc_attrs=FUSES_WHAT_FOLLOWS,
            )
        )
        return epilogue(builder, result, *rest) if epilogue else result

    shapes = [sizes, *(array.shape for array in blocked[1:])]
    if dynamic and others:
        shapes = [sizes] + [[*sizes[:1], *array.shape[1:2], *sizes[2:]] for array in blocked[1:]]
    return unblock(run_graph(shapes, graph, *blocked, mcpu=mcpu), total)


def error(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest error, in units of what is allowed."""
    assert actual.shape == expected.shape
    return float((np.abs(actual - expected) / (1e-5 + 1e-4 * np.abs(expected))).max())


# batch, input channels, rows, columns; output channels
SHAPES = [
    pytest.param((1, 64, 56, 56), 64, id="64x56x56"),
    pytest.param((1, 128, 28, 28), 32, id="128x28x28-to-32"),
    pytest.param((1, 512, 7, 7), 64, id="512x7x7"),
    pytest.param((3, 24, 19, 17), 40, id="odd-sizes"),
    pytest.param((2, 97, 9, 30), 48, id="97-channels"),
    pytest.param((1, 48, 5, 3), 97, id="to-97-channels"),
    pytest.param((1, 8, 1, 1), 8, id="one-pixel"),
    pytest.param((1, 16, 4, 8), 16, id="one-tile-high"),
]


@pytest.mark.parametrize("dynamic", [(0,), (2,), (3,), (0, 3)], ids=str)
@pytest.mark.parametrize("shared", [False, True])
def test_any_unknown_dimensions(rng, dynamic, shared):
    x, w = rng.standard_normal((2, 16, 18, 21)).astype("float32"), he_scaled(rng, 64, 16)
    actual = run_winograd(x, w, 4, 16, None, dynamic=dynamic, plan=Plan(2, 3, 6, 2, 2, shared))
    assert error(actual, convolve(x, w, SAME)) < 1


# Register tiles that are parts of a column of the chunk, columns, several of them, and none of these.
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("plan", [(4, 5, 2, 2), (4, 5, 4, 1), (2, 6, 4, 2), (4, 6, 6, 1)], ids=str)
@pytest.mark.parametrize("size", [(5, 30), (33, 7)], ids=str)
def test_chunks_that_reach_beyond_a_map_of_unknown_size(rng, size, plan, shared):
    x, w = rng.standard_normal((2, 80, *size)).astype("float32"), he_scaled(rng, 32, 80)
    rows, columns, points, blocks = plan
    padding = ((1, 0), (4, 3))
    chosen = Plan(rows, columns, points, blocks, 2, shared)
    actual = run_winograd(x, w, 4, 16, None, padding=padding, dynamic=(0, 2, 3), plan=chosen)
    assert error(actual, convolve(x, w, padding)) < 1


@pytest.mark.parametrize("mcpu", EVERY_CPU)
@pytest.mark.parametrize("stride", [1, 2], ids=["multiple", "multiple-of-quotient"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_sizes_that_are_multiples_of_sizes_that_are_not_known(scale, stride, mcpu):
    """A map made larger, whose rows and columns the chunks of tiles divide or do not."""

    def graph(g, x):
        small = g.conv(x, 16, stride, stride)
        large = g.conv2d_transpose(small, g.const(16, 7, scale, scale), strides=(scale, scale))
        return g.relu(g.add(g.conv(large, 12, 3, padding=1), g.const(1, 12, 1, 1)))

    check([["n", 4, "h", "w"]], graph, mcpu, [{"n": 1, "h": 8, "w": 14}, {"n": 2, "h": 3, "w": 21}])


@pytest.mark.parametrize(("mcpu", "lanes"), CPUS)
@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("dynamic", [(), (0, 2, 3)], ids=["static", "dynamic"])
@pytest.mark.parametrize(("shape", "total"), SHAPES)
def test_winograd_with_bias_residual_and_relu(rng, shape, total, m, dynamic, mcpu, lanes):
    x, w = rng.standard_normal(shape).astype("float32"), he_scaled(rng, total, shape[1])
    residual = rng.standard_normal((shape[0], total, *shape[2:])).astype("float32")
    bias = rng.standard_normal((1, total, 1, 1)).astype("float32")
    expected = np.maximum(convolve(x, w, SAME) + bias + residual, 0)

    def epilogue(builder, result, other):
        biased = builder.emit(relax.op.add(result, relax.const(block(bias, lanes))))
        return relax.op.nn.relu(builder.emit(relax.op.add(biased, other)))

    actual = run_winograd(x, w, m, lanes, mcpu, dynamic=dynamic, epilogue=epilogue, others=(residual,))
    assert error(actual, expected) < 1


@pytest.mark.parametrize("m", [2, 4])
@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((2, 2), (2, 2)), ((0, 1), (2, 0)), ((1, 0), (0, 3))])
def test_any_padding(rng, padding, m):
    x, w = rng.standard_normal((1, 20, 10, 13)).astype("float32"), he_scaled(rng, 16, 20)
    for dynamic in ((), (2, 3)):
        actual = run_winograd(x, w, m, 16, None, padding=padding, dynamic=dynamic)
        assert error(actual, convolve(x, w, padding)) < 1


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_blocks_of_every_width_on_the_oldest_cpu(rng, lanes):
    x, w = rng.standard_normal((1, 12, 10, 10)).astype("float32"), he_scaled(rng, 20, 12)
    actual = run_winograd(x, w, 4, lanes, "x86-64")
    assert error(actual, convolve(x, w, SAME)) < 1


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("rows", "columns", "points", "group", "blocks"),
    [(1, 1, 1, 1, 1), (2, 3, 6, 2, 2), (3, 2, 3, 4, 2), (4, 7, 14, 1, 1)],
)
def test_every_plan_computes_the_same(rng, rows, columns, points, group, blocks, shared):
    x, w = rng.standard_normal((2, 32, 21, 30)).astype("float32"), he_scaled(rng, 64, 32)
    plan = Plan(rows, columns, points, blocks, group, shared)
    actual = run_winograd(x, w, 4, 16, None, plan=plan)
    assert error(actual, convolve(x, w, SAME)) < 1


@pytest.mark.parametrize("shared", [False, True])
def test_products_are_made_for_one_group_of_channels_at_a_time(shared):
    packed = transform_weight(np.ones((64, 32, 3, 3), "float32"), 4, 16, 16)

    def graph(builder: relax.BlockBuilder, data: relax.Var) -> relax.Expr:
        def compute(a: te.Tensor, b: te.Tensor) -> te.Tensor:
            return winograd(a, b, window(), 32, 64, 4, Plan(2, 2, 4, 1, 2, shared))

        return builder.call_te(compute, data, relax.const(packed), primfunc_attrs=FUSES_WHAT_FOLLOWS)

    module = lower_graph([[1, 2, 16, 16, 16]], graph)
    (script,) = [function.script() for function in module.functions.values() if "winograd" in str(function)]
    place = script.split('T.sblock("winograd_partial_init")')[1].split("T.reads")[0]
    group = "y_0_x_0_n_o_0_fused % T.int64(2)" if shared else "o_0"
    assert f"T.axis.spatial(T.int64(4), {group} * T.int64(2) + " in place


@pytest.mark.parametrize("activation", ["silu", "hardswish"])
def test_activations_run_in_the_same_kernel(rng, activation):
    x, w = rng.standard_normal((1, 16, 12, 12)).astype("float32"), he_scaled(rng, 32, 16)
    y = convolve(x, w, SAME)
    expected = y / (1 + np.exp(-y)) if activation == "silu" else y * np.clip(y + 3, 0, 6) / 6

    def epilogue(builder, result):
        if activation == "silu":
            return relax.op.nn.silu(result)
        shifted = builder.emit(relax.op.add(result, relax.const(np.float32(3))))
        clipped = builder.emit(relax.op.clip(shifted, 0, 6))
        return builder.emit(
            relax.op.multiply(
                builder.emit(relax.op.multiply(result, clipped)), relax.const(np.float32(1 / 6))
            )
        )

    assert error(run_winograd(x, w, 4, 16, None, epilogue=epilogue), expected) < 1


@pytest.mark.parametrize("m", [2, 4])
def test_matrices_give_a_convolution(m):
    outputs, weights, inputs = transform_matrices(m)
    rng = np.random.default_rng(0)
    data, taps = rng.standard_normal(m + 2), rng.standard_normal(3)
    expected = [data[place : place + 3] @ taps for place in range(m)]
    np.testing.assert_allclose(outputs @ ((weights @ taps) * (inputs @ data)), expected, rtol=1e-12)


def test_weights_packed_for_another_convolution_are_refused(rng):
    data = te.placeholder((1, 1, 8, 8, 16))
    weight = te.placeholder((6, 6, 1, 32, 16))
    with pytest.raises(ValueError, match=r"\[6, 6, 1, 16, 16\] expected"):
        winograd(data, weight, window(), 16, 16, 4)


def test_weights_of_missing_channels_are_zero(rng):
    packed = transform_weight(he_scaled(rng, 24, 5), 4, 16, 16)
    assert packed.shape == (6, 6, 2, 5, 16)
    assert packed.dtype == np.float32
    assert not packed[:, :, 1, :, 8:].any()


# input and output channels, size; tile of outputs
@pytest.mark.parametrize(
    ("depth", "total", "size", "expected"),
    [
        (64, 64, 56, 4),
        (64, 64, 224, 4),
        (128, 128, 28, 4),
        (128, 32, 28, 4),
        (96, 24, 160, 4),
        (256, 256, 56, 4),
        (512, 512, 28, 4),
        # As fast with small tiles, whose weights take less than half of the memory.
        (256, 256, 14, 2),
        (512, 512, 7, 2),
        # Few channels do not pay for the transforms.
        (3, 64, 224, None),
    ],
)
def test_tiles_chosen_for_known_layers(depth, total, size, expected):
    assert choose(window(), depth, total, size, size, 16) == expected


@pytest.mark.parametrize("batch", [1, 2, 8, 16])
def test_images_do_not_read_large_weights_from_memory_anew(batch):
    # Those of the larger tile take 38 MB, and on maps of 7 x 7 each image is a chunk.
    assert choose(window(), 512, 512, 7, 7, 16, batch) == 2


def test_unknown_sizes_have_winograd_too():
    size = tirx.Var("size", "int64")
    assert choose(window(), 64, 64, size, size, 16) == 4


# input and output channels, size of VGG16's layers
@pytest.mark.parametrize(
    ("depth", "total", "size"),
    [(64, 64, 224), (128, 128, 112), (256, 256, 56), (512, 512, 28), (512, 512, 14)],
)
def test_a_plan_for_unknown_sizes_costs_little_more_than_one_for_the_size(depth, total, size):
    unknown = tirx.Var("size", "int64")
    known, not_known = (workload(4, depth, total // 16, 16, 1, edge, edge, 2) for edge in (size, unknown))
    best = plan_cost(known, best_plan(known), (size, size))
    assert plan_cost(not_known, best_plan(not_known), (size, size)) < 1.25 * best


@pytest.mark.parametrize(
    ("kernel", "strides", "dilation"),
    [((5, 5), (1, 1), (1, 1)), ((3, 3), (2, 2), (1, 1)), ((3, 3), (1, 1), (2, 2))],
)
def test_other_windows_have_no_winograd_form(kernel, strides, dilation):
    assert choose(Window(kernel, strides, dilation, (1, 1), (1, 1)), 64, 64, 56, 56, 16) is None
