"""An artifact with code for several CPUs: the first that this machine runs is taken, or the one asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import small_models

from paddle_tvm.runtime import ArtifactError, Config, Predictor, UsageError, cpu, create_predictor
from paddle_tvm.runtime.artifact import encode_manifest, map_weights, read_manifest
from paddle_tvm.runtime.manifest_reader import manifest_from_json


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.two_variants(tmp_path_factory.mktemp("both") / "both.pdtvm")


@pytest.fixture(scope="module")
def plain_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.two_variants(tmp_path_factory.mktemp("plain") / "plain.pdtvm", ("avx9000",))


def added(predictor: Predictor) -> float:
    outputs = predictor.run([np.zeros(4, "float32")])
    assert outputs is not None
    return float(outputs[0][0])


def predictor_of(path: Path, mcpu: str | None = None) -> Predictor:
    config = Config(str(path))
    config.set_mcpu(mcpu)
    assert config.mcpu() == mcpu
    return create_predictor(config)


def test_each_variant_has_a_library_and_equal_weights_are_stored_once(both: Path) -> None:
    names = sorted(path.name for path in both.iterdir())
    assert names == ["lib", "manifest.json", "model.better.so", "model.plain.so", "weights.bin"]
    manifest = read_manifest(both)
    assert [variant.weights["main"] for variant in manifest.variants] == [(0, 1), (2, 1)]
    assert [weight.offset for weight in manifest.weights] == [0, 64, 128]


def test_the_first_that_runs_here_is_taken(both: Path, plain_here: Path) -> None:
    for path, mcpu, value in ((both, "better", 1.0), (plain_here, "plain", 2.0)):
        predictor = predictor_of(path)
        assert predictor.mcpu() == predictor.clone().mcpu() == mcpu
        assert added(predictor) == added(predictor.clone()) == value


def test_one_can_be_asked_for_and_both_run_in_one_process(both: Path) -> None:
    better, plain = predictor_of(both, "better"), predictor_of(both, "plain")
    assert (plain.mcpu(), better.mcpu()) == ("plain", "better")
    assert [added(predictor) for predictor in (better, plain, better)] == [1.0, 2.0, 1.0]


def test_what_the_artifact_does_not_hold_is_refused(both: Path) -> None:
    with pytest.raises(UsageError, match="no code for the CPU best; it holds code for better, plain"):
        predictor_of(both, "best")


def test_asking_for_what_does_not_run_here_is_refused(plain_here: Path) -> None:
    with pytest.raises(ArtifactError, match="made for x86 better, and this machine's CPU lacks avx9000"):
        predictor_of(plain_here, "better")


def test_where_none_runs_the_features_that_each_lacks_are_named(both: Path, tmp_path: Path) -> None:
    manifest = read_manifest(both)
    manifest = manifest._replace(
        variants=tuple(
            variant._replace(target=variant.target._replace(features=(f"for_{variant.target.mcpu}", "fpu")))
            for variant in manifest.variants
        )
    )
    (tmp_path / "manifest.json").write_bytes(encode_manifest(manifest))
    with pytest.raises(ArtifactError) as caught:
        predictor_of(tmp_path)
    message = str(caught.value)
    assert "x86 better, and this machine's CPU lacks for_better; " in message
    assert "x86 plain, and this machine's CPU lacks for_plain (it has" in message
    assert "--mcpu" in message


def _machine_with(features: set[str], monkeypatch: pytest.MonkeyPatch, *, permitted: bool = True) -> None:
    monkeypatch.setattr(cpu, "_flags", lambda: frozenset(features))
    monkeypatch.setattr(cpu, "permit_amx", lambda: permitted)
    cpu.cpu_features.cache_clear()


@pytest.fixture
def for_amx(tmp_path: Path) -> Iterator[Path]:
    needed = (*sorted(cpu.NEEDED["icelake-server"]), "amx_bf16", "amx_tile")
    yield small_models.two_variants(tmp_path / "amx.pdtvm", needed)
    # What the test said of this machine.
    cpu.cpu_features.cache_clear()


@pytest.mark.parametrize("mcpu", list(cpu.NEEDED))
def test_what_a_machine_without_amx_can_run_is_named(
    for_amx: Path, mcpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _machine_with(set(cpu.NEEDED[mcpu]), monkeypatch)
    with pytest.raises(ArtifactError) as caught:
        predictor_of(for_amx, "better")
    message = str(caught.value)
    assert "this machine's CPU lacks" in message
    assert "amx_bf16, amx_tile (it has" in message
    assert f"paddle-tvm compile MODEL -o ARTIFACT --mcpu {mcpu}. One artifact" in message
    assert "this CPU has AMX" not in message


def test_where_the_system_refuses_amx_it_is_the_system_that_is_named(
    for_amx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _machine_with(cpu.NEEDED["icelake-server"] | {"amx_bf16", "amx_tile"}, monkeypatch, permitted=False)
    with pytest.raises(ArtifactError) as caught:
        predictor_of(for_amx, "better")
    message = str(caught.value)
    assert "lacks amx_bf16, amx_tile (it has" in message
    assert (
        "this CPU has AMX, but the system does not let this process use it: AMX takes Linux 5.16" in message
    )
    assert "--mcpu icelake-server" in message


def test_only_what_is_loaded_is_checked(plain_here: Path, tmp_path: Path) -> None:
    path = small_models.two_variants(tmp_path / "a.pdtvm")
    (path / "model.plain.so").unlink()
    assert added(predictor_of(path)) == 1.0
    with pytest.raises(ArtifactError, match=r"model\.plain\.so: missing"):
        predictor_of(path, "plain")


def test_only_the_weights_that_are_used_are_mapped(both: Path) -> None:
    manifest = read_manifest(both)
    assert sorted(map_weights(both, manifest)) == [0, 1, 2]
    mapped = map_weights(both, manifest, {1, 2})
    assert sorted(mapped) == [1, 2]
    np.testing.assert_array_equal(mapped[2], np.full(4, 2, "float32"))


def test_names_of_variants_are_distinct(both: Path) -> None:
    fields = json.loads((both / "manifest.json").read_text())
    del fields["checksum"]
    fields["variants"][1]["target"]["mcpu"] = "better"
    with pytest.raises(ArtifactError, match="variants: two have the mcpu 'better'"):
        manifest_from_json(fields)
