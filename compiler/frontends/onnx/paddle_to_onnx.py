"""Paddle models to ONNX through paddle2onnx, for ``--frontend onnx``."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import onnx

from paddle_tvm.compiler.frontends.shapes import symbol_stem
from paddle_tvm.compiler.frontends.source import ModelSource
from paddle_tvm.compiler.staging import scratch_directory
from paddle_tvm.runtime.errors import UnsupportedModelError, UsageError

_WORKER = "paddle_tvm.compiler.frontends.paddle2onnx_worker"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What paddle2onnx 2.1 says when it gives up, the more telling first.
_REASONS = (
    re.compile(r"Failed to convert PaddlePaddle model: (.*?)\n\S*\d{4}-\d\d-\d\d", re.S),
    re.compile(r"Failed to convert PaddlePaddle model: (.*)"),
    re.compile(r"\[ERROR\]\s*(.*)"),
    re.compile(r"(Oops,.*)"),
    re.compile(r"^(\w*Error: .*)", re.M),
)


def paddle_to_onnx(source: ModelSource, folder: Path) -> ModelSource:
    """Convert a Paddle model to ONNX.

    Parameters
    ----------
    source
        A Paddle model, PIR or ``.pdmodel``; an ONNX model comes back as it is.
    folder
        Where the ``.onnx`` file is written.

    Returns
    -------
    ModelSource
        The converted model. Inputs and outputs keep their names and order; unknown dimensions are called
        ``<input>_<axis>``, as on the road without ONNX.

    Raises
    ------
    UsageError
        paddle2onnx is not installed.
    UnsupportedModelError
        paddle2onnx cannot convert the model; the message has its reason.
    """
    if source.kind == "onnx":
        return source
    if importlib.util.find_spec("paddle2onnx") is None:
        raise UsageError(
            "converting to ONNX needs paddle2onnx: pip install 'paddle-tvm[compiler]' "
            "(paddle2onnx has no release for Python 3.13)"
        )
    with scratch_directory("paddle-tvm-onnx") as scratch:
        converted = scratch / "converted.onnx"
        _run_worker(source, scratch, converted)
        names = json.loads(Path(f"{converted}.names").read_text())
        model = onnx.load_model(str(converted))
    _name_dimensions(model)
    _name_outputs(model, names)
    _repair_scalars(model)
    target = folder / f"{source.name}.onnx"
    onnx.save_model(model, str(target))
    return ModelSource("onnx", target, None)


def _run_worker(source: ModelSource, scratch: Path, converted: Path) -> None:
    # paddle2onnx finds the weights by the program's name, whatever it is told.
    prefix = scratch / "model"
    suffix = ".json" if source.kind == "pir" else ".pdmodel"
    prefix.with_suffix(suffix).symlink_to(source.program.resolve())
    if source.params is not None:
        prefix.with_suffix(".pdiparams").symlink_to(source.params.resolve())
    result = subprocess.run(
        [sys.executable, "-m", _WORKER, str(prefix), suffix, str(converted)],
        cwd=scratch,
        # What it leaves behind when it is aborted goes with the folder.
        env={**os.environ, "TMPDIR": str(scratch)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    finished = Path(f"{converted}.names").is_file() and converted.is_file()
    if result.returncode != 0 or not finished:
        raise UnsupportedModelError(
            f"paddle2onnx cannot convert {source.program}: {_reason(result.stdout, result.returncode)}. "
            "Compile the model without --frontend onnx"
        )


def _reason(output: str, returncode: int) -> str:
    text = _COLOUR.sub("", output)
    for pattern in _REASONS:
        found = pattern.search(text)
        if found and found.group(1).strip():
            return " ".join(found.group(1).split()).rstrip(".")
    last = " ".join(text.strip().splitlines()[-3:]) or "it says nothing"
    if returncode < 0:
        return f"it was ended by {signal.Signals(-returncode).name} ({last})"
    return f"it ended with exit code {returncode} ({last})"


def _name_dimensions(model: onnx.ModelProto) -> None:
    """paddle2onnx 2.1 numbers unknown dimensions through all inputs and outputs: "DynamicDimension.3"."""
    for port in model.graph.input:
        for axis, dim in enumerate(port.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value") or dim.dim_value < 0:
                dim.dim_param = f"{symbol_stem(port.name)}_{axis}"
    for port in model.graph.output:
        port.type.tensor_type.ClearField("shape")


def _name_outputs(model: onnx.ModelProto, names: list[str]) -> None:
    for port, name in zip(model.graph.output, names, strict=False):
        if port.name != name:
            model.graph.node.append(onnx.helper.make_node("Identity", [port.name], [name]))
            port.name = name


def _repair_scalars(model: onnx.ModelProto) -> None:
    """paddle2onnx 2.1 builds shapes by joining 0-d tensors, which no ONNX runtime loads: make them 1-d."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    constants = {tensor.name for tensor in inferred.initializer if not tensor.dims}
    scalars = constants | {
        info.name
        for info in (*inferred.value_info, *inferred.input)
        if info.type.tensor_type.HasField("shape") and not info.type.tensor_type.shape.dim
    }
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type == "Concat":
            for position, name in enumerate(node.input):
                if name in scalars:
                    single = f"{node.output[0]}.{position}.single"
                    model.graph.node.extend(_one_dimensional(name, single))
                    node.input[position] = single
        model.graph.node.append(node)


def _one_dimensional(name: str, result: str) -> list[onnx.NodeProto]:
    shape = onnx.helper.make_node("Constant", [], [f"{result}.shape"], value_ints=[-1])
    return [shape, onnx.helper.make_node("Reshape", [name, f"{result}.shape"], [result])]
