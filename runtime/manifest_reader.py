"""Reads the JSON of a manifest and checks that its parts fit together."""

from __future__ import annotations

from functools import partial
from math import prod

from paddle_tvm.runtime import json_fields
from paddle_tvm.runtime.errors import ArtifactError
from paddle_tvm.runtime.json_fields import Fields
from paddle_tvm.runtime.manifest import (
    ALIGNMENT,
    FORMAT_VERSION,
    ITEM_SIZES,
    MODEL_FILE,
    RUNTIME_FILE,
    WEIGHTS_FILE,
    FileEntry,
    FunctionSpec,
    Manifest,
    OutputError,
    Producer,
    Shape,
    Source,
    SymbolRange,
    TargetSpec,
    TensorSpec,
    TuningRecord,
    Variant,
    Verification,
    WeightSpec,
)


def manifest_from_json(value: object) -> Manifest:
    """Read and check the parsed JSON of a manifest, without its checksum.

    Raises
    ------
    ArtifactError
        A field is missing, unknown, mistyped or contradicts another; the message names it.
    """
    fields = Fields(value)
    version = fields.integer("format_version", 1)
    if version > FORMAT_VERSION:
        raise ArtifactError(
            f"the artifact has format version {version}, this paddle-tvm reads up to {FORMAT_VERSION}: "
            "upgrade it (pip install --upgrade paddle-tvm), or compile the model again with this version"
        )
    if version == 1:
        functions, variants = _functions_and_variant_of_format_1(fields)
    else:
        functions = fields.items("functions", _function)
        variants = fields.items("variants", partial(_variant, version=version))
    manifest = Manifest(
        producer=fields.record("producer", _producer),
        source=fields.record("source", _source),
        inputs=fields.items("inputs", _tensor),
        outputs=fields.items("outputs", _tensor),
        symbols=fields.mapping("symbols", _symbol),
        precision=fields.text("precision"),
        functions=functions,
        weights=fields.items("weights", _weight),
        variants=variants,
        files=fields.mapping("files", _file),
    )
    fields.done()
    _check_consistency(manifest)
    return manifest


def _producer(value: object, path: str) -> Producer:
    f = Fields(value, path)
    read = Producer(f.text("paddle_tvm"), f.text("tvm"), f.text("tvm_ffi"), f.optional_text("paddle"))
    f.done()
    return read


def _source(value: object, path: str) -> Source:
    f = Fields(value, path)
    read = Source(f.text("name"), f.text("sha256"), f.text("frontend"))
    f.done()
    return read


def _dtype(f: Fields) -> str:
    dtype = f.text("dtype")
    if dtype not in ITEM_SIZES:
        raise ArtifactError(
            f"manifest.json: {f.path('dtype')}: expected one of {', '.join(ITEM_SIZES)}, got {dtype!r}"
        )
    return dtype


def _tensor(value: object, path: str) -> TensorSpec:
    f = Fields(value, path)
    read = TensorSpec(f.text("name"), _dtype(f), f.record("shape", json_fields.shape))
    f.done()
    return read


def _symbol(value: object, path: str) -> SymbolRange:
    f = Fields(value, path)
    minimum = f.integer("min")
    read = SymbolRange(minimum, f.optional_integer("max", minimum))
    f.done()
    return read


def _target(value: object, path: str, version: int) -> TargetSpec:
    f = Fields(value, path)
    read = TargetSpec(
        f.text("kind"),
        f.text("mcpu"),
        f.items("features", json_fields.text),
        f.items("devices", json_fields.text) if version > 4 else (),
    )
    f.done()
    return read


def _function(value: object, path: str) -> FunctionSpec:
    f = Fields(value, path)
    read = FunctionSpec(f.text("name"), f.items("input_shapes", json_fields.shape))
    f.done()
    return read


def _variant(value: object, path: str, version: int) -> Variant:
    f = Fields(value, path)
    read = Variant(
        target=f.record("target", partial(_target, version=version)),
        library=f.text("library"),
        weights=f.mapping("weights", _indices),
        loads=f.mapping("loads", _indices) if version > 3 else {},
        threads=f.optional_integer("threads", 1),
        tuning=f.items("tuning", _tuning if version > 2 else _tuning_of_format_2),
        verification=f.optional_object("verification", _verification),
    )
    f.done()
    return read


def _indices(value: object, path: str) -> tuple[int, ...]:
    if type(value) is not list:
        raise ArtifactError(f"manifest.json: {path}: expected a list, got {value!r}")
    return tuple(json_fields.index(item, f"{path}[{i}]") for i, item in enumerate(value))


def _functions_and_variant_of_format_1(
    fields: Fields,
) -> tuple[tuple[FunctionSpec, ...], tuple[Variant, ...]]:
    """Format 1 has code for one CPU, and names each function's weights with the function."""

    def function(value: object, path: str) -> tuple[FunctionSpec, tuple[int, ...]]:
        f = Fields(value, path)
        shapes = f.items("input_shapes", json_fields.shape)
        read = FunctionSpec(f.text("name"), shapes), f.items("weights", json_fields.index)
        f.done()
        return read

    functions = fields.items("functions", function)
    variant = Variant(
        target=fields.record("target", partial(_target, version=1)),
        library=MODEL_FILE,
        weights={spec.name: weights for spec, weights in functions},
        loads={},
        threads=fields.optional_integer("threads", 1),
        tuning=fields.items("tuning", _tuning_of_format_2),
        verification=fields.optional_object("verification", _verification),
    )
    return tuple(spec for spec, _ in functions), (variant,)


