"""The kernels that a process has been asked to measure."""

from __future__ import annotations

import gc
import os
import pickle
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass

from paddle_tvm.compiler.tuning.candidate import Kernel
from paddle_tvm.compiler.tuning.child import Failed
from paddle_tvm.targets.workload import Config

# Each has its inputs and its default form's output in memory.
_MOST = 16


@dataclass
class KnownKernel:
    """A kernel.

    Attributes
    ----------
    kernel
        The kernel.
    reference
        The file, in memory, for the output of its default form.
    has_reference
        Whether that is there.
    best
        The shortest time of its forms so far, in seconds.
    """

    kernel: Kernel
    reference: int
    has_reference: bool = False
    best: float = float("inf")

    def no_reference(self, failure: Failed) -> Failed:
        """Why no form can be measured when the default one has failed."""
        why = f"the default form, to compare with, failed ({failure.status}): {failure.detail}"
        return Failed("unchecked", why)


class KnownKernels:
    """The kernels that were asked for last; ``seed`` is that of their inputs."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._kernels: OrderedDict[bytes, KnownKernel] = OrderedDict()

    def __getitem__(self, pickled: bytes) -> KnownKernel:
        if pickled not in self._kernels:
            if len(self._kernels) == _MOST:
                _, forgotten = self._kernels.popitem(last=False)
                os.close(forgotten.reference)
            self._kernels[pickled] = KnownKernel(self._load(pickled), os.memfd_create("paddle-tvm-reference"))
        self._kernels.move_to_end(pickled)
        return self._kernels[pickled]

    def prepare(self, kernel: Kernel, config: Config, *, copies: bool = False) -> None:
        """Have a kernel make what it makes once for many forms: a child that is forked then has it."""
        # If that fails, so does the child.
        with suppress(Exception):
            kernel.inputs(config, self._seed)
            if copies:
                kernel.copies(config, self._seed)

    def _load(self, pickled: bytes) -> Kernel:
        kernel: Kernel = pickle.loads(pickled)
        with suppress(Exception):
            kernel.output()
        self.prepare(kernel, kernel.workload.default())
        # Children would copy the memory of all objects that they look at for garbage.
        gc.freeze()
        return kernel
