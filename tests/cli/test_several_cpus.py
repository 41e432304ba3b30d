"""One artifact for several CPUs, from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cli_outcome import Run

from paddle_tvm import compiler
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.targets.x86.cpus import runs_here

HERE = ["haswell", "x86-64"]
# No CPU has the features of both.
ELSEWHERE = next(name for name in ("sapphirerapids", "znver5") if not runs_here(name))
SHAPE = ["--shape", "x=1,3,8,8"]


def mcpus(names: list[str]) -> list[str]:
    return [argument for name in names for argument in ("--mcpu", name)]


@pytest.fixture(scope="module")
def several(saved_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("several") / "several.pdtvm"
    compiler.compile(saved_model, output, mcpu=[ELSEWHERE, *HERE], shapes={"x": (1, 3, 8, 8)}, verify=True)
    return output


def test_each_form_that_runs_here_is_verified_and_the_others_are_named(
    run: Run, model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.pdtvm"
    result = run("compile", model, "-o", output, "--verify", *mcpus([*HERE, ELSEWHERE]), *SHAPE)
    assert result.code == 0, result.err
    for mcpu in HERE:
        assert f"{mcpu} against Paddle" in result.out
        assert f"generate code for {mcpu}" in result.err
    assert f"{ELSEWHERE}: not verified, because this machine lacks " in result.out
    assert result.err.count("import ") == 1
    # The times stand below each other, whatever the CPU is called.
    assert len({len(line) for line in result.err.splitlines() if line.endswith(" s")}) == 1
    manifest = read_manifest(output)
    assert [variant.target.mcpu for variant in manifest.variants] == [ELSEWHERE, *HERE]
    unverified, *verified = (variant.verification for variant in manifest.variants)
    assert unverified is None
    assert all(verification is not None and verification.passed for verification in verified)


def test_json_has_a_row_for_each(run: Run, model: Path, tmp_path: Path) -> None:
    arguments = [*mcpus([ELSEWHERE, "haswell"]), "--verify", "--json", *SHAPE]
    content = json.loads(run("compile", model, "-o", tmp_path / "out.pdtvm", *arguments).out)
    other, haswell = content["variants"]
    assert (other["mcpu"], haswell["mcpu"]) == (ELSEWHERE, "haswell")
    assert other["verification"] is None
    assert "this machine lacks" in other["not_verified"]
    assert haswell["verification"]["passed"]
    assert haswell["not_verified"] is None


def test_a_form_is_what_compiling_for_its_cpu_alone_gives(
    several: Path, saved_model: Path, tmp_path: Path
) -> None:
    for mcpu in HERE:
        alone = tmp_path / f"{mcpu}.pdtvm"
        compiler.compile(saved_model, alone, mcpu=mcpu, shapes={"x": (1, 3, 8, 8)})
        assert (alone / "model.so").read_bytes() == (several / f"model.{mcpu}.so").read_bytes()


def test_run_inspect_and_verify_take_the_best_or_the_one_asked_for(
    run: Run, several: Path, saved_model: Path
) -> None:
    assert json.loads(run("run", several, "--json").out)["mcpu"] == "haswell"
    shown = run("run", several, "--mcpu", "x86-64")
    assert shown.code == 0, shown.err
    assert "code for x86-64" in shown.out
    inspected = run("inspect", several)
    assert inspected.code == 0, inspected.err
    assert re.search("^x86 haswell +yes, and is taken +1 runs", inspected.out, re.MULTILINE) or re.search(
        "^x86 haswell +yes, and is taken +2 runs", inspected.out, re.MULTILINE
    )
    assert re.search(rf"^x86 {ELSEWHERE} +no, for want of \d+ features? +no ", inspected.out, re.MULTILINE)
    assert re.search(rf"^{ELSEWHERE} +those of haswell, and ", inspected.out, re.MULTILINE)
    assert re.search("^x86-64 +any 64-bit x86$", inspected.out, re.MULTILINE)
    assert max(map(len, inspected.out.splitlines())) <= 120
    assert json.loads(run("inspect", several, "--json").out)["runs_here"] == "haswell"
    verified = run("verify", several, "--model", saved_model, "--mcpu", "x86-64")
    assert verified.code == 0, verified.err
    assert "x86-64 against Paddle" in verified.out


def test_what_is_not_there_or_does_not_run_here_is_refused(
    run: Run, several: Path, saved_model: Path
) -> None:
    for command in (["run", several], ["verify", several, "--model", saved_model]):
        result = run(*command, "--mcpu", "skylake")
        assert result.code == 2
        assert "no code for the CPU skylake" in result.err
        result = run(*command, "--mcpu", ELSEWHERE)
        assert result.code == 5
        assert f"made for x86 {ELSEWHERE}, and this machine's CPU lacks" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (mcpus(["haswell", "pentium"]), "--mcpu pentium is not known"),
        (mcpus(["haswell", "haswell"]), "--mcpu haswell is given twice"),
        ([*mcpus([ELSEWHERE]), "--verify"], f"--mcpu {ELSEWHERE}: "),
    ],
)
def test_bad_choices(run: Run, model: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    result = run("compile", model, "-o", tmp_path / "out.pdtvm", *arguments)
    assert result.code == 2
    assert message in result.err
    assert "import " not in result.err
    assert not (tmp_path / "out.pdtvm").exists()


def test_a_form_that_differs_from_paddle_is_named(
    run: Run, model: Path, tmp_path: Path, wrong_relu: None
) -> None:
    result = run("compile", model, "-o", tmp_path / "out.pdtvm", "--verify", *mcpus(HERE), *SHAPE)
    assert result.code == 4
    assert "the artifact (--mcpu haswell) differs from Paddle" in result.err
    assert "pd_op.relu" in result.err
    assert not (tmp_path / "out.pdtvm").exists()
