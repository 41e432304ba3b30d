"""Runs what the CUDA target makes on the CPU: kernels as host code, under a driver that is ours.

TVM's CUDA runtime and our predictor run as they do on a GPU; what is not tested is what nvcc and the GPU
itself make of the source.
"""

from __future__ import annotations

import ctypes
import re
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

if TYPE_CHECKING:
    from paddle_tvm.targets.cuda.toolkit import Toolkit

_TESTS = Path(__file__).parent
_FOLDER = _TESTS / "cuda_emulator"
_KERNEL = re.compile(r'^extern "C" __global__ void (?:__launch_bounds__\(\d+\) )?(\w+)\((.*?)\) \{', re.M)
_CUDART = "libcudart.so.13"


class Emulator:
    """The GPU, and what it was given to do so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources: list[str] = []
        self._library = ctypes.CDLL(str(folder / _CUDART), mode=ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(folder / "libcuda.so.1"), mode=ctypes.RTLD_GLOBAL)
        self._library.emulator_count.restype = ctypes.c_long

    @property
    def kernels(self) -> int:
        """Kernels that ran."""
        return int(self._library.emulator_count(0))

    @property
    def copies(self) -> int:
        """Copies from and to the GPU, and within it."""
        return int(self._library.emulator_count(1))

    @property
    def graphs(self) -> int:
        """Recorded graphs of kernels that were started."""
        return int(self._library.emulator_count(2))

    @property
    def bytes_in_use(self) -> int:
        """Memory of the GPU that is allocated."""
        return int(self._library.emulator_count(3))

    def toolkit(self) -> Toolkit:
        """A compiler for other processes than this one, in which nothing is patched."""
        from paddle_tvm.targets.cuda.toolkit import Toolkit

        nvcc = self.folder / "nvcc"
        nvcc.write_text(
            f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(_TESTS)!r})\n"
            "import emulated_cuda\nemulated_cuda.play_nvcc()\n"
        )
        nvcc.chmod(0o755)
        return Toolkit(nvcc, self.folder / _CUDART)

    def compile(self, source: str, *_: object) -> bytes:
        """CUDA source as the image that the driver takes."""
        self.sources.append(source)
        return compile_source(source, self.folder)


@contextmanager
def emulated(folder: Path) -> Iterator[Emulator]:
    """Let this process have a GPU: it stays for as long as the process lives, in which CUDA must be new."""
    from paddle_tvm.targets.cuda.toolkit import is_loaded

    if is_loaded("libcuda.so.1"):
        raise RuntimeError(
            "a driver is there already: tests that compile for GPUs have to ask for `emulator`"
        )
    build_driver(folder)
    emulator = Emulator(folder)
    with patch("paddle_tvm.targets.cuda.toolkit.compile_kernels", emulator.compile):
        yield emulator


def build_driver(folder: Path) -> None:
    """Make libcuda.so.1 and libcudart.so.13 in a folder."""
    versions = folder / "versions.map"
    versions.write_text(f"{_CUDART} {{ global: *; }};\n")
    _compile(
        [str(_FOLDER / "driver.cc")],
        folder / _CUDART,
        [f"-Wl,--version-script={versions}", f"-Wl,-soname,{_CUDART}"],
    )
    # The driver's functions are in the same library; this one has its name.
    empty = folder / "empty.cc"
    empty.write_text("")
    _compile(
        [str(empty), str(folder / _CUDART)],
        folder / "libcuda.so.1",
        ["-Wl,-soname,libcuda.so.1", "-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN"],
    )


def play_nvcc() -> None:
    """Do what is asked of nvcc: compile ``kernels.cu`` of this folder to ``kernels.out``."""
    image = compile_source(Path("kernels.cu").read_text(), Path())
    Path("kernels.out").write_bytes(image)


def compile_source(source: str, folder: Path) -> bytes:
    """CUDA source as the image that the driver takes."""
    made, library = folder / "kernels.cc", folder / "kernels.so"
    made.write_text(host_source(source))
    _compile([str(made)], library, [f"-I{_FOLDER}"])
    image = library.read_bytes()
    return struct.pack("<Q", len(image)) + image


def _compile(sources: Sequence[str], library: Path, options: Sequence[str]) -> None:
    command = ["g++", "-O1", "-std=c++17", "-shared", "-fPIC", "-w", *options, *sources, "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]


def host_source(source: str) -> str:
    """CUDA source as C++ with, for each kernel, functions that keep its arguments and run it."""
    body = source[source.index('extern "C" __global__') :]
    body = body.replace("__shared__ alignas(64) ", "alignas(64) static ")
    parts = ['#include "device.h"\n', body]
    for name, text in _KERNEL.findall(body):
        parameters = [parameter.strip() for parameter in text.split(",") if parameter.strip()]
        types = [re.sub(r"\s*__restrict__", "", each).rpartition(" ")[0].strip() for each in parameters]
        fields = "".join(f"{kind} a{number}; " for number, kind in enumerate(types))
        copies = "".join(f"read(s->a{number}, p[{number}]); " for number in range(len(types)))
        used = ", ".join(f"s->a{number}" for number in range(len(types)))
        code = body[body.index(f" {name}({text}) {{") :]
        code = code[: code.find('\nextern "C" __global__')]
        waits = "true" if "__syncthreads" in code or "pt_mma" in code else "false"
        parts.append(
            f"struct {name}__arguments {{ {fields} }};\n"
            f'extern "C" void *{name}__copy(void **p) {{ '
            f"auto *s = new {name}__arguments; {copies} return s; }}\n"
            f'extern "C" void {name}__run(void *p, const unsigned *dims) {{ '
            f"auto *s = static_cast<{name}__arguments *>(p); "
            f"emulator::run(dims, [=] {{ {name}({used}); }}, {waits}); }}\n"
        )
    return "".join(parts)
