"""Small artifacts for the tests, built with TVM alone: no frontend and no pass of ours takes part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tvm
import tvm_ffi
from tvm import relax, s_tir, tirx

from paddle_tvm.compiler.artifact import Code, Description, write_artifact
from paddle_tvm.runtime.artifact import encode_manifest, file_sha256
from paddle_tvm.runtime.manifest import (
    FileEntry,
    FunctionSpec,
    Producer,
    Source,
    SymbolRange,
    TargetSpec,
    TensorSpec,
)

WEIGHT = np.arange(12, dtype="float32").reshape(4, 3)


def tensor(name: str, shape: tuple[Any, ...], dtype: str = "float32") -> relax.Var:
    """A parameter of a Relax function."""
    return relax.Var(name, relax.TensorType(shape, dtype))


def symbol(name: str) -> tirx.Var:
    """A dynamic dimension."""
    return tirx.Var(name, "int64")


def add_function(builder: relax.BlockBuilder, name: str, parameters: list[relax.Var], body: Any) -> None:
    """Add a function whose outputs are what ``body`` makes of the parameters."""
    with builder.function(name, parameters):
        with builder.dataflow():
            result = builder.emit_output(relax.Tuple([builder.emit(value) for value in body(*parameters)]))
        builder.emit_func_output(result)


def describe(
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    functions: tuple[FunctionSpec, ...],
    symbols: dict[str, SymbolRange] | None = None,
) -> Description:
    """A description with all else filled in."""
    return Description(
        producer=Producer("0.1.0", tvm.__version__, tvm_ffi.__version__, None),
        source=Source("small", "0" * 64, "paddle"),
        inputs=inputs,
        outputs=outputs,
        symbols=symbols or {},
        functions=functions,
    )


def code(
    executable: Any,
    weights: list[np.ndarray[Any, Any]],
    used: dict[str, tuple[int, ...]],
    mcpu: str = "generic",
    features: tuple[str, ...] = (),
) -> Code:
    """Code that any machine runs, unless features are named that it must have."""
    return Code(TargetSpec("x86", mcpu, features), executable, weights, used)


def build(builder: relax.BlockBuilder) -> Any:
    """Compile without any schedule."""
    return tvm.compile(builder.get(), target=tvm.target.Target("llvm"))


def affine_parts() -> tuple[Description, list[Code]]:
    """``x[batch, 4] @ WEIGHT + y[3]`` and ``x > 0``; batch 2 has a function of its own, which adds 1000."""
    builder = relax.BlockBuilder()

    def body(extra: float) -> Any:
        return lambda x, y, w: [
            relax.op.add(relax.op.add(relax.op.matmul(x, w), y), relax.const(extra, "float32")),
            relax.op.greater(x, relax.const(0.0, "float32")),
        ]

    for name, batch, extra in (("main", symbol("batch"), 0.0), ("main_2", 2, 1000.0)):
        add_function(
            builder, name, [tensor("x", (batch, 4)), tensor("y", (3,)), tensor("w", (4, 3))], body(extra)
        )
    description = describe(
        inputs=(TensorSpec("x", "float32", ("batch", 4)), TensorSpec("y", "float32", (3,))),
        outputs=(TensorSpec("sum", "float32", ("batch", 3)), TensorSpec("positive", "bool", ("batch", 4))),
        functions=(
            FunctionSpec("main", (("batch", 4), (3,))),
            FunctionSpec("main_2", ((2, 4), (3,))),
        ),
        symbols={"batch": SymbolRange(1, 64)},
    )
    return description, [code(build(builder), [WEIGHT, WEIGHT.copy()], {"main": (0,), "main_2": (1,)})]


def affine(path: Path) -> Path:
    """Write the artifact of ``affine_parts``."""
    write_artifact(path, *affine_parts())
    return path


def fixed(path: Path) -> Path:
    """``x + x`` for the shapes [1, 4] and [3, 4] alone."""
    builder = relax.BlockBuilder()
    for batch in (1, 3):
        add_function(builder, f"main_{batch}", [tensor("x", (batch, 4))], lambda x: [relax.op.add(x, x)])
    description = describe(
        inputs=(TensorSpec("x", "float32", ("batch", 4)),),
        outputs=(TensorSpec("twice", "float32", ("batch", 4)),),
        functions=(FunctionSpec("main_1", ((1, 4),)), FunctionSpec("main_3", ((3, 4),))),
        symbols={"batch": SymbolRange(1, None)},
    )
    write_artifact(path, description, [code(build(builder), [], {"main_1": (), "main_3": ()})])
    return path


def tied(path: Path) -> Path:
    """``x + mark`` with a mark of its own for the shapes [n, m], [n, n], [n, 4] and [4, 4]."""
    builder = relax.BlockBuilder()
    n, m = symbol("n"), symbol("m")
    shapes: dict[str, tuple[tuple[Any, Any], tuple[int | str, ...]]] = {
        "main": ((n, m), ("n", "m")),
        "main_1": ((n, n), ("n", "n")),
        "main_2": ((n, 4), ("n", 4)),
        "main_3": ((4, 4), (4, 4)),
    }
    for mark, (name, (dims, _)) in enumerate(shapes.items()):
        constant = relax.const(float(mark), "float32")
        add_function(builder, name, [tensor("x", dims)], lambda x, c=constant: [relax.op.add(x, c)])
    description = describe(
        inputs=(TensorSpec("x", "float32", ("n", "m")),),
        outputs=(TensorSpec("marked", "float32", ("n", "m")),),
        functions=tuple(FunctionSpec(name, (dims,)) for name, (_, dims) in shapes.items()),
        symbols={"n": SymbolRange(1, None), "m": SymbolRange(1, None)},
    )
    write_artifact(path, description, [code(build(builder), [], dict.fromkeys(shapes, ()))])
    return path


def pair(path: Path) -> Path:
    """``x + y`` of one dynamic shape, beside ``x`` itself, ``not flag`` and twice the 0-d ``scalar``."""
    builder = relax.BlockBuilder()
    n = symbol("n")
    parameters = [
        tensor("x", (n, 4)),
        tensor("y", (n, 4)),
        tensor("flag", (n,), "bool"),
        tensor("scalar", (), "int64"),
    ]
    with builder.function("main", parameters):
        x, y, flag, scalar = parameters
        with builder.dataflow():
            values = [
                builder.emit(relax.op.add(x, y)),
                builder.emit(relax.op.logical_not(flag)),
                builder.emit(relax.op.add(scalar, scalar)),
            ]
            result = builder.emit_output(relax.Tuple([*values, x]))
        builder.emit_func_output(result)
    description = describe(
        inputs=(
            TensorSpec("x", "float32", ("n", 4)),
            TensorSpec("y", "float32", ("n", 4)),
            TensorSpec("flag", "bool", ("n",)),
            TensorSpec("scalar", "int64", ()),
        ),
        outputs=(
            TensorSpec("sum", "float32", ("n", 4)),
            TensorSpec("not", "bool", ("n",)),
            TensorSpec("double", "int64", ()),
            TensorSpec("same", "float32", ("n", 4)),
        ),
        functions=(FunctionSpec("main", (("n", 4), ("n", 4), ("n",), ())),),
        symbols={"n": SymbolRange(0, None)},
    )
    write_artifact(path, description, [code(build(builder), [], {"main": ()})])
    return path


def parallel_parts(size: int = 128) -> tuple[Description, Code]:
    """``relu(x[rows, size] @ w)`` with w all ones, its rows computed in parallel."""
    builder = relax.BlockBuilder()
    rows = symbol("rows")
    add_function(
        builder,
        "main",
        [tensor("x", (rows, size)), tensor("w", (size, size))],
        lambda x, w: [relax.op.nn.relu(relax.op.matmul(x, w))],
    )
    module = relax.transform.LegalizeOps()(builder.get())
    for variable, function in list(module.functions.items()):
        if isinstance(function, tirx.PrimFunc):
            schedule = s_tir.Schedule(function)
            for block in schedule.get_child_blocks(schedule.get_sblock("root")):
                schedule.parallel(schedule.get_loops(block)[0])
            module.update_func(variable, schedule.mod["main"])
    description = describe(
        inputs=(TensorSpec("x", "float32", ("rows", size)),),
        outputs=(TensorSpec("y", "float32", ("rows", size)),),
        functions=(FunctionSpec("main", (("rows", size),)),),
        symbols={"rows": SymbolRange(1, None)},
    )
    executable = tvm.compile(module, target=tvm.target.Target("llvm"))
    return description, code(executable, [np.ones((size, size), "float32")], {"main": (0,)})


def parallel(path: Path) -> Path:
    """Write the artifact of ``parallel_parts``."""
    description, made = parallel_parts()
    write_artifact(path, description, [made])
    return path


def parallel_on_tvm_pools(path: Path) -> Path:
    """The same with a library as artifacts of format 1 have it, without a pool of threads of its own."""
    description, made = parallel_parts()
    manifest = write_artifact(path, description, [made])
    library = path / "model.so"
    made.executable.export_library(str(library))
    entry = FileEntry(file_sha256(library), library.stat().st_size)
    manifest = manifest._replace(files={**manifest.files, "model.so": entry})
    (path / "manifest.json").write_bytes(encode_manifest(manifest))
    return path


def two_variants(path: Path, features: tuple[str, ...] = ()) -> Path:
    """``x + w`` with w 1 in the code for ``better``, which needs ``features``, and 2 in that for ``plain``.

    Both take a second weight, of zeros.
    """
    builder = relax.BlockBuilder()
    parameters = [tensor("x", (4,)), tensor("w", (4,)), tensor("zeros", (4,))]
    add_function(builder, "main", parameters, lambda x, w, zeros: [relax.op.add(relax.op.add(x, w), zeros)])
    executable = build(builder)
    description = describe(
        inputs=(TensorSpec("x", "float32", (4,)),),
        outputs=(TensorSpec("y", "float32", (4,)),),
        functions=(FunctionSpec("main", ((4,),)),),
    )
    codes = [
        code(
            executable, [np.full(4, added, "float32"), np.zeros(4, "float32")], {"main": (0, 1)}, mcpu, needs
        )
        for mcpu, added, needs in (("better", 1, features), ("plain", 2, ()))
    ]
    write_artifact(path, description, codes)
    return path
