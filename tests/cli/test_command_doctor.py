"""``paddle-tvm doctor`` and ``targets``."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest
from cli_outcome import Run

from paddle_tvm.runtime.cpu import cpu_features


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


def test_targets_say_what_runs_here(run: Run) -> None:
    rows = json.loads(run("targets", "--json").out)
    assert [row["mcpu"] for row in rows if row["default"]] != []
    for row in rows:
        if row["target"] == "x86":
            assert row["runs_here"] == cpu_features().issuperset(row["features"])
    (onednn,) = (row for row in rows if row["target"] == "onednn")
    assert onednn["missing"] is None


def test_targets_say_what_is_missing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNNLROOT", str(tmp_path))
    assert "unset it to take that of the extra 'onednn'" in " ".join(
        run("targets").out.replace("│", " ").split()
    )
