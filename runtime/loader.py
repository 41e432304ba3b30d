"""Loads the native parts of an artifact, after everything about it has been checked."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from paddle_tvm.runtime import ffi, launcher, native_tensor
from paddle_tvm.runtime.artifact import check_files, file_sha256, map_weights, read_manifest
from paddle_tvm.runtime.errors import ArtifactError
from paddle_tvm.runtime.manifest import RUNTIME_FILE, WEIGHTS_FILE, FunctionSpec, Manifest, Variant
from paddle_tvm.runtime.threads import call_on_own_pool
from paddle_tvm.runtime.variants import choose_variant

if TYPE_CHECKING:
    from paddle_tvm.runtime.cuda import Device

_CPU = 1
_POOLED_ALLOCATOR = 2

_loading = threading.Lock()

# A load that an exchange of the artifact interrupts is made again so often.
_MOST_TRIES = 100


class _RuntimeLibrary(NamedTuple):
    path: str
    sha256: str
    version: str


_runtime: _RuntimeLibrary | None = None


class _Library(NamedTuple):
    """An executable, and the way to call it with a number of threads."""

    module: ffi.Module
    call: Callable[[int, Callable[[], Any]], Any]


_opened: dict[str, dict[tuple[int, int], _Library]] = {}
# How often each library was asked of the dynamic linker.
_asked: Counter[str] = Counter()


class LoadedModel(NamedTuple):
    """What the predictors of one artifact share."""

    path: str
    manifest: Manifest
    variant: Variant
    library: _Library
    weights: Mapping[int, native_tensor.NativeTensor]
    constants: Mapping[int, native_tensor.NativeTensor]
    """What functions take that are called before any run, in memory of the CPU."""
    device: Device | None = None
    """The GPU that it runs on; None for the CPU."""

    def call(self, threads: int, call: Callable[[], Any]) -> Any:
        """Call a function of the model with its parallel loops on up to so many threads."""
        return self.library.call(threads, call)

    def weights_of(self, function: FunctionSpec) -> list[native_tensor.NativeTensor]:
        """The weights that a function takes after the inputs."""
        return [self.weights[i] for i in self.variant.weights[function.name]]

    def new_vm(self, threads: int) -> ffi.Module:
        """Start a virtual machine, for runs with so many threads; it serves one call at a time."""
        self.prepare(threads)
        vm: ffi.Module = self.library.module["vm_load_executable"]()
        devices: tuple[int, ...] = (_CPU, 0, _POOLED_ALLOCATOR)
        if self.device is not None:
            # The CPU comes last: sizes are computed there.
            devices = (native_tensor.CUDA, self.device.number, _POOLED_ALLOCATOR, *devices)
        vm["vm_initialization"](*devices)
        return vm

    def prepare(self, threads: int) -> None:
        """Call the functions that are to be called before any run with so many threads."""
        for name, indices in self.variant.loads.items():
            try:
                function = self.library.module.find(f"{name}_load", True)
            except KeyError as error:
                raise ArtifactError(
                    f"{self.path}/{self.variant.library} has no function {name}_load"
                ) from error
            weights = [self.constants[i] for i in indices]
            try:
                with _loading:
                    self.call(threads, partial(function, *weights))
            except Exception as error:
                raise ArtifactError(f"{self.path}: {name} cannot be loaded: {error}") from error


def load(
    path: str | os.PathLike[str],
    *,
    hashes: bool = True,
    mcpu: str | None = None,
    device: int = 0,
    accept: Callable[[Manifest, Variant], None] | None = None,
) -> LoadedModel:
    """Check an artifact and load its code and weights.

    If another takes its place meanwhile, the load begins anew: nothing is put together from two.

    Parameters
    ----------
    path
        The artifact's directory.
    hashes
        Whether to compare the SHA-256 of its files; their sizes always are compared.
    mcpu
        The CPU whose code to load, where the artifact has code for several; the best for this machine
        otherwise.
    device
        The GPU, by CUDA's number, where the code is for GPUs.
    accept
        Called with what was chosen before anything is loaded; it may refuse.

    Raises
    ------
    UsageError
        There is no such directory, it is a model that is not compiled, or has no code for ``mcpu``.
    ArtifactError
        The artifact is damaged, too new, or made for other machines.
    """
    for _ in range(_MOST_TRIES):
        before = _identity(path)
        try:
            model = _load(path, hashes, mcpu, device, accept)
        except Exception:
            if _identity(path) == before:
                raise
            continue
        if _identity(path) == before:
            return model
    raise ArtifactError(
        f"{path}: was replaced {_MOST_TRIES} times while it was being loaded; load it when that is over"
    )


def _identity(path: str | os.PathLike[str]) -> tuple[int, int, int] | None:
    """The same as long as nothing takes the place of a directory: a move changes its ctime."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_ctime_ns


