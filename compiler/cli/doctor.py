"""``paddle-tvm doctor``: is this installation sound?"""

from __future__ import annotations

import json

import click

from paddle_tvm.compiler.cli.text_table import print_table
from paddle_tvm.runtime.wording import counted


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def doctor(as_json: bool) -> None:
    """Check Python, packages, C compiler and CPU, and say what to type for what is missing.

    An extra that is not installed is no fault. Exits with 0 where what is installed is sound, else with 2.
    """
    from paddle_tvm.compiler.cli.health import check_installation

    findings = check_installation()
    broken = [finding for finding in findings if finding.state == "broken"]
    if as_json:
        content = {"sound": not broken, "findings": [finding._asdict() for finding in findings]}
        click.echo(json.dumps(content, indent=2))
    else:
        rows = [[_MARKS[finding.state], finding.what, finding.found, finding.advice] for finding in findings]
        print_table(["", "what", "found", "to do"], rows)
        click.echo()
        click.echo(
            "This installation is sound." if not broken else f"{counted(len(broken), 'fault')}: see 'to do'."
        )
    if broken:
        click.get_current_context().exit(2)


_MARKS = {"ok": "ok", "absent": "-", "broken": "FAULT"}
