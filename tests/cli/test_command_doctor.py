"""``paddle-tvm doctor`` and ``targets``."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_outcome import Run

from paddle_tvm.compiler.cli import console
from paddle_tvm.runtime import cpu
from paddle_tvm.runtime.cpu import cpu_features
from paddle_tvm.runtime.gpus import find_gpus
from paddle_tvm.targets.cpu_names import CPUS


def test_this_installation_is_sound(run: Run) -> None:
    result = run("doctor", "--json")
    assert result.code == 0, result.out
    findings = {finding["what"]: finding for finding in json.loads(result.out)["findings"]}
    assert findings["apache-tvm-ffi"]["found"] == "0.1.14.post0"
    assert findings["target"]["state"] == "ok"


@pytest.mark.parametrize("wrong", ["0.1.14", "0.1.15.post1", "0.1.13"])
def test_another_build_of_tvm_ffi_is_a_fault(run: Run, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    version = metadata.version
    monkeypatch.setattr(
        metadata, "version", lambda name: wrong if name == "apache-tvm-ffi" else version(name)
    )
    result = run("doctor")
    assert result.code == 2
    assert f"{wrong}, expected ==0.1.14.post0" in result.out
    assert "pip install 'apache-tvm-ffi==0.1.14.post0'" in result.out


def test_no_c_compiler_is_a_fault_where_the_compiler_is_installed(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    monkeypatch.delenv("CXX", raising=False)
    result = run("doctor")
    assert result.code == 2
    assert "no-such-compiler" in result.out


@pytest.mark.parametrize(
    ("version", "state", "found"),
    [
        (None, "absent", "not installed"),
        ("8.6.1", "absent", "8.6.1, expected 10"),
        ("10.13.3.9", "ok", "10.13.3.9"),
    ],
)
def test_tensorrt_is_looked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch, version: str | None, state: str, found: str
) -> None:
    module = None if version is None else SimpleNamespace(__version__=version)
    # None in the place of a module makes its import fail.
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    result = run("doctor", "--json")
    assert result.code == 0
    findings = {finding["what"]: finding for finding in json.loads(result.out)["findings"]}
    assert (findings["TensorRT"]["state"], findings["TensorRT"]["found"]) == (state, found)
    assert ("pip install 'tensorrt-cu13>=10.13,<11'" in findings["TensorRT"]["advice"]) == (state == "absent")


def test_targets_say_what_runs_here(run: Run) -> None:
    content = json.loads(run("targets", "--json").out)
    assert [named["mcpu"] for named in content["cpus"] if named["default"]] != []
    for named in content["cpus"]:
        assert set(named["missing"]) == set(named["features"]) - cpu_features()
    targets = {target["target"]: target for target in content["targets"]}
    assert targets["onednn"]["not_compiling"] is None
    assert targets["x86"]["not_running"] is None
    assert (targets["cuda"]["not_running"] is None) == (not find_gpus().problem)


@pytest.mark.parametrize("columns", [80, 120])
def test_targets_come_before_cpus_in_short_lines(
    run: Run, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setattr(console, "_PLAIN_WIDTH", columns)
    lines = run("targets").out.splitlines()
    assert max(map(len, lines)) <= columns
    first = {line.split()[0]: number for number, line in reversed(list(enumerate(lines))) if line.strip()}
    order = ("x86", "onednn", "cuda", "tensorrt", "znver5", "x86-64", "sm_80")
    places = [first[name] for name in order]
    assert places == sorted(places)
    # A line for each name: nothing is folded in the tables.
    assert first["x86-64"] - first["znver5"] == len(CPUS) - 1


@pytest.mark.parametrize(
    ("flags", "permitted", "amx", "said"),
    [
        ({"amx_bf16", "amx_tile"}, True, "usable", "AMX: this machine has it, and the system lets us use it"),
        ({"amx_bf16", "amx_tile"}, False, "refused", "AMX: this CPU has AMX, but the system does not let"),
        (set(), True, "absent", "AMX: this machine has none, or hides it"),
    ],
)
def test_targets_and_doctor_say_whether_amx_can_be_used(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    flags: set[str],
    permitted: bool,
    amx: str,
    said: str,
) -> None:
    monkeypatch.setattr(cpu, "_flags", lambda: cpu.NEEDED["icelake-server"] | flags)
    monkeypatch.setattr(cpu, "permit_amx", lambda: permitted)
    cpu.cpu_features.cache_clear()
    request.addfinalizer(cpu.cpu_features.cache_clear)
    assert said in " ".join(run("targets").out.split())
    assert json.loads(run("targets", "--json").out)["amx"] == amx
    result = run("doctor", "--json")
    assert result.code == 0
    findings = {finding["what"]: finding for finding in json.loads(result.out)["findings"]}
    assert ("amx_bf16" in findings["CPU"]["found"]) == (amx == "usable")
    assert ("AMX" in findings) == (amx == "refused")
    if amx == "refused":
        assert findings["AMX"]["state"] == "absent"
        assert findings["AMX"]["found"] == "refused by the system"
        assert "Linux 5.16" in findings["AMX"]["advice"]
        assert "--mcpu icelake-server" in findings["AMX"]["advice"]


def test_vectors_of_cpus_name_amx(run: Run) -> None:
    lines = [line.split() for line in run("targets").out.splitlines()]
    with_amx = {line[0] for line in lines if line and line[0] in CPUS and line[-1] == "AMX"}
    assert with_amx == {"sapphirerapids", "graniterapids"}


def test_targets_say_what_is_missing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNNLROOT", str(tmp_path))
    said = " ".join(run("targets").out.split())
    assert "onednn does not compile here: " in said
    assert "unset it to take that of the extra 'onednn'" in said
