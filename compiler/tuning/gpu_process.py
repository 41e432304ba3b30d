"""The process that has the GPU while forms of kernels are timed.

CUDA does not go on in a process that is forked after it was begun, so this one is started anew, for many
forms. A form that fails may leave the GPU's context, and what others have in its memory, in any state: this
process ends then, and ``gpu_trials`` starts another.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from paddle_tvm.compiler.profiling.gpu_clock import GpuClock
from paddle_tvm.compiler.tuning.candidate import perform
from paddle_tvm.compiler.tuning.child import Channel, Child, Failed, describe, die_with_parent
from paddle_tvm.compiler.tuning.gpu_candidate import GpuCandidate
from paddle_tvm.compiler.tuning.gpu_program import Program
from paddle_tvm.compiler.tuning.messages import Gpu
from paddle_tvm.compiler.tuning.outcome import Status
from paddle_tvm.runtime.cuda import Stream
from paddle_tvm.runtime.errors import PaddleTvmError, UsageError
from paddle_tvm.runtime.loader import load

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from paddle_tvm.compiler.tuning.gpu_process import main; "
    "main(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))"
)
# CUDA takes far more of the address space than there is memory.
_ADDRESS_BYTES = 1 << 46


def start_gpu_process(gpu: Gpu, closed: tuple[int, ...]) -> Child:
    """Start the process; it says when it has the GPU.

    Parameters
    ----------
    gpu
        Which GPU, and what to load.
    closed
        Files that are for this process alone.
    """
    parent = os.getpid()

    def become(channel: Channel) -> None:
        os.set_inheritable(channel.fileno(), True)
        arguments = [json.dumps(sys.path), str(channel.fileno()), str(parent), gpu.artifact, str(gpu.number)]
        os.execve(sys.executable, [sys.executable, "-c", _START, *arguments], dict(os.environ))

    return Child(become, _ADDRESS_BYTES, 0, closed)


def main(file: int, parent: int, artifact: str, number: int) -> None:
    """Serve the parent at the other end of a socket until that is closed."""
    die_with_parent(parent)
    # TVM's handler prints how it came to it.
    signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    channel = Channel(socket.socket(fileno=file))
    try:
        _serve(channel, artifact, number)
    except Failed as failure:
        channel.send({"failed": [failure.status, failure.detail]})
    except BaseException as error:
        channel.send({"failed": [_status(error), describe(error)]})
    finally:
        # At once: what cleans up asks a context that may be damaged.
        os._exit(0)


def _serve(channel: Channel, artifact: str, number: int) -> None:
    # The form that the user will run, with its weights: for its libraries, and as large as it is.
    device = load(artifact, hashes=False, device=number).device
    assert device is not None
    stream = Stream(device)
    clock = GpuClock(stream)
    candidates: dict[str, GpuCandidate] = {}
    channel.send({"ready": device.describe()})
    while (message := channel.receive()) is not None:
        channel.send({"seconds": _do(message, candidates, stream, clock)})


def _do(
    message: Sequence[Any], candidates: dict[str, GpuCandidate], stream: Stream, clock: GpuClock
) -> list[float]:
    match message:
        case ["load", name, library, described, operands, weights, model_bytes]:
            program = Program.from_json(described)
            with np.load(operands) as arrays:
                inputs = [arrays[f"arr_{place}"] for place in range(program.inputs)]
            candidates[name] = GpuCandidate(stream, clock, library, program, inputs, weights, model_bytes)
            return []
        case ["do", name, command, reference]:
            file = os.open(reference, os.O_RDWR)
            try:
                return perform(candidates[name], command, file)
            finally:
                os.close(file)
        case ["drop", name]:
            del candidates[name]
            return []
    raise ValueError(f"the process of the GPU does not know the message {message}")


def _status(error: BaseException) -> Status:
    if isinstance(error, MemoryError | UsageError):
        return "memory"
    return "crash" if isinstance(error, PaddleTvmError) else "error"
