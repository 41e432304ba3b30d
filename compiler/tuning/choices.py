"""Which form each kernel gets, by what tuning logs say."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from math import inf, log2
from pathlib import Path

from paddle_tvm.compiler.tuning.log import PACKED, Entry, Skipped, in_force, problem_of, read_log
from paddle_tvm.compiler.tuning.log_use import ForeignForms, UnusedLog
from paddle_tvm.compiler.tuning.records import LEAST_GAIN, Winner
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.core_families import same_family
from paddle_tvm.targets.workload import Choice, Config, GraphWorkload, Origin, Workload

# How far the sizes of a neighbour may be, all of them together: by this factor.
_FARTHEST = 2.0


def shipped_folder(target: Target) -> Path:
    """Where the package has its logs for the class of a target."""
    return Path(str(files("paddle_tvm.tuning_logs"))) / target.target_class


def shipped_logs(target: Target) -> tuple[Path, ...]:
    """The logs that the package brings for the class of a target."""
    folder = shipped_folder(target)
    return tuple(sorted([*folder.glob("*.jsonl"), *folder.glob(f"*.jsonl{PACKED}")]))


@dataclass(frozen=True)
class _Known:
    """A winner, and in which order it is asked among those of its workload."""

    rank: tuple[bool, bool, bool, int, bool, float, float, str, str]
    winner: Winner
    entry: Entry
    gain: float
    source: str
    is_foreign: bool

    @property
    def improves(self) -> bool:
        winner = self.winner
        return self.gain >= LEAST_GAIN and dict(winner.config) != dict(winner.default_config)


class TunedChoices:
    """The forms of kernels by tuning logs; where they say nothing, by the analytic model.

    A workload gets the form of its own record; else that of its nearest neighbour (the workload of the same
    family whose sizes are nearest, up to a factor of two), where it has such a form and the analytic model
    takes it for about as good as the default; else the default. So it does where the record says that nothing
    is at least 2 % faster than the default. Of several records, those of the user's logs count before those
    shipped, then those measured on cores of the target's family (``core_families``), then those measured with
    the most threads that are no more than asked for, then the larger gain; where records of a workload of
    unknown sizes were searched at several, that which saves the most seconds of a call. The order of the logs
    does not matter.

    Shipped records from cores of another family are not looked at: nobody has asked for them, and what is
    fastest on one core may be slow on the other. The user's are, and ``foreign_forms`` says so.

    Parameters
    ----------
    target
        What is compiled for. Records of another target class are not looked at, whoever has them.
    logs
        The user's logs.
    shipped
        Logs that the package brings.
    threads
        Threads that the code will run with; None for any number.
    fixed
        Forms of workloads, by their keys, that they get whatever the logs say.

    Attributes
    ----------
    made
        The choice for every workload that was asked for, by its key.

    Raises
    ------
    UsageError
        A log cannot be read.
    """

    def __init__(
        self,
        target: Target,
        logs: Iterable[Path] = (),
        shipped: Iterable[Path] = (),
        threads: int | None = None,
        fixed: Mapping[str, Config] | None = None,
    ) -> None:
        self._fixed = fixed or {}
        self.made: dict[str, Choice] = {}
        self._target = target
        self._used: dict[str, _Known] = {}
        self._answered: set[Path] = set()
        skipped: list[Skipped] = []
        # The user's logs that had said something of a workload, which does not hold any more.
        self._taken_back: defaultdict[Workload, set[Path]] = defaultdict(set)
        known: defaultdict[Workload, list[_Known]] = defaultdict(list)
        self._classes: dict[Path, set[str]] = {}
        for brought, paths in ((False, logs), (True, shipped)):
            for path in paths:
                classes: set[str] = set()
                for winner in _winners(path, target, brought, threads, skipped, classes):
                    workload = winner.winner.workload
                    if winner.winner.taken_back:
                        self._taken_back[workload].add(path)
                    else:
                        known[workload].append(winner)
                if not brought:
                    self._classes[path] = classes
        self._skipped = skipped
        self._known: Mapping[Workload, Sequence[_Known]] = {
            workload: sorted(winners, key=lambda winner: winner.rank) for workload, winners in known.items()
        }
        self._families: defaultdict[tuple[str, tuple[object, ...]], list[Workload]] = defaultdict(list)
        for workload in sorted(known, key=lambda workload: workload.key):
            self._families[(workload.operator, workload.family())].append(workload)

    def of(self, workload: Workload) -> Choice:
        """The form of a workload."""
        key = workload.key
        if key not in self.made:
            self.made[key] = self._choose(workload)
        return self.made[key]

    def of_graph(self) -> dict[GraphWorkload, Choice]:
        """The choices made above kernels."""
        asked = ((Workload.from_key(key), choice) for key, choice in self.made.items())
        return {workload: choice for workload, choice in asked if isinstance(workload, GraphWorkload)}

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Lines of the logs that gave no form, though they were meant to."""
        return tuple(self._skipped)

    @property
    def threads(self) -> int | None:
        """The number of threads that all records in use were measured with; None where there is no such."""
        used = {known.entry.header.threads for known in self._used.values()}
        return used.pop() if len(used) == 1 else None

    @property
    def foreign_forms(self) -> tuple[ForeignForms, ...]:
        """The user's logs whose forms are in use and were measured on cores of another family."""
        measured: defaultdict[Path, set[str | None]] = defaultdict(set)
        for known in self._used.values():
            if known.is_foreign:
                measured[known.entry.path].add(known.entry.header.microarchitecture)
        return tuple(
            ForeignForms(path, tuple(sorted(names, key=str)), self._target.microarchitecture)
            for path, names in sorted(measured.items())
        )

    @property
    def unused_logs(self) -> tuple[UnusedLog, ...]:
        """The user's logs that have no winner for a workload that was asked for so far.

        A record that was outranked by one of another log counts as used, and so does one by which the default
        is the best: they are of this model.
        """
        return tuple(
            UnusedLog(path, tuple(sorted(classes)), self._target.target_class)
            for path, classes in self._classes.items()
            if path not in self._answered
        )

    def _choose(self, workload: Workload) -> Choice:
        if workload.key in self._fixed:
            return Choice(self._fixed[workload.key])
        fitting = None
        self._answered |= self._taken_back.get(workload, set())
        for known in self._known.get(workload, ()):
            self._answered.add(known.entry.path)
            problem = problem_of(known.winner)
            if problem is not None:
                self._skipped.append(Skipped(known.entry.path, known.entry.line, problem, True))
            elif fitting is None:
                fitting = known
        if fitting is not None:
            return self._take(workload, fitting, "tuned")
        neighbour = self._neighbour(workload)
        if neighbour is None:
            return Choice(workload.default())
        self._answered.update(known.entry.path for known in self._known[neighbour.winner.workload])
        return self._take(workload, neighbour, "transferred")

    def _take(self, workload: Workload, known: _Known, origin: Origin) -> Choice:
        config, default = dict(known.winner.config), workload.default()
        if not known.improves or config == dict(default):
            return Choice(default)
        self._used[workload.key] = known
        return Choice(config, origin, known.source)

    def _neighbour(self, workload: Workload) -> _Known | None:
        near = [
            (distance, other)
            for other in self._families[(workload.operator, workload.family())]
            if other != workload and (distance := _distance(workload, other)) <= log2(_FARTHEST)
        ]
        for _, other in sorted(near, key=lambda found: (found[0], found[1].key)):
            best = self._known[other][0]
            form = best.winner.config
            if not best.improves or (workload.fits(form) and workload.agrees(form)):
                return best
        return None


