"""Runs code that may crash, hang or exhaust memory in a process of its own, forked from this one."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
import socket
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any

from paddle_tvm.compiler.tuning.outcome import Outcome, Status
from paddle_tvm.targets.workload import Config

_LONGEST_MESSAGE = 1 << 16
_LONGEST_DETAIL = 300
# A thread's stack, and what the C library reserves of the address space for its heap.
_THREAD_BYTES = 160 << 20
_OUT_OF_MEMORY = ("bad_alloc", "out of memory", "Cannot allocate memory")

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """How a child ended that did not answer."""

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(status, detail)
        self.status: Status = status
        self.detail = detail

    def of(self, config: Config) -> Outcome:
        """That as what came of a form."""
        return Outcome(config, self.status, detail=self.detail)


class Channel:
    """One end of a line between a child and its parent, for JSON."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def fileno(self) -> int:
        return self._line.fileno()

    def send(self, message: Any) -> None:
        self._line.send(json.dumps(message).encode())

    def receive(self) -> Any:
        """The next message; None where the other end is gone."""
        try:
            message = self._line.recv(_LONGEST_MESSAGE)
        except ConnectionResetError:
            return None
        return json.loads(message) if message else None

    def close(self) -> None:
        self._line.close()


def die_with_parent(parent: int) -> None:
    """Have the system kill this process as soon as its parent is gone."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Child:
    """A forked process that runs a task, which talks through a channel until that is closed.

    Parameters
    ----------
    task
        What to run. What it raises becomes the child's answer.
    memory_bytes
        How much memory it may take, beyond what this process has.
    threads
        How many threads it may have.
    closed
        Files that are for this process alone.
    """

    def __init__(
        self, task: Callable[[Channel], None], memory_bytes: int, threads: int, closed: tuple[int, ...] = ()
    ) -> None:
        parent = os.getpid()
        # It keeps the boundaries of messages, so half of one never arrives.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._said = os.memfd_create("paddle-tvm-said")
        self.pid = os.fork()
        if self.pid == 0:
            try:
                die_with_parent(parent)
                os.setpgid(0, 0)
                # TVM's handler prints how it came to it.
                signal.signal(signal.SIGSEGV, signal.SIG_DFL)
                gc.disable()
                for file in (ours.fileno(), *closed):
                    os.close(file)
                _redirect(self._said)
                _limit(memory_bytes + threads * _THREAD_BYTES)
                _run(task, Channel(theirs))
            finally:
                os._exit(0)
        theirs.close()
        self.channel = Channel(ours)
        self._ended = False

    def fileno(self) -> int:
        return self.channel.fileno()

    def tell(self, message: Any) -> None:
        """Send a message.

        Raises
        ------
        Failed
            The child has ended.
        """
        try:
            self.channel.send(message)
        except OSError:
            raise self._why_it_ended() from None

    def ask(self, message: Any, what: str, limit_s: float) -> Any:
        """Send a message and wait for the answer; ``what`` is what it is asked to do, for people.

        Raises
        ------
        Failed
            There is none in time.
        """
        self.tell(message)
        if not wait([self.fileno()], limit_s):
            raise self.late(what, limit_s)
        return self.answer()

    def answer(self) -> Any:
        """The child's next message, once there is one.

        Raises
        ------
        Failed
            It has ended, or what it says is that it failed.
        """
        message = self.channel.receive()
        if message is None:
            raise self._why_it_ended()
        if "failed" in message:
            self.end()
            raise Failed(*message["failed"])
        return message

    def late(self, what: str, limit_s: float) -> Failed:
        """End the child, because it has not done something in time."""
        self.end()
        return Failed("timeout", f"took longer than {limit_s:g} s to {what}")

    def kill(self) -> None:
        """Kill the child, if it still runs, with all that it has started."""
        if not self._ended:
            for kill in (os.killpg, os.kill):
                try:
                    kill(self.pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    def end(self) -> None:
        """Kill the child, if it still runs, and wait until it is gone."""
        if not self._ended:
            self.kill()
            self._reap()

    def _reap(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        self._ended = True
        self.channel.close()
        self._last_words = os.pread(self._said, _LONGEST_MESSAGE, 0).decode(errors="replace")
        os.close(self._said)
        return os.waitstatus_to_exitcode(status)

    def _why_it_ended(self) -> Failed:
        code = self._reap()
        lines = [line.strip() for line in self._last_words.splitlines() if line.strip()]
        said = "; ".join(lines[:2])[:_LONGEST_DETAIL]
        if any(sign in said for sign in _OUT_OF_MEMORY):
            return Failed("memory", said)
        if code == -signal.SIGKILL:
            # Not by this process: then it is the system, which ends who takes most when memory runs out.
            return Failed("memory", "killed from outside, most likely because the machine's memory ran out")
        ended = f"ended with code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
        return Failed("crash", f"{ended}: {said}" if said else ended)


def _redirect(said: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(said, 1)
    os.dup2(said, 2)


def _limit(more_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open("/proc/self/statm") as statm:
        taken = int(statm.read().split()[0]) * resource.getpagesize()
    limit = taken + more_bytes
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY:
        limit = min(limit, most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # What it prints is a file in memory.
    resource.setrlimit(resource.RLIMIT_FSIZE, (more_bytes, more_bytes))


def _run(task: Callable[[Channel], None], channel: Channel) -> None:
    try:
        task(channel)
    except BaseException as error:
        failure = failure_of(error)
        channel.send({"failed": [failure.status, failure.detail]})


def failure_of(error: BaseException) -> Failed:
    """How code failed that raised an error."""
    if isinstance(error, Failed):
        return error
    memory = isinstance(error, MemoryError) or any(sign in str(error) for sign in _OUT_OF_MEMORY)
    return Failed("memory" if memory else "error", describe(error))


def describe(error: BaseException) -> str:
    """An error in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # RPC puts a heading before what the other side says.
    said = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    return f"{type(error).__name__}: {said}"[:_LONGEST_DETAIL]
