"""Renders a report as one page that needs nothing else."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from html import escape
from importlib.resources import files

from paddle_tvm.compiler.bench.disturbance import marked
from paddle_tvm.compiler.cli.text_table import format_bytes, format_count
from paddle_tvm.compiler.graph_nodes import operator_family
from paddle_tvm.compiler.profiling.kernel_table import Edge, KernelCall
from paddle_tvm.compiler.profiling.profile import Profile
from paddle_tvm.compiler.report.colours import OUTSIDE, SUBGRAPH, TRANSFORM, colour_key
from paddle_tvm.compiler.report.content import Content
from paddle_tvm.compiler.report.kernel_graph import draw_kernels, is_transform
from paddle_tvm.compiler.report.kernel_rows import bars_key, kernel_table
from paddle_tvm.compiler.report.operator_rows import fate_filters, operator_rows
from paddle_tvm.compiler.report.operators import leader
from paddle_tvm.compiler.report.page_parts import fact, fill
from paddle_tvm.compiler.report.subgraph_steps import subgraph_section, unknown_numbers
from paddle_tvm.runtime.wording import agreeing, counted


def render(content: Content) -> str:
    """The page."""
    template = files(__package__).joinpath("report_page.html").read_text(encoding="utf-8")
    parts = {
        "TITLE": escape(content.manifest.source.name),
        "SUBTITLE": escape(_subtitle(content)),
        "NOTICE": _notice(content),
        "FACTS": _facts(content),
        "TIME": _time_bar(content),
        "KERNELS": kernel_table(content),
        "GRAPH": draw_kernels(content),
        "COLOURS": colour_key(content, timed=content.profile is not None),
        "GRAPH COLOURS": colour_key(content, timed=False),
        "BARS": bars_key(content) + unknown_numbers(content),
        "SUBGRAPHS": subgraph_section(content),
        "EDGES": _edges(content),
        "FATES": fate_filters(content),
        "OPERATORS": operator_rows(content),
        "STAGES": _stages(content),
        "DATA": _data(content),
    }
    return fill(template, parts)


def _subtitle(content: Content) -> str:
    target = content.variant.target
    inputs = zip(content.manifest.inputs, content.function.input_shapes, strict=True)
    shapes = ", ".join(f"{spec.name} {_show(shape, content.shapes[spec.name])}" for spec, shape in inputs)
    others = [v.target.mcpu for v in content.manifest.variants if v is not content.variant]
    forms = [f.name for f in content.manifest.functions if f is not content.function]
    beside = f"; the artifact has code for {', '.join(others)} as well" if others else ""
    beside += f"; this is the form {content.function.name} of {len(forms) + 1}" if forms else ""
    machine = ", ".join(target.devices) or target.mcpu
    return f"{target.kind} {machine} · {_precision(content)} · {shapes}{beside}"


def _precision(content: Content) -> str:
    """The model's, and what else an accelerator computes products in, as it does in quantised models."""
    precision = content.manifest.precision
    others = [kind for kind in content.table.arithmetic(content.function.name) if kind != precision]
    return f"{precision}, quantised products in {' and '.join(others)}" if others else precision


def _show(shape: Sequence[int | str], taken: Sequence[int]) -> str:
    """The shape of an input; of one with dynamic dimensions also what it was drawn and timed with."""
    if all(isinstance(size, int) for size in shape):
        return str(list(taken))
    return f"[{', '.join(map(str, shape))}] (dynamic; here {list(taken)})"


def _notice(content: Content) -> str:
    profile = content.profile
    if profile is None:
        return f'<p class="notice">Not timed: {escape(content.not_profiled)}</p>'
    return f'<p class="notice">{escape(profile.disturbance_remark)}</p>' if profile.disturbed else ""


def _facts(content: Content) -> str:
    form, profile, manifest = content.form, content.profile, content.manifest
    work = [content.flops(call) for call in form.calls]
    flops = sum(number or 0 for number in work)
    # Where one is not known, what is known of the others is the least.
    partial = "at least that, for not all is known; " if None in work else ""
    facts = []
    if profile is not None:
        timing = profile.timing
        run = marked(f"{timing.run_ms:.2f} ms", profile.disturbed)
        facts.append(("one run", run, f"{profile.ran_on}, median of {timing.rounds}"))
        if flops:
            rate = flops / timing.run_ms / 1e6
            reached = marked(f"{rate:.{0 if rate >= 10 else 2}f} GFLOP/s", profile.disturbed)
            facts.append(("rate", reached, partial + _of_peak(rate, profile)))
    transforms = sum(is_transform(content, call) for call in form.calls)
    schedules = content.table.schedules
    calls = [call.kernel for call in form.calls if not schedules[call.kernel].view]
    own = [kernel for kernel in calls if schedules[kernel].external is None]
    parts = []
    if own or len(own) == len(calls):
        called = f"called {counted(len(own), 'time')}"
        if transforms:
            called += f"; {transforms} {agreeing(transforms, 'changes', 'change')} a layout"
        parts.append(("kernels", str(len(set(own))), called))
    if len(own) < len(calls):
        beside = "beside our kernels" if own else "all is in there"
        subgraphs = counted(len(calls) - len(own), "subgraph")
        parts.append((f"{content.accelerator} computes", subgraphs, beside))
    # Those of subgraphs are given to them when the artifact is loaded.
    used = set(content.variant.weights[content.function.name])
    used.update(*(content.variant.loads.get(kernel, ()) for kernel in calls))
    weights = sum(manifest.weights[i].nbytes for i in used)
    seconds = sum(stage.seconds for stage in content.stages)
    arithmetic = (format_count(flops, "FLOP"), f"{partial}a multiply-add as two")
    if partial and not flops:
        arithmetic = ("not known", "nothing here defines what is computed")
    facts += [
        ("arithmetic", *arithmetic),
        *parts,
        ("weights", format_bytes(weights), f"artifact {format_bytes(content.artifact_bytes)}"),
        ("compiled in", f"{seconds:.1f} s", f"paddle-tvm {manifest.producer.paddle_tvm}"),
    ]
    return "".join(fact(name, value, note) for name, value, note in facts)


