"""Runs a compiled model, with the methods of Paddle Inference's ``Predictor``."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np

from paddle_tvm.runtime import memory
from paddle_tvm.runtime.config import Config
from paddle_tvm.runtime.errors import ArtifactError, PaddleTvmError, UsageError
from paddle_tvm.runtime.failures import failure
from paddle_tvm.runtime.ffi import Call
from paddle_tvm.runtime.loader import LoadedModel, load
from paddle_tvm.runtime.manifest import Manifest, Variant
from paddle_tvm.runtime.native_tensor import NativeTensor
from paddle_tvm.runtime.shapes import select_function
from paddle_tvm.runtime.tensor import Array, InputTensor, OutputTensor, RunState, Tensor
from paddle_tvm.runtime.wording import counted

if TYPE_CHECKING:
    from paddle_tvm.runtime.tensorrt_engines import Session


class Predictor:
    """A compiled model, ready to run; made by ``create_predictor`` or ``clone``.

    Several threads may call one predictor: calls of ``run`` follow each other. Handles hold its inputs and
    outputs, so threads that use handles need a predictor each (``clone``, ``PredictorPool``).
    """

    def __init__(self, model: LoadedModel, config: Config) -> None:
        manifest = model.manifest
        self._model = model
        self._config = config
        self._lock = threading.Lock()
        self._forked_while_running = False
        self._forked_on_device = False
        threads = config.cpu_math_library_num_threads()
        self._run_call: Callable[[Call], Any] = partial(model.library.call, threads)
        self._state = state = RunState()
        self._engines: Session | None = None
        if model.device is None:
            self._vm = model.new_vm(threads)
        else:
            from paddle_tvm.runtime.cuda import Stream

            state.stream = Stream(model.device)
            self._run_call = self._run_on_device
            if model.variant.target.kind == "tensorrt" and model.variant.loads:
                from paddle_tvm.runtime.tensorrt_engines import Session

                options = config.engine_options()
                self._engines = Session(model.path, model.manifest, options, state.stream)
                with self._engines.active():
                    self._vm = model.new_vm(threads)
            else:
                self._vm = model.new_vm(threads)
        self._inputs = {spec.name: InputTensor(spec, manifest.symbols, state) for spec in manifest.inputs}
        self._outputs = {spec.name: OutputTensor(spec, state, i) for i, spec in enumerate(manifest.outputs)}
        self._input_addresses: frozenset[int] = frozenset()
        self._recorded: set[str] = set()
        memory.start_watching()
        _predictors.add(self)

    def get_input_names(self) -> list[str]:
        """Return the names of the inputs, in the order that ``run`` takes them."""
        return list(self._inputs)

    def get_output_names(self) -> list[str]:
        """Return the names of the outputs, in the order that ``run`` returns them."""
        return list(self._outputs)

    def get_input_handle(self, name: str) -> Tensor:
        """Return the handle of an input.

        Raises
        ------
        UsageError
            The model has no input of this name.
        """
        if name not in self._inputs:
            raise UsageError(f"no input {name!r}: the model has {_names(self._inputs)}")
        return self._inputs[name]

    def get_output_handle(self, name: str) -> Tensor:
        """Return the handle of an output.

        Raises
        ------
        UsageError
            The model has no output of this name.
        """
        if name not in self._outputs:
            raise UsageError(f"no output {name!r}: the model has {_names(self._outputs)}")
        return self._outputs[name]

    def run(self, inputs: Sequence[Array] | None = None) -> list[Array] | None:
        """Run the model.

        Parameters
        ----------
        inputs
            One array for each input, in the order of ``get_input_names``; tensors with a ``numpy()`` method
            are converted. Without it, the data that the input handles hold.

        Returns
        -------
        list of numpy.ndarray or None
            The outputs, in the order of ``get_output_names``, if ``inputs`` were given.

        Raises
        ------
        UsageError
            An input is missing, its dtype or shape is not what the model takes, sizes do not go together, or
            they need more memory than there is.
        PaddleTvmError
            The model failed on these inputs, or the process was forked while this predictor ran.
        """
        if self._forked_while_running:
            raise PaddleTvmError(
                "this process was forked while the predictor ran in another thread, so its state here is "
                "unknown: create the predictor after the fork, or start the process with spawn"
            )
        if self._forked_on_device:
            raise PaddleTvmError(
                "this process was forked after the predictor was created, and CUDA does not go on in a "
                "child: create the predictor after the fork, before anything uses the GPU, or start the "
                "process with spawn"
            )
        with self._lock:
            if inputs is None:
                self._run()
                return None
            self._set_inputs(inputs)
            self._run()
            return [handle.copy_to_cpu() for handle in self._outputs.values()]

    def clone(self) -> Predictor:
        """Return another predictor that shares code and weights with this one."""
        return Predictor(self._model, self._config)

    def register_input_hook(self, hook: object) -> None:
        """Refuse: operators are fused, so there are no inputs of single ones to be seen."""
        raise _no_hooks("register_input_hook")

    def register_output_hook(self, hook: object) -> None:
        """Refuse: operators are fused, so there are no outputs of single ones to be seen."""
        raise _no_hooks("register_output_hook")

    def mcpu(self) -> str:
        """Return LLVM's name of the CPU that the code was made for; an artifact may hold several variants."""
        return self._model.variant.target.mcpu

    def clear_intermediate_tensor(self) -> None:
        """Do nothing: a run leaves no intermediate tensors."""

    def try_shrink_memory(self) -> int:
        """Free the memory that is cached for later runs, of all predictors in the process.

        Returns
        -------
        int
            How many bytes of physical memory the process gave back; of the GPU's, where the model runs on
            one.
        """
        device = self._model.device
        if device is None:
            return memory.free_cached()
        before = device.used()
        device.free_cached()
        return max(0, before - device.used())

    def _set_inputs(self, inputs: Sequence[Array]) -> None:
        if not isinstance(inputs, (list, tuple)):
            raise UsageError(f"run() takes a list of arrays, got {type(inputs).__name__}")
        if len(inputs) != len(self._inputs):
            wanted = counted(len(self._inputs), "input")
            raise UsageError(f"expected {wanted} ({_names(self._inputs)}), got {len(inputs)}")
        for handle, data in zip(self._inputs.values(), inputs, strict=True):
            if not isinstance(data, np.ndarray) and hasattr(data, "numpy"):
                data = data.numpy()
            handle.copy_from_cpu(data)

    def _run_on_device(self, call: Call) -> Any:
        assert self._state.stream is not None
        # The first run of a function whose sizes are known records its kernels, with memory of their own.
        name = self._function.name
        fixed = not any(isinstance(dim, str) for shape in self._function.input_shapes for dim in shape)
        engines = nullcontext() if self._engines is None else self._engines.active()
        with engines:
            results = self._state.stream.call(call, alone=name not in self._recorded)
        if fixed:
            self._recorded.add(name)
        return results

    def _library(self) -> str:
        return f"{self._model.path}/{self._model.variant.library}"

    def _bind(self) -> Call:
        tensors = tuple(handle.bound() for handle in self._inputs.values())
        chosen = select_function(self._model.manifest, [tuple(tensor.shape) for tensor in tensors])
        self._function = chosen
        self._input_addresses = frozenset(tensor.data for tensor in tensors)
        try:
            function = self._vm[chosen.name]
        except KeyError as error:
            raise ArtifactError(f"{self._library()} has no function {chosen.name!r}") from error
        self._state.call = call = Call(function, (*tensors, *self._model.weights_of(chosen)))
        return call

    def _run(self) -> None:
        state = self._state
        rebound = state.call is None
        call = state.call or self._bind()
        # Gone before the run, so that it can use their memory again.
        state.results = ()
        try:
            results: list[NativeTensor | Array] = [*self._run_call(call).tensors()]
        except PaddleTvmError:
            raise
        except Exception as error:
            raise self._failure(str(error)) from error
        if len(results) != len(self._outputs):
            raise ArtifactError(
                f"expected {counted(len(self._outputs), 'output')} from {self._library()}, got {len(results)}"
            )
        # An output may be an input passed through, whose memory the next copy_from_cpu overwrites.
        for i, result in enumerate(results):
            if isinstance(result, NativeTensor) and result.data in self._input_addresses:
                results[i] = state.fetch(result)
        state.results = results
        if rebound:
            limit = self._config.cached_memory_limit_mb() << 20
            if self._model.device is None:
                memory.free_above(limit)
            else:
                self._model.device.free_above(limit)

    def _failure(self, message: str) -> PaddleTvmError:
        shapes = {name: tuple(handle.shape()) for name, handle in self._inputs.items()}
        chosen = select_function(self._model.manifest, list(shapes.values()))
        inputs = dict(zip(shapes, chosen.input_shapes, strict=True))
        return failure(self._model.path, message, inputs, shapes)


