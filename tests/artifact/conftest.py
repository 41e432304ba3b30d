"""One artifact to look at, and copies of it to harm."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import small_models


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.affine(tmp_path_factory.mktemp("sound") / "sound.pdtvm")


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "copy.pdtvm"))
