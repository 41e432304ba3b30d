"""How much CPU time processes take, and waiting until they take none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import perf_counter, sleep

_STEP_SECONDS = 0.03
_QUIET_STEPS = 2
# Of a step: what a sleeping process may take for its heartbeat threads.
_QUIET_SHARE = 0.03


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has taken, in steps of a hundredth of a second; 0 where it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    user, system = map(int, fields[11:13])
    return (user + system) / os.sysconf("SC_CLK_TCK")


def _living_threads_seconds(pid: int) -> float:
    """CPU time of the threads that there are, to the nanosecond."""
    return sum(int(line.split()[0]) for line in _of_each_thread(pid, "schedstat")) / 1e9


def _is_runnable(pid: int) -> bool:
    """Whether a thread runs or waits for a core: one that is starved takes no time, and does not sleep."""
    return any(line.rpartition(")")[2].split()[0] == "R" for line in _of_each_thread(pid, "stat"))


def _of_each_thread(pid: int, name: str) -> Iterator[str]:
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return
    for task in tasks:
        try:
            text = Path(f"/proc/{pid}/task/{task}/{name}").read_text()
        except (FileNotFoundError, ProcessLookupError):
            # A thread that has ended since.
            continue
        yield text


def machine_busy_seconds() -> float:
    """CPU time that everything on this machine has taken, in steps of a hundredth of a second."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _io, irq, soft_irq, stolen = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + soft_irq + stolen) / os.sysconf("SC_CLK_TCK")


def wait_until_asleep(pids: Iterable[int], limit_seconds: float) -> list[int]:
    """Wait until no thread of these processes runs.

    A library's threads spin for a while after their work is done (GNU and Intel OpenMP for 200 ms), and would
    take the cores from the next engine.

    Returns
    -------
    list
        The processes that were still running after ``limit_seconds``.
    """
    watched = list(pids)
    end = perf_counter() + limit_seconds
    quiet = 0
    before, last = {pid: _living_threads_seconds(pid) for pid in watched}, perf_counter()
    while True:
        sleep(_STEP_SECONDS)
        now = perf_counter()
        taken = {pid: _living_threads_seconds(pid) for pid in watched}
        busy = [
            pid
            for pid in watched
            if _is_runnable(pid) or taken[pid] - before[pid] > _QUIET_SHARE * (now - last)
        ]
        quiet = 0 if busy else quiet + 1
        if quiet >= _QUIET_STEPS:
            return []
        if now >= end:
            return busy
        before, last = taken, now
