"""Loads the native parts of an artifact, after everything about it has been checked."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from paddle_tvm.runtime import ffi, native_tensor
from paddle_tvm.runtime.artifact import check_files, check_machine, file_sha256, map_weights, read_manifest
from paddle_tvm.runtime.errors import ArtifactError
from paddle_tvm.runtime.manifest import MODEL_FILE, RUNTIME_FILE, Manifest

_CPU = 1
_POOLED_ALLOCATOR = 2

_loading = threading.Lock()


class _RuntimeLibrary(NamedTuple):
    path: str
    sha256: str
    version: str


_runtime: _RuntimeLibrary | None = None
_opened: dict[str, dict[tuple[int, int], ffi.Module]] = {}


class LoadedModel(NamedTuple):
    """What the predictors of one artifact share."""

    path: str
    manifest: Manifest
    module: ffi.Module
    weights: tuple[native_tensor.NativeTensor, ...]

    def new_vm(self) -> ffi.Module:
        """Start a virtual machine; it serves one call at a time."""
        vm: ffi.Module = self.module["vm_load_executable"]()
        vm["vm_initialization"](_CPU, 0, _POOLED_ALLOCATOR)
        return vm


def load(path: str | os.PathLike[str], *, hashes: bool = True) -> LoadedModel:
    """Check an artifact and load its code and weights.

    Parameters
    ----------
    path
        The artifact's directory.
    hashes
        Whether to compare the SHA-256 of its files; their sizes always are compared.

    Raises
    ------
    UsageError
        There is no such directory.
    ArtifactError
        The artifact is damaged, too new, or made for another machine.
    """
    manifest = read_manifest(path)
    check_machine(path, manifest)
    installed = ffi.version()
    if manifest.producer.tvm_ffi != installed:
        raise ArtifactError(
            f"{path}: made with apache-tvm-ffi {manifest.producer.tvm_ffi}, and {installed} is "
            "installed; compile the model again with this paddle-tvm, or install the one that made it "
            f"(paddle-tvm=={manifest.producer.paddle_tvm})"
        )
    check_files(path, manifest, hashes=hashes)
    directory = os.path.realpath(path)
    with _loading:
        _load_runtime(directory, manifest)
        module = _open_model(directory)
    weights = tuple(native_tensor.over(array) for array in map_weights(directory, manifest))
    return LoadedModel(str(path), manifest, module, weights)


def _load_runtime(directory: str, manifest: Manifest) -> None:
    """Load libtvm_runtime, unless the process has it: a second copy would end the process."""
    global _runtime
    wanted = manifest.files[RUNTIME_FILE].sha256
    if _runtime is None and _is_loaded():
        _runtime = _find_loaded()
    if _runtime is not None:
        if _runtime.sha256 != wanted:
            raise ArtifactError(
                f"{directory}: needs the libtvm_runtime.so of TVM {manifest.producer.tvm}, and this process "
                f"has loaded that of TVM {_runtime.version} ({_runtime.path}); serve it from another "
                "process, or compile the model again with the TVM that is installed"
            )
        return
    path = os.path.join(directory, RUNTIME_FILE)
    installed = _installed()
    if installed is not None:
        # The same file loaded twice is one library, so that `import tvm` still works afterwards.
        if file_sha256(installed) == wanted:
            path = str(installed)
        else:
            sys.meta_path.insert(0, _RefuseTvm(path, manifest.producer.tvm))
    try:
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be loaded: {error}") from error
    _runtime = _RuntimeLibrary(path, wanted, manifest.producer.tvm)


def _is_loaded() -> bool:
    return ffi.find_function("vm.builtin.memory_manager.clear") is not None


def _find_loaded() -> _RuntimeLibrary:
    with open("/proc/self/maps") as lines:
        paths = {line.split(maxsplit=5)[5].rstrip("\n") for line in lines if "libtvm_runtime.so" in line}
    version = str(getattr(sys.modules.get("tvm"), "__version__", "of unknown version"))
    path = min(paths, default="built into another library")
    try:
        return _RuntimeLibrary(path, file_sha256(Path(path)), version)
    except OSError as error:
        raise ArtifactError(
            f"this process has loaded a TVM runtime that cannot be compared with the artifact's ({path}: "
            f"{error.strerror}); restart it"
        ) from error


def _installed() -> Path | None:
    """Find the libtvm_runtime.so that ``import tvm`` would load, without importing it."""
    spec = importlib.util.find_spec("tvm")
    if spec is None:
        return None
    folders = [Path(folder) / "lib" for folder in spec.submodule_search_locations or ()]
    if os.environ.get("TVM_LIBRARY_PATH"):
        folders.insert(0, Path(os.environ["TVM_LIBRARY_PATH"]))
    for folder in folders:
        if (folder / "libtvm_runtime.so").is_file():
            return folder / "libtvm_runtime.so"
    return None


class _RefuseTvm:
    """Makes ``import tvm`` an ImportError where it would end the process."""

    def __init__(self, path: str, version: str) -> None:
        self._message = (
            f"the runtime library of TVM {version} is loaded ({path}), and that of the installed apache-tvm "
            "is another: import tvm in another process"
        )

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Refuse tvm; leave every other module to the next finder."""
        if name == "tvm":
            raise ImportError(self._message, name=name)


def _open_model(directory: str) -> ffi.Module:
    """Open the executable; an executable that was opened before stays open and is the same."""
    status = os.stat(os.path.join(directory, MODEL_FILE))
    opened = _opened.setdefault(directory, {})
    identity = (status.st_dev, status.st_ino)
    if identity not in opened:
        # The dynamic linker takes a path that it has seen for the library that it has: an artifact that was
        # replaced in place needs another spelling of its path.
        spelled = directory + "/." * len(opened) + "/" + MODEL_FILE
        try:
            opened[identity] = ffi.load_module(spelled)
        except Exception as error:
            raise ArtifactError(f"{directory}/{MODEL_FILE}: cannot be loaded: {error}") from error
    return opened[identity]


def _after_fork_in_child() -> None:
    global _loading
    _loading = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
