"""Shared by all tests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from emulated_cuda import Emulator, emulated


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run."""
    return np.random.default_rng(20261122)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cuda", action="store_true", help="run the tests of operators on a GPU that the CPU plays"
    )


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A GPU that the CPU plays, for the whole process."""
    with emulated(tmp_path_factory.mktemp("emulator")) as device:
        yield device


@pytest.fixture
def gpu_machine(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The same GPU for the processes that this one starts, too, each of which has one of its own."""
    toolkit = emulator.toolkit()
    monkeypatch.setenv("LD_LIBRARY_PATH", str(emulator.folder))
    monkeypatch.setattr("paddle_tvm.targets.cuda.target.find_toolkit", lambda: toolkit)
    return emulator
