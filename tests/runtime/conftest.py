"""Artifacts that the runtime's tests serve."""

from __future__ import annotations

from pathlib import Path

import pytest
import small_models


@pytest.fixture(scope="session")
def affine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.affine(tmp_path_factory.mktemp("affine") / "affine.pdtvm")


@pytest.fixture(scope="session")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.fixed(tmp_path_factory.mktemp("fixed") / "fixed.pdtvm")


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.pair(tmp_path_factory.mktemp("pair") / "pair.pdtvm")


@pytest.fixture(scope="session")
def parallel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.parallel(tmp_path_factory.mktemp("parallel") / "parallel.pdtvm")


@pytest.fixture(scope="session")
def parallel_on_tvm_pools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.parallel_on_tvm_pools(tmp_path_factory.mktemp("tvm_pools") / "parallel.pdtvm")
