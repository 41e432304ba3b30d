"""The ONNX Runtime target: the whole road, threads, shapes, missing parts, nodes that are kept."""

from __future__ import annotations

import importlib.util
import json
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle
import pytest
import tvm_ffi
from onnx import helper, numpy_helper
from onnx_run import Array, close, save_function
from paddle import nn
from paddle.nn import functional as F
from paddle.static import InputSpec

from paddle_tvm import compiler, runtime
from paddle_tvm.compiler.cli.main import run_command_line
from paddle_tvm.compiler.driver import CompileResult
from paddle_tvm.compiler.profiling.kernel_table import KernelTable, kernels_file, read_kernel_table
from paddle_tvm.compiler.report.content import gather
from paddle_tvm.compiler.report.operators import operator_fates
from paddle_tvm.compiler.report.page import render
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.errors import ArtifactError, UnsupportedModelError, UsageError
from paddle_tvm.targets.onnxruntime import accelerator


class Classifier(nn.Layer):  # type: ignore[misc]  # Paddle has no types.
    """Convolutions with a residual block, and a head; the kernels of both kinds of products."""

    def __init__(self) -> None:
        super().__init__()
        paddle.seed(3)
        self.first = nn.Conv2D(3, 16, 3, stride=2, padding=1)
        self.second = nn.Conv2D(16, 16, 3, padding=1)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Any) -> Any:
        x = F.relu(self.first(x))
        x = F.hardswish(self.second(x) + x)
        pooled = F.adaptive_avg_pool2d(x, 1).flatten(1)
        return F.softmax(self.head(self.norm(pooled)), axis=-1), F.sigmoid(pooled)


def _classifier(size: int = 16) -> tuple[Array, list[Array]]:
    model = Classifier()
    model.eval()
    x = np.random.default_rng(size).standard_normal((2, 3, size, size)).astype("float32")
    return x, [result.numpy() for result in model(paddle.to_tensor(x))]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> CompileResult:
    """An artifact with dynamic shapes."""
    folder = tmp_path_factory.mktemp("classifier")
    model = Classifier()
    model.eval()
    specs = [InputSpec((-1, 3, -1, -1), "float32", "x")]
    paddle.jit.save(model, str(folder / "model"), input_spec=specs)
    return compiler.compile(folder / "model", folder / "out.pdtvm", target="onnxruntime", verify=True)


def _table(artifact: Path) -> KernelTable:
    (variant,) = read_manifest(artifact).variants
    return read_kernel_table((artifact / kernels_file(variant.library)).read_bytes(), "")


def _predictor(artifact: Path, threads: int = 1) -> Any:
    config = runtime.Config(str(artifact))
    config.set_cpu_math_library_num_threads(threads)
    return runtime.create_predictor(config)


def _check(predictor: Any, size: int = 16) -> None:
    x, wanted = _classifier(size)
    for got, expected in zip(predictor.run([x]), wanted, strict=True):
        close(got, expected)


def test_the_whole_road_with_dynamic_shapes(classifier: CompileResult) -> None:
    assert classifier.verification is not None
    assert classifier.verification.passed
    manifest = read_manifest(classifier.artifact)
    assert manifest.variants[0].target.kind == "onnxruntime"
    table = _table(classifier.artifact)
    assert not any(table.left.values())
    assert all(schedule.external for schedule in table.schedules.values())
    for size in (16, 21):
        for threads in (1, 2):
            _check(_predictor(classifier.artifact, threads), size)


def test_weights_are_there_once(classifier: CompileResult) -> None:
    sizes = sum(int(np.prod(parameter.shape)) * 4 for parameter in Classifier().parameters())
    stored = (classifier.artifact / "weights.bin").stat().st_size
    # With the model, and 64 bytes at most between two.
    assert sizes * 0.9 < stored < sizes + 12_000


def test_equal_calls_give_equal_artifacts(tmp_path: Path) -> None:
    model = save_function(lambda a: paddle.matmul(a, a) + 1, [((-1, 4, 4), "float32")], tmp_path)
    artifacts = [
        compiler.compile(model, tmp_path / name, target="onnxruntime").artifact
        for name in ("a.pdtvm", "b.pdtvm")
    ]
    for file in sorted(path.relative_to(artifacts[0]) for path in artifacts[0].rglob("*") if path.is_file()):
        assert (artifacts[0] / file).read_bytes() == (artifacts[1] / file).read_bytes(), file


