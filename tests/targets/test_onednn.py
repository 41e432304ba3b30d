"""The oneDNN target against Paddle: primitives, what is fused, layouts, threads, missing parts."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from onednn_models import Compiled, Model
from paddle import nn
from paddle.nn import functional as F
from paddle.static import InputSpec

from paddle_tvm import compiler, runtime
from paddle_tvm.compiler.profiling.kernel_table import kernels_file, read_kernel_table
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.errors import ArtifactError, UsageError
from paddle_tvm.targets import onednn
from paddle_tvm.targets.onednn import library

Compile = Callable[..., Compiled]


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    return lambda layers, shapes, function: Compiled(tmp_path, layers, shapes, function)


def test_convolutions(compiled: Compile) -> None:
    layers = {
        "plain": nn.Conv2D(5, 16, 3, padding=1),
        "strided": nn.Conv2D(5, 33, 3, stride=2, padding=[0, 1, 1, 2], bias_attr=False),
        "dilated": nn.Conv2D(5, 8, 3, dilation=2, padding=2),
        "grouped": nn.Conv2D(16, 32, 3, groups=4),
        "depthwise": nn.Conv2D(16, 16, 5, groups=16, padding=2),
        "multiplied": nn.Conv2D(16, 32, 3, groups=16, stride=2),
        "pointwise": nn.Conv2D(16, 7, 1),
        "deeper": nn.Conv3D(2, 3, 3, padding=1),
        "flatter": nn.Conv1D(5, 4, 3, stride=2),
    }

    def function(m: Any, x: paddle.Tensor) -> Any:
        plain = m.plain(x)
        volume, line = x[:, :4].reshape([2, 2, 2, 13, 11]), x[:, :, 0]
        return (
            m.strided(x), m.dilated(x), m.grouped(plain), m.depthwise(plain), m.multiplied(plain),
            m.pointwise(plain), m.deeper(volume), m.flatter(line),
        )  # fmt: skip

    model = compiled(layers, [(2, 5, 13, 11)], function)
    model.check()
    model.check(2)
    assert sum("convolution" in name for name in model.primitives()) == 9


def test_transposed_convolutions(compiled: Compile) -> None:
    layers = {
        "doubled": nn.Conv2DTranspose(16, 8, 2, stride=2),
        "padded": nn.Conv2DTranspose(16, 5, 3, stride=2, padding=1, output_padding=1),
        "grouped": nn.Conv2DTranspose(16, 8, 3, groups=4, padding=1),
        "uneven": nn.Conv2DTranspose(16, 4, [3, 2], stride=[1, 2], padding=[0, 1], dilation=[2, 1]),
    }
    model = compiled(
        layers,
        [(2, 16, 7, 6)],
        lambda m, x: (F.relu(m.doubled(x)), m.padded(x), m.grouped(x), m.uneven(x)),
    )
    model.check()
    model.check_all_taken()


def test_pooling_beside_convolutions(compiled: Compile) -> None:
    def function(m: Any, x: paddle.Tensor) -> Any:
        x = m.convolution(x)
        return (
            F.max_pool2d(x, 3, stride=2, padding=1),
            F.max_pool2d(x, 2, stride=2, ceil_mode=True),
            F.avg_pool2d(x, 3, stride=2, padding=1),
            F.avg_pool2d(x, 3, stride=1, padding=1, exclusive=False),
            F.avg_pool2d(x, [2, 3], stride=[2, 1], ceil_mode=True),
            F.adaptive_avg_pool2d(x, 1),
            F.adaptive_avg_pool2d(x, [4, 3]),
            # As ONNX's GlobalAveragePool arrives.
            x.mean([2, 3], keepdim=True),
        )

    model = compiled({"convolution": nn.Conv2D(3, 20, 3, padding=1)}, [(2, 3, 12, 9)], function)
    model.check()
    model.check_all_taken()
    assert model.primitives().count("pooling") == 8


def test_resampling(compiled: Compile) -> None:
    def function(m: Any, x: paddle.Tensor) -> Any:
        x = m.convolution(x)
        return (
            F.relu(F.interpolate(x, scale_factor=2, mode="nearest") + 0.1),
            F.interpolate(x, size=[12, 20], mode="nearest"),
            F.interpolate(x, size=[15, 7], mode="bilinear"),
            F.interpolate(x, scale_factor=2, mode="bilinear"),
            # Their arithmetic is not oneDNN's.
            F.interpolate(x, size=[9, 11], mode="nearest"),
            F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
        )

    model = compiled({"convolution": nn.Conv2D(3, 20, 3, padding=1)}, [(2, 3, 6, 5)], function)
    model.check()
    (left,) = model.table().left.values()
    assert list(left.values()) == ["oneDNN's resampling counts pixels in another way"] * 2
    assert sum("resampling" in name for name in model.primitives()) == 4


def test_products(compiled: Compile) -> None:
    layers = {
        "dense": nn.Linear(24, 40),
        "norm": nn.LayerNorm(24),
        "unbiased": nn.Linear(24, 9, bias_attr=False),
    }

    def function(m: Any, x: paddle.Tensor, y: paddle.Tensor) -> Any:
        heads = x.reshape([2, 6, 4, 6]).transpose([0, 2, 1, 3])
        scores = F.softmax(paddle.matmul(heads * 0.4, heads, transpose_y=True), axis=-1)
        mixed = paddle.matmul(scores, heads).transpose([0, 2, 1, 3]).reshape([2, 6, 24])
        return (
            F.gelu(m.dense(x)),
            m.norm(x + mixed),
            m.unbiased(x[:, 2:5]),
            paddle.matmul(x, y),
            F.softmax(m.unbiased(x), axis=1),
        )

    model = compiled(layers, [(2, 6, 24), (2, 24, 3)], function)
    model.check()
    model.check(2)
    model.check_all_taken()


def test_arithmetic_becomes_post_ops(compiled: Compile) -> None:
    layers = {
        name: nn.Conv2D(8, 8, 3, padding=1) for name in ("one", "inner", "two", "three", "four", "five")
    }

    def function(m: Any, x: paddle.Tensor) -> Any:
        one = F.relu(m.one(x))
        # What is added is read before, and then no more.
        two = F.hardswish(m.two(m.inner(one)) + one)
        three = F.hardsigmoid(m.three(two) * 0.5 - 1) + two
        four = F.silu(x - m.four(three))
        return F.leaky_relu(m.five(four) * four, 0.2), F.tanh(paddle.clip(three, -0.5, 0.7))

    model = compiled(layers, [(1, 8, 9, 9)], function)
    model.check()
    model.check_all_taken()
    primitives = [name for name in model.primitives() if not name.startswith("reorder")]
    assert primitives[:3] == ["convolution+eltwise", "convolution", "convolution+sum+eltwise"]
    assert sum("convolution" in name for name in primitives) == 6
    assert "convolution+eltwise+binary+eltwise" in primitives
    # The activation that the importer writes out.
    assert primitives.count("convolution+binary+eltwise") == 1


def test_sums_keep_what_is_read_again(compiled: Compile) -> None:
    layers = {name: nn.Conv2D(16, 16, 1) for name in ("one", "two", "three")}

    def function(m: Any, x: paddle.Tensor) -> Any:
        one = m.one(x)
        two = m.two(x) + one
        # A view of it, read after the sum; the input itself; a result.
        seen = one.transpose([0, 2, 3, 1])
        three = m.three(x) + x
        return two, seen.reshape([1, -1]) * 2.0, three, three + two, one

    model = compiled(layers, [(1, 16, 5, 4)], function)
    for _ in range(2):
        model.check()


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (2, 6, 8, 10)])
def test_pooling_plus_a_convolution(compiled: Compile, shape: tuple[int, ...]) -> None:
    channels = shape[1]

    def function(m: Any, x: paddle.Tensor) -> Any:
        x = m.first(x)
        return F.avg_pool2d(x, 3, 1, 1) + m.one(x), F.relu(F.max_pool2d(x, 3, 1, 1) + m.two(x))

    layers = {"first": nn.Conv2D(channels, channels, 1)} | {
        name: nn.Conv2D(channels, channels, 3, padding=1) for name in ("one", "two")
    }
    compiled(layers, [shape], function).check()


def test_parts_of_tensors_are_results(compiled: Compile) -> None:
    """The first of a batch lies as a tensor of its own would."""

    def function(m: Any, x: paddle.Tensor) -> Any:
        x = m.dense(x)
        return x[:2], x[:1].reshape([1, 4, 6]), x[3:], m.dense(x)[:3].transpose([1, 0]), x

    model = compiled({"dense": nn.Linear(24, 24)}, [(5, 24)], function)
    model.check()


def test_arithmetic_by_itself(compiled: Compile) -> None:
    def function(m: Any, x: paddle.Tensor, y: paddle.Tensor) -> Any:
        x = m.convolution(x)
        gate = F.sigmoid(F.adaptive_avg_pool2d(x, 1))
        return (
            F.relu(x * gate),
            x / (y * y + 1.0),
            1.5 - x,
            y - x,
            paddle.exp(-paddle.abs(x)),
            paddle.sqrt(paddle.square(x)),
            x + m.scale,
        )

    layers = {"convolution": nn.Conv2D(3, 6, 3)}
    layers["scale"] = paddle.create_parameter([6, 1, 1], "float32")
    model = compiled(layers, [(2, 3, 8, 7), (2, 6, 6, 5)], function)
    model.check()


def test_views_and_joins(compiled: Compile) -> None:
    layers = {
        "one": nn.Conv2D(4, 16, 3, padding=1),
        "two": nn.Conv2D(16, 16, 3, padding=1),
        "last": nn.Linear(16, 3),
    }

    def function(m: Any, x: paddle.Tensor) -> Any:
        one = F.relu(m.one(x))
        joined = paddle.concat([one, m.two(one), x], axis=1)
        halves = paddle.split(one, 2, axis=1)
        shuffled = one.reshape([2, 4, 4, 6, 5]).transpose([0, 2, 1, 3, 4]).reshape([2, 16, 6, 5])
        rows = one.flatten(2).transpose([0, 2, 1])
        return (
            joined,
            m.two(paddle.concat(halves[::-1], axis=1)),
            m.two(shuffled),
            m.last(rows),
            one[:, 3:9, 1:, :4],
        )

    model = compiled(layers, [(2, 4, 6, 5)], function)
    model.check()
    model.check_all_taken()
    assert "shuffle" in model.primitives()


class Residual(nn.Layer):  # type: ignore[misc]  # Paddle has no types.
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2D(3, 32, 3, stride=2, padding=1), nn.BatchNorm2D(32), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2D(32, 32, 3, padding=1), nn.BatchNorm2D(32), nn.ReLU(), nn.Conv2D(32, 32, 1)
        )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.stem(x)
        for _ in range(3):
            x = F.relu(self.body(x) + x)
        return x


def _residual(m: Any, x: paddle.Tensor) -> paddle.Tensor:
    return m.head(F.adaptive_avg_pool2d(m.net(x), 1).flatten(1))


@pytest.fixture
def residual(compiled: Compile) -> Compiled:
    return compiled({"net": Residual(), "head": nn.Linear(32, 10)}, [(1, 3, 32, 32)], _residual)


def _run_at_once(model: Compiled, predictors: list[Any], rounds: int) -> None:
    failures: list[BaseException] = []

    def work(predictor: Any) -> None:
        try:
            for _ in range(rounds):
                (result,) = predictor.run(model.inputs)
                np.testing.assert_allclose(result, model.expected[0], rtol=1e-4, atol=1e-5)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(predictor,)) for predictor in predictors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_layouts_flow_without_reorders(residual: Compiled) -> None:
    residual.check()
    residual.check_all_taken()
    assert "reorder" not in residual.primitives()
    assert residual.primitives().count("convolution+sum+eltwise") == 3


def test_weights_are_packed_once(compiled: Compile, tmp_path: Path) -> None:
    megabytes = 64
    compiled({"wide": nn.Linear(2048, megabytes * 128)}, [(1, 2048)], lambda m, x: m.wide(x))
    # In a process of its own, which has no memory left over to take again.
    code = f"""
