"""Runs paddle2onnx on one model, in a process of its own: its C++ part may end the process.

``python -m paddle_tvm.compiler.frontends.paddle2onnx_worker PREFIX SUFFIX OUTPUT`` reads ``PREFIX.json`` or
``PREFIX.pdmodel`` (SUFFIX) with ``PREFIX.pdiparams`` where it exists, and writes OUTPUT, an ``.onnx`` file,
and ``OUTPUT.names``, a JSON list of what the program calls its outputs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

# The newest that paddle2onnx 2.1 writes for every operator that it has.
_OPSET = 17


def main(prefix: str, suffix: str, output: str) -> None:
    """Convert one model."""
    import paddle
    import paddle2onnx

    names: list[str] = []
    if suffix == ".pdmodel":
        # paddle2onnx translates to PIR, and the names are lost on the way.
        paddle.enable_static()
        with paddle.pir_utils.OldIrGuard():
            executor = paddle.static.Executor(paddle.CPUPlace())
            _, _, fetches = paddle.static.load_inference_model(prefix, executor)
            names = [fetch.name for fetch in fetches]
    paddle2onnx.export(
        prefix + suffix,
        prefix + ".pdiparams",
        save_file=output,
        opset_version=_OPSET,
        # The default folds constants with polygraphy, and lets it install what it misses.
        optimize_tool="none",
    )
    Path(output + ".names").write_text(json.dumps(names))


if __name__ == "__main__":
    main(*sys.argv[1:])
