"""The C++ code of a subgraph: its names, for ``Subgraph`` of native/session.h, which has the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from paddle_tvm.targets.offload import Generated, Subgraph
from paddle_tvm.targets.onnx_export import export_subgraph

_SOURCE = """\
#include "session.h"

static const char *const inputs[] = {inputs};
static const char *const outputs[] = {outputs};
static const char *const weights[] = {weights};
static paddle_tvm::Subgraph subgraph(
    {{inputs, {input_count}}}, {{outputs, {output_count}}}, {{weights, {weight_count}}});

#define EXPORT extern "C" __attribute__((visibility("default")))
EXPORT int __tvm_ffi_{symbol}_load(void *, const TVMFFIAny *constants, int32_t count, TVMFFIAny *) {{
  return subgraph.load(constants, count);
}}
EXPORT int __tvm_ffi_{symbol}_describe(void *, const TVMFFIAny *, int32_t, TVMFFIAny *result) {{
  return paddle_tvm::describe({steps}, result);
}}
EXPORT int __tvm_ffi_{symbol}(void *, const TVMFFIAny *arguments, int32_t count, TVMFFIAny *) {{
  return subgraph.run(arguments, count);
}}
"""


def generate(subgraph: Subgraph) -> Generated:
    """The code of a subgraph. Its constants are the ONNX model, and the weights that are beside it."""
    exported = export_subgraph(subgraph, name_sources=True)
    model = exported.model
    names = [[info.name for info in model.graph.input], [info.name for info in model.graph.output]]
    steps = [[node.op_type, "", ""] for node in model.graph.node if node.op_type != "Identity"]
    source = _SOURCE.format(
        symbol=subgraph.symbol,
        inputs=_strings(names[0]),
        outputs=_strings(names[1]),
        weights=_strings(list(exported.weights)),
        input_count=len(names[0]),
        output_count=len(names[1]),
        weight_count=len(exported.weights),
        # A string of JSON is one of C.
        steps=json.dumps(json.dumps(steps)),
    )
    text = np.frombuffer(model.SerializeToString(deterministic=True), "uint8")
    return Generated(source, (), (text, *exported.weights.values()), exported.arithmetic)


def _strings(values: Sequence[str]) -> str:
    # An array has at least one element.
    return "{" + ", ".join(json.dumps(value) for value in values or [""]) + "}"