def _no_hooks(method: str) -> UsageError:
    return UsageError(
        f"Predictor.{method}(): the operators of a compiled model are fused, so a hook would not see them; "
        "make the tensor an output of the saved model, or see which operator differs with: "
        "paddle-tvm verify ARTIFACT --model MODEL"
    )


_predictors: WeakSet[Predictor] = WeakSet()


def _after_fork_in_child() -> None:
    for predictor in _predictors:
        if predictor._lock.locked():
            predictor._forked_while_running = True
        if predictor._model.device is not None:
            predictor._forked_on_device = True


os.register_at_fork(after_in_child=_after_fork_in_child)


def _names(tensors: Iterable[str]) -> str:
    return ", ".join(map(repr, tensors)) or "none"


def create_predictor(config: Config) -> Predictor:
    """Load the artifact that a configuration names.

    Parameters
    ----------
    config
        Where the artifact is, and how to run it. It is copied: changing it later changes nothing here.

    Raises
    ------
    UsageError
        The configuration names no artifact, a directory that does not exist, or a CPU that the artifact has
        no code for; or it asks for ONNX Runtime, and the artifact was compiled for something else.
    ArtifactError
        The artifact is damaged, too new, or made for other machines.
    """
    config = Config(config)
    path = config.artifact()

    def accept(manifest: Manifest, variant: Variant) -> None:
        config.check_target(path, variant.target, manifest.precision)

    model = load(
        path,
        hashes=config.integrity_check_enabled(),
        mcpu=config.mcpu(),
        device=config.gpu_device_id(),
        accept=accept,
    )
    return Predictor(model, config)
