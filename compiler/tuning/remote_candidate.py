"""A form of a kernel on a machine that is reached through TVM's RPC."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt
import tvm
from tvm import rpc

from paddle_tvm.compiler.linking import LAUNCHER_OPTIONS
from paddle_tvm.compiler.tuning.candidate import Kernel, build, calls_of_round
from paddle_tvm.compiler.tuning.child import Failed, describe
from paddle_tvm.compiler.tuning.memory_linking import link_in_memory
from paddle_tvm.compiler.tuning.messages import Machines
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.workload import Config

_SOURCE = Path(__file__).parents[1] / "native" / "remote_form.c"
# Machines that are lost before a form has run there; it is then tried on others.
_MOST_LOST = 3

_T = TypeVar("_T")


def link_form(kernel: Kernel, config: Config, target: Target) -> bytearray:
    """The shared library of a form, with the launcher of parallel loops."""
    code = os.memfd_create("paddle-tvm-code")
    try:
        path = f"/proc/self/fd/{code}"
        build(kernel, config, target).write_to_file(path, "o")
        library = link_in_memory([path, *LAUNCHER_OPTIONS, "-x", "c", str(_SOURCE)], [code])
    finally:
        os.close(code)
    try:
        return bytearray(os.pread(library, os.fstat(library).st_size, 0))
    finally:
        os.close(library)


class RemoteCandidate:
    """A form, as a machine has loaded it, with operands there.

    Parameters
    ----------
    session
        The session with the machine.
    name
        Of the library, among those of the session.
    library
        From ``link_form``.
    inputs, output, sizes
        The operands.
    memory_bytes
        How much memory it may take there.
    """

    def __init__(
        self,
        session: Any,
        name: str,
        library: bytearray,
        inputs: list[npt.NDArray[Any]],
        output: npt.NDArray[Any],
        sizes: Sequence[int],
        memory_bytes: int,
    ) -> None:
        session.upload(library, f"{name}.so")
        self._library = session.load_module(f"{name}.so")
        self._library["paddle_tvm_guard"](memory_bytes)
        self._call = self._library["main"]
        self._set_threads = self._library["paddle_tvm_threads"]
        self._device = session.cpu()
        tensors = [tvm.runtime.tensor(array, self._device) for array in [*inputs, output]]
        self._arguments, self._output = [*tensors, *sizes], tensors[-1]
        self._calls = 0

    def output(self, threads: int) -> npt.NDArray[Any]:
        """Call it once; what it computes."""
        with _session_may_end():
            self._set_threads(threads)
            self._call(*self._arguments)
            result: npt.NDArray[Any] = self._output.numpy()
        return result

    def round(self, threads: int) -> float:
        """Seconds of a call, on average over as many calls as every round has."""
        with _session_may_end():
            self._set_threads(threads)
            if not self._calls:
                self._calls = calls_of_round(self._time(1))
            return self._time(self._calls)

    def _time(self, calls: int) -> float:
        evaluator = self._library.time_evaluator("main", self._device, number=calls)
        return float(evaluator(*self._arguments).results[0])


@contextmanager
def _session_may_end() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # What TVM 0.27 says when the other end is gone.
        if "kShutdown" in str(error):
            raise Failed("crash", "the machine hung up: the form crashed, or the machine did") from None
        if type(error).__name__ == "RPCSessionTimeoutError":
            raise Failed("timeout", describe(error)) from None
        raise


@contextmanager
def on_machine(machines: Machines, limit_s: float, prepare: Callable[[Any], _T]) -> Iterator[_T]:
    """Prepare something on a machine as soon as one is free; on another one where that one is lost.

    Parameters
    ----------
    machines
        Which ones.
    limit_s
        After how many seconds the machine ends the session.
    prepare
        What to do with the session, before any form runs.

    Raises
    ------
    Failed
        Several were lost.
    """
    reasons: list[str] = []
    while len(reasons) < _MOST_LOST:
        with ExitStack() as session_open:
            try:
                tracker = rpc.connect_tracker(machines.host, machines.port)
                session = tracker.request(machines.key, session_timeout=limit_s, max_retry=1)
                session_open.callback(_close, session)
                prepared = prepare(session)
            except (RuntimeError, OSError) as error:
                reasons.append(describe(error))
                continue
            yield prepared
            return
    raise Failed("error", f"{_MOST_LOST} machines were lost before the form ran: {reasons[-1]}")


def _close(session: Any) -> None:
    """End a session; a machine whose client just goes may take that for an error, and serve none any more."""
    # It may be gone.
    with suppress(RuntimeError):
        session.get_function("CloseRPCConnection")()
