"""What a tuning run is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from paddle_tvm.compiler.options import CompileOptions
from paddle_tvm.targets.base import Target


@dataclass(frozen=True)
class TuneOptions:
    """What the user asked for.

    Attributes
    ----------
    trials, seconds
        When the search ends, at the latest; None: when nothing promises a gain any more.
    ops
        Operators to tune, as ``Workload.operator`` names them, with those that derive from them (of
        ``conv2d`` that is ``amx_conv2d``); all where empty.
    min_share
        Tasks that take a smaller share of a run are left alone.
    threads
        How many threads kernels are timed with.
    seed
        Of inputs, and of the search.
    compile
        As the model will be compiled.
    sizes
        Sets of input shapes to measure with, where the model is compiled with dynamic ones, as ``ModelRun``
        takes them.
    rpc
        Host and port of a TVM tracker, and the key of the machines that measure; None: this machine does.
    """

    threads: int
    trials: int | None = None
    seconds: float | None = None
    ops: tuple[str, ...] = ()
    min_share: float = 0.01
    seed: int = 0
    compile: CompileOptions = field(default_factory=CompileOptions)
    sizes: Sequence[Mapping[str, Sequence[int]]] = ()
    rpc: tuple[str, int, str] | None = None

    def measured_on(self, target: Target) -> TuneOptions:
        """The same, with what the machine that measures leaves no choice of."""
        if not target.devices:
            return self
        # One thread starts kernels; how many there are beside it has no part in their time.
        return replace(self, threads=1, compile=replace(self.compile, architectures=target.devices))
