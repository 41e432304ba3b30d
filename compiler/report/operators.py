"""What became of each operator of the model, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from paddle_tvm.compiler.graph_nodes import operator_family
from paddle_tvm.compiler.profiling.kernel_table import KernelCall, Operator, Schedule, count_computed
from paddle_tvm.compiler.profiling.schedule_notes import HAND_WRITTEN
from paddle_tvm.compiler.report.content import Content

_NO_OPERATORS = frozenset({"builtin.parameter", "builtin.combine", "builtin.split", "builtin.slice"})
_PORTS = frozenset({"pd_op.data", "pd_op.feed", "pd_op.fetch"})


@dataclass(frozen=True)
class Fate:
    """One operator, or several of a name: what was done, in a word and in a sentence.

    ``place`` is the call of the form that computes it; None for what is not computed at run time.
    """

    operator: str
    kind: str
    what: str
    place: int | None


def operator_fates(content: Content) -> list[Fate]:
    """The fate of every operator, in the model's order; those that are gone at the end."""
    seen: dict[Operator, tuple[int, KernelCall]] = {}
    folded: dict[Operator, KernelCall] = {}
    parts: Counter[Operator] = Counter()
    for place, call in enumerate(content.form.calls):
        for operator in call.operators:
            if operator.number is None:
                continue
            parts[operator] += 1
            # An operator that takes several kernels is shown at the heaviest.
            known = seen.get(operator)
            if known is None or (content.flops(call) or 0) > (content.flops(known[1]) or 0):
                seen[operator] = (place, call)
        folded.update(dict.fromkeys(call.folded, call))
    ordered = sorted(seen, key=lambda operator: operator.number or 0)
    fates = [
        _with_reason(_fate(operator, *seen[operator], parts[operator], folded, content), operator, content)
        for operator in ordered
    ]
    return fates + _gone(content, seen)


def _with_reason(fate: Fate, operator: Operator, content: Content) -> Fate:
    """Says why an accelerator has not taken an operator, where there is one."""
    if fate.place is None or fate.kind not in ("own", "loops", "fused"):
        return fate
    left = content.table.left.get(content.function.name, {})
    call = content.form.calls[fate.place]
    # Where operators were merged, the reason is that of what they have become.
    reasons = (left.get(str(one)) for one in (operator, *call.operators))
    reason = next(filter(None, reasons), None)
    return fate if reason is None else replace(fate, what=f"{fate.what}; stays here: {reason}")


def _fate(
    operator: Operator,
    place: int,
    call: KernelCall,
    kernels: int,
    folded: dict[Operator, KernelCall],
    content: Content,
) -> Fate:
    schedule = content.table.schedules[call.kernel]
    lead = leader(call)
    if operator in folded and schedule.external is not None:
        what = "folded while compiling, into the weights of a neighbour in the same subgraph"
        return Fate(str(operator), "folded", what, place)
    if operator in folded:
        what = f"folded while compiling: its factor is in the weights of {lead}, the rest runs in its kernel"
        return Fate(str(operator), "folded", what, place)
    if schedule.view:
        return Fate(str(operator), "view", "moves nothing: the same memory under another shape", place)
    if operator != lead and schedule.external is None:
        return Fate(
            str(operator), "fused", f"fused into the kernel of {lead}: no pass over memory of its own", place
        )
    if schedule.external is not None:
        return Fate(str(operator), "external", f"computed by {schedule.external}, {_part(call)}", place)
    threads = "run in parallel" if schedule.parallel else "run on one thread, being too little to share"
    if content.variant.target.devices:
        return _fate_on_gpu(operator, place, kernels, schedule)
    if schedule.rule is not None:
        kind, what = "own", f"own kernel, schedule {schedule.rule}, {threads}"
    elif operator.own:
        kind, what = "own", f"own kernel, its loops vectorised and {threads}"
    else:
        kind, what = "loops", f"TVM's definition of it, its loops vectorised by our schedule and {threads}"
    if kernels > 1:
        what += f"; takes {kernels} kernels, this is the heaviest"
    return Fate(str(operator), kind, what, place)


def _fate_on_gpu(operator: Operator, place: int, kernels: int, schedule: Schedule) -> Fate:
    if schedule.rule == HAND_WRITTEN:
        kind, what = "own", "own kernel, whose loops are written by hand, on threads of the GPU"
    elif schedule.rule is not None:
        kind, what = "own", f"own kernel, in {schedule.rule} by blocks of threads"
    elif operator.own:
        kind, what = "own", "own kernel, by blocks of threads"
    else:
        kind, what = "loops", "TVM's definition of it, by blocks of threads"
    if kernels > 1:
        what += f"; takes {kernels} kernels, this is the heaviest"
    return Fate(str(operator), kind, what, place)


def _part(call: KernelCall) -> str:
    count = count_computed(call)
    return "alone in its subgraph" if count == 1 else f"in a subgraph of {count} operators"


def leader(call: KernelCall) -> Operator:
    """The operator that a kernel is there for, and the others are fused with.

    Of those that we lower ourselves the first convolution or product, else the first; else simply the first.
    """
    rest = [operator for operator in call.operators if operator not in call.folded]
    own = [operator for operator in rest if operator.own]
    heavy = [operator for operator in own if operator_family(operator.name) in ("convolution", "matrix")]
    return (heavy or own or rest)[0]


def _gone(content: Content, seen: dict[Operator, tuple[int, KernelCall]]) -> list[Fate]:
    """Operators of which nothing is left at run time."""
    left: Counter[str] = Counter()
    for operator in seen:
        left[operator.name] += 1
    fates = []
    for name, count in sorted(content.table.operators.items()):
        if name in _NO_OPERATORS | _PORTS:
            continue
        bare = name.rpartition(".")[2].rstrip("_")
        missing = count - left[bare]
        if missing > 0:
            times = "" if missing == 1 else f" ({missing} times)"
            what = "known while compiling: a constant, arithmetic on shapes, or without effect in inference"
            fates.append(Fate(bare + times, "constant", what, None))
    return fates
