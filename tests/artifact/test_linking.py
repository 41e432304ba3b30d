"""Linking, where what TVM writes on the way must not reach the disk."""

from __future__ import annotations

from pathlib import Path

import small_models

from paddle_tvm.compiler.linking import link_library

LINKER = """#!/bin/sh
for file; do case "$file" in *.o) test -L "$file" || { echo "$file is on the disk"; exit 7; } ;; esac; done
exec cc "$@"
"""


def test_llvm_writes_its_objects_to_memory(tmp_path: Path) -> None:
    """On a full disk LLVM ends the process, so nothing that it writes may need room there."""
    linker = tmp_path / "linker"
    linker.write_text(LINKER)
    linker.chmod(0o755)
    _, (code,) = small_models.affine_parts()
    link_library(code.executable, tmp_path / "model.so", tmp_path / "build", str(linker))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["linker", "model.so"]
