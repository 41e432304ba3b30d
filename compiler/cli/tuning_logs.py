"""``paddle-tvm tune --check`` and ``--merge``: what is in tuning logs, and several made one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from paddle_tvm.compiler.cli.prose import say
from paddle_tvm.compiler.tuning.log import Checked, Skipped, check_is_log, check_log
from paddle_tvm.compiler.tuning.merge import merge_logs
from paddle_tvm.compiler.tuning.records import Header, Record, Winner
from paddle_tvm.runtime.errors import ArtifactError
from paddle_tvm.runtime.wording import counted

# What a log may hold, as it is counted.
_KINDS = ("winner", "kept default", "trial")
# Shown where there are any.
_TAKEN_BACK = "take-back"


@dataclass
class _Report:
    """A log: how many records of a kind can be applied, by what they were measured under, and the others."""

    log: Path
    usable: dict[Header, Counter[str]] = field(default_factory=dict)
    stale: list[tuple[int, str]] = field(default_factory=list)
    bad: list[tuple[int, str]] = field(default_factory=list)

    def by_conditions(self) -> dict[Header, tuple[Counter[str], list[str]]]:
        """What can be applied by headers without their dates, with the dates, the earliest first."""
        joined: dict[Header, tuple[Counter[str], list[str]]] = {}
        for header, counts in self.usable.items():
            total, dates = joined.setdefault(replace(header, date=""), (Counter(), []))
            total.update(counts)
            dates.append(header.date)
            dates.sort()
        return joined

    def add(self, found: Checked | Skipped) -> None:
        if isinstance(found, Skipped):
            (self.stale if found.stale else self.bad).append((found.line, found.reason))
        elif found.problem is not None:
            self.stale.append((found.entry.line, found.problem))
        else:
            self.usable.setdefault(found.entry.header, Counter())[_kind(found.entry.record)] += 1

    def count(self, kind: str) -> int:
        return sum(counts[kind] for counts in self.usable.values())

    def as_json(self) -> dict[str, object]:
        return {
            "log": str(self.log),
            "winners": self.count("winner"),
            "defaults": self.count("kept default"),
            "trials": self.count("trial"),
            "take_backs": self.count(_TAKEN_BACK),
            "measured": [
                {
                    **header.to_json(),
                    "winners": counts["winner"],
                    "defaults": counts["kept default"],
                    "trials": counts["trial"],
                }
                for header, counts in self.usable.items()
            ],
            "stale": [{"line": line, "reason": reason} for line, reason in self.stale],
            "bad": [{"line": line, "reason": reason} for line, reason in self.bad],
        }


def _kind(record: Record) -> str:
    if not isinstance(record, Winner):
        return "trial"
    if record.taken_back:
        return _TAKEN_BACK
    return "kept default" if record.keeps_default else "winner"


def check_tuning_logs(logs: Sequence[Path], as_json: bool) -> None:
    """Print what this version can do with the records of logs.

    Raises
    ------
    UsageError
        A log is missing, or cannot be read.
    ArtifactError
        There are lines that cannot be applied.
    """
    for log in logs:
        check_is_log(log)
    reports = []
    for log in logs:
        reports.append(_Report(log))
        for found in check_log(log):
            reports[-1].add(found)
    if as_json:
        click.echo(json.dumps([report.as_json() for report in reports], indent=2))
    else:
        for report in reports:
            _print(report)
    unusable = sum(len(report.stale) + len(report.bad) for report in reports)
    if unusable:
        raise ArtifactError(
            f"{counted(unusable, 'line')} cannot be applied, which `compile` skips: `paddle-tvm tune --merge "
            "LOG -o NEW` writes a log without them, and tuning the model again measures what they stood for"
        )


def merge_tuning_logs(logs: Sequence[Path], output: Path, force: bool, as_json: bool) -> None:
    """Join logs into one, and print what it holds."""
    merged = merge_logs(logs, output, force=force)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "log": str(output),
                    "winners": merged.winners,
                    "defaults": merged.defaults,
                    "skipped": [
                        {"log": str(line.path), "line": line.line, "reason": line.reason}
                        for line in merged.skipped
                    ],
                },
                indent=2,
            )
        )
        return
    held = f"{counted(merged.winners, 'winner')} and {counted(merged.defaults, 'kept default')}"
    click.echo(f"{output}: {held} of {counted(len(logs), 'log')}")
    for line in merged.skipped:
        say(f"warning: {line.path}:{line.line} was left out: {line.reason}", err=True)


def _print(report: _Report) -> None:
    kinds = [*_KINDS, *([_TAKEN_BACK] if report.count(_TAKEN_BACK) else [])]
    held = ", ".join(counted(report.count(kind), kind) for kind in kinds)
    click.echo(f"{report.log}: {held} that can be applied")
    for header, (counts, dates) in report.by_conditions().items():
        held = ", ".join(counted(counts[kind], kind) for kind in _KINDS)
        core = header.microarchitecture or "microarchitecture not recorded"
        click.echo(
            f"  {held} for {header.target}: {header.cpu} ({core}), "
            f"{counted(header.threads, 'thread')}, {_span(dates)}, paddle-tvm {header.paddle_tvm}, "
            f"TVM {header.tvm}"
        )
    named = [(line, "stale", reason) for line, reason in report.stale]
    named += [(line, "damaged", reason) for line, reason in report.bad]
    for line, name, reason in sorted(named):
        click.echo(f"  line {line} is {name}: {reason}")


def _span(dates: Sequence[str]) -> str:
    first, last = dates[0], dates[-1]
    return first if first == last else f"{first} to {last}"
