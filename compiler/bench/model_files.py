"""The files that each engine reads, made once before anything is timed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from paddle_tvm.compiler.frontends.source import ModelSource, find_model
from paddle_tvm.runtime.errors import PaddleTvmError, UnsupportedModelError, UsageError

PEERS = ("paddle", "onnxruntime", "openvino")

Files = dict[str, str]
Shapes = Mapping[str, tuple[int, ...]]


def parse_peers(value: str) -> list[str]:
    """Read ``--against``: names separated by commas.

    Raises
    ------
    UsageError
        A name is not known, or that engine is not installed.
    """
    peers = [name.strip() for name in value.split(",") if name.strip()]
    unknown = sorted(set(peers) - set(PEERS))
    if unknown:
        raise UsageError(f"--against {', '.join(unknown)} is not known; known: {', '.join(PEERS)}")
    missing = [name for name in peers if find_spec(name) is None]
    if missing:
        raise UsageError(f"not installed: {', '.join(missing)}. pip install 'paddle-tvm[compiler,bench]'")
    return list(dict.fromkeys(peers))


def prepare_files(
    model: Path, peers: Iterable[str], folder: Path, shapes: Shapes, to_convert: Path | None = None
) -> dict[str, Files | str]:
    """For each peer its files, or the reason why it has none.

    Paddle models are converted to ONNX into ``folder`` where an engine needs that. Engines that compile the
    model when they load it are told the input shapes, because that is the form in which they are fastest;
    ``to_convert`` is another form of the model, which converts better.
    """
    prepared: dict[str, Files | str] = {}
    source = find_model(model)
    converted: Files | str | None = None
    for peer in peers:
        if peer == "paddle":
            prepared[peer] = _paddle_files(source, folder)
        elif peer == "openvino" and source.kind == "pdmodel":
            prepared[peer] = {"openvino": _linked(source, folder)[0], "shapes": json.dumps(shapes)}
        else:
            if converted is None:
                converted = _onnx_files(find_model(to_convert or model), folder, shapes)
            prepared[peer] = converted
    return prepared


def _paddle_files(source: ModelSource, folder: Path) -> Files | str:
    if source.kind == "onnx":
        return "Paddle Inference does not read .onnx"
    program, params = _linked(source, folder)
    return {"program": program, "params": params}


def _linked(source: ModelSource, folder: Path) -> tuple[str, str]:
    """The model under names that share a stem, which Paddle and OpenVINO expect."""
    prefix = folder / "model"
    program = prefix.with_suffix(".json" if source.kind == "pir" else ".pdmodel")
    params = prefix.with_suffix(".pdiparams")
    if not program.is_symlink():
        program.symlink_to(source.program.resolve())
        if source.params is not None:
            params.symlink_to(source.params.resolve())
    return str(program), str(params) if source.params is not None else ""


def _onnx_files(source: ModelSource, folder: Path, shapes: Shapes) -> Files | str:
    from paddle_tvm.compiler.frontends.onnx import paddle_to_onnx

    try:
        path = str(paddle_to_onnx(source, folder).program.resolve())
        sizes = _dimension_sizes(path, shapes)
    except PaddleTvmError as error:
        # What it advises is about compiling.
        return str(error).removesuffix(". Compile the model without --frontend onnx")
    return {"onnx": path, "dimensions": json.dumps(sizes), "openvino": path, "shapes": json.dumps(shapes)}


def _dimension_sizes(path: str, shapes: Shapes) -> dict[str, int]:
    """What the names of the inputs' unknown dimensions stand for."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        inputs = onnx.load(path, load_external_data=False).graph.input
    except DecodeError as error:
        raise UnsupportedModelError(f"{path} cannot be read as ONNX: {error}") from error
    return {
        dim.dim_param: size
        for port in inputs
        if port.name in shapes
        for dim, size in zip(port.type.tensor_type.shape.dim, shapes[port.name], strict=False)
        if dim.dim_param
    }
