"""What the x86 schedules promise of every kernel."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tvm
from kernel_build import lower_graph
from tvm import relax, tirx

from paddle_tvm.targets.x86 import x86_target
from paddle_tvm.targets.x86.tile import choose_tile

IMAGE = [1, 64, 56, 56]


def const(*shape: int) -> relax.Expr:
    return relax.const(np.ones(shape, "float32"))


GRAPHS = {
    "convolution": (IMAGE, lambda b, x: relax.op.nn.conv2d(x, const(64, 64, 3, 3), padding=[1] * 4)),
    "depthwise": (IMAGE, lambda b, x: relax.op.nn.conv2d(x, const(64, 1, 3, 3), padding=[1] * 4, groups=64)),
    "transposed": (IMAGE, lambda b, x: relax.op.nn.conv2d_transpose(x, const(64, 16, 2, 2), strides=[2, 2])),
    "volumes": (
        [1, 16, 8, 28, 28],
        lambda b, x: relax.op.nn.conv3d(x, const(32, 16, 3, 3, 3), padding=[1] * 6),
    ),
    "matmul": ([128, 768], lambda b, x: relax.op.matmul(x, const(768, 768))),
    "elementwise": (IMAGE, lambda b, x: relax.op.multiply(x, x)),
    "channel-scale": (IMAGE, lambda b, x: relax.op.multiply(x, const(1, 64, 1, 1))),
    "max-pool": (IMAGE, lambda b, x: relax.op.nn.max_pool2d(x, (3, 3), (2, 2), (1, 1, 1, 1))),
    "global-mean": (IMAGE, lambda b, x: relax.op.mean(x, [2, 3])),
    "channel-sum": (IMAGE, lambda b, x: relax.op.sum(x, [1])),
    "layer-norm": ([128, 768], lambda b, x: relax.op.nn.layer_norm(x, const(768), const(768), [-1])),
    "transpose": (IMAGE, lambda b, x: relax.op.permute_dims(x, [0, 2, 3, 1])),
}


def dynamic(shape: list[int]) -> list[int | str]:
    return ["n", shape[1], *("hwd"[axis] for axis in range(len(shape) - 2))]


@pytest.mark.parametrize("form", ["static", "dynamic"])
@pytest.mark.parametrize("name", GRAPHS)
def test_large_kernels_are_parallel_and_vectorised(name, form):
    shape, graph = GRAPHS[name]
    module = lower_graph([shape if form == "static" else dynamic(shape)], graph)
    target = x86_target()
    for variable, function in module.functions.items():
        if not isinstance(function, tirx.PrimFunc):
            continue
        assert "T.parallel" in function.script(), variable.name_hint
        kernel = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
        library = tvm.compile(kernel, target=target.tvm_target, tir_pipeline=target.tir_pipeline)
        assembly = library.mod.inspect_source("asm")
        # Loads, stores or arithmetic on whole vectors, not the scalar forms that end in "ss".
        assert re.search(r"\bv\w+ps\s.*%[yz]mm", assembly), variable.name_hint


@pytest.mark.parametrize("form", ["static", "dynamic"])
@pytest.mark.parametrize("name", ["convolution", "volumes"])
def test_sums_of_products_stay_in_registers(name, form):
    shape, graph = GRAPHS[name]
    module = lower_graph([shape if form == "static" else dynamic(shape)], graph, "icelake-server")
    assert 'scope="local"' in module.script()


@pytest.mark.parametrize("form", ["static", "dynamic"])
@pytest.mark.parametrize("mcpu", ["icelake-server", "haswell"])
def test_the_inner_loop_of_a_matrix_product_stores_nothing(form, mcpu):
    shape, graph = GRAPHS["matmul"]
    module = lower_graph([shape if form == "static" else dynamic(shape)], graph, mcpu)
    target = x86_target(mcpu)
    loops = []
    for function in module.functions.values():
        if isinstance(function, tirx.PrimFunc):
            kernel = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
            library = tvm.compile(kernel, target=target.tvm_target, tir_pipeline=target.tir_pipeline)
            loops += re.split(
                r"^\.LBB.*$|^\s+j\w+\s.*$", library.mod.inspect_source("asm"), flags=re.MULTILINE
            )
    innermost = max(loops, key=lambda loop: loop.count("vfmadd"))
    assert innermost.count("vfmadd") >= 8
    assert not re.search(r"vmov\w+\s+%[xyz]mm\d+, [^%\n]*\(", innermost)


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("points", [1, 2, 7, 49, 196, 3136, None])
@pytest.mark.parametrize("blocks", [1, 2, 3, 16])
def test_tiles_fit_the_registers(points, blocks, lanes):
    size = tirx.Var("n", "int64") if points is None else points
    tile = choose_tile(size, blocks, lanes)
    assert blocks % tile.blocks == 0
    # Accumulators, the weights of one step, and one broadcast value.
    assert tile.points * tile.blocks + tile.blocks + 1 <= (32 if lanes == 16 else 16)


def test_an_unknown_cpu_is_refused_with_the_known_ones():
    from paddle_tvm.runtime.errors import UsageError

    with pytest.raises(UsageError, match=r"pentium.*icelake-server"):
        x86_target("pentium")


def kernels(module: tvm.IRModule) -> dict[str, str]:
    return {
        variable.name_hint: function.script()
        for variable, function in module.functions.items()
        if isinstance(function, tirx.PrimFunc)
    }


def test_blocks_in_rows_of_unknown_length_are_whole_vectors():
    blocked, gate = ["n", 6, "h", "w", 16], ["n", 6, 1, 1, 16]
    scripts = kernels(lower_graph([blocked, gate], lambda b, x, y: relax.op.multiply(x, y)))
    (script,) = scripts.values()
    assert "T.vectorized(T.int64(16))" in script


@pytest.mark.parametrize(("size", "by_rows"), [(28, True), (14, True), (7, False)])
def test_threads_share_rows_unless_there_are_far_more_weights(size, by_rows):
    """The slowest part of the parallel loop's index is rows, or blocks of output channels."""

    def graph(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        y = b.emit(relax.op.nn.conv2d(x, const(512, 64, 1, 1)))
        return relax.op.nn.relu(b.emit(relax.op.nn.conv2d(y, const(512, 512, 1, 1))))

    scripts = kernels(lower_graph([[1, 64, size, size]], graph, "icelake-server"))
    script = next(text for name, text in scripts.items() if name.startswith("fused_conv2d") and "max" in text)
    loop = re.findall(r"for (\w+) in T\.parallel", script)[0]
    # Positions go up to a multiple of the tile.
    extents = "|".join(map(str, [*range(size**2, size**2 + 8), 512]))
    position, channel = re.findall(rf"T\.axis\.spatial\(T\.int64\((?:{extents})\), (.+)\)", script)[:2]
    slowest = f"{loop} // "
    assert (position.startswith(slowest), channel.startswith(slowest)) == (by_rows, not by_rows)


@pytest.mark.parametrize(
    ("size", "units"), [pytest.param(160, 160, id="rows"), pytest.param(20, 80, id="rows-and-phases")]
)
def test_threads_share_as_few_loops_as_will_do(size, units):
    """Rows where there are enough of them, and not the tiles of all rows."""

    def graph(b: relax.BlockBuilder, x: relax.Var) -> relax.Expr:
        y = b.emit(relax.op.nn.conv2d(x, const(24, 24, 1, 1)))
        return relax.op.nn.conv2d_transpose(y, const(24, 24, 2, 2), strides=[2, 2])

    scripts = kernels(lower_graph([[1, 24, size, size]], graph, "icelake-server"))
    script = next(text for name, text in scripts.items() if "transpose" in name)
    assert re.findall(r"T\.parallel\(T\.int64\((\d+)\)\)", script)[0] == str(units)
