"""What ``manifest.json`` holds; docs/artifact-format.md describes it, ``manifest_reader`` reads it.

History of ``FORMAT_VERSION``: 1 (November 2026) is the first; 2 (November 2026) holds code for several CPUs;
3 (November 2026) says where the form of every kernel comes from; 4 (November 2026) has functions to call when
it is loaded; 5 (November 2026) has code for GPUs.

The records are named tuples: as dataclasses, the same classes take ten milliseconds more to import.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

FORMAT_VERSION = 5

MODEL_FILE = "model.so"
"""The library of an artifact that has code for one CPU alone; with several, ``variant_file`` names them."""

WEIGHTS_FILE = "weights.bin"
RUNTIME_FILE = "lib/libtvm_runtime.so"

# Kernels load weights with aligned vector instructions, up to a whole cache line at once.
ALIGNMENT = 64

ITEM_SIZES = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "uint32": 4,
    "int64": 8,
    "uint64": 8,
    "float16": 2,
    "float32": 4,
    "float64": 8,
}
"""The dtypes an artifact may hold, by NumPy's names, with the bytes of one element."""

Shape = tuple[int | str, ...]
"""Sizes, and the names of symbols where a dimension is dynamic."""


class Producer(NamedTuple):
    """Versions of what wrote the artifact; ``paddle`` is None where Paddle took no part."""

    paddle_tvm: str
    tvm: str
    tvm_ffi: str
    paddle: str | None


class Source(NamedTuple):
    """The model that was compiled; ``sha256`` covers its files, ``frontend`` is ``paddle`` or ``onnx``."""

    name: str
    sha256: str
    frontend: str


class TensorSpec(NamedTuple):
    """An input or output. In outputs, a dimension may also be an expression over symbols."""

    name: str
    dtype: str
    shape: Shape


class SymbolRange(NamedTuple):
    """Sizes that a dynamic dimension may take, both ends included; ``max`` None is unbounded."""

    min: int
    max: int | None


class TargetSpec(NamedTuple):
    """What the code was generated for.

    ``features`` are the CPU flags it needs, as in /proc/cpuinfo; ``devices`` are the GPUs that it is for,
    such as ``sm_80``, the newest last, which newer ones run too.
    """

    kind: str
    mcpu: str
    features: tuple[str, ...]
    devices: tuple[str, ...] = ()


class FunctionSpec(NamedTuple):
    """One specialisation: a function of the VM, which every variant of the code has."""

    name: str
    input_shapes: tuple[Shape, ...]


class WeightSpec(NamedTuple):
    """A constant in ``weights.bin``."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


class TuningRecord(NamedTuple):
    """Where the form of a kernel comes from, of those that it may have.

    ``origin`` is ``tuned``, ``transferred`` (from the record of a kernel like it) or ``default``; ``record``
    is the place of the record, None for ``default``.
    """

    kernel: str
    origin: str
    record: str | None


class OutputError(NamedTuple):
    """Largest difference of one output from the reference; None where it is not finite."""

    name: str
    max_abs_error: float | None
    max_rel_error: float | None


class Verification(NamedTuple):
    """How the artifact compared with Paddle; ``shapes`` has, for each run, the shape of each input."""

    seed: int
    tolerance: float
    shapes: tuple[tuple[Shape, ...], ...]
    outputs: tuple[OutputError, ...]
    passed: bool


class Variant(NamedTuple):
    """The code for one CPU: a file, and for each function the weights that it takes after the inputs.

    ``loads`` names functions ``NAME_load`` of the library that are called before any run, with the weights
    that they take.
    """

    target: TargetSpec
    library: str
    weights: Mapping[str, tuple[int, ...]]
    loads: Mapping[str, tuple[int, ...]]
    threads: int | None
    tuning: tuple[TuningRecord, ...]
    verification: Verification | None


class FileEntry(NamedTuple):
    """Hash and size in bytes of a file of the artifact."""

    sha256: str
    size: int


class Manifest(NamedTuple):
    """Everything that the runtime knows before it loads native code."""

    producer: Producer
    source: Source
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    symbols: Mapping[str, SymbolRange]
    precision: str
    functions: tuple[FunctionSpec, ...]
    weights: tuple[WeightSpec, ...]
    variants: tuple[Variant, ...]
    files: Mapping[str, FileEntry]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values, the format version first."""
        return {"format_version": FORMAT_VERSION, **_to_json(self)}


def variant_file(mcpu: str) -> str:
    """Name the library that holds the code for a CPU, where there is code for several."""
    return f"model.{mcpu}.so"


def _to_json(value: object) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _to_json(field) for name, field in value._asdict().items()}
    if isinstance(value, tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _to_json(item) for key, item in value.items()}
    return value
