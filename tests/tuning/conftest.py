"""Writes logs for the tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from tuning_records import Log

from paddle_tvm.compiler.tuning.log import LogWriter
from paddle_tvm.compiler.tuning.records import Header, Record


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Writes records under a header into a log: ``log(name, header, *records)``; called again, it appends."""

    def write(name: str, under: Header, *records: Record) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        LogWriter(path, under).append(records)
        return path

    return write
