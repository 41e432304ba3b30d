"""Calls native code with a chosen number of threads of TVM's own pools.

Artifacts of format 1 need this, and code that ``tvm`` builds; later artifacts bring a better pool
(``launcher``).

TVM keeps one thread pool for each calling thread. Its size is fixed when that thread first uses it, it dies
with the thread, and it does not survive a fork. So a call that wants one thread runs where it is made, where
a pool of one holds no thread at all; a call that wants more runs on a thread of ours that has a pool of that
size and is kept for the next call, whoever makes it.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

from paddle_tvm.runtime.errors import PaddleTvmError
from paddle_tvm.runtime.ffi import get_function

# ThreadGroup::kSpecifyThreadShareAllCore. Every other mode binds the calling thread and the workers to the
# first CPUs, so that two pools in a process would share them.
_SHARE_ALL_CPUS = -3


class _ThreadState(threading.local):
    has_pool_of_one = False


_state = _ThreadState()
_configuring = threading.Lock()
_idle: defaultdict[int, list[_Executor]] = defaultdict(list)


def call_on_own_pool(threads: int, call: Callable[[], Any]) -> Any:
    """Call native code on ``threads`` threads and wait for its result."""
    return call_on_one_thread(call) if threads == 1 else call_on_threads(threads, call)


def call_on_one_thread(call: Callable[[], Any]) -> Any:
    """Call native code here, on the calling thread alone."""
    if not _state.has_pool_of_one:
        _configure(1)
        _state.has_pool_of_one = True
    return call()


def call_on_threads(threads: int, call: Callable[[], Any]) -> Any:
    """Call native code on ``threads`` threads and wait for its result."""
    idle = _idle[threads]
    try:
        executor = idle.pop()
    except IndexError:
        executor = _Executor()
        executor.run(partial(_configure, threads))
    try:
        return executor.run(call)
    finally:
        if not executor.retired:
            idle.append(executor)


def _configure(threads: int) -> None:
    """Give the calling thread a pool of this size that may use every CPU that it may use itself."""
    config, strings = get_function("runtime.config_threadpool"), get_function("ffi.Array")
    cpus = [str(cpu) for cpu in sorted(os.sched_getaffinity(0))]
    cpus *= -(-threads // len(cpus))
    with _configuring:
        # A new pool takes its size from the number of CPUs listed; the second call frees it from just those.
        config(_SHARE_ALL_CPUS, threads, strings(*cpus[:threads]))
        config(_SHARE_ALL_CPUS, threads, strings(*cpus))
    count = get_function("runtime.NumThreads")()
    if count != threads:
        raise PaddleTvmError(f"asked for a pool of {threads} threads, and TVM made one of {count}")


class _Executor:
    """A thread that makes calls for others, one at a time."""

    def __init__(self) -> None:
        self.retired = False
        self._start = threading.Lock()
        self._done = threading.Lock()
        self._start.acquire()
        self._done.acquire()
        self._finished = False
        self._task: Callable[[], Any] | None = None
        self._result: Any = None
        self._error: BaseException | None = None
        threading.Thread(target=self._serve, name="paddle-tvm", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._start.acquire()
            task = self._task
            if task is None:
                return
            try:
                self._result = task()
            except BaseException as error:
                self._error = error
            # An idle thread must keep nobody's tensors alive.
            self._task = task = None
            self._finished = True
            self._done.release()

    def run(self, task: Callable[[], Any]) -> Any:
        self._task = task
        self._finished = False
        started = False
        # Ctrl-C must not leave before the call has ended: the caller would use the VM again meanwhile.
        interrupt: KeyboardInterrupt | None = None
        while not self._finished:
            try:
                if not started:
                    started = True
                    self._start.release()
                self._done.acquire()
            except KeyboardInterrupt as caught:
                interrupt = caught
        result, error = self._result, self._error
        self._result = self._error = None
        if interrupt is not None:
            # Whether _done was taken is unknown now, so this thread ends instead of serving again.
            self.retired = True
            self._start.release()
            raise interrupt
        if error is not None:
            raise error
        return result


def _after_fork_in_child() -> None:
    global _configuring
    # The child has only the thread that forked: the executors are gone, and a lock may have been held.
    _idle.clear()
    _configuring = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