import re
from paddle_tvm import runtime
def resident():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
used = []
for threads in (1, 2, 1, 3):
    config = runtime.Config({str(tmp_path / "model.pdtvm")!r})
    config.set_cpu_math_library_num_threads(threads)
    predictors = used, runtime.create_predictor(config)
    used.append(resident())
print(max(used) - used[0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < megabytes / 4


def test_reports_know_what_is_in_a_subgraph(residual: Compiled) -> None:
    (call,) = residual.table().forms["main"].calls
    names = Counter(operator.name for operator in call.operators)
    assert (names["conv2d"], names["batch_norm"], names["relu"], names["matmul"]) == (7, 4, 7, 1)
    # Batch normalisations are in the weights of convolutions.
    assert residual.table().offloaded("main").operators == len(call.operators) - 4


def test_predictors_run_side_by_side(residual: Compiled) -> None:
    predictors = [residual.predictor(threads) for threads in (1, 2, 3, 1)]
    predictors += [predictor.clone() for predictor in predictors]
    _run_at_once(residual, predictors, 30)


def test_threads_are_those_of_the_runtime(residual: Compiled) -> None:
    residual.check(2)
    names = [
        Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")
    ]
    assert 1 <= names.count("paddle-tvm") <= max(1, len(os.sched_getaffinity(0)) - 1)
    mapped = Path("/proc/self/maps").read_text()
    assert str(residual.artifact / "lib" / library.own_openmp()) in mapped


def test_joined_tensors_in_threads_at_once(compiled: Compile) -> None:
    """Those of a concatenation keep their places in the scratchpad."""
    layers = {"one": nn.Conv2D(3, 5, 3, padding=1), "two": nn.Conv2D(3, 7, 3, padding=1)}
    model = compiled(
        layers, [(1, 3, 40, 40)], lambda m, x: F.relu(paddle.concat([m.one(x), x, m.two(x), x * 2], 1))
    )
    _run_at_once(model, [model.predictor() for _ in range(4)], 200)


def test_paddle_can_be_imported_afterwards(residual: Compiled) -> None:
    """Paddle brings a oneDNN of its own, of the same name."""
    code = (
        "from paddle_tvm import runtime\n"
        f"runtime.create_predictor(runtime.Config({str(residual.artifact)!r}))\n"
        "import paddle\n"
        "print(float(paddle.nn.functional.relu(paddle.ones([2])).sum()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "2.0\n", done.stderr


def test_arithmetic_that_cancels_or_is_no_number(compiled: Compile) -> None:
    def function(m: Any, x: paddle.Tensor) -> Any:
        by_zero = x / paddle.zeros([1])
        return m.one(x * -1 * -1), F.softmax(m.one((x + 1) - 1)) * 2 * 0.5, by_zero, m.norm(m.one(x))

    layers = {"one": nn.Linear(8, 8), "norm": nn.LayerNorm(8)}
    model = compiled(layers, [(2, 2, 1, 2, 2, 8)], function)
    model.check()
    reasons = list(model.table().left["main"].values())
    assert "its constant is 0.0, and what is made of it is no number" in reasons
    assert "oneDNN normalises tensors of 2 to 5 dimensions, and this has 6" in reasons


def test_sizes_among_operands(tmp_path: Path) -> None:
    """A dynamic form whose kernels are given sizes, beside a fixed one."""
    layers = {"one": nn.Conv2D(3, 16, 3), "two": nn.Conv2D(16, 16, 3, stride=2), "gate": nn.Conv2D(16, 16, 1)}

    def function(m: Any, x: paddle.Tensor) -> Any:
        x = m.two(m.one(x))
        return F.interpolate(x * m.gate(F.adaptive_avg_pool2d(x, 1)), scale_factor=2)

    model = Model(layers, function)
    paddle.jit.save(model, str(tmp_path / "model"), input_spec=[InputSpec((1, 3, -1, -1), "float32", "x")])
    result = compiler.compile(
        tmp_path / "model",
        tmp_path / "out.pdtvm",
        target="onednn",
        shapes=[{"x": (1, 3, size, 32)} for size in (32, 40)],
        verify=True,
    )
    shares = result.variants[0].offloaded
    assert (shares["main"].subgraphs, shares["main_1"].subgraphs) == (0, 1)
    assert any("cannot merge" in reason for reason in shares["main"].left)


def test_dynamic_shapes_stay_with_a_reason(tmp_path: Path) -> None:
    model = Model({"convolution": nn.Conv2D(3, 8, 3)}, lambda m, x: F.relu(m.convolution(x)))
    paddle.jit.save(model, str(tmp_path / "model"), input_spec=[InputSpec((-1, 3, -1, 8), "float32", "x")])
    result = compiler.compile(tmp_path / "model", tmp_path / "out.pdtvm", target="onednn", verify=True)
    assert result.verification is not None
    (variant,) = read_manifest(result.artifact).variants
    table = read_kernel_table((result.artifact / kernels_file(variant.library)).read_bytes(), "")
    assert set(table.left["main"].values()) == {
        "oneDNN's primitives are made for known shapes (--shape fixes them)"
    }
    assert not variant.loads


def test_arithmetic_alone_is_not_worth_it(compiled: Compile) -> None:
    model = compiled({}, [(2, 8), (2, 8)], lambda m, x, y: F.relu(x + y) * 2.0)
    model.check()
    (reasons,) = model.table().left.values()
    assert all("nothing that oneDNN does better" in reason for reason in reasons.values())
    assert len(reasons) == 3


def test_a_load_without_the_library_says_so(residual: Compiled) -> None:
    (residual.artifact / "lib" / "libpddnnl.so").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"libpddnnl\.so"):
        residual.predictor()
    config = runtime.Config(str(residual.artifact))
    config.enable_integrity_check(False)
    with pytest.raises(ArtifactError):
        runtime.create_predictor(config)


def test_missing_and_unfit_libraries_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNNLROOT", str(tmp_path))
    with pytest.raises(UsageError, match=r"DNNLROOT=.*: there is no include/oneapi/dnnl/dnnl\.h"):
        _ = onednn.OneDnn().runtime
    monkeypatch.setattr(library, "_places", lambda: iter(()))
    monkeypatch.delenv("DNNLROOT")
    with pytest.raises(UsageError, match=r"pip install 'paddle-tvm\[onednn\]'"):
        _ = onednn.OneDnn().runtime
    monkeypatch.undo()
    files = library.find_onednn()
    for source, told in (
        ("int f(void) { return 1; }", "is not built for GNU OpenMP"),
        ("void GOMP_task(void); void f(void) { GOMP_task(); }", "needs GOMP_task of OpenMP"),
    ):
        other = tmp_path / "libdnnl.so.3"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(other)], input=source, text=True, check=True
        )
        folder = tmp_path / "lib"
        folder.mkdir(exist_ok=True)
        with pytest.raises(UsageError, match=told):
            library.bring(library.OneDnnFiles(files.headers, other), folder)