def _winners(
    path: Path,
    target: Target,
    brought: bool,
    threads: int | None,
    skipped: list[Skipped],
    classes: set[str],
) -> Iterator[_Known]:
    """The winners of a log for a target; ``classes`` gets the target classes of all."""
    found = list(read_log(path))
    skipped += [line for line in found if isinstance(line, Skipped)]
    for entry in in_force(line for line in found if isinstance(line, Entry)):
        winner, measured = entry.record, entry.header.threads
        if not isinstance(winner, Winner):
            continue
        classes.add(entry.header.target)
        if entry.header.target != target.target_class:
            continue
        foreign = not same_family(entry.header.microarchitecture, target.microarchitecture)
        if foreign and brought:
            continue
        gain = winner.gain(measured)
        # The same however the package was installed.
        source = f"{path.name.removesuffix(PACKED)}:{entry.line}"
        beyond = threads is not None and measured > threads
        rank = (
            *(brought, foreign, beyond, measured if beyond else -measured),
            *(*winner.worth(measured), winner.seconds[measured]),
            *(json.dumps(dict(winner.config), sort_keys=True), source),
        )
        yield _Known(rank, winner, entry, gain, source, foreign)


def _distance(workload: Workload, other: Workload) -> float:
    """How far the sizes are apart: the logarithm of the product of their ratios."""
    return sum(
        0.0 if one == two else abs(log2(one / two)) if one and two else inf
        for one, two in zip(workload.sizes(), other.sizes(), strict=True)
    )
