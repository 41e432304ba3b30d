"""Whatever is wrong with an artifact is found before its code is loaded, and named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddle_tvm.runtime import ArtifactError, Config, UsageError, create_predictor
from paddle_tvm.runtime.artifact import (
    check_files,
    encode_manifest,
    map_weights,
    read_manifest,
)
from paddle_tvm.runtime.cpu import cpu_features
from paddle_tvm.runtime.errors import PaddleTvmError
from paddle_tvm.runtime.manifest import FORMAT_VERSION, Manifest
from paddle_tvm.runtime.manifest_reader import manifest_from_json
from paddle_tvm.runtime.variants import choose_variant

FILES = ["manifest.json", "model.so", "weights.bin", "lib/libtvm_runtime.so"]
GOLDEN = Path(__file__).parent / "golden"


def load(path: Path) -> None:
    create_predictor(Config(str(path)))


def refusal(path: Path, kind: type[PaddleTvmError] = ArtifactError, code: int = 5) -> str:
    with pytest.raises(kind) as caught:
        load(path)
    assert caught.value.exit_code == code
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.3, 0.9999])
def test_a_flipped_bit_in_any_file_is_found(copy: Path, name: str, place: float) -> None:
    data = bytearray((copy / name).read_bytes())
    data[int(place * len(data))] ^= 1
    (copy / name).write_bytes(data)
    assert name in refusal(copy)


def test_every_byte_of_the_manifest_counts(copy: Path) -> None:
    sound = (copy / "manifest.json").read_bytes()
    for place in range(len(sound)):
        (copy / "manifest.json").write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        with pytest.raises(ArtifactError):
            read_manifest(copy)
    for added in (sound + b"\n", b" " + sound, sound[:-1]):
        (copy / "manifest.json").write_bytes(added)
        with pytest.raises(ArtifactError, match="not canonical"):
            read_manifest(copy)


def test_native_code_is_not_loaded_before_the_checks(copy: Path) -> None:
    (copy / "model.so").write_bytes(b"x" * (copy / "model.so").stat().st_size)
    script = """
import sys
from paddle_tvm.runtime import ArtifactError, Config, create_predictor
try:
    create_predictor(Config(sys.argv[1]))
except ArtifactError:
    assert "libtvm_runtime" not in open("/proc/self/maps").read()
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", script, copy], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    message = refusal(copy)
    assert name in message


def test_what_is_no_file_is_named(copy: Path) -> None:
    (copy / "weights.bin").unlink()
    os.mkfifo(copy / "weights.bin")
    assert "weights.bin: is not a file" in refusal(copy)


@pytest.mark.parametrize("name", FILES[1:])
def test_a_truncated_file_is_named_with_both_sizes(copy: Path, name: str) -> None:
    size = (copy / name).stat().st_size
    (copy / name).write_bytes((copy / name).read_bytes()[:-1])
    assert f"{name}: expected {size} bytes, got {size - 1}" in refusal(copy)


def test_all_damaged_files_are_named_at_once(copy: Path) -> None:
    for name in ("model.so", "weights.bin"):
        (copy / name).unlink()
    message = refusal(copy)
    assert "model.so: missing" in message
    assert "weights.bin: missing" in message


def test_hashes_can_be_left_out_and_sizes_cannot(copy: Path) -> None:
    data = bytearray((copy / "weights.bin").read_bytes())
    data[0] ^= 1
    (copy / "weights.bin").write_bytes(data)
    manifest = read_manifest(copy)
    with pytest.raises(ArtifactError, match=r"weights\.bin: expected SHA-256"):
        check_files(copy, manifest)
    check_files(copy, manifest, hashes=False)
    config = Config(str(copy))
    config.enable_integrity_check(False)
    create_predictor(config)
    (copy / "weights.bin").write_bytes(data + b"x")
    with pytest.raises(ArtifactError, match="bytes, got"):
        create_predictor(config)


def test_no_such_path(tmp_path: Path) -> None:
    assert "no such artifact" in refusal(tmp_path / "nothing", UsageError, 2)


def test_a_directory_that_is_no_artifact(tmp_path: Path) -> None:
    assert "not an artifact" in refusal(tmp_path, UsageError, 2)