def _of_peak(rate: float, profile: Profile) -> str:
    peak = profile.peak.gflops
    if not peak:
        return "the GPU's peak is not known"
    if profile.arithmetic:
        kinds = " and ".join(profile.arithmetic)
        return f"computed in {kinds}; the peak is known in {profile.peak.precision} alone"
    most = marked(f"{peak:.0f}", profile.disturbed)
    whose = "it should reach by its clocks" if profile.devices else "this machine reaches in multiply-adds"
    return f"{100 * rate / peak:.0f} % of the {most} that {whose}"


def _time_bar(content: Content) -> str:
    """The run as a bar with a part for each kernel, those of a kind of operator together."""
    profile = content.profile
    if profile is None:
        return ""
    spent: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    listed = 0.0
    for place, call in enumerate(content.form.calls):
        work = content.work(place)
        if work is not None:
            spent[_part_of_run(content, call)].update({call.kernel: work.microseconds})
            listed += work.microseconds
    elsewhere = profile.kernels_us - listed
    # Differences of sums leave a little.
    if elsewhere > 0.5:
        spent["in branches and loops", "other"].update({"in branches and loops": elsewhere})
    spent["outside kernels", OUTSIDE].update({"outside kernels": profile.outside_us})
    bar, legend = [], []
    for (name, family), parts in sorted(spent.items(), key=lambda item: -sum(item[1].values())):
        for kernel, time in parts.most_common():
            title = f"{kernel}: {time / 1e3:.3f} ms, {100 * profile.share(time):.1f} %"
            bar.append(
                f'<i class="mark {family}" style="flex-grow:{profile.share(time):.5f}" '
                f'title="{escape(title)}"></i>'
            )
        time = sum(parts.values())
        percent = marked(f"{100 * profile.share(time):.1f} %", profile.disturbed and family == OUTSIDE)
        legend.append(
            f'<li><i class="mark {family}"></i>{escape(name)} <b>{percent}</b> '
            f"<small>{time / 1e3:.2f} ms</small></li>"
        )
    return f"<div class=timebar>{''.join(bar)}</div><ul class=timelegend>{''.join(legend)}</ul>"


def _part_of_run(content: Content, call: KernelCall) -> tuple[str, str]:
    """What the time of a call is shown under, and the class that colours it."""
    if content.table.is_subgraph(call):
        return f"subgraphs of {content.accelerator}", SUBGRAPH
    if is_transform(content, call):
        return "layout transforms", TRANSFORM
    name = leader(call).name
    return name, operator_family(name)


def _edges(content: Content) -> str:
    layouts: Counter[str] = Counter()
    for call in content.form.calls:
        for edge in call.inputs:
            if edge.value is not None:
                layouts[edge.layout or "plain"] += 1
    transforms = [call for call in content.form.calls if is_transform(content, call)]
    parts = [f"<b>{count}</b> {escape(layout)}" for layout, count in layouts.most_common()]
    return (
        f"<p>Tensors between kernels: {', '.join(parts) or 'none'}. "
        f"Layout transforms: <b>{len(transforms)}</b>.</p>"
    )


def _stages(content: Content) -> str:
    longest = max((stage.seconds for stage in content.stages), default=1.0)
    return "".join(
        f"<tr><td>{escape(stage.name)}</td><td class=number>{stage.seconds:.2f} s</td><td class=bar>"
        f'<i style="--length:{stage.seconds / max(longest, 1e-9):.4f}"></i></td></tr>'
        for stage in content.stages
    )


def _data(content: Content) -> str:
    """What the page shows of a kernel that is clicked on."""
    calls = []
    for place, call in enumerate(content.form.calls):
        work, profile = content.work(place), content.profile
        measured = []
        if work is not None and profile is not None:
            measured.append(
                f"{work.microseconds / 1e3:.3f} ms, {100 * profile.share(work.microseconds):.1f} % of the run"
            )
            if work.gflops:
                peak = profile.peak_share(work, content.table.schedules[call.kernel])
                of_peak = "" if peak is None else f", {100 * peak:.0f} % of peak"
                measured.append(f"{work.gflops:.1f} GFLOP/s{of_peak}")
            if work.gbps:
                measured.append(f"{work.gbps:.1f} GB/s")
        flops = content.flops(call)
        calls.append(
            {
                "kernel": call.kernel,
                "title": content.table.subgraph_name(call)
                or " + ".join(operator.name for operator in call.operators),
                "operators": [str(operator) for operator in call.operators],
                "folded": [str(operator) for operator in call.folded],
                "schedule": content.schedule(call),
                "form": content.table.schedules[call.kernel].form,
                "work": "unknown" if flops is None else format_count(flops, "FLOP") if flops else "none",
                "measured": measured,
                "inputs": [_tensor(edge, content) for edge in call.inputs],
                "outputs": [_tensor(edge, content) for edge in call.outputs],
            }
        )
    # In a script, "</" would end it.
    return json.dumps(calls, ensure_ascii=False).replace("</", "<\\/")


def _tensor(edge: Edge, content: Content) -> str:
    kind = "weight" if edge.value is None else edge.layout or "plain"
    return f"{kind} {edge.dtype} {content.shape(edge)}"
