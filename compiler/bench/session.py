"""A whole bench: files, inputs, engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from paddle_tvm.compiler.array_files import save_arrays
from paddle_tvm.compiler.bench.cold import bench_cold
from paddle_tvm.compiler.bench.model_files import Files, prepare_files
from paddle_tvm.compiler.bench.result import BenchResult
from paddle_tvm.compiler.bench.warm import bench_warm
from paddle_tvm.compiler.frontends.source import find_model, foreign_model
from paddle_tvm.compiler.sample_inputs import complete_shapes, model_inputs
from paddle_tvm.compiler.staging import scratch_directory
from paddle_tvm.runtime.artifact import read_manifest
from paddle_tvm.runtime.errors import UsageError


def bench_artifact(
    artifact: Path,
    model: Path | None,
    peers: Sequence[str],
    *,
    shapes: Mapping[str, Sequence[int]],
    threads: int,
    rounds: int,
    cold: bool,
    seed: int = 0,
    time_limit: float = 300.0,
    on_start: Callable[[int], None],
    on_turn: Callable[[str], None],
) -> BenchResult:
    """Time an artifact and its peers on the same random input.

    Parameters
    ----------
    artifact, model
        The artifact, and the saved model that it came from, which the peers run.
    peers
        Of ``paddle``, ``onnxruntime`` and ``openvino``.
    shapes
        Input shapes; inputs left out get a default one.
    threads
        For every engine.
    rounds
        How often each engine gets its turn.
    cold
        Whether to time whole processes instead of runs in warm ones.
    time_limit
        Seconds within which an engine must have loaded the model, or finished a turn.
    on_start, on_turn
        Called with the number of turns, and with the engine before each.

    Raises
    ------
    UsageError
        A shape does not fit, a peer is wanted without a model, or the model is not there.
    ArtifactError
        The artifact is damaged.
    """
    if peers and model is None:
        raise UsageError(f"--against {','.join(peers)} needs --model: the model that the artifact came from")
    manifest = read_manifest(artifact)
    source = None if model is None else find_model(model)
    chosen = next(complete_shapes(manifest.inputs, shapes))
    arrays = model_inputs(manifest.inputs, source, chosen, seed)
    with scratch_directory("paddle-tvm-bench") as folder:
        foreign = None if source is None else foreign_model(artifact, manifest, source)
        prepared: dict[str, Files | str] = {"ours": {"artifact": str(artifact.resolve())}}
        if model is not None and peers:
            prepared |= prepare_files(model, peers, folder, chosen)
        inputs = folder / "inputs.npz"
        save_arrays(inputs, arrays)
        on_start(len(prepared) * (rounds + 1))
        reference = None
        if cold:
            engines = bench_cold(prepared, inputs, folder, threads, rounds, on_turn)
        else:
            engines, reference = bench_warm(prepared, inputs, folder, threads, rounds, time_limit, on_turn)
    return BenchResult(tuple(engines), reference, threads, rounds, chosen, cold, foreign)
