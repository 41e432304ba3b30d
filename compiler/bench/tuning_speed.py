"""Counts the forms that `paddle-tvm tune` tries in a second, beside TVM's MetaSchedule as it comes.

Run it with ``python -m paddle_tvm.compiler.bench.tuning_speed MODEL --shape x=1,3,224,224``.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import click
import tvm
from tvm import te, topi

from paddle_tvm.compiler.cli.shape_option import parse_one_shape_set, shape_option
from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.compiler.tuning.options import TuneOptions
from paddle_tvm.compiler.tuning.tune import tune_model
from paddle_tvm.runtime.cpu import default_threads
from paddle_tvm.runtime.wording import counted
from paddle_tvm.targets.x86 import x86_target

_STOCK_TRIALS = 32


class _Clock:
    """A listener that notes when trials come in."""

    def __init__(self) -> None:
        self.begin_at = 0.0
        self.last = 0.0
        self.trials = 0

    def stage(self, name: str, steps: int = 0) -> None:
        pass

    def begin(self, *_: Any) -> None:
        self.begin_at = self.last = monotonic()

    def trial(self, *_: Any) -> None:
        self.last = monotonic()
        self.trials += 1

    def compared(self, comparison: Any) -> None:
        pass

    def graph_trial(self, trial: Any) -> None:
        pass

    def graph_failure(self, text: str) -> None:
        click.echo(text)

    def note(self, text: str) -> None:
        click.echo(text)

    @property
    def rate(self) -> float:
        """Trials a second of the search, its cost model and its log included."""
        return self.trials / (self.last - self.begin_at)


def stock_rate(threads: int) -> float:
    """Candidates a second of ``tune_tir`` with TVM's own builder and runner, on a convolution of ResNet50."""
    from tvm.s_tir import meta_schedule

    data = te.placeholder((1, 64, 58, 58), name="data")
    weight = te.placeholder((64, 64, 3, 3), name="weight")
    function = te.create_prim_func([data, weight, topi.nn.conv2d_nchw(data, weight, 1, 0, 1)])
    target = tvm.target.Target(
        {"kind": "llvm", "mcpu": x86_target().mcpu, "num-cores": threads, "mtriple": "x86_64-linux-gnu"}
    )
    begin = monotonic()
    with TemporaryDirectory(prefix="paddle-tvm-stock-") as folder:
        database = meta_schedule.tune_tir(
            function.with_attr("global_symbol", "main"),
            target,
            folder,
            max_trials_global=_STOCK_TRIALS,
            num_trials_per_iter=16,
        )
        count = len(database)
    return count / (monotonic() - begin)


@click.command()
@click.argument("model", type=click.Path(path_type=Path, exists=False))
@shape_option("Shape of an input.")
@click.option("--threads", type=click.IntRange(1), default=default_threads(), show_default=True)
@click.option("--seconds", type=click.FloatRange(1), help="By default until nothing promises a gain.")
def main(model: Path, shapes: tuple[str, ...], threads: int, seconds: float | None) -> None:
    """Search the forms of MODEL's kernels, then let MetaSchedule try some of a convolution."""
    clock = _Clock()
    asked = parse_one_shape_set(shapes)
    options = TuneOptions(threads=threads, seconds=seconds, compile=CompileOptions(shapes=asked or None))
    with TemporaryDirectory(prefix="paddle-tvm-speed-") as folder:
        tune_model(model, Path(folder, "log.jsonl"), options, clock)
    click.echo(
        f"paddle-tvm tune: {clock.trials} trials, {clock.rate:.1f} a second, {counted(threads, 'thread')}"
    )
    stock = stock_rate(threads)
    click.echo(f"MetaSchedule, as it comes: {stock:.2f} a second; ratio {clock.rate / stock:.0f}")


if __name__ == "__main__":
    main()
