"""A verification's result, for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from paddle_tvm.compiler.verify import VerificationResult


def print_verification(result: VerificationResult, console: Console) -> None:
    """Print one row for each run and output, and then the warnings."""
    title = f"{result.made_for} against {result.reference}, tolerance {result.tolerance:g}"
    table = Table(title=title, title_justify="left")
    # Forms beside each other have names; an only one needs none.
    several = len({check.form for check in result.checks}) > 1
    for heading in (*(("form",) if several else ()), "shapes", "input scale", "output"):
        table.add_column(heading, overflow="fold")
    for heading in ("max abs error", "relative error"):
        table.add_column(heading, justify="right")
    table.add_column("result", overflow="fold")
    for check in result.checks:
        shapes = " ".join(f"{name}={','.join(map(str, shape))}" for name, shape in check.shapes.items())
        for output in check.outputs:
            table.add_row(
                *((check.form,) if several else ()),
                shapes,
                "given" if check.scale is None else f"{check.scale:g}",
                output.name,
                f"{output.max_abs_error:.2e}",
                f"{output.max_rel_error:.2e}",
                "[green]equal[/]" if output.passed else f"[red]{output.problem}[/]",
            )
    console.print(table)
    for warning in result.warnings:
        console.print(f"[yellow]warning:[/] {warning}", soft_wrap=True)


def verification_as_json(result: VerificationResult) -> dict[str, Any]:
    """Everything the result holds; errors that are not finite become null."""
    content = {**asdict(result), "passed": result.passed}
    for check in content["checks"]:
        for output in check["outputs"]:
            for key in ("max_abs_error", "max_rel_error"):
                output[key] = output[key] if np.isfinite(output[key]) else None
            output["passed"] = output["problem"] is None
    return content
