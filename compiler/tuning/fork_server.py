"""The process that has TVM loaded and forks a child for each form of a kernel.

``measure.Measurer`` starts it and talks with it. It has one thread only, so that its children are sound.
"""

from __future__ import annotations

import gc
import os
import signal
import traceback
from multiprocessing.connection import Connection

import tvm
from tvm import te

from paddle_tvm.compiler.tuning.child import die_with_parent
from paddle_tvm.compiler.tuning.gpu_trials import GpuTrials
from paddle_tvm.compiler.tuning.local_trials import LocalTrials
from paddle_tvm.compiler.tuning.messages import CompareRequest, MeasureRequest, Setup
from paddle_tvm.compiler.tuning.remote_trials import RemoteTrials
from paddle_tvm.runtime.cpu import permit_amx
from paddle_tvm.targets.base import Target


def main(file: int, tuner: int) -> None:
    """Serve the tuner, a process, at the other end of a socket until that is closed."""
    die_with_parent(tuner)
    # Ctrl-C is for the tuner, which then closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = Connection(file)
    try:
        setup: Setup = line.recv()
        trials: LocalTrials | RemoteTrials | GpuTrials
        if setup.gpu is not None:
            trials = GpuTrials(line, setup, setup.gpu)
        elif setup.machines is not None:
            trials = RemoteTrials(line, setup, setup.machines)
        else:
            trials = LocalTrials(line, setup)
        if setup.gpu is None:
            # For the children: those of this machine may use it.
            permit_amx()
            _warm_up(setup.target)
        threads = os.listdir("/proc/self/task")
        if len(threads) > 1:
            raise RuntimeError(f"has {len(threads)} threads, so it cannot fork: a library has started them")
        # Children would copy the memory of all objects that they look at for garbage.
        gc.freeze()
        line.send(None)
        while True:
            _serve(trials, line, line.recv())
    except (EOFError, ConnectionError):
        return


def _serve(
    trials: LocalTrials | RemoteTrials | GpuTrials, line: Connection, request: MeasureRequest | CompareRequest
) -> None:
    try:
        answers = trials.measure(request) if isinstance(request, MeasureRequest) else trials.compare(request)
        for answer in answers:
            line.send(answer)
        line.send(None)
    except ConnectionError:
        raise
    except Exception:
        line.send(traceback.format_exc())


def _warm_up(target: Target) -> None:
    """Build and time something, so that what TVM and LLVM set up once is there for all children."""
    data = te.placeholder((64, 64), "float32", name="data")
    doubled = te.compute((64, 64), lambda i, j: data[i, j] * 2, name="doubled")
    module = target.schedule(tvm.IRModule({"main": te.create_prim_func([data, doubled])}))
    library = tvm.tirx.build(module, target=target.tvm_target, pipeline=target.tir_pipeline)
    tensors = [tvm.runtime.empty((64, 64), "float32") for _ in range(2)]
    library.time_evaluator("main", tvm.cpu(), number=2)(*tensors)