def _load(
    path: str | os.PathLike[str],
    hashes: bool,
    mcpu: str | None,
    number: int,
    accept: Callable[[Manifest, Variant], None] | None,
) -> LoadedModel:
    manifest = read_manifest(path)
    variant = choose_variant(path, manifest, mcpu)
    if accept is not None:
        accept(manifest, variant)
    installed = ffi.version()
    if manifest.producer.tvm_ffi != installed:
        raise ArtifactError(
            f"{path}: made with apache-tvm-ffi {manifest.producer.tvm_ffi}, and {installed} is "
            "installed; compile the model again with this paddle-tvm, or install the one that made it "
            f"(paddle-tvm=={manifest.producer.paddle_tvm})"
        )
    other_libraries = {other.library for other in manifest.variants} - {variant.library}
    check_files(path, manifest, hashes=hashes, unused=other_libraries)
    directory = os.path.realpath(path)
    device = None
    with _loading:
        _load_runtime(directory, manifest)
        if variant.target.devices:
            from paddle_tvm.runtime import cuda

            device = cuda.open_device(directory, variant.target.devices, number, _same_installed)
        library = _open_model(directory, variant.library)
    taken = (*variant.weights.values(), *variant.loads.values())
    arrays = map_weights(directory, manifest, {i for indices in taken for i in indices})
    used = {i for indices in variant.weights.values() for i in indices}
    at_load = {i for indices in variant.loads.values() for i in indices}
    constants = {i: native_tensor.over(arrays[i]) for i in at_load}
    weights: Mapping[int, native_tensor.NativeTensor]
    if device is None:
        weights = {i: native_tensor.over(arrays[i]) for i in used}
    else:
        from paddle_tvm.runtime import gpu_weights

        file = _identity(os.path.join(directory, WEIGHTS_FILE))
        uploaded = {i: arrays[i] for i in sorted(used)}
        weights = gpu_weights.upload_weights((directory, file, number), device, uploaded)
    return LoadedModel(str(path), manifest, variant, library, weights, constants, device)


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


def _same_installed(path: str) -> str:
    """The file that ``import tvm`` would load for a library of an artifact, if it is the same; else that."""
    runtime = _installed()
    if runtime is not None:
        beside = runtime.parent / os.path.basename(path)
        if beside.is_file() and file_sha256(beside) == file_sha256(Path(path)):
            return str(beside)
    return path


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


def _open_model(directory: str, library: str) -> _Library:
    """Open the executable; an executable that was opened before stays open and is the same."""
    path = os.path.join(directory, library)
    before = _identity(directory)
    status = os.stat(path)
    opened = _opened.setdefault(path, {})
    identity = (status.st_dev, status.st_ino)
    if identity not in opened:
        # The dynamic linker takes a path that it has seen for the library that it has: an artifact that was
        # replaced in place needs another spelling of its path.
        spelled = directory + "/." * _asked[path] + "/" + library
        _asked[path] += 1
        try:
            module = ffi.load_module(spelled)
        except Exception as error:
            raise ArtifactError(f"{path}: cannot be loaded: {error}") from error
        if _identity(directory) != before:
            raise ArtifactError(f"{directory}: was replaced while it was being loaded")
        opened[identity] = _Library(module, launcher.attach(spelled) or call_on_own_pool)
    return opened[identity]


def _after_fork_in_child() -> None:
    global _loading
    _loading = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
