"""Small models compiled for oneDNN, and what Paddle computes for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import tvm_ffi
from paddle import nn
from paddle.static import InputSpec

from paddle_tvm import compiler, runtime
from paddle_tvm.compiler.profiling.kernel_table import KernelTable, kernels_file, read_kernel_table
from paddle_tvm.runtime.artifact import read_manifest

Shape = tuple[int, ...]


class Model(nn.Layer):  # type: ignore[misc]  # Paddle has no types.
    """Layers whose parameters are random, biases and statistics too, and a function that calls them."""

    def __init__(self, layers: dict[str, nn.Layer], function: Callable[..., Any]) -> None:
        super().__init__()
        paddle.seed(3)
        for name, layer in layers.items():
            setattr(self, name, layer)
        for name, parameter in self.named_parameters():
            value = paddle.randn(parameter.shape) * 0.1
            parameter.set_value(value.abs() + 0.5 if name.endswith("_variance") else value)
        self.function = function
        self.eval()

    def forward(self, x: paddle.Tensor, y: paddle.Tensor | None = None) -> Any:
        return self.function(self, x) if y is None else self.function(self, x, y)


class Compiled:
    """A model compiled for oneDNN, with what Paddle computes for the same inputs."""

    def __init__(
        self,
        folder: Path,
        layers: dict[str, nn.Layer],
        shapes: list[Shape],
        function: Callable[..., Any],
        **options: Any,
    ) -> None:
        model = Model(layers, function)
        names = "xy"[: len(shapes)]
        specs = [InputSpec(shape, "float32", name) for name, shape in zip(names, shapes, strict=True)]
        paddle.jit.save(model, str(folder / "model"), input_spec=specs)
        self.artifact = folder / "model.pdtvm"
        compiler.compile(folder / "model", self.artifact, target="onednn", **options)
        rng = np.random.default_rng(5)
        self.inputs = [rng.standard_normal(shape).astype("float32") for shape in shapes]
        results = model(*map(paddle.to_tensor, self.inputs))
        self.expected = [r.numpy() for r in (results if isinstance(results, tuple | list) else [results])]

    def table(self) -> KernelTable:
        (variant,) = read_manifest(self.artifact).variants
        return read_kernel_table((self.artifact / kernels_file(variant.library)).read_bytes(), "")

    def predictor(self, threads: int = 1) -> Any:
        config = runtime.Config(str(self.artifact))
        config.set_cpu_math_library_num_threads(threads)
        return runtime.create_predictor(config)

    def check(self, threads: int = 1) -> None:
        for got, wanted in zip(self.predictor(threads).run(self.inputs), self.expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)

    def primitives(self) -> list[str]:
        """What oneDNN runs, of all subgraphs: what it is, with how many post-ops of which kind."""
        return [primitive for primitive, _, _ in self.described()]

    def described(self) -> list[tuple[str, str, str]]:
        """The same, each with oneDNN's implementation and the layouts."""
        self.predictor()
        module = tvm_ffi.load_module(str(self.artifact / "model.so"))
        (variant,) = read_manifest(self.artifact).variants
        described = [module.get_function(f"{name}_describe", True)() for name in variant.loads]
        return [
            (name, implementation, layouts)
            for text in described
            for name, implementation, layouts in json.loads(text)
        ]

    def check_all_taken(self) -> None:
        table = self.table()
        assert not any(table.left.values())
        assert all(schedule.external for schedule in table.schedules.values())
