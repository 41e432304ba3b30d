"""Imports a model through the frontend that fits its kind, once for each form that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from paddle_tvm.compiler.frontends.source import ModelSource
from paddle_tvm.compiler.imported import ImportedModel
from paddle_tvm.compiler.options import CompileOptions, InputShapes
from paddle_tvm.compiler.staging import scratch_directory
from paddle_tvm.runtime.errors import UnsupportedModelError
from paddle_tvm.runtime.manifest import ITEM_SIZES
from paddle_tvm.targets.registry import runs_onnx_nodes

ImportForm: TypeAlias = "Callable[[InputShapes | None], ImportedModel]"


def import_forms(source: ModelSource, options: CompileOptions) -> Mapping[str, ImportedModel]:
    """Import every form of a model that the options ask for, by function name.

    Raises
    ------
    UsageError
        Shapes that do not fit the model.
    UnsupportedModelError
        The model cannot be read or compiled.
    """
    with _importer(source, options) as import_form:
        forms = {name: import_form(shapes) for name, shapes in options.forms().items()}
    for model in forms.values():
        if not model.outputs:
            raise UnsupportedModelError(f"{source.program} has no outputs: it is no inference program")
    _check_dtypes(source, forms["main"])
    return forms


@contextmanager
def _importer(source: ModelSource, options: CompileOptions) -> Iterator[ImportForm]:
    if source.kind != "onnx" and options.frontend == "paddle":
        from paddle_tvm.compiler.frontends.paddle.importer import import_program
        from paddle_tvm.compiler.frontends.paddle.program import load_program

        program = load_program(source)
        yield lambda shapes: import_program(program, shapes)
        return

    from paddle_tvm.compiler.frontends.onnx import import_onnx, paddle_to_onnx

    with scratch_directory("paddle-tvm-onnx") as folder:
        onnx_source = source if source.kind == "onnx" else paddle_to_onnx(source, folder)
        yield lambda shapes: import_onnx(onnx_source, shapes, keep_nodes=runs_onnx_nodes(options.target))


def _check_dtypes(source: ModelSource, model: ImportedModel) -> None:
    problems = [
        f"{kind} '{port.name}' is {port.dtype}"
        for kind, ports in (("input", model.inputs), ("output", model.outputs))
        for port in ports
        if port.dtype not in ITEM_SIZES
    ]
    if problems:
        raise UnsupportedModelError(
            f"{source.program}: {', '.join(problems)}; inputs and outputs may be {', '.join(ITEM_SIZES)}: "
            "cast within the model, and save it again"
        )
