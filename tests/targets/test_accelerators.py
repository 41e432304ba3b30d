"""A target that nobody thought of, on the contract alone: what it takes, what it leaves and why."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.static import InputSpec
from toy_accelerator import Toy

from paddle_tvm import compiler, runtime
from paddle_tvm.compiler.cli.main import run_command_line
from paddle_tvm.compiler.driver import CompileResult, compile_model
from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.compiler.profiling.kernel_table import KernelTable, kernels_file, read_kernel_table
from paddle_tvm.compiler.profiling.profile import profile_artifact
from paddle_tvm.compiler.report.content import gather
from paddle_tvm.compiler.report.operators import Fate, operator_fates
from paddle_tvm.compiler.tuning.graph_search import alternatives
from paddle_tvm.compiler.tuning.history import History
from paddle_tvm.compiler.tuning.log import LogWriter
from paddle_tvm.compiler.tuning.model_run import ModelRun
from paddle_tvm.compiler.tuning.options import TuneOptions
from paddle_tvm.compiler.tuning.records import Winner, header_here
from paddle_tvm.compiler.tuning.tune import tune_model
from paddle_tvm.compiler.tuning.workload_names import name_workload
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.errors import UnsupportedModelError, UsageError, VerificationError
from paddle_tvm.targets import registry
from paddle_tvm.targets.offload import Generated, JointOffloading, Offloading, RuntimeHalf, Subgraph
from paddle_tvm.targets.x86.graph_workloads import BlockWidth


class Branches(nn.Layer):  # type: ignore[misc]  # Paddle has no types.
    """Convolutions with arithmetic between them, of which two results are read outside."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2D(3, 8, 3, padding=1)
        self.second = nn.Conv2D(8, 8, 1)
        self.factor = self.create_parameter((1, 8, 6, 5))

    def forward(self, x: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        features = nn.functional.relu(self.first(x))
        scaled = features * self.factor + features
        return self.second(scaled), paddle.exp(-scaled)


@pytest.fixture
def toy() -> Iterator[None]:
    registry.register_accelerator("toy", Toy)
    yield
    registry.unregister_accelerator("toy")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    paddle.seed(7)
    layer = Branches()
    layer.eval()
    prefix = tmp_path / "model" / "inference"
    paddle.jit.save(layer, str(prefix), input_spec=[InputSpec((-1, 3, 6, 5), "float32", "x")])
    return prefix


def _compile(model: Path, output: Path, **options: Any) -> CompileResult:
    options = {"target": "toy", "shapes": {"x": (1, 3, 6, 5)}, "verify": True, **options}
    return compiler.compile(model, output, **options)


def _table(artifact: Path) -> KernelTable:
    (variant,) = read_manifest(artifact).variants
    return read_kernel_table((artifact / kernels_file(variant.library)).read_bytes(), str(artifact))


def _external(artifact: Path) -> list[str]:
    return [name for name, schedule in _table(artifact).schedules.items() if schedule.external]


def _check_against_paddle(artifact: Path, batch: int = 1, mcpu: str | None = None) -> None:
    x = np.random.default_rng(0).standard_normal((batch, 3, 6, 5)).astype("float32")
    config = runtime.Config(str(artifact))
    if mcpu is not None:
        config.set_mcpu(mcpu)
    got = runtime.create_predictor(config).run([x])
    paddle.seed(7)
    layer = Branches()
    layer.eval()
    for array, wanted in zip(got, layer(paddle.to_tensor(x)), strict=True):
        np.testing.assert_allclose(array, wanted.numpy(), rtol=1e-4, atol=1e-5)


def _fates(result: CompileResult) -> dict[str, Fate]:
    return {fate.operator.partition(" ")[0]: fate for fate in operator_fates(gather(result))}


def test_takes_what_it_can_and_says_why_it_leaves_the_rest(toy: None, model: Path, tmp_path: Path) -> None:
    result = _compile(model, tmp_path / "out.pdtvm")
    assert result.verification is not None
    assert result.verification.passed
    assert read_manifest(result.artifact).variants[0].target.kind == "toy"
    assert _external(result.artifact) == ["paddle_tvm_toy_0"]
    fates = _fates(result)
    assert fates["relu"].kind == fates["multiply"].kind == "external"
    assert fates["relu"].what == "computed by toy, in a subgraph of 3 operators"
    assert fates["conv2d"].what.endswith("; stays here: toy has no multipliers to spare")
    assert fates["exp"].what.endswith("; stays here: toy has no pattern for exp")
    assert any("toy does not broadcast" in fate.what for fate in operator_fates(gather(result)))


def test_the_artifact_runs_without_the_compiler(toy: None, model: Path, tmp_path: Path) -> None:
    result = _compile(model, tmp_path / "out.pdtvm", verify=False)
    _check_against_paddle(result.artifact)


def test_every_form_and_every_cpu_has_its_subgraphs(toy: None, model: Path, tmp_path: Path) -> None:
    result = _compile(
        model,
        tmp_path / "out.pdtvm",
        shapes=[{"x": (1, 3, 6, 5)}, {"x": (2, 3, 6, 5)}],
        mcpu=["haswell", "x86-64"],
        verify=False,
    )
    for variant in read_manifest(result.artifact).variants:
        table = read_kernel_table((result.artifact / kernels_file(variant.library)).read_bytes(), "")
        found = {
            name: [call.kernel for call in form.calls if table.schedules[call.kernel].external]
            for name, form in table.forms.items()
        }
        assert "toy does not broadcast" in table.left["main_2"].values()
        # Where the batch is 2, the factor would have to be broadcast.
        assert {name: len(kernels) for name, kernels in found.items()} == {
            "main": 0,
            "main_1": 1,
            "main_2": 2,
        }
        assert len({kernel for kernels in found.values() for kernel in kernels}) == 3
    for batch in (1, 2, 3):
        for mcpu in ("haswell", "x86-64"):
            _check_against_paddle(result.artifact, batch, mcpu)


def test_what_was_measured_to_be_slower_stays_on_the_cpu(toy: None, model: Path, tmp_path: Path) -> None:
    taken = _compile(model, tmp_path / "taken.pdtvm", verify=False)
    (choice,) = (w for w in taken.variants[0].graph_choices if isinstance(w, Offloading))
    assert name_workload(choice) == "subgraph of 3 Relax operators in toy"
    log = tmp_path / "log.jsonl"
    header = header_here(registry.targets_of("toy", ())[0], 2)
    LogWriter(log, header).append([Winner(choice, {"taken": 0}, {2: 1.0}, choice.default(), {2: 2.0})])
    left = _compile(model, tmp_path / "left.pdtvm", tuning_logs=[log])
    assert _external(left.artifact) == []
    fates = _fates(left)
    assert "measured to be faster with our own kernels" in fates["multiply"].what
    assert left.variants[0].graph_choices[choice].origin == "tuned"
    _check_against_paddle(left.artifact)


def test_tune_asks_who_is_to_compute_a_subgraph_first() -> None:
    asked = Offloading("a graph", "toy", "a subgraph", 3)
    width = BlockWidth("a graph", 24, 16)
    assert alternatives([width, asked], [], {}, ()) == [(asked, {"taken": 0}), (width, {"lanes": 8})]


class TwoSubgraphs(nn.Layer):  # type: ignore[misc]  # Paddle has no types.
    """A convolution between arithmetic, which makes it two subgraphs."""

    def __init__(self) -> None:
        super().__init__()
        self.middle = nn.Conv2D(3, 8, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.middle(nn.functional.relu(x) + x)
        return -x * x


@pytest.fixture
def two_subgraphs(tmp_path: Path) -> Path:
    prefix = tmp_path / "model" / "inference"
    paddle.jit.save(TwoSubgraphs(), str(prefix), input_spec=[InputSpec((1, 3, 6, 5), "float32", "x")])
    return prefix


def _offered(result: CompileResult) -> dict[Offloading, str]:
    """Where the choice of each subgraph comes from."""
    made = result.variants[0].graph_choices
    return {one: choice.origin for one, choice in made.items() if isinstance(one, Offloading)}


def test_a_subgraph_is_the_same_whoever_computes_the_others(
    toy: None, two_subgraphs: Path, tmp_path: Path
) -> None:
    offered = _offered(_compile(two_subgraphs, tmp_path / "all.pdtvm", shapes=None))
    assert len(offered) == 2
    for number, one in enumerate(offered):
        options = CompileOptions(target="toy", fixed_forms={one.key: {"taken": 0}})
        result = compile_model(two_subgraphs, tmp_path / f"{number}.pdtvm", options)
        assert len(_external(result.artifact)) == 1
        assert set(_offered(result)) == set(offered)


def test_subgraphs_that_compute_the_same_are_one_choice(toy: None, tmp_path: Path) -> None:
    prefix = tmp_path / "model" / "inference"
    layer = nn.Sequential(nn.ReLU(), nn.Conv2D(3, 3, 1), nn.ReLU())
    paddle.jit.save(layer, str(prefix), input_spec=[InputSpec((1, 3, 6, 5), "float32", "x")])
    (choice,) = _offered(_compile(prefix, tmp_path / "all.pdtvm", shapes=None))
    options = CompileOptions(target="toy", fixed_forms={choice.key: {"taken": 0}})
    assert _external(compile_model(prefix, tmp_path / "none.pdtvm", options).artifact) == []


def test_tune_moves_subgraphs_together_that_gain_together_alone(
    toy: None, two_subgraphs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def time(_: ModelRun, artifacts: Mapping[str, Path], threads: int) -> dict[str, float]:
        return {name: 1.0 if _external(artifact) else 0.9 for name, artifact in artifacts.items()}

    monkeypatch.setattr(ModelRun, "time", time)
    log = tmp_path / "log.jsonl"
    options = TuneOptions(compile=CompileOptions(target="toy"), threads=1, ops=("offloading",))
    result = tune_model(two_subgraphs, log, options, History())
    assert [(type(trial.workload), trial.won) for trial in result.graph] == [
        (Offloading, False),
        (Offloading, False),
        (JointOffloading, True),
    ]
    assert result.trials == 3
    assert result.tuned_seconds == {1: 0.9}
    made = {
        name: _compile(two_subgraphs, tmp_path / name, tuning_logs=logs, shapes=None)
        for name, logs in (("plain", []), ("tuned", [log]))
    }
    assert [len(_external(one.artifact)) for one in made.values()] == [2, 0]
    assert set(_offered(made["tuned"]).values()) == {"tuned"}
    assert tune_model(two_subgraphs, log, options, History()).graph == ()


def test_profile_times_its_subgraphs(toy: None, model: Path, tmp_path: Path) -> None:
    artifact = _compile(model, tmp_path / "out.pdtvm").artifact
    profile = profile_artifact(artifact, {"x": np.ones((1, 3, 6, 5), "float32")}, rounds=2)
    assert "paddle_tvm_toy_0" in {kernel.name for kernel in profile.kernels}


def test_compile_and_profile_count_kernels_and_subgraphs_apart(
    toy: None, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.pdtvm"
    arguments = ["compile", str(model), "-o", str(output), "--target", "toy", "--shape", "x=1,3,6,5"]
    assert run_command_line(arguments) == 0
    shown = capsys.readouterr().out
    profile = profile_artifact(output, {"x": np.ones((1, 3, 6, 5), "float32")}, rounds=1)
    names = {kernel.name for kernel in profile.kernels}
    subgraphs = {name for name in names if name.startswith("paddle_tvm_toy_")}
    assert len(subgraphs) == 1
    kernels = len(names - subgraphs)
    assert f"{output}: {kernels} kernels and 1 subgraph of toy for " in shown
    assert run_command_line(["profile", str(output), "--rounds", "1"]) == 0
    assert f"; {kernels} kernels and 1 subgraph of toy, called " in capsys.readouterr().out
    assert run_command_line([*arguments, "--json", "--force"]) == 0
    (variant,) = json.loads(capsys.readouterr().out)["variants"]
    assert (variant["kernels"], variant["subgraphs"]) == (kernels, 1)


def test_a_subgraph_counts_what_its_operators_do(toy: None, model: Path, tmp_path: Path) -> None:
    table = _table(_compile(model, tmp_path / "out.pdtvm", verify=False).artifact)
    (call,) = (call for call in table.forms["main"].calls if table.is_subgraph(call))
    # ReLU, multiplication and addition, one each for 8 channels of 6 rows and 5 columns.
    assert call.flops == 3 * 8 * 6 * 5
    assert call.bytes is None
    assert table.subgraph_name(call) == "toy: 3 operators (1 relu, 1 multiply, 1 add)"


def test_what_no_pattern_takes_stays_on_the_cpu(toy: None, model: Path, tmp_path: Path) -> None:
    result = _compile(model, tmp_path / "out.pdtvm", shapes=None)
    assert result.verification is not None
    assert result.verification.passed
    table = _table(result.artifact)
    assert not any(schedule.external for schedule in table.schedules.values())
    assert "toy computes tensors of known shape" in table.left["main"].values()


def test_equal_calls_give_equal_artifacts(toy: None, model: Path, tmp_path: Path) -> None:
    one, other = (_compile(model, tmp_path / name, verify=False).artifact for name in ("a.pdtvm", "b.pdtvm"))
    for file in sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file()):
        assert (one / file).read_bytes() == (other / file).read_bytes(), file


class WithLibrary(Toy):
    """Has its code in C++, which calls a shared library."""

    library = Path()

    @property
    def runtime(self) -> RuntimeHalf:  # type: ignore[override]  # An attribute of Toy.
        return RuntimeHalf("c++", ["-O2", "-std=c++17"], [self.library])

    def generate(self, subgraph: Subgraph) -> Generated:
        generated = super().generate(subgraph)
        source = generated.source.replace("int __tvm_ffi_", 'extern "C" int __tvm_ffi_')
        source = source.replace("out0[i] = ", "out0[i] = toy_one() * ")
        return Generated('#include <string>\nextern "C" float toy_one();\n' + source, generated.weights)


def _build_library(file: Path, soname: str, one: float = 1.0) -> Path:
    code = file.with_suffix(".c")
    code.write_text(f"float toy_one(void) {{ return {one}f; }}")
    subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", file, code], check=True)
    return file


@pytest.fixture
def toy_with_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("toy")
    monkeypatch.setattr(WithLibrary, "library", _build_library(folder / "libtoy.so.1", "libtoy.so.1"))
    registry.register_accelerator("toy", WithLibrary)
    yield folder
    registry.unregister_accelerator("toy")


def test_libraries_are_in_the_artifact(toy_with_library: Path, model: Path, tmp_path: Path) -> None:
    artifact = _compile(model, tmp_path / "first.pdtvm").artifact
    assert "lib/libtoy.so.1" in read_manifest(artifact).files
    WithLibrary.library.unlink()
    _check_against_paddle(artifact.rename(tmp_path / "moved.pdtvm"))


def test_a_wrong_result_of_a_library_is_found(
    toy_with_library: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of another name: this process may have loaded the one of the test before.
    library = _build_library(toy_with_library / "libtwo.so", "libtwo.so", 2.0)
    monkeypatch.setattr(WithLibrary, "library", library)
    with pytest.raises(VerificationError, match="The first operator that diverges is"):
        _compile(model, tmp_path / "out.pdtvm")


def test_a_library_that_would_not_be_found_is_refused(
    toy_with_library: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = _build_library(toy_with_library / "libtoy.so", "libtoy.so.1")
    monkeypatch.setattr(WithLibrary, "library", library)
    with pytest.raises(UsageError, match=r"is libtoy\.so\.1 and not libtoy\.so"):
        _compile(model, tmp_path / "out.pdtvm")
    library.write_text("nothing")
    with pytest.raises(UsageError, match="no shared library"):
        _compile(model, tmp_path / "out.pdtvm")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


class Wrong(Toy):
    def generate(self, subgraph: Subgraph) -> Generated:
        generated = super().generate(subgraph)
        return Generated(generated.source.replace(" * ", " - "), generated.weights)


class Broken(Toy):
    def generate(self, subgraph: Subgraph) -> Generated:
        return Generated("this is no C")


class OfAnotherName(Toy):
    def generate(self, subgraph: Subgraph) -> Generated:
        return Generated("int other;")


class Raising(Toy):
    def generate(self, subgraph: Subgraph) -> Generated:
        raise KeyError("boom")


class NotInstalled(Toy):
    @property
    def runtime(self) -> RuntimeHalf:  # type: ignore[override]  # An attribute of Toy.
        raise UsageError("toy needs libtoy 2, which is not installed: pip install toy")


@pytest.fixture(params=[Wrong, Broken, OfAnotherName, Raising, NotInstalled])
def faulty(request: pytest.FixtureRequest) -> Iterator[type[Toy]]:
    registry.register_accelerator("toy", request.param)
    yield request.param
    registry.unregister_accelerator("toy")


def test_faults_are_told_and_leave_nothing(faulty: type[Toy], model: Path, tmp_path: Path) -> None:
    told = {
        Wrong: (VerificationError, "multiply"),
        Broken: (UnsupportedModelError, "accelerator 'toy'(.|\n)*1 this is no C"),
        OfAnotherName: (UnsupportedModelError, "does not define __tvm_ffi_paddle_tvm_toy_0 with C linkage"),
        Raising: (UnsupportedModelError, r"'toy' fails to generate code .*\(relu, multiply, add\): KeyError"),
        NotInstalled: (UsageError, "pip install toy"),
    }
    kind, words = told[faulty]
    with pytest.raises(kind, match=words):
        _compile(model, tmp_path / "out.pdtvm")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_names_are_taken_once(toy: None) -> None:
    for name in ("toy", "x86"):
        with pytest.raises(ValueError, match=f"there is a target '{name}' already"):
            registry.register_accelerator(name, Toy)
    with pytest.raises(
        UsageError, match="target 'tpu' is not known; known: x86, cuda, tensorrt, onednn, onnxruntime, toy"
    ):
        CompileOptions(target="tpu")


def test_installed_packages_bring_accelerators(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site"
    (package / "toy-1.dist-info").mkdir(parents=True)
    (package / "toy-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1\n")
    (package / "toy-1.dist-info" / "entry_points.txt").write_text(
        "[paddle_tvm.accelerators]\ntoy = toy_accelerator:Toy\n"
    )
    monkeypatch.syspath_prepend(str(package))
    assert sys.path[0] == str(package)
    assert registry.target_names() == ("x86", "cuda", "tensorrt", "onednn", "onnxruntime", "toy")
    result = _compile(model, tmp_path / "out.pdtvm", verify=False)
    assert read_manifest(result.artifact).variants[0].target.kind == "toy"
