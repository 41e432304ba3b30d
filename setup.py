"""The one step of a build that pyproject.toml cannot name: tuning logs are packed.

They are text, as people contribute them, and shrink to a tenth.
"""

from __future__ import annotations

import gzip
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class PackLogs(build_py):  # type: ignore[misc]  # setuptools has no types
    """Builds the packages, the tuning logs compressed; an editable install reads them where they lie."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for log in Path(self.build_lib, "paddle_tvm", "tuning_logs").glob("*/*.jsonl"):
            # Without the time and the name, which would make each build another.
            log.with_name(f"{log.name}.gz").write_bytes(gzip.compress(log.read_bytes(), 9, mtime=0))
            log.unlink()


setup(cmdclass={"build_py": PackLogs})
