"""Times forms of kernels on this machine, whatever they do."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from multiprocessing.connection import Pipe
from types import TracebackType

from paddle_tvm.compiler.tuning.candidate import Kernel
from paddle_tvm.compiler.tuning.launcher_library import compile_launcher
from paddle_tvm.compiler.tuning.local_trials import BATCH
from paddle_tvm.compiler.tuning.messages import Answer, CompareRequest, Gpu, Machines, MeasureRequest, Setup
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.targets.base import Target
from paddle_tvm.targets.workload import Config

_START = (
    "import ast, sys; sys.path[:] = ast.literal_eval(sys.argv[1]); "
    "from paddle_tvm.compiler.tuning.fork_server import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
# Libraries that NumPy may have for linear algebra start threads when they are loaded, which a process that
# forks must not have.
_ONE_THREAD = {
    name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")
}
_MOST_WORDS = 4000


class _Died(Exception):
    """The server is gone; how, and what it said."""


class _Server:
    """A process that measures, and the line to it."""

    def __init__(self, setup: Setup) -> None:
        self._line, theirs = Pipe()
        self._said = os.memfd_create("paddle-tvm-said")
        arguments = [repr(sys.path), str(theirs.fileno()), str(os.getpid())]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *arguments],
            pass_fds=(theirs.fileno(), setup.launcher),
            env={**os.environ, **_ONE_THREAD},
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            # A signal from the terminal is for the tuner.
            start_new_session=True,
        )
        theirs.close()
        # If it has died already, that shows when it is asked for something.
        with suppress(ConnectionError):
            self._line.send(setup)
        self._ready = False

    def ask(self, request: MeasureRequest | CompareRequest) -> Iterator[Answer]:
        """The answers to a request, as they come.

        Raises
        ------
        _Died
            The server has died.
        """
        try:
            self._wait_until_ready()
            self._line.send(request)
            while (answer := self._line.recv()) is not None:
                if isinstance(answer, str):
                    raise RuntimeError(f"the process that measures failed:\n{answer}")
                yield answer
        except (EOFError, ConnectionError):
            raise _Died(self._last_words()) from None

    def _wait_until_ready(self) -> None:
        if self._ready:
            return
        try:
            self._line.recv()
        except (EOFError, ConnectionError):
            if self._process.wait() == -signal.SIGKILL:
                raise
            raise RuntimeError(f"the process that measures does not start: {self._last_words()}") from None
        self._ready = True

    def end(self) -> None:
        """End the process; the system then ends what it has started."""
        self._process.kill()
        self._process.wait()
        self._line.close()
        os.close(self._said)

    def _last_words(self) -> str:
        code = self._process.wait()
        said = os.pread(self._said, os.fstat(self._said).st_size, 0).decode(errors="replace").strip()
        return f"it ended with code {code}" + (f":\n{said[-_MOST_WORDS:]}" if said else "")


class Measurer:
    """Builds forms of kernels and times them on this machine.

    Forms have processes of their own: one may crash, hang, take all memory or compute something else, and
    that is what its outcome says. Nothing is built while something is timed. It is a context manager; what
    it starts is gone afterwards, also when this process is killed.

    Parameters
    ----------
    target
        What to build for; a CPU whose code this machine runs, or the GPU that times.
    threads
        How many threads forms are timed with.
    seed
        Of the inputs.
    build_jobs
        How many forms are built at once; as many as there are CPUs by default.
    build_limit_s, run_limit_s
        After how many seconds forms are given up: until those are built that a process builds at once, and
        until one is checked and timed.
    memory_limit_bytes
        How much memory a process may take to build forms and run them.
    machines
        Which machines time; None: this one.
    gpu
        Which GPU of this machine times; None: its CPU.

    Raises
    ------
    UsageError
        There is no C compiler.
    """

    def __init__(
        self,
        target: Target,
        threads: int,
        seed: int = 0,
        build_jobs: int | None = None,
        build_limit_s: float = 20.0,
        run_limit_s: float = 10.0,
        memory_limit_bytes: int = 4 << 30,
        machines: Machines | None = None,
        gpu: Gpu | None = None,
    ) -> None:
        self._setup = Setup(
            target,
            threads,
            seed,
            build_jobs or len(os.sched_getaffinity(0)),
            build_limit_s,
            run_limit_s,
            memory_limit_bytes,
            compile_launcher(),
            machines,
            gpu,
        )
        self._server: _Server | None = _Server(self._setup)

    def __enter__(self) -> Measurer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._drop_server()
        os.close(self._setup.launcher)

    def measure(self, kernel: Kernel, configs: Sequence[Config]) -> Iterator[Outcome]:
        """Measure forms of a kernel.

        Yields
        ------
        Outcome
            Of each form, as soon as it is known.
        """
        pickled = pickle.dumps(kernel)
        remaining = dict(enumerate(configs))
        # Forms that were being built together when the server died are tried again one at a time, which
        # shows whether one of them ends it.
        careful = 0
        suspects = set[int]()
        while remaining:
            asked = dict(list(remaining.items())[: 1 if careful else None])
            try:
                with closing(self._ask(MeasureRequest(pickled, asked, self._at_once()))) as answers:
                    for answer in answers:
                        del remaining[answer.number]
                        yield answer.outcome
                careful -= 1
            except _Died as died:
                if careful:
                    (number,) = asked
                    if number in suspects and number in remaining:
                        yield Outcome(remaining.pop(number), "crash", detail=f"ends who measures it: {died}")
                    suspects.add(number)
                else:
                    careful = BATCH

    def compare(
        self, kernel: Kernel, configs: Sequence[Config], threads: Sequence[int], rounds: int
    ) -> dict[int, list[Outcome]]:
        """Time forms of a kernel in turns, so that what disturbs one disturbs all.

        Parameters
        ----------
        kernel, configs
            What to time. All forms are kept in memory.
        threads
            The numbers of threads to time with, one after the other.
        rounds
            How often it is each form's turn.

        Returns
        -------
        dict
            For each number of threads the outcome of each form, in the order of the forms; that of
            all is a crash where who measures dies twice.
        """
        request = CompareRequest(pickle.dumps(kernel), dict(enumerate(configs)), tuple(threads), rounds)
        try:
            answers = list(self._ask(request))
        except _Died:
            try:
                answers = list(self._ask(request))
            except _Died as died:
                # Which of them did it is not known; other kernels may still be compared.
                detail = f"who measures died twice comparing them: {died}"
                return {
                    count: [Outcome(config, "crash", detail=detail) for config in configs]
                    for count in threads
                }
        outcomes: dict[int, list[Outcome]] = {count: [] for count in threads}
        for answer in answers:
            outcomes[answer.threads].append(answer.outcome)
        return outcomes

    def _at_once(self) -> int:
        """How many forms are timed at once."""
        return 1

    def _ask(self, request: MeasureRequest | CompareRequest) -> Generator[Answer, None, None]:
        if self._server is None:
            self._server = _Server(self._setup)
        finished = False
        try:
            yield from self._server.ask(request)
            finished = True
        finally:
            # It died, or still works at what nobody waits for any more.
            if not finished:
                self._drop_server()

    def _drop_server(self) -> None:
        if self._server is not None:
            self._server.end()
            self._server = None
