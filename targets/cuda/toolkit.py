"""Compiles CUDA source: finds NVIDIA's compiler, and does without a GPU and its driver."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import tvm
import tvm_ffi

from paddle_tvm.runtime.errors import PaddleTvmError, UsageError

_NATIVE = Path(__file__).parent / "native"
_HEADERS = ("numbers.cuh", "tensor_cores.cuh")

# The functions of the driver that libtvm_runtime_cuda.so of TVM 0.27 asks for.
_DRIVER_FUNCTIONS = (
    "cuDeviceGetName", "cuFuncSetAttribute", "cuGetErrorName", "cuGetErrorString", "cuLaunchKernelEx",
    "cuModuleGetFunction", "cuModuleLoadData", "cuModuleUnload", "cuTensorMapEncodeTiled",
)  # fmt: skip
_NO_DEVICE = 100

CUDART = "libcudart.so.13"
_DRIVER = "libcuda.so.1"


@dataclass(frozen=True)
class Toolkit:
    """NVIDIA's compiler, and the runtime library that goes into artifacts."""

    nvcc: Path
    cudart: Path


def find_toolkit() -> Toolkit:
    """The toolkit of the package, of ``CUDA_HOME``, of the PATH or of /usr/local/cuda, in this order.

    Raises
    ------
    UsageError
        There is none of CUDA 13, which TVM 0.27's runtime needs.
    """
    tried = []
    for home in _homes():
        nvcc = home / "bin" / "nvcc"
        cudart = next(
            (home / place / CUDART for place in ("lib", "lib64") if (home / place / CUDART).is_file()), None
        )
        if nvcc.is_file() and cudart is not None:
            return Toolkit(nvcc, cudart)
        if nvcc.is_file():
            tried.append(f"{home} has no {CUDART}")
    found = f" ({'; '.join(tried)})" if tried else ""
    raise UsageError(
        f"--target cuda needs the compiler of CUDA 13, and there is none{found}: "
        "pip install 'paddle-tvm[cuda]', or set CUDA_HOME"
    )


def _homes() -> Iterator[Path]:
    with suppress(ModuleNotFoundError):
        spec = find_spec("nvidia.cu13")
        if spec is not None:
            yield from map(Path, spec.submodule_search_locations or ())
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if os.environ.get(variable):
            yield Path(os.environ[variable])
    on_path = shutil.which("nvcc")
    if on_path:
        yield Path(on_path).resolve().parent.parent
    yield Path("/usr/local/cuda")


def compile_kernels(source: str, architectures: Sequence[str], toolkit: Toolkit) -> bytes:
    """Compile CUDA source for some architectures, with PTX for those that are newer than the last.

    Parameters
    ----------
    source
        What TVM's code generator makes.
    architectures
        Such as ``sm_80``, the newest last.
    toolkit
        The compiler.

    Returns
    -------
    bytes
        A fat binary, the same for the same arguments.
    """
    return _run_nvcc(source, toolkit, ["--fatbin", *_generate_options(architectures)])


def compile_ptx(source: str, architecture: str, toolkit: Toolkit) -> str:
    """The PTX of CUDA source for one architecture."""
    virtual = architecture.replace("sm_", "compute_")
    return _run_nvcc(source, toolkit, ["--ptx", f"-arch={virtual}"]).decode()


def _generate_options(architectures: Sequence[str]) -> list[str]:
    numbers = [name.removeprefix("sm_") for name in architectures]
    kinds = [f"sm_{number}" for number in numbers]
    kinds[-1] = f"[{kinds[-1]},compute_{numbers[-1]}]"
    return [
        option
        for number, kind in zip(numbers, kinds, strict=True)
        for option in ("-gencode", f"arch=compute_{number},code={kind}")
    ]


def _run_nvcc(source: str, toolkit: Toolkit, options: Sequence[str]) -> bytes:
    threads = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="paddle-tvm-cuda-") as folder:
        # Names are relative, so that none of the folder's is in the result.
        Path(folder, "kernels.cu").write_text(_with_headers(source))
        command = [
            str(toolkit.nvcc), "-O3", "-std=c++17", "-w", "--threads", str(threads), *options,
            "kernels.cu", "-o", "kernels.out",
        ]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise PaddleTvmError(
                f"{toolkit.nvcc} does not compile the kernels:\n{(done.stderr or done.stdout)[-4000:]}"
            )
        return Path(folder, "kernels.out").read_bytes()


def _with_headers(source: str) -> str:
    headers = "\n".join((_NATIVE / name).read_text() for name in _HEADERS)
    return headers.replace("#pragma once\n", "") + source


@dataclass(frozen=True)
class _Generating:
    architectures: tuple[str, ...]
    toolkit: Toolkit


_generating: ContextVar[_Generating] = ContextVar("_generating")
_preparing = threading.Lock()
_prepared = False


@contextmanager
def generating(architectures: tuple[str, ...], toolkit: Toolkit) -> Iterator[None]:
    """Let TVM's code generator compile for these architectures."""
    _prepare(toolkit)
    token = _generating.set(_Generating(architectures, toolkit))
    try:
        yield
    finally:
        _generating.reset(token)


def _prepare(toolkit: Toolkit) -> None:
    """Load TVM's CUDA runtime, without which its code generator leaves kernels as source."""
    global _prepared
    with _preparing:
        if _prepared:
            return
        if tvm_ffi.get_global_func("ffi.Module.create.cuda", allow_missing=True) is None:
            _load_runtime(toolkit)
        tvm_ffi.register_global_func("tvm_callback_cuda_compile", _compile, override=True)
        _prepared = True


def _compile(source: str, *_: object) -> bytes:
    current = _generating.get()
    return compile_kernels(source, current.architectures, current.toolkit)


def compile_without_driver() -> None:
    """Let this process compile for GPUs and never use one, though there may be a driver.

    A process that forks others must not begin with CUDA, and its driver may start threads.
    """
    if not is_loaded(_DRIVER):
        _load_driver_stub()


def _load_runtime(toolkit: Toolkit) -> None:
    if not is_loaded(CUDART):
        ctypes.CDLL(str(toolkit.cudart), mode=ctypes.RTLD_GLOBAL)
    try:
        ctypes.CDLL(_DRIVER, mode=ctypes.RTLD_GLOBAL)
    except OSError:
        _load_driver_stub()
    ctypes.CDLL(str(cuda_runtime_library()), mode=ctypes.RTLD_GLOBAL)


def cuda_runtime_library() -> Path:
    """TVM's runtime for CUDA, which goes into artifacts."""
    return Path(tvm.libinfo.find_libtvm_runtime()).parent / "libtvm_runtime_cuda.so"


def is_loaded(name: str) -> bool:
    """Whether the process has a library of this SONAME."""
    try:
        ctypes.CDLL(name, mode=os.RTLD_NOLOAD)
    except OSError:
        return False
    return True


def _load_driver_stub() -> None:
    """Stand in for a driver that is not installed: compiling asks it for nothing."""
    functions = "".join(f"int {name}(void) {{ return {_NO_DEVICE}; }}\n" for name in _DRIVER_FUNCTIONS)
    with tempfile.TemporaryDirectory(prefix="paddle-tvm-cuda-") as folder:
        source, library = Path(folder, "driver.c"), Path(folder, _DRIVER)
        source.write_text(functions)
        subprocess.run(
            ["cc", "-shared", "-fPIC", f"-Wl,-soname,{_DRIVER}", str(source), "-o", str(library)],
            check=True,
        )
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
