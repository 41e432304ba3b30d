"""What an artifact says about its kernels: ``model.kernels.json``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from paddle_tvm.compiler.profiling.expressions import Amount, evaluate
from paddle_tvm.compiler.profiling.offloaded_share import OffloadedShare
from paddle_tvm.runtime.errors import ArtifactError
from paddle_tvm.runtime.wording import counted
from paddle_tvm.targets.workload import Choice

TABLE_VERSION = 1

# Parameters of schedules that are there or not.
_FLAGS = frozenset({"blocked", "flat"})
# What a schedule was chosen for, and not how it runs; it fills lines.
_NOT_SHOWN = frozenset({"workload", "contraction", "vectors", "groups", "summed"})
# Values of parameters that are no amounts.
_IN_WORDS: Mapping[tuple[str, int | str], str] = {("row_units", 0): "columns divided among threads"}

WINOGRAD_PASSES_PEAK = (
    "Winograd's algorithm may pass the peak: it needs fewer operations than the convolution has, which are "
    "counted"
)
AMX_PASSES_PEAK = (
    "AMX may pass the peak: it multiplies tiles of bfloat16 parts, and the peak is that of float32 "
    "multiply-adds"
)
# Of a subgraph.
_KINDS_NAMED = 4


def kernels_file(library: str) -> str:
    """The file of the artifact that describes the kernels of one of its libraries."""
    return library.removesuffix(".so") + ".kernels.json"


@dataclass(frozen=True)
class Operator:
    """An operation of the model.

    ``number`` is its place in the program, None where a pass made it; ``own`` says that paddle-tvm lowers it
    itself, and not TVM.
    """

    name: str
    number: int | None
    own: bool

    def __str__(self) -> str:
        return self.name if self.number is None else f"{self.name} #{self.number}"


@dataclass(frozen=True)
class Edge:
    """A tensor between kernels.

    ``value`` numbers it within its function; weights have none. ``layout`` says how it lies in memory where
    that is not the plain order of its axes.
    """

    value: int | None
    dtype: str
    shape: tuple[Amount, ...]
    layout: str


@dataclass(frozen=True)
class KernelCall:
    """One place of a form where a kernel is called.

    ``flops`` are those that the operators ask for by their definition, ``bytes`` what has to be read and
    written at least; None where that is not known, as bytes of subgraphs are not. ``folded`` are those of
    ``operators`` that became, wholly or in part, weights of the others.
    """

    kernel: str
    operators: tuple[Operator, ...]
    folded: tuple[Operator, ...]
    inputs: tuple[Edge, ...]
    outputs: tuple[Edge, ...]
    flops: Amount | None
    bytes: Amount | None


@dataclass(frozen=True)
class Form:
    """A function of the artifact: its ports by name, and its kernels' calls in order."""

    inputs: Mapping[str, Edge]
    outputs: Mapping[str, Edge]
    calls: tuple[KernelCall, ...]


@dataclass(frozen=True)
class Schedule:
    """How a kernel runs.

    ``rule`` names our schedule, None for loops without a rule of their own; ``parameters`` are the rule's.
    ``external`` is the name of the accelerator that runs it, where one does; ``arithmetic`` what that
    computes products in, where it is not what our kernels compute in.
    ``parallel`` are the iterations of its parallel loops, ``view`` whether it moves nothing at run time.
    ``workload`` is what it computes, where that has several forms, as ``Workload.key`` gives it, and
    ``choice`` the form that it got.
    """

    rule: str | None
    parameters: Mapping[str, int | str]
    parallel: tuple[Amount, ...]
    view: bool
    workload: str | None = None
    choice: Choice | None = None
    external: str | None = None
    arithmetic: str | None = None

    @property
    def winograd(self) -> int | None:
        """The size of the tiles of Winograd's algorithm, where that computes it."""
        size = None if self.choice is None else self.choice.config.get("winograd")
        return int(size) if size else None

    @property
    def passes_peak(self) -> str | None:
        """Why the machine's multiply-adds are no limit to it, in a sentence; None where they are."""
        if self.winograd is not None:
            return WINOGRAD_PASSES_PEAK
        return AMX_PASSES_PEAK if self.rule == "amx" else None

    @property
    def form(self) -> str:
        """Where a form that a record gave comes from, in a few words; empty where none did."""
        if self.choice is None or self.choice.source is None:
            return ""
        return f"{self.choice.origin} by {self.choice.source}"

    def show(self, sizes: Mapping[str, int]) -> str:
        """The schedule in a line, for a run of these sizes."""
        if self.view:
            return "view of its input"
        if self.external is not None:
            return f"subgraph in {self.external}" + (f", in {self.arithmetic}" if self.arithmetic else "")
        shown = [
            name if value == 1 and name in _FLAGS else show_parameter(name, value)
            for name, value in self.parameters.items()
            if name not in _NOT_SHOWN
        ]
        counts = [evaluate(count, sizes) for count in self.parallel]
        units = "+".join("?" if count is None else str(count) for count in counts)
        m = self.winograd
        rule = f"{self.rule} F({m}x{m}, 3x3)" if m else self.rule or "loops"
        return " ".join([rule, *shown, f"parallel={units}" if units else "one thread"])


def show_parameter(name: str, value: int | str) -> str:
    """A parameter of a schedule or of a form with its value."""
    return _IN_WORDS.get((name, value), f"{name}={value}")


