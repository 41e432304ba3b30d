"""TensorRT as an accelerator beside the kernels for GPUs; see ``paddle_tvm.targets.offload.Accelerator``."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import numpy as np

from paddle_tvm.runtime.errors import UnsupportedModelError
from paddle_tvm.targets.offload import Generated, RuntimeHalf, Subgraph
from paddle_tvm.targets.onnx_export import OnnxExport, export_subgraph
from paddle_tvm.targets.tensorrt.partition import TensorRtPartition

_NATIVE = Path(__file__).parent / "native"

_SOURCE = """\
#include "forward.h"

#define EXPORT __attribute__((visibility("default")))
EXPORT int __tvm_ffi_{symbol}_load(void *self, const TVMFFIAny *constants, int32_t count,
                                   TVMFFIAny *result) {{
  return paddle_tvm_tensorrt("paddle_tvm.tensorrt.load", "{key}", constants, count, result);
}}
EXPORT int __tvm_ffi_{symbol}(void *self, const TVMFFIAny *arguments, int32_t count, TVMFFIAny *result) {{
  return paddle_tvm_tensorrt("paddle_tvm.tensorrt.run", "{key}", arguments, count, result);
}}
"""


class TensorRt(TensorRtPartition):
    """Has TensorRT compute what it takes, by engines that the runtime builds on the machine that runs them.

    Nothing of TensorRT is needed to compile: subgraphs go into the artifact as ONNX models.
    """

    @property
    def runtime(self) -> RuntimeHalf:
        options = ["-O2", "-std=gnu11", "-fvisibility=hidden", f"-I{_NATIVE}"]
        return RuntimeHalf(language="c", options=options, sources=[_NATIVE / "forward.c"])

    def generate(self, subgraph: Subgraph) -> Generated:
        exported = export_subgraph(subgraph)
        self.exports[subgraph.symbol] = exported
        model = _encoded(exported, subgraph.symbol)
        ports = {
            "inputs": [info.name for info in exported.model.graph.input],
            "outputs": [info.name for info in exported.model.graph.output],
            "shapes": {
                info.name: [dim.dim_param or dim.dim_value for dim in info.type.tensor_type.shape.dim]
                for info in exported.model.graph.input
            },
            "quantized": exported.arithmetic is not None,
        }
        # Engines are looked up by what they compute, whichever artifact it is in.
        source = _SOURCE.format(symbol=subgraph.symbol, key=sha256(model).hexdigest())
        described = json.dumps(ports, sort_keys=True).encode()
        constants = [np.frombuffer(part, "uint8") for part in (described, model)]
        return Generated(source, (), constants, exported.arithmetic)


def _encoded(exported: OnnxExport, symbol: str) -> bytes:
    try:
        whole = exported.self_contained()
    except ValueError as error:
        raise UnsupportedModelError(f"{symbol}: TensorRT's parser takes no model of 2 GB: {error}") from error
    # The name counts the subgraphs of a model, and is no part of what is computed.
    whole.graph.name = "subgraph"
    return bytes(whole.SerializeToString(deterministic=True))
