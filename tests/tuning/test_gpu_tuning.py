"""Tuning runs of a model for a GPU that the CPU plays; what they measure means nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import tvm
import tvm_ffi
from emulated_cuda import Emulator
from paddle import nn
from paddle.static import InputSpec

from paddle_tvm import compiler, runtime
from paddle_tvm.compiler.frontends.importing import import_forms
from paddle_tvm.compiler.frontends.source import find_model
from paddle_tvm.compiler.lowering import lower_in_stages, optimise
from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.compiler.passes.merge_forms import merge_forms
from paddle_tvm.compiler.profiling.profile import profile_artifact, read_table
from paddle_tvm.compiler.tuning.choices import TunedChoices
from paddle_tvm.compiler.tuning.gpu_program import GpuTunableKernel, program_of
from paddle_tvm.compiler.tuning.gpu_tasks import gpu_tasks_of
from paddle_tvm.compiler.tuning.history import History
from paddle_tvm.compiler.tuning.log import Entry, LogWriter, read_log
from paddle_tvm.compiler.tuning.options import TuneOptions
from paddle_tvm.compiler.tuning.records import Trial, Winner, header_of
from paddle_tvm.compiler.tuning.tasks import kernels_of_model
from paddle_tvm.compiler.tuning.tune import tune_model
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.loader import load
from paddle_tvm.targets.cuda import CudaTarget, cuda_target
from paddle_tvm.targets.cuda.workloads import CudaProduct
from paddle_tvm.targets.workload import Choice, Config, Workload


@pytest.fixture(scope="module")
def layer() -> Any:
    paddle.seed(2)
    # Depths of 256, 64 and 256 can be divided into parts.
    net = nn.Sequential(
        *(nn.Conv2D(64, 16, 2), nn.ReLU(), nn.Conv2DTranspose(16, 16, 2, stride=2)),
        *(nn.Flatten(), nn.Linear(256, 8), nn.GELU()),
    )
    net.eval()
    return net


@pytest.fixture(scope="module")
def model(layer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    prefix = tmp_path_factory.mktemp("tuned") / "net"
    paddle.jit.save(layer, str(prefix), input_spec=[InputSpec([1, 64, 3, 3], "float32", "x")])
    return prefix


@pytest.fixture(scope="module")
def target(emulator: Emulator) -> CudaTarget:
    return cuda_target(["sm_90"])


class _Forms:
    """Gives workloads the forms that it is told."""

    def __init__(self, forms: Mapping[Workload, Config]) -> None:
        self.forms = forms

    def of(self, workload: Workload) -> Choice:
        return Choice(self.forms.get(workload, workload.default()))


def _lowered(model: Path, target: CudaTarget, forms: Mapping[Workload, Config]) -> tvm.IRModule:
    """The kernels of a model in some forms, as compiling makes them."""
    imported = import_forms(find_model(model), CompileOptions(target="cuda"))
    module = optimise(merge_forms({name: form.module for name, form in imported.items()}))
    return lower_in_stages(module, target.with_choices(_Forms(forms))).scheduled


def _kernels(model: Path, target: CudaTarget) -> dict[Workload, GpuTunableKernel]:
    found = kernels_of_model(model, CompileOptions(target="cuda"), target, {})
    kernels = {}
    for kernel in found.values():
        assert isinstance(kernel, GpuTunableKernel)
        kernels[kernel.workload] = kernel
    return kernels


def test_a_form_that_is_measured_is_that_which_compiling_makes(model: Path, target: CudaTarget) -> None:
    """Function by function, for a form of one and one of two, of every kind of product."""
    kernels = _kernels(model, target)
    assert {kernel.name.split("_")[1] for kernel in kernels.values()} == {"conv2d", "matmul"}
    assert len(kernels) == 3
    for workload, kernel in kernels.items():
        forms = workload.candidates()
        for splits in (1, 4):
            config = next(form for form in forms if form["splits"] == splits)
            module = kernel.module(config, target)
            steps = program_of(module, kernel.size).steps
            assert len(steps) == (1 if splits == 1 else 2)
            compiled = target.plan(_lowered(model, target, {workload: config}))
            made = [f for f in compiled.functions.values() if isinstance(f, tvm.tirx.PrimFunc)]
            for name, _ in steps:
                function = module[name].without_attr("global_symbol")
                assert any(
                    tvm_ffi.structural_equal(function.body, other.body, map_free_vars=True)
                    and len(function.params) == len(other.params)
                    for other in made
                ), (workload, config, name)


def _options(**options: Any) -> TuneOptions:
    compiled = CompileOptions(target="cuda", precision=options.pop("precision", "float32"))
    return TuneOptions(threads=3, min_share=0, compile=compiled, **options)


def _records(log: Path, kind: type) -> list[Any]:
    entries = list(read_log(log))
    assert all(isinstance(entry, Entry) for entry in entries), entries
    return [entry.record for entry in entries if isinstance(entry, Entry) and isinstance(entry.record, kind)]


def test_a_search_records_trials_and_winners_and_goes_on_where_it_was(
    model: Path, gpu_machine: Emulator, tmp_path: Path
) -> None:
    log = tmp_path / "log.jsonl"
    first = tune_model(model, log, _options(trials=4), History())
    assert [task.workload.operator for task in first.tasks] == ["cuda_product"] * 3
    assert sum(task.share for task in first.tasks) <= 1
    assert all(task.seconds > 0 for task in first.tasks)
    entry = next(entry for entry in read_log(log) if isinstance(entry, Entry))
    header = entry.header
    assert (header.target, header.cpu, header.microarchitecture) == ("cuda-sm_90", "Emulated", "sm_90")
    assert (header.threads, header.features) == (1, ())
    trials = _records(log, Trial)
    assert len(trials) == 4
    assert {trial.outcome.status for trial in trials} == {"ok"}
    winners = _records(log, Winner)
    assert winners
    second = tune_model(model, log, _options(trials=3), History())
    assert second.trials == 3
    forms = [
        (trial.workload.key, json.dumps(dict(trial.outcome.config), sort_keys=True))
        for trial in _records(log, Trial)
    ]
    assert max(Counter(forms).values()) == 1
    assert len(forms) == 7


def _log_of(path: Path, target: CudaTarget, winners: Mapping[Workload, Config]) -> Path:
    """A log in which forms are twice as fast as the default."""
    LogWriter(path, header_of(target, "A GPU", target.devices[0], 1)).append(
        [
            Winner(workload, form, {1: 1e-5}, workload.default(), {1: 2e-5})
            for workload, form in winners.items()
        ]
    )
    return path


def test_compiling_takes_the_forms_that_won(
    model: Path, layer: Any, target: CudaTarget, emulator: Emulator, tmp_path: Path
) -> None:
    workloads = list(_kernels(model, target))
    wanted = {
        workload: next(form for form in workload.candidates() if form["splits"] == 2 and form["rows"] == 32)
        for workload in workloads
    }
    assert all(form != workload.default() for workload, form in wanted.items())
    log = _log_of(tmp_path / "log.jsonl", target, wanted)
    compiler.compile(
        model, tmp_path / "a", target="cuda", architectures=["sm_90"], tuning_logs=log, verify=True
    )
    records = read_manifest(tmp_path / "a").variants[0].tuning
    assert [record.origin for record in records] == ["tuned"] * len(wanted)
    table = read_table(tmp_path / "a", load(tmp_path / "a"))
    made = {one.workload: one.choice.config for one in table.schedules.values() if one.choice is not None}
    assert made == {workload.key: dict(form) for workload, form in wanted.items()}
    x = np.random.default_rng(0).standard_normal((1, 64, 3, 3)).astype("float32")
    results = runtime.create_predictor(runtime.Config(str(tmp_path / "a"))).run([x])
    assert results is not None
    np.testing.assert_allclose(results[0], layer(paddle.to_tensor(x)).numpy(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("architectures", [["sm_80"], ["sm_80", "sm_90"]])
def test_records_of_another_architecture_are_not_applied(
    architectures: list[str], target: CudaTarget, tmp_path: Path
) -> None:
    workload = CudaProduct(1, 512, 512, 512, "f16", "k8", "n8")
    form = next(form for form in workload.candidates() if form != workload.default())
    log = _log_of(tmp_path / "log.jsonl", target, {workload: form})
    other = cuda_target(architectures)
    assert TunedChoices(other, [log]).of(workload) == Choice(workload.default())
    assert TunedChoices(target, [log]).of(workload).origin == "tuned"


def test_records_of_another_precision_are_not_applied(target: CudaTarget, tmp_path: Path) -> None:
    single = CudaProduct(1, 512, 512, 512, "fma", "k8", "n8")
    form = next(form for form in single.candidates() if form != single.default())
    choices = TunedChoices(target, [_log_of(tmp_path / "log.jsonl", target, {single: form})])
    assert choices.of(single).config == form
    for engine in ("tf32", "f16", "bf16"):
        other = CudaProduct(1, 512, 512, 512, engine, "k8", "n8")
        assert choices.of(other) == Choice(other.default())


def test_another_gpu_than_this_machines_is_refused(
    model: Path, gpu_machine: Emulator, tmp_path: Path
) -> None:
    options = TuneOptions(1, compile=CompileOptions(target="cuda", architectures=("sm_80",)))
    message = "--arch sm_80: forms are measured on this machine's GPU, Emulated, which is sm_90"
    with pytest.raises(UsageError, match=message):
        tune_model(model, tmp_path / "log.jsonl", options, History())
    tensorrt = TuneOptions(1, compile=CompileOptions("tensorrt"))
    with pytest.raises(UsageError, match="tune with --target cuda, and compile with --target tensorrt"):
        tune_model(model, tmp_path / "log.jsonl", tensorrt, History())
    assert not (tmp_path / "log.jsonl").exists()


def test_what_adds_the_parts_of_a_product_counts_with_it(
    model: Path, target: CudaTarget, emulator: Emulator, tmp_path: Path
) -> None:
    workload = next(workload for workload in _kernels(model, target) if workload.family()[2] == "n8")
    divided = next(form for form in workload.candidates() if form["splits"] == 4)
    log = _log_of(tmp_path / "log.jsonl", target, {workload: divided})
    options = CompileOptions(target="cuda", architectures=("sm_90",), tuning_logs=log)
    compiler.compile(model, tmp_path / "a", target="cuda", architectures=["sm_90"], tuning_logs=log)
    x = np.random.default_rng(0).standard_normal((1, 64, 3, 3)).astype("float32")
    profile = profile_artifact(tmp_path / "a", {"x": x}, rounds=1)
    chosen = target.with_choices(TunedChoices(target, [log]))
    tasks = gpu_tasks_of(kernels_of_model(model, options, chosen, {}), profile)
    (task,) = (task for task in tasks if task.workload == workload)
    spent = {kernel.name: kernel.work.microseconds for kernel in profile.kernels}
    (parts,) = (name for name in spent if "matmul_parts" in name)
    (name,) = task.names
    assert task.seconds == pytest.approx((spent[name] + spent[parts]) / 1e6)
    assert task.share == pytest.approx(profile.share(spent[name] + spent[parts]))
    assert task.calls == 1
