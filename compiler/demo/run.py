"""The whole road on real models: compile PP-OCRv4, read a picture with it, compare with Paddle Inference."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from paddle_tvm.runtime.errors import UsageError

from .annotate import annotate
from .engines import RecordingEngine, compiled_engine, import_paddle, paddle_engine
from .latency import compare_latency
from .picture import SAMPLE, read_picture, sample_lines
from .pipeline import read_lines
from .result import DemoResult, ModelMeasurement, pair_lines
from .sizes import paddle_bytes, runtime_bytes, tree_bytes
from .weights import OcrWeights


def run_demo(
    weights: OcrWeights, output: Path, console: Console, image: Path | None = None, threads: int = 2
) -> DemoResult:
    """Compile the three PP-OCRv4 models, read a picture on both engines, and measure them.

    Parameters
    ----------
    weights
        The models, as :func:`~paddle_tvm.compiler.demo.weights.find_weights` finds them.
    output
        Directory for the artifacts and ``annotated.png``; created where it is missing.
    console
        Where progress is shown.
    image
        The picture to read; the shipped one by default.
    threads
        CPU threads for both engines.

    Returns
    -------
    DemoResult
        Whether the lines agree is for the caller to check.

    Raises
    ------
    UsageError
        An unreadable picture, or an output directory that cannot be written.
    """
    picture = read_picture(image or SAMPLE)
    _make_directory(output)
    with _step(console, "Importing Paddle"):
        import_paddle()
    artifacts, compile_seconds = _compile(weights, output, console)
    with _step(console, "Loading the models into both engines"):
        ours = compiled_engine(artifacts, threads)
        paddle = paddle_engine(weights, threads)
    with _step(console, "Reading the picture with Paddle Inference"):
        recording = RecordingEngine(paddle)
        paddle_lines = read_lines(picture, recording, weights.characters)
    with _step(console, "Reading the picture with paddle-tvm"):
        our_lines = read_lines(picture, ours, weights.characters)
    with _step(console, "Comparing latency, the engines in turns"):
        latency = compare_latency({"ours": ours, "paddle": paddle}, recording.inputs)
    annotated = output / "annotated.png"
    annotate(picture, our_lines).save(annotated)
    models = tuple(
        ModelMeasurement(
            name=model,
            calls=len(recording.inputs.get(model, [])),
            compile_seconds=compile_seconds[model],
            load_seconds=ours.load_seconds[model],
            paddle_load_seconds=paddle.load_seconds[model],
            latency=latency["ours"].get(model, 0.0),
            paddle_latency=latency["paddle"].get(model, 0.0),
            artifact_bytes=tree_bytes(artifacts[model]),
            model_bytes=tree_bytes(program) + tree_bytes(weights.parameters(model)),
        )
        for model, program in weights.programs.items()
    )
    return DemoResult(
        picture=image or SAMPLE,
        annotated=annotated,
        threads=threads,
        lines=pair_lines(our_lines, paddle_lines),
        drawn=None if image else tuple(sample_lines()),
        models=models,
        runtime_bytes=runtime_bytes(),
        paddle_bytes=paddle_bytes(),
    )


def _compile(weights: OcrWeights, output: Path, console: Console) -> tuple[dict[str, Path], dict[str, float]]:
    from paddle_tvm import compiler

    artifacts: dict[str, Path] = {}
    seconds: dict[str, float] = {}
    for number, (model, program) in enumerate(weights.programs.items(), start=1):
        artifacts[model] = output / f"{model}.pdtvm"
        with _step(console, f"Compiling the {model} model ({number} of {len(weights.programs)})"):
            started = time.perf_counter()
            compiler.compile(program, artifacts[model], target="x86", force=True)
            seconds[model] = time.perf_counter() - started
    return artifacts, seconds


def _make_directory(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot make the output directory {output}: {error.strerror}. Name another with --output"
        ) from error


@contextmanager
def _step(console: Console, what: str) -> Iterator[None]:
    started = time.perf_counter()
    with console.status(f"{what} ..."):
        yield
    console.print(f"{what}: {time.perf_counter() - started:.1f} s")