@pytest.mark.parametrize("name", ["inference.pdmodel", "inference.json", "model.onnx"])
def test_a_model_that_is_not_compiled(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    for given in (tmp_path, tmp_path / name, tmp_path / name.partition(".")[0]):
        assert f"paddle-tvm compile {given} -o " in refusal(given, UsageError, 2)


def test_an_artifact_without_a_manifest_is_damaged_and_no_model(copy: Path) -> None:
    (copy / "model.kernels.json").write_text("{}")
    (copy / "manifest.json").unlink()
    assert "manifest.json: missing" in refusal(copy)


def test_a_file_of_an_artifact(copy: Path) -> None:
    with pytest.raises(UsageError, match=f"name its directory, {copy}"):
        read_manifest(copy / "manifest.json")


def test_a_newer_format(copy: Path) -> None:
    fields = json.loads((copy / "manifest.json").read_text())
    fields["format_version"] = 7
    (copy / "manifest.json").write_text(json.dumps(fields))
    message = refusal(copy)
    assert f"has format version 7, this paddle-tvm reads up to {FORMAT_VERSION}" in message
    assert "pip install --upgrade paddle-tvm" in message


def needing(manifest: Manifest, features: tuple[str, ...]) -> Manifest:
    (variant,) = manifest.variants
    target = variant.target._replace(features=features)
    return manifest._replace(variants=(variant._replace(target=target),))


def test_cpu_features_that_this_machine_lacks(copy: Path) -> None:
    manifest = read_manifest(copy)
    manifest = needing(manifest, (*sorted(cpu_features())[:3], "avx9000", "amx_dream"))
    (copy / "manifest.json").write_bytes(encode_manifest(manifest))
    message = refusal(copy)
    assert "lacks avx9000, amx_dream (it has" in message
    assert "--mcpu" in message


def test_cpu_features_that_this_machine_has(sound: Path) -> None:
    manifest = needing(read_manifest(sound), tuple(sorted(cpu_features())))
    assert choose_variant(sound, manifest) == manifest.variants[0]


def test_another_foreign_function_interface(copy: Path) -> None:
    manifest = read_manifest(copy)
    producer = manifest.producer._replace(tvm_ffi="0.2.0", paddle_tvm="3.1.4")
    (copy / "manifest.json").write_bytes(encode_manifest(manifest._replace(producer=producer)))
    message = refusal(copy)
    assert "made with apache-tvm-ffi 0.2.0" in message
    assert "paddle-tvm==3.1.4" in message


def test_a_library_that_cannot_be_loaded(copy: Path) -> None:
    # As large as before and not checked, so that only the dynamic linker can find out.
    (copy / "model.so").write_bytes(b"x" * (copy / "model.so").stat().st_size)
    config = Config(str(copy))
    config.enable_integrity_check(False)
    with pytest.raises(ArtifactError, match=r"model\.so: cannot be loaded"):
        create_predictor(config)


Fields = dict[str, Any]


def change(path: str, value: Any) -> Callable[[Fields], None]:
    """Set a field, or delete it where the value is Ellipsis."""

    def apply(fields: Fields) -> None:
        *parents, last = [int(part) if part.isdecimal() else part for part in path.split("/")]
        place: Any = fields
        for part in parents:
            place = place[part]
        if value is ...:
            del place[last]
        else:
            place[last] = value

    return apply


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (change("inputs", ...), "inputs: missing"),
        (change("extra", 1), "unknown fields: extra"),
        (change("inputs/0/colour", 1), r"unknown fields: inputs\[0\]\.colour"),
        (change("inputs/0/name", 3), r"inputs\[0\]\.name: expected a string, got 3"),
        (
            change("inputs/0/dtype", "bfloat16"),
            r"inputs\[0\]\.dtype: expected one of bool, .* 'bfloat16'",
        ),
        (change("inputs/1/shape", 3), r"inputs\[1\]\.shape: expected a list of sizes and symbols, got 3"),
        (change("inputs/1/shape", [-1]), r"inputs\[1\]\.shape\[0\]: expected a size or the name"),
        (change("inputs/1/shape", [True]), r"inputs\[1\]\.shape\[0\]: expected a size or the name"),
        (change("inputs/1/shape", ["k"]), "the symbol 'k' has no range in symbols"),
        (change("inputs/1/name", "x"), "inputs: two have the same name"),
        (
            change("symbols/batch", {"min": 4, "max": 3}),
            r"symbols\['batch'\]\.max: expected at least 4",
        ),
        (change("symbols/batch/min", True), r"symbols\['batch'\]\.min: expected an integer, got True"),
        (change("variants/0/target", []), r"variants\[0\]\.target: expected an object"),
        (
            change("variants/0/target/features", "avx2"),
            r"variants\[0\]\.target\.features: expected a list, got 'avx2'",
        ),
        (change("variants/0/threads", "two"), r"\.threads: expected an integer or null, got 'two'"),
        (change("variants/0/threads", 0), r"\.threads: expected at least 1, got 0"),
        (change("variants/0/library", "other.so"), r"files: 'other\.so' is missing"),
        (change("variants", []), "variants: expected at least one"),
        (change("functions", []), "functions: expected at least one"),
        (
            change("functions/0/name", "main_3"),
            r"variants\[0\]\.weights: expected those of \['main_3', 'main_2'\]",
        ),
        (change("variants/0/weights/main", [99]), r"variants\[0\]\.weights\['main'\]: 99 of 1 weights"),
        (change("variants/0/weights/main", 3), r"\.weights\['main'\]: expected a list, got 3"),
        (change("variants/0/weights/main", [-1]), r"\.weights\['main'\]\[0\]: expected at least 0, got -1"),
        (
            change("functions/0/input_shapes", [[3]]),
            r"functions\[0\]\.input_shapes: expected the ranks",
        ),
        (change("weights/0/offset", 8), r"weights\[0\]\.offset: expected a multiple of 64, got 8"),
        (change("weights/0/offset", 1 << 20), r"weights\[0\]: ends at byte 1048624 of 48"),
        (change("weights/0/nbytes", 44), r"weights\[0\]\.nbytes: expected 48 for float32\[4, 3\], got 44"),
        (change("variants/0/verification", {}), r"verification\.seed: missing"),
        (change("files/weights.bin", ...), r"files: 'weights\.bin' is missing"),
        (change("files/..~1x", {"sha256": "", "size": 0}), "is no path inside the artifact"),
        (change("files/~1etc~1passwd", {"sha256": "", "size": 0}), "is no path inside the artifact"),
        (change("files/lib~1", {"sha256": "", "size": 0}), "is no path inside the artifact"),
        (change("format_version", "1"), "format_version: expected an integer, got '1'"),
        (change("format_version", 0), "format_version: expected at least 1, got 0"),
    ],
)
def test_a_field_that_does_not_fit_is_named(
    sound: Path, harm: Callable[[Fields], None], message: str
) -> None:
    fields = json.loads((sound / "manifest.json").read_text())
    del fields["checksum"]
    harm(fields)
    # A slash in a name is written ~1 above.
    fields["files"] = {name.replace("~1", "/"): entry for name, entry in fields.get("files", {}).items()}
    with pytest.raises(ArtifactError, match=message):
        manifest_from_json(fields)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100000, '{"format_version": 1e999}', "\xff"])