def _weight(value: object, path: str) -> WeightSpec:
    f = Fields(value, path)
    shape = f.items("shape", json_fields.index)
    read = WeightSpec(_dtype(f), shape, f.integer("offset"), f.integer("nbytes"))
    f.done()
    if read.offset % ALIGNMENT:
        raise ArtifactError(
            f"manifest.json: {path}.offset: expected a multiple of {ALIGNMENT}, got {read.offset}"
        )
    expected = prod(shape) * ITEM_SIZES[read.dtype]
    if read.nbytes != expected:
        raise ArtifactError(
            f"manifest.json: {path}.nbytes: expected {expected} for {read.dtype}{list(shape)}, "
            f"got {read.nbytes}"
        )
    return read


def _tuning(value: object, path: str) -> TuningRecord:
    f = Fields(value, path)
    read = TuningRecord(f.text("kernel"), f.text("origin"), f.optional_text("record"))
    f.done()
    return read


def _tuning_of_format_2(value: object, path: str) -> TuningRecord:
    """Formats 1 and 2 list tuned kernels alone."""
    f = Fields(value, path)
    read = TuningRecord(f.text("kernel"), "tuned", f.text("record"))
    f.done()
    return read


def _shapes(value: object, path: str) -> tuple[Shape, ...]:
    return Fields({"run": value}, path).items("run", json_fields.shape)


def _output_error(value: object, path: str) -> OutputError:
    f = Fields(value, path)
    read = OutputError(f.text("name"), f.optional_number("max_abs_error"), f.optional_number("max_rel_error"))
    f.done()
    return read


def _verification(value: object, path: str) -> Verification:
    f = Fields(value, path)
    read = Verification(
        seed=f.integer("seed"),
        tolerance=f.number("tolerance"),
        shapes=f.items("shapes", _shapes),
        outputs=f.items("outputs", _output_error),
        passed=f.flag("passed"),
    )
    f.done()
    return read


def _file(value: object, path: str) -> FileEntry:
    f = Fields(value, path)
    read = FileEntry(f.text("sha256"), f.integer("size"))
    f.done()
    return read


def _check_consistency(manifest: Manifest) -> None:
    def refuse(what: str) -> None:
        raise ArtifactError(f"manifest.json: {what}")

    for name in manifest.files:
        if name.startswith("/") or "\\" in name or not set(name.split("/")).isdisjoint({"", ".", ".."}):
            refuse(f"files: {name!r} is no path inside the artifact")
    libraries = [variant.library for variant in manifest.variants]
    for name in (*libraries, WEIGHTS_FILE, RUNTIME_FILE):
        if name not in manifest.files:
            refuse(f"files: {name!r} is missing")
    for what, count in (("functions", len(manifest.functions)), ("variants", len(manifest.variants))):
        if not count:
            refuse(f"{what}: expected at least one")
    names = [function.name for function in manifest.functions]
    for what, found in (
        ("functions: two have the name", names),
        ("variants: two have the mcpu", [variant.target.mcpu for variant in manifest.variants]),
    ):
        twice = {name for name in found if found.count(name) > 1}
        if twice:
            refuse(f"{what} {min(twice)!r}")
    for kind, specs in (("inputs", manifest.inputs), ("outputs", manifest.outputs)):
        if len({spec.name for spec in specs}) != len(specs):
            refuse(f"{kind}: two have the same name")
    size = manifest.files[WEIGHTS_FILE].size
    for i, weight in enumerate(manifest.weights):
        if weight.offset + weight.nbytes > size:
            refuse(f"weights[{i}]: ends at byte {weight.offset + weight.nbytes} of {size} in {WEIGHTS_FILE}")
    general = tuple(spec.shape for spec in manifest.inputs)
    for where, shapes in [
        ("inputs", general),
        *((f"functions[{i}]", f.input_shapes) for i, f in enumerate(manifest.functions)),
    ]:
        if [len(shape) for shape in shapes] != [len(shape) for shape in general]:
            refuse(f"{where}.input_shapes: expected the ranks of inputs, got {shapes}")
        for symbol in {d for shape in shapes for d in shape if isinstance(d, str)} - set(manifest.symbols):
            refuse(f"{where}: the symbol {symbol!r} has no range in symbols")
    for i, variant in enumerate(manifest.variants):
        if set(variant.weights) != set(names):
            refuse(
                f"variants[{i}].weights: expected those of {names}, got those of {sorted(variant.weights)}"
            )
        for field, taken in (("weights", variant.weights), ("loads", variant.loads)):
            for name, indices in taken.items():
                for index in indices:
                    if index >= len(manifest.weights):
                        refuse(f"variants[{i}].{field}[{name!r}]: {index} of {len(manifest.weights)} weights")
