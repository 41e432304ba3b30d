"""The compiler: ``compile`` a saved model into an artifact, and ``verify`` an artifact against its model.

Nothing heavy is imported before one of them is called, so that the runtime's commands stay light.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from paddle_tvm.compiler.driver import CompileResult, Progress
    from paddle_tvm.compiler.options import InputShapes, Precision
    from paddle_tvm.compiler.verify import VerificationResult

__all__ = ["compile", "verify"]

# Paddle has one static mode for all threads, and TVM 0.27 one stack of block builders.
_one_at_a_time = threading.Lock()


def compile(
    model: str | Path,
    output: str | Path,
    *,
    target: str = "x86",
    mcpu: str | Sequence[str] | None = None,
    shapes: InputShapes | Sequence[InputShapes] | None = None,
    precision: Precision = "float32",
    frontend: Literal["paddle", "onnx"] = "paddle",
    verify: bool = False,
    force: bool = False,
    tuning_logs: str | Path | Sequence[str | Path] = (),
    shipped_logs: bool = True,
    architectures: Sequence[str] = (),
    min_subgraph_size: int | None = None,
    progress: Progress | None = None,
) -> CompileResult:
    """Compile a saved model into an artifact. Calls from several threads follow each other.

    Parameters
    ----------
    model
        A directory, a path prefix, or a file of a saved model (``.json``, ``.pdmodel``, ``.onnx``).
    output
        Directory of the artifact to write. It appears whole or not at all.
    target
        Kind of machine to compile for.
    mcpu
        The CPU, by LLVM's name; this machine's by default. Several make one artifact with code for each,
        of which the runtime takes the best that the machine runs.
    shapes
        Dimensions to fix, by input name. Unknown dimensions that it leaves out (or gives as -1) stay
        dynamic. A sequence of such mappings makes one specialisation each, beside the dynamic form.
    precision
        Arithmetic of convolutions and matrix products: ``float32``; for CUDA also ``tf32`` (float32 with 10
        bits of mantissa), ``float16`` and ``bfloat16``, for oneDNN also ``bfloat16``, summed in float32.
    frontend
        ``paddle`` reads the Paddle program, ``onnx`` goes through paddle2onnx; an ``.onnx`` file always
        takes the second road.
    verify
        Compare with Paddle before the artifact is written, and record the result in it; of several CPUs,
        those whose code this machine runs.
    force
        Replace an artifact that is there.
    tuning_logs
        Logs of ``paddle-tvm tune``, whose records say which form each kernel gets.
    shipped_logs
        Whether to use the logs that the package brings as well, where those say nothing; of these, what was
        measured on the family of cores that is compiled for.
    architectures
        GPUs to compile for with the target ``cuda``, such as ``sm_90``, all in one artifact.
    min_subgraph_size
        With the target ``tensorrt``: fewer operators than this, 3 by default, stay with our kernels.
    progress
        Told of each stage.

    Returns
    -------
    CompileResult
        Where the artifact is, how long each stage took, the forms of its kernels, and the verification.

    Raises
    ------
    UsageError
        A path, a shape or an option does not fit.
    UnsupportedModelError
        The model cannot be read or compiled; missing operators are all named.
    VerificationError
        ``verify`` found outputs beyond the tolerance; nothing is written then.
    """
    from paddle_tvm.compiler.driver import compile_model
    from paddle_tvm.compiler.options import CompileOptions

    options = CompileOptions(
        target,
        mcpu,
        shapes,
        precision,
        frontend,
        verify,
        force,
        tuning_logs,
        shipped_logs,
        architectures=architectures,
        min_subgraph_size=min_subgraph_size,
    )
    with _one_at_a_time:
        return compile_model(model, output, options, progress)


def verify(
    artifact: str | Path,
    model: str | Path,
    *,
    mcpu: str | None = None,
    threads: int = 1,
    shapes: Sequence[Mapping[str, Sequence[int]]] | None = None,
    seed: int = 0,
    tolerance: float | None = None,
) -> VerificationResult:
    """Compare an artifact with Paddle on random inputs; see ``paddle_tvm.compiler.verify.verify_artifact``.

    Parameters
    ----------
    artifact, model
        The artifact, and the saved model that it was compiled from.
    mcpu
        Which code of an artifact for several CPUs to run; by default that which the runtime takes here.
    threads
        How many threads the artifact runs with.
    shapes
        Sets of input shapes to try; by default two, and those of the specialisations.
    seed
        Of the random inputs.
    tolerance
        Largest error relative to the largest magnitude of an output; by default 1e-3, and more for an
        artifact that computes in less than float32.
    """
    from paddle_tvm.compiler.verify import verify_artifact

    with _one_at_a_time:
        return verify_artifact(
            artifact, model, mcpu=mcpu, threads=threads, shapes=shapes, seed=seed, tolerance=tolerance
        )