def test_reports_have_the_steps(classifier: CompileResult) -> None:
    fates = {fate.operator.partition(" ")[0]: fate for fate in operator_fates(gather(classifier))}
    assert fates["conv2d"].kind == "external"
    assert fates["conv2d"].what.startswith("computed by onnxruntime, in a subgraph of ")
    (variant,) = read_manifest(classifier.artifact).variants
    _predictor(classifier.artifact)
    module = tvm_ffi.load_module(str(classifier.artifact / "model.so"))
    (described,) = (json.loads(module.get_function(f"{name}_describe", True)()) for name in variant.loads)
    assert [step[0] for step in described].count("Conv") == 2


def test_reports_have_true_numbers_and_no_words_of_other_libraries(classifier: CompileResult) -> None:
    content = gather(classifier)
    (call,) = content.form.calls
    (_, _, height, width) = content.shapes["x"]
    half = -(-height // 2) * -(-width // 2)
    products = 2 * (half * 16 * 27 + half * 16 * 16 * 9 + 16 * 10)
    flops = content.flops(call)
    assert flops is not None
    # The rest is a few operations for each value of a feature map.
    assert products < flops < products + 20 * half * 16
    page = render(content)
    assert "reorder" not in page.partition("</style>")[2]
    assert "subgraphs of onnxruntime" in page
    parameters = sum(int(np.prod(parameter.shape)) * 4 for parameter in Classifier().parameters())
    (kilobytes,) = map(float, re.findall(r"<span>weights</span><b>([\d.]+) kB</b>", page))
    # The ONNX model is with them.
    assert parameters * 0.9 < kilobytes * 1000 < parameters + 12_000
    # A row for all that is computed, which names each, and one for all that is constant.
    (row,) = re.findall(r'<tr data-kind="external".*?</tr>', page)
    assert "2 conv2d" in row
    assert len(re.findall(r"conv2d #\d+", row)) == 2


def test_it_can_be_sent_to_another_process() -> None:
    """As ``tune`` does, after a compilation."""
    chip = accelerator.OnnxRuntime()
    assert chip.runtime.language == "c++"
    assert chip.patterns()
    assert pickle.loads(pickle.dumps(chip)).name == "onnxruntime"


def test_predictors_run_side_by_side(classifier: CompileResult) -> None:
    predictors = [_predictor(classifier.artifact, threads) for threads in (1, 2, 1)]
    predictors += [predictor.clone() for predictor in predictors]
    failures: list[BaseException] = []
    x, wanted = _classifier()

    def work(predictor: Any) -> None:
        try:
            for _ in range(20):
                for got, expected in zip(predictor.run([x]), wanted, strict=True):
                    close(got, expected)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(predictor,)) for predictor in predictors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def _run_alone(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_clones_share_weights_and_no_thread_is_left_over(tmp_path: Path) -> None:
    megabytes = 32

    class Wide(nn.Layer):  # type: ignore[misc]  # Paddle has no types.
        def __init__(self) -> None:
            super().__init__()
            self.wide = nn.Linear(2048, megabytes * 128)

        def forward(self, x: Any) -> Any:
            return self.wide(x)

    paddle.jit.save(Wide(), str(tmp_path / "model"), input_spec=[InputSpec((1, 2048), "float32", "x")])
    artifact = compiler.compile(tmp_path / "model", tmp_path / "out.pdtvm", target="onnxruntime").artifact
    # In a process of its own, which has no memory left over to take again.
    code = f"""
import os, re
import numpy as np
from paddle_tvm import runtime
from paddle_tvm.runtime import loader
def resident():
    return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
mapped, map_weights = [], loader.map_weights
def remember(*arguments):
    mapped.append(map_weights(*arguments))
    return mapped[-1]
loader.map_weights = remember
config = runtime.Config({str(artifact)!r})
config.set_cpu_math_library_num_threads(2)
first = runtime.create_predictor(config)
x = np.ones((1, 2048), "float32")
(wanted,) = first.run([x])
before = resident()
others = [first.clone(), runtime.create_predictor(config)]
for other in others:
    np.testing.assert_array_equal(other.run([x])[0], wanted)
print(resident() - before)
print(len(os.listdir("/proc/self/task")))
# The session has weights of its own: those that it was made of may go.
for arrays in mapped:
    for array in arrays.values():
        array[...] = 0
for predictor in (first, *others):
    np.testing.assert_array_equal(predictor.run([x])[0], wanted)
"""
    grown, threads = _run_alone(code).split()
    assert float(grown) < megabytes / 4
    # The caller, one of ONNX Runtime's, and those of the pool of our kernels, of NumPy and Python.
    assert int(threads) < 8


def test_the_thin_runtime_runs_it(classifier: CompileResult) -> None:
    """Without the compiler, ONNX, or the Python package of ONNX Runtime."""
    code = f"""
import sys
for name in ("tvm", "paddle", "onnx", "onnxruntime", "paddle_tvm.compiler", "paddle_tvm.targets"):
    sys.modules[name] = None
import numpy as np
from paddle_tvm import runtime
config = runtime.Config({str(classifier.artifact)!r})
config.enable_onnxruntime()
assert config.onnxruntime_enabled()
print([result.shape for result in runtime.create_predictor(config).run([np.ones((1, 3, 8, 8), "float32")])])
"""
    assert _run_alone(code) == "[(1, 10), (1, 16)]\n"


def test_onnxruntime_and_paddle_can_be_imported_afterwards(classifier: CompileResult) -> None:
    code = f"""
import numpy as np
from paddle_tvm import runtime
predictor = runtime.create_predictor(runtime.Config({str(classifier.artifact)!r}))
import onnxruntime, paddle
assert "CPUExecutionProvider" in onnxruntime.get_available_providers()
print(len(predictor.run([np.ones((1, 3, 8, 8), "float32")])))
"""
    assert _run_alone(code).endswith("2\n")


def test_config_asks_for_it(classifier: CompileResult, tmp_path: Path) -> None:
    config = runtime.Config(str(classifier.artifact))
    assert not config.onnxruntime_enabled()
    config.enable_onnxruntime()
    config.enable_ort_optimization()
    assert config.onnxruntime_enabled()
    assert "enable_onnxruntime" in config.summary()
    _check(runtime.create_predictor(config))
    model = save_function(lambda a: a + 1, [((2,), "float32")], tmp_path)
    other = compiler.compile(model, tmp_path / "out.pdtvm").artifact
    config.set_model(other)
    told = "was compiled for target x86.*paddle-tvm compile MODEL -o ARTIFACT --target onnxruntime"
    with pytest.raises(UsageError, match=told):
        runtime.create_predictor(config)
    config.disable_onnxruntime()
    assert not config.onnxruntime_enabled()
    runtime.create_predictor(config)


def test_a_missing_package_is_told_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = save_function(lambda a: paddle.matmul(a, a), [((2, 2), "float32")], tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "onnxruntime" else find(name, *rest)
    )
    with pytest.raises(UsageError, match=r"pip install 'paddle-tvm\[onnxruntime\]'"):
        compiler.compile(model, tmp_path / "out.pdtvm", target="onnxruntime")
    assert not (tmp_path / "out.pdtvm").exists()


def test_a_load_without_the_library_says_so(classifier: CompileResult, tmp_path: Path) -> None:
    code = f"""
import shutil
from paddle_tvm import runtime
shutil.copytree({str(classifier.artifact)!r}, {str(tmp_path / "copy")!r})
from pathlib import Path
(library,) = Path({str(tmp_path / "copy" / "lib")!r}).glob("libonnxruntime.so.*")
content = library.read_bytes()
library.write_bytes(b"nothing".ljust(len(content), b"."))
config = runtime.Config({str(tmp_path / "copy")!r})
config.enable_integrity_check(False)
try:
    runtime.create_predictor(config)
except runtime.errors.ArtifactError as error:
    print(error)
"""
    assert "ONNX Runtime: cannot be loaded: " in _run_alone(code)


def test_a_library_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = accelerator.find_onnxruntime()
    other = type(found)(found.library, "1.2.3")
    monkeypatch.setattr(accelerator, "find_onnxruntime", lambda: other)
    model = save_function(lambda a: paddle.matmul(a, a), [((2, 2), "float32")], tmp_path)
    artifact = compiler.compile(model, tmp_path / "out.pdtvm", target="onnxruntime").artifact
    with pytest.raises(ArtifactError, match=r"is version .*, and the model was compiled for 1\.2\.3"):
        runtime.create_predictor(runtime.Config(str(artifact)))


def test_what_is_wrong_with_a_run_is_said(tmp_path: Path) -> None:
    """A place outside of the tensor, which our own kernels would clamp."""
    table = np.ones((4, 4), "float32")

    def function(a: Any, b: Any) -> Any:
        return paddle.matmul(paddle.gather(a, b), a)

    model = save_function(function, [((4, 4), "float32"), ((2,), "int64")], tmp_path)
    artifact = compiler.compile(model, tmp_path / "out.pdtvm", target="onnxruntime").artifact
    predictor = _predictor(artifact)
    close(predictor.run([table, np.array([0, -1])])[0], np.full((2, 4), 4, "float32"))
    said = r"ONNX Runtime's Gather \(gather #\d+\) refuses .*out of data bounds, idx=9 .*range \[-4,3\]"
    with pytest.raises(UsageError, match=said):
        predictor.run([table, np.array([0, 9])])
    np.savez(tmp_path / "in.npz", **dict(zip(predictor.get_input_names(), [table, [0, 9]], strict=True)))
    assert run_command_line(["run", str(artifact), "--input", str(tmp_path / "in.npz")]) == 2
    close(predictor.run([table, np.array([3, 1])])[0], np.full((2, 4), 4, "float32"))


def test_results_of_every_kind(tmp_path: Path) -> None:
    """Integers, booleans, scalars, half precision, an input and an intermediate value given out."""

    def function(a: Any, b: Any) -> Any:
        product = paddle.matmul(a, a)
        return (
            product,
            product * 1.0,
            paddle.cast(product, "int32") + b,
            product > 0,
            paddle.sum(product),
            paddle.cast(product, "float16"),
            b,
            paddle.sum(paddle.cast(product > 0, "int64")),
        )

    model = save_function(function, [((3, 3), "float32"), ((3,), "int32")], tmp_path)
    artifact = compiler.compile(model, tmp_path / "out.pdtvm", target="onnxruntime").artifact
    a = np.random.default_rng(1).standard_normal((3, 3)).astype("float32") * 9
    b = np.array([1, -2, 3], "int32")
    wanted = [result.numpy() for result in function(paddle.to_tensor(a), paddle.to_tensor(b))]
    for got, expected in zip(_predictor(artifact).run([a, b]), wanted, strict=True):
        close(got, expected)


def test_cheap_parts_stay_with_a_reason(tmp_path: Path) -> None:
    model = save_function(lambda a: F.relu(a) * 2 + 1, [((2, 8), "float32")], tmp_path)
    artifact = compiler.compile(model, tmp_path / "out.pdtvm", target="onnxruntime", verify=True).artifact
    (reasons,) = _table(artifact).left.values()
    assert set(reasons.values()) == {
        "beside it is no convolution or product: alone it would cost a pass over memory"
    }


def test_what_no_kernel_computes_stays_with_onnxruntimes_reason(tmp_path: Path) -> None:
    def function(a: Any, b: Any) -> Any:
        return paddle.matmul(a, a), paddle.matmul(paddle.cast(b, "int8"), paddle.cast(b, "int8"))

    model = save_function(function, [((2, 2), "float32"), ((2, 2), "float32")], tmp_path)
    artifact = compiler.compile(model, tmp_path / "out.pdtvm", target="onnxruntime").artifact
    left = _table(artifact).left["main"]
    assert any("ONNX Runtime refuses it: " in reason for reason in left.values()), left


# Nodes that are kept ----------------------------------------------------------------------------------

Port = tuple[str, int, Sequence[Any]]
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def _save_nodes(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Port],
    outputs: Sequence[tuple[str, int]],
    weights: dict[str, Array] | None = None,
    opset: int = 18,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*port) for port in inputs],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), str(path))
    return path


