"""Imports a model through the frontend that fits its kind, once for each form that is wanted."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from paddle_tvm.compiler.frontends.source import ModelSource
from paddle_tvm.compiler.imported import ImportedModel
from paddle_tvm.compiler.options import CompileOptions, InputShapes
from paddle_tvm.runtime.errors import UnsupportedModelError

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
    with tempfile.TemporaryDirectory(prefix="paddle-tvm-onnx-") as folder:
        import_form = _importer(source, options, Path(folder))
        forms = {name: import_form(shapes) for name, shapes in options.forms().items()}
    for model in forms.values():
        if not model.outputs:
            raise UnsupportedModelError(f"{source.program} has no outputs: it is no inference program")
    return forms


def _importer(source: ModelSource, options: CompileOptions, folder: Path) -> ImportForm:
    if source.kind != "onnx" and options.frontend == "paddle":
        from paddle_tvm.compiler.frontends.paddle.importer import import_program
        from paddle_tvm.compiler.frontends.paddle.program import load_program

        program = load_program(source)
        return lambda shapes: import_program(program, shapes)

    from paddle_tvm.compiler.frontends.onnx import import_onnx, paddle_to_onnx

    onnx_source = source if source.kind == "onnx" else paddle_to_onnx(source, folder)
    return lambda shapes: import_onnx(onnx_source, shapes)