_OPENMP = r"""
#include <omp.h>
#include <stdio.h>
#include "thread_pool.h"

void paddle_tvm_enter(int32_t threads);
void paddle_tvm_leave(void);
void paddle_tvm_openmp_use(const PaddleTvmPool *);

static long results[64];

static long total(int threads) {
  long sum = 0;
  for (int i = 0; i < threads; ++i) sum += results[i];
  return sum;
}

/* Each round writes what the next reads of others: where a barrier does not wait, something is wrong. */
static long rounds(int threads, int count) {
  static volatile long written[2][64];
#pragma omp parallel num_threads(threads)
  {
    int me = omp_get_thread_num(), all = omp_get_num_threads();
    results[me] = all != threads;
    for (int round = 1; round <= count; ++round) {
      written[round % 2][me] = round;
#pragma omp barrier
      for (int other = 0; other < all; ++other) results[me] += written[round % 2][other] != round;
#pragma omp barrier
    }
  }
  return total(threads);
}

/* The sum of 0 to 999, by loops that the threads divide in both ways, and a region in each region. */
static long loop(int threads, int chunk) {
#pragma omp parallel num_threads(threads)
  {
    int me = omp_get_thread_num();
    results[me] = 0;
    if (chunk) {
#pragma omp for schedule(static, 3)
      for (int i = 0; i < 1000; ++i) results[me] += i;
    } else {
#pragma omp for schedule(static)
      for (int i = 0; i < 1000; ++i) results[me] += i;
    }
    long inner[2] = {0, 0};
#pragma omp parallel num_threads(2)
    inner[omp_get_thread_num()] += omp_get_num_threads();
    if (inner[0] != 2 || inner[1] != 2) results[me] = -1000000;
  }
  return total(threads) - 499500;
}

int main(void) {
  paddle_tvm_openmp_use(paddle_tvm_pool);
  for (int wanted = 1; wanted <= 3; ++wanted) {
    paddle_tvm_enter(wanted);
    if (omp_get_max_threads() != wanted || omp_in_parallel() || omp_get_num_threads() != 1) return 1;
    for (int threads = 1; threads <= 9; threads += 2) {
      if (rounds(threads, 300)) return 2;
      if (loop(threads, 0) || loop(threads, 1)) return 3;
    }
    paddle_tvm_leave();
  }
  puts("sound");
  return 0;
}
"""


def test_openmp_waits_at_barriers_whatever_threads_there_are(tmp_path: Path) -> None:
    own = tmp_path / library.own_openmp()
    library._build_openmp(own)
    source = tmp_path / "check.c"
    source.write_text(_OPENMP)
    launcher = Path(compiler.__file__).parent / "native" / "parallel_launch.c"
    (tmp_path / "ffi.c").write_text(
        "void TVMFFIErrorMoveFromRaised(void **e) { *e = 0; } void TVMFFIErrorSetRaised(void *e) {}"
        "int TVMFFIObjectDecRef(void *o) { return 0; }"
    )
    command = ["cc", "-O2", "-std=gnu11", "-pthread", f"-I{library.NATIVE.parents[1] / 'native'}"]
    # The loops are compiled for OpenMP, and linked with ours in its place.
    subprocess.run([*command, "-fopenmp", "-c", source, "-o", tmp_path / "check.o"], check=True)
    sources = [tmp_path / "check.o", launcher, tmp_path / "ffi.c", own, f"-Wl,-rpath,{tmp_path}"]
    subprocess.run([*command, *sources, "-o", tmp_path / "check"], check=True)
    done = subprocess.run([tmp_path / "check"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "sound\n")