def test_what_is_no_manifest(copy: Path, text: str) -> None:
    (copy / "manifest.json").write_bytes(text.encode("latin-1"))
    assert "manifest.json is damaged" in refusal(copy)


def test_weights_are_shared_with_the_file_and_never_written_to_it(copy: Path) -> None:
    manifest = read_manifest(copy)
    (weight,) = map_weights(copy, manifest).values()
    np.testing.assert_array_equal(weight, np.arange(12, dtype="float32").reshape(4, 3))
    assert weight.ctypes.data % 64 == 0
    weight[:] = 0
    check_files(copy, manifest)


@pytest.mark.parametrize("version", range(1, FORMAT_VERSION + 1))
def test_old_formats_stay_readable(version: int, tmp_path: Path) -> None:
    golden = GOLDEN / f"format-{version}.json"
    shutil.copy(golden, tmp_path / "manifest.json")
    read = read_manifest(tmp_path)
    assert read.inputs[0].shape == ("batch", 4)
    assert read.symbols["batch"] == (1, 64)
    assert [function.name for function in read.functions] == ["main", "main_1"]
    first = read.variants[0]
    assert first.target == ("x86", "icelake-server", ("avx2", "avx512f", "fma"), ())
    assert first.weights == {"main": (0, 1), "main_1": (1,)}
    assert first.loads == ({"paddle_tvm_onednn_0": (1,)} if version > 3 else {})
    assert first.threads == 2
    assert first.tuning[0][:2] == ("fused_conv2d_add_relu", "tuned")
    assert [record.origin for record in first.tuning[1:]] == (
        ["transferred", "default"] if version > 2 else []
    )
    assert first.verification is not None
    assert first.verification.outputs[1].max_rel_error is None
    libraries = [variant.library for variant in read.variants]
    assert libraries[:2] == (
        ["model.so"] if version == 1 else ["model.icelake-server.so", "model.haswell.so"]
    )
    devices = [variant.target.devices for variant in read.variants]
    assert devices == ([(), (), ("sm_80", "sm_90")] if version > 4 else [()] * len(libraries))
    if version == FORMAT_VERSION:
        assert encode_manifest(read) == golden.read_bytes()
