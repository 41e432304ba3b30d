"""Products on AMX whose depth ends within a step, and those without rows."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tvm
from graph_reference import Graph, check, compiled
from test_amx import CPU, OnAmx, needs_amx
from tvm import relax

from paddle_tvm.compiler.lowering import build, lower
from paddle_tvm.targets.x86 import amx_workloads, x86_target

_NO_ACCESS = 0


def guarded(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A copy that ends where memory begins that nobody may read: who does ends the process."""
    room = -(-values.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, room + mmap.PAGESIZE)
    forbidden = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory)) + room)
    assert ctypes.CDLL(None).mprotect(forbidden, ctypes.c_size_t(mmap.PAGESIZE), _NO_ACCESS) == 0
    copy = np.frombuffer(memory, values.dtype, values.size, room - values.nbytes).reshape(values.shape)
    copy[...] = values
    return copy


@needs_amx
@pytest.mark.parametrize("row_units", [0, 1, 2])
@pytest.mark.parametrize("rows", [20, 250])
def test_nothing_is_read_beyond_the_last_row(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, rows: int, row_units: int
) -> None:
    """The last of 66 steps has half the depth of the others; 250 rows pass the depth in runs, 20 in one."""
    monkeypatch.setattr(amx_workloads, "is_faster", lambda sizes: True)
    x = rng.standard_normal((rows, 2096)).astype("float32")
    weight = rng.standard_normal((2096, 48)).astype("float32")
    choices = OnAmx(row_units)
    target = x86_target(CPU).with_choices(choices)
    module = Graph(x.shape).module(lambda g, left: g.matmul(left, relax.const(weight)))
    machine = relax.VirtualMachine(build(lower(module, target), target), tvm.cpu())
    assert choices.taken
    actual = machine["main"](tvm.runtime.from_dlpack(guarded(x)))[0].numpy()
    expected = x.astype("float64") @ weight.astype("float64")
    assert np.abs(actual - expected).max() <= 1e-5 * np.abs(expected).max()


@needs_amx
@pytest.mark.parametrize("columns", [32, 128])
def test_product_of_no_rows(columns: int) -> None:
    weight = np.ones((64, columns), np.float32)
    module = Graph((0, 64)).module(lambda g, x: g.matmul(x, relax.const(weight)))
    (actual,) = compiled(module, CPU)(np.ones((0, 64), np.float32))
    assert actual.shape == (0, columns)


@needs_amx
def test_convolution_of_an_empty_batch() -> None:
    module = Graph((0, 64, 8, 8)).module(lambda g, x: g.conv(g.max_pool2d(x), 32, 1))
    (actual,) = compiled(module, CPU)(np.ones((0, 64, 8, 8), np.float32))
    assert actual.shape == (0, 32, 8, 8)


@needs_amx
@pytest.mark.parametrize("columns", [16, 32, 48])
def test_few_columns_and_rows_of_unknown_number(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads divide columns then, of which there have to be enough for two."""
    monkeypatch.setattr(amx_workloads, "is_faster", lambda sizes: True)
    sizes = [{"m": 1, "n": 5}, {"m": 4, "n": 33}, {"m": 1, "n": 128}]
    check([["m", "n", 80]], lambda g, x: g.relu(g.matmul(x, g.const(80, columns))), CPU, sizes)
