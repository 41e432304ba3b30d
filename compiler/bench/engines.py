"""The engines of a bench, each behind ``open(files, threads)``, ``run(arrays)``.

This file imports nothing of the project at its top, and no engine before it is asked for: the cold start
executes it in a bare interpreter (see ``cold``), whose time must be the engine's alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

Run = Callable[[Mapping[str, Any]], "list[Any]"]
"""From NumPy arrays by input name to the outputs as NumPy arrays, in the model's order."""


def open_ours(files: Mapping[str, str], threads: int) -> Run:
    """Ours; ``files`` has ``artifact``."""
    from paddle_tvm import runtime

    config = runtime.Config(files["artifact"])
    config.set_cpu_math_library_num_threads(threads)
    return _run_by_handles(runtime.create_predictor(config))


def open_paddle(files: Mapping[str, str], threads: int) -> Run:
    """Paddle Inference with oneDNN; ``files`` has ``program`` and ``params``."""
    from paddle import inference

    config = inference.Config(files["program"], files["params"])
    config.disable_gpu()
    config.disable_glog_info()
    config.enable_mkldnn()
    config.set_cpu_math_library_num_threads(threads)
    if files["program"].endswith(".json"):
        # Paddle 3.3 does not run PIR programs without these, and throws with enable_memory_optim().
        config.enable_new_ir(True)
        config.enable_new_executor(True)
    else:
        config.enable_memory_optim()
    return _run_by_handles(inference.create_predictor(config))


def open_onnxruntime(files: Mapping[str, str], threads: int) -> Run:
    """ONNX Runtime on the CPU; ``files`` has ``onnx`` and ``dimensions``, the sizes of named dimensions."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 4
    for name, size in json.loads(files["dimensions"]).items():
        options.add_free_dimension_override_by_name(name, size)
    session = onnxruntime.InferenceSession(files["onnx"], options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    return lambda arrays: list(session.run(None, {name: arrays[name] for name in names}))


def open_openvino(files: Mapping[str, str], threads: int) -> Run:
    """OpenVINO on the CPU; ``files`` has ``openvino``, which is .onnx or .pdmodel, and ``shapes``."""
    import openvino

    core = openvino.Core()
    model = core.read_model(files["openvino"])
    # Kernels for fixed shapes are faster than those that wait for them.
    model.reshape(json.loads(files["shapes"]))
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        # float32 as the other engines, also where the CPU has bfloat16.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = core.compile_model(model, "CPU", options)
    names = [sorted(port.names) for port in compiled.inputs]
    request = compiled.create_infer_request()

    def run(arrays: Mapping[str, Any]) -> list[Any]:
        fed = {index: _first(arrays, known) for index, known in enumerate(names)}
        results = request.infer(fed, share_inputs=True)
        return [results[port].copy() for port in compiled.outputs]

    return run


ENGINES: dict[str, Callable[[Mapping[str, str], int], Run]] = {
    "ours": open_ours,
    "paddle": open_paddle,
    "onnxruntime": open_onnxruntime,
    "openvino": open_openvino,
}


def _first(arrays: Mapping[str, Any], names: list[str]) -> Any:
    return next(arrays[name] for name in names if name in arrays)


def _run_by_handles(predictor: Any) -> Run:
    inputs = [(name, predictor.get_input_handle(name)) for name in predictor.get_input_names()]
    outputs = [predictor.get_output_handle(name) for name in predictor.get_output_names()]

    def run(arrays: Mapping[str, Any]) -> list[Any]:
        for name, handle in inputs:
            array = arrays[name]
            handle.reshape(list(array.shape))
            handle.copy_from_cpu(array)
        predictor.run()
        return [handle.copy_to_cpu() for handle in outputs]

    return run


def run_once(engine: str, threads: int, inputs: str, files: Mapping[str, str]) -> None:
    """Run, say so on standard output, run some more, and say how much memory that took."""
    import numpy as np

    with np.load(inputs, allow_pickle=False) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    run = ENGINES[engine](files, threads)
    outputs = run(arrays)
    sys.stdout.write(f"\nfirst result: {len(outputs)} outputs\n")
    sys.stdout.flush()
    for _ in range(_RUNS_FOR_MEMORY):
        run(arrays)
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file)
    # In kB: the most since the start, what is resident now, and what of that is not a mapped file.
    memory = {name: int(status[name].split()[0]) for name in ("VmHWM", "VmRSS", "RssAnon")}
    sys.stdout.write(f"memory: {json.dumps(memory)}\n")
    sys.stdout.flush()


_RUNS_FOR_MEMORY = 5


if __name__ == "__main__":
    run_once(sys.argv[1], int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))