node = helper.make_node

KEPT: dict[str, Callable[[Path], Path]] = {
    "determinant of dynamic batches": lambda folder: _save_nodes(
        folder,
        [node("Det", ["x"], ["d"]), node("Tanh", ["d"], ["y"])],
        [("x", FLOAT, ["n", 3, 3])],
        [("y", FLOAT)],
    ),
    "a mode of a known operator": lambda folder: _save_nodes(
        folder,
        [node("RoiAlign", ["x", "r", "b"], ["y"], mode="max", output_height=2, sampling_ratio=1)],
        [("x", FLOAT, ["n", 2, 8, 8])],
        [("y", FLOAT)],
        {"r": np.array([[0, 0, 4, 4], [1, 1, 6, 7]], "float32"), "b": np.zeros(2, "int64")},
    ),
    "a domain of its own": lambda folder: _save_nodes(
        folder,
        [
            node("FusedMatMul", ["x", "w"], ["z"], domain="com.microsoft", transB=1, alpha=0.5),
            node("QuickGelu", ["z"], ["y"], domain="com.microsoft"),
        ],
        [("x", FLOAT, ["n", 7])],
        [("y", FLOAT)],
        {"w": np.linspace(-1, 1, 28, dtype="float32").reshape(4, 7)},
    ),
    "several results": lambda folder: _save_nodes(
        folder,
        [
            node("MaxPool", ["x"], ["p", "i"], kernel_shape=[2, 2], strides=[2, 2]),
            node("Exp", ["p"], ["e"]),
            node("MaxUnpool", ["e", "i"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
        ],
        [("x", FLOAT, [1, 2, 6, 6])],
        [("y", FLOAT), ("i", INT64), ("p", FLOAT)],
    ),
    "inputs and results left out": lambda folder: _save_nodes(
        folder,
        [
            node("LSTM", ["x", "w", "r", "", "", "h"], ["a", "", "c"], hidden_size=4),
            node("LpNormalization", ["c"], ["y"], axis=-1),
        ],
        [("x", FLOAT, ["t", 2, 3]), ("h", FLOAT, [1, 2, 4])],
        [("y", FLOAT), ("a", FLOAT)],
        {
            "w": np.linspace(-1, 1, 48, dtype="float32").reshape(1, 16, 3),
            "r": np.linspace(1, -1, 64, dtype="float32").reshape(1, 16, 4),
        },
    ),
    "constants alone": lambda folder: _save_nodes(
        folder,
        [node("Det", ["w"], ["d"]), node("Add", ["x", "d"], ["y"])],
        [("x", FLOAT, ["n", 3])],
        [("y", FLOAT)],
        {"w": np.linspace(-1, 3, 9, dtype="float32").reshape(3, 3) ** 2},
    ),
}


@pytest.mark.parametrize("name", KEPT)
def test_nodes_that_only_onnxruntime_has(name: str, tmp_path: Path) -> None:
    model = KEPT[name](tmp_path)
    result = compiler.compile(model, tmp_path / "out.pdtvm", target="onnxruntime", verify=True)
    assert result.verification is not None
    assert result.verification.passed
    with pytest.raises(UnsupportedModelError, match="--target onnxruntime"):
        compiler.compile(model, tmp_path / "other.pdtvm")


def test_nodes_whose_results_have_no_known_size_are_refused(tmp_path: Path) -> None:
    model = _save_nodes(
        tmp_path,
        [node("CropAndResize", ["x", "r", "b", "s"], ["y"], domain="com.microsoft")],
        [("x", FLOAT, [1, 2, 5, 6]), ("r", FLOAT, [1, 4]), ("b", onnx.TensorProto.INT32, [1]),
         ("s", onnx.TensorProto.INT32, [2])],
        [("y", FLOAT)],
    )  # fmt: skip
    with pytest.raises(UnsupportedModelError, match="not known before it has run"):
        compiler.compile(model, tmp_path / "out.pdtvm", target="onnxruntime")


def test_nodes_that_onnxruntime_has_not_are_refused(tmp_path: Path) -> None:
    model = _save_nodes(
        tmp_path, [node("Foo", ["x"], ["y"], domain="com.microsoft")], [("x", FLOAT, [2])], [("y", FLOAT)]
    )
    with pytest.raises(UnsupportedModelError, match="ONNX Runtime does not run it, either"):
        compiler.compile(model, tmp_path / "out.pdtvm", target="onnxruntime")


def test_nodes_of_another_operator_set_say_what_to_do(tmp_path: Path) -> None:
    model = _save_nodes(
        tmp_path, [node("Det", ["x"], ["y"])], [("x", FLOAT, [2, 3, 3])], [("y", FLOAT)], opset=22
    )
    with pytest.raises(UnsupportedModelError, match="export the model with opset_version=18"):
        compiler.compile(model, tmp_path / "out.pdtvm", target="onnxruntime")


def test_what_only_onnxruntime_knows_has_no_arithmetic(tmp_path: Path) -> None:
    model = KEPT["a domain of its own"](tmp_path)
    content = gather(compiler.compile(model, tmp_path / "out.pdtvm", target="onnxruntime"))
    (call,) = content.form.calls
    assert call.flops is None
    assert "arithmetic of operators that only ONNX Runtime has" in render(content)
    page = render(content)
    assert "<span>arithmetic</span><b>not known</b>" in page
    assert "<span>rate</span>" not in page


def test_products_of_recurrences_that_only_onnxruntime_computes_are_counted(tmp_path: Path) -> None:
    steps, batch, inputs, hidden = 10, 3, 8, 16
    rng = np.random.default_rng(0)
    model = _save_nodes(
        tmp_path,
        [node("LSTM", ["x", "w", "r"], ["y"], hidden_size=hidden), node("Relu", ["y"], ["z"])],
        [("x", FLOAT, [steps, batch, inputs])],
        [("z", FLOAT)],
        {
            name: rng.standard_normal((1, 4 * hidden, columns)).astype("float32")
            for name, columns in (("w", inputs), ("r", hidden))
        },
    )
    content = gather(compiler.compile(model, tmp_path / "out.pdtvm", target="onnxruntime"))
    (call,) = content.form.calls
    products = 2 * steps * batch * 4 * hidden * (inputs + hidden)
    # The activation behind it counts one for each element.
    assert content.flops(call) == products + steps * batch * hidden


def test_random_nodes_are_not_kept(tmp_path: Path) -> None:
    model = _save_nodes(
        tmp_path, [node("RandomNormalLike", ["x"], ["y"])], [("x", FLOAT, [2])], [("y", FLOAT)]
    )
    with pytest.raises(UnsupportedModelError, match=r"RandomNormalLike .*Export the model without it"):
        compiler.compile(model, tmp_path / "out.pdtvm", target="onnxruntime")


def test_paddle_models_through_onnx(tmp_path: Path) -> None:
    pytest.importorskip("paddle2onnx")
    model = save_function(lambda a: F.relu(paddle.matmul(a, a)), [((-1, 4, 4), "float32")], tmp_path)
    result = compiler.compile(
        model, tmp_path / "out.pdtvm", target="onnxruntime", frontend="onnx", verify=True
    )
    assert result.verification is not None
    assert all(schedule.external for schedule in _table(result.artifact).schedules.values())


def test_sizes_that_are_known_only_when_it_runs(tmp_path: Path) -> None:
    """Nothing is taken beside them, and kept nodes are refused."""
    counted = node("Compress", ["x", "c"], ["k"], axis=0)
    product = node("MatMul", ["k", "w"], ["y"])
    ports: list[Port] = [("x", FLOAT, [3, 2]), ("c", onnx.TensorProto.BOOL, [3])]
    weights = {"w": np.ones((2, 2), "float32")}
    model = _save_nodes(tmp_path, [counted, product], ports, [("y", FLOAT)], weights)
    artifact = compiler.compile(model, tmp_path / "out.pdtvm", target="onnxruntime", verify=True).artifact
    (left,) = _table(artifact).left.values()
    assert any("sizes that are known only when it runs" in reason for reason in left.values())
    kept = node("Celu", ["y"], ["z"])
    model = _save_nodes(tmp_path, [counted, product, kept], ports, [("z", FLOAT)], weights)
    with pytest.raises(UnsupportedModelError, match="an operator that only ONNX Runtime has, and it cannot"):
        compiler.compile(model, tmp_path / "other.pdtvm", target="onnxruntime")