def name_subgraph(accelerator: str, call: KernelCall) -> str:
    """What a call of a subgraph is called, with the kinds of operators that it has most of."""
    kinds = [f"{count} {name}" for (name, folded), count in operator_kinds(call).items() if not folded]
    others = ", ..." if len(kinds) > _KINDS_NAMED else ""
    named = ", ".join(kinds[:_KINDS_NAMED])
    return f"{accelerator}: {counted(count_computed(call), 'operator')} ({named}{others})"


def count_kernels(kernels: int, subgraphs: int, accelerator: str) -> str:
    """Our kernels and an accelerator's subgraphs, such as ``2 kernels and 1 subgraph of onednn``."""
    parts = [counted(kernels, "kernel")] if kernels or not subgraphs else []
    if subgraphs:
        parts.append(f"{counted(subgraphs, 'subgraph')} of {accelerator}")
    return " and ".join(parts)


def count_computed(call: KernelCall) -> int:
    """How many operators of the model a call computes, without those that are folded into weights."""
    return len(set(call.operators) - set(call.folded))


def operator_kinds(call: KernelCall) -> dict[tuple[str, bool], int]:
    """How many operators of each name a call has, folded ones and others, most first."""
    return dict(
        Counter((one.name, one in call.folded) for one in dict.fromkeys(call.operators)).most_common()
    )


@dataclass(frozen=True)
class KernelTable:
    """All forms of a model for one target, and the schedules of the kernels that they call.

    ``operators`` says how often the model has each operator. Where there is an accelerator, ``left`` says for
    each form of each operator that it has not taken why, by ``str`` of the operator.
    """

    forms: Mapping[str, Form]
    schedules: Mapping[str, Schedule]
    operators: Mapping[str, int]
    left: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def kernels(self) -> int:
        """How many kernels of ours there are; views, which do nothing at run time, are none."""
        return sum(not schedule.view and schedule.external is None for schedule in self.schedules.values())

    @property
    def subgraphs(self) -> int:
        """How many subgraphs an accelerator computes, of all forms together."""
        return sum(schedule.external is not None for schedule in self.schedules.values())

    @property
    def choices(self) -> dict[str, Choice]:
        """The forms that kernels got, of those with several, by the kernel's name."""
        return {
            name: schedule.choice
            for name, schedule in sorted(self.schedules.items())
            if schedule.choice is not None
        }

    def offloaded(self, form: str) -> OffloadedShare:
        """How much of a form an accelerator computes."""
        calls = [call for call in self.forms[form].calls if self.schedules[call.kernel].external is not None]
        reasons = Counter(self.left.get(form, {}).values())
        taken = {operator for call in calls for operator in call.operators if operator not in call.folded}
        return OffloadedShare(len(calls), len(taken), dict(reasons.most_common()), self.arithmetic(form))

    def arithmetic(self, form: str) -> tuple[str, ...]:
        """What an accelerator computes products of a form in, where it is not what our kernels compute in."""
        found = {self.schedules[call.kernel].arithmetic for call in self.forms[form].calls}
        return tuple(sorted(filter(None, found)))

    def is_subgraph(self, call: KernelCall) -> bool:
        """Whether an accelerator computes a call."""
        schedule = self.schedules.get(call.kernel)
        return schedule is not None and schedule.external is not None

    def subgraph_name(self, call: KernelCall) -> str | None:
        """What a call of an accelerator's subgraph is called; None for another call."""
        schedule = self.schedules.get(call.kernel)
        if schedule is None or schedule.external is None:
            return None
        return name_subgraph(schedule.external, call)

    def encode(self) -> bytes:
        """As the artifact holds it."""
        fields = {"table_version": TABLE_VERSION, **asdict(self)}
        return (json.dumps(fields, separators=(",", ":")) + "\n").encode()


def read_kernel_table(raw: bytes, where: str) -> KernelTable:
    """Read what ``KernelTable.encode`` gave.

    Raises
    ------
    ArtifactError
        Another version of paddle-tvm has written it.
    """
    fields = json.loads(raw)
    version = fields["table_version"]
    if version != TABLE_VERSION:
        raise ArtifactError(
            f"{where}: expected version {TABLE_VERSION} of the table of kernels, got {version}; compile the "
            "model again with this version of paddle-tvm"
        )
    return KernelTable(
        {name: _form(form) for name, form in fields["forms"].items()},
        {name: _schedule(entry) for name, entry in fields["schedules"].items()},
        fields["operators"],
        fields.get("left", {}),
    )


def _schedule(fields: Mapping[str, Any]) -> Schedule:
    # Tables had no choices at first.
    choice = fields.get("choice")
    return Schedule(
        fields["rule"],
        fields["parameters"],
        tuple(fields["parallel"]),
        fields["view"],
        fields.get("workload"),
        None if choice is None else Choice(**choice),
        fields.get("external"),
        fields.get("arithmetic"),
    )


def _form(fields: Mapping[str, Any]) -> Form:
    return Form(
        {name: _edge(edge) for name, edge in fields["inputs"].items()},
        {name: _edge(edge) for name, edge in fields["outputs"].items()},
        tuple(
            KernelCall(
                call["kernel"],
                tuple(Operator(**operator) for operator in call["operators"]),
                tuple(Operator(**operator) for operator in call["folded"]),
                tuple(map(_edge, call["inputs"])),
                tuple(map(_edge, call["outputs"])),
                call["flops"],
                call["bytes"],
            )
            for call in fields["calls"]
        ),
    )


def _edge(fields: Mapping[str, Any]) -> Edge:
    return Edge(fields["value"], fields["dtype"], tuple(fields["shape"]), fields["layout"])
