"""Links an executable into a shared library."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tvm_ffi
from tvm.support import cc

from paddle_tvm import targets
from paddle_tvm.runtime.errors import UnsupportedModelError, UsageError
from paddle_tvm.targets.offload import Generated, RuntimeHalf

# What `export_library` of TVM 0.27 writes into its workspace for a module with imports.
_OBJECT_FILES = ("lib0.o", "devc.o")

# Linked into every library; the runtime lets parallel loops call it.
_LAUNCHER = Path(__file__).parent / "native" / "parallel_launch.c"
_HEADERS = Path(targets.__file__).parent / "native"
LAUNCHER_OPTIONS = [
    *("-O2", "-std=gnu11", "-pthread", f"-I{_HEADERS}"),
    *("-x", "c", str(_LAUNCHER), "-x", "none"),
]

_linking = threading.Lock()


def find_linker() -> str:
    """Return the C compiler to link with.

    Raises
    ------
    UsageError
        There is none.
    """
    compiler = cc.get_cc()
    if not compiler or shutil.which(compiler) is None:
        raise UsageError(
            "linking the code needs a C compiler, and "
            + (f"{compiler} (from CXX or CC) is not there" if compiler else "none is installed")
            + ": install gcc or clang (Debian: apt install gcc), or set CC"
        )
    return str(compiler)


@dataclass(frozen=True)
class External:
    """Code that no kernel of the executable is: an accelerator's, of its subgraphs, by symbol."""

    accelerator: str
    runtime: RuntimeHalf
    code: Mapping[str, Generated]


def link_library(
    executable: Any, library: Path, workspace: Path, compiler: str, external: External | None = None
) -> None:
    """Write a ``tvm.relax.VMExecutable`` as a shared library.

    Parameters
    ----------
    executable
        The executable.
    library
        The file to write.
    workspace
        A directory to make for intermediate files; it is gone afterwards.
    compiler
        The C compiler to link with.
    external
        More code for it. Shared libraries that it needs are looked for in ``lib`` beside the library.
    """
    workspace.mkdir()
    options = ["-Wl,--strip-all", *LAUNCHER_OPTIONS]
    if external is not None:
        options += _external_options(external, workspace, compiler)
    # LLVM modules are not safe to write from two threads.
    with _linking, _objects_in_memory(workspace):
        executable.export_library(
            str(library),
            workspace_dir=str(workspace),
            cc=compiler,
            options=options,
        )
    shutil.rmtree(workspace)


def bring_libraries(external: External, folder: Path, workspace: Path) -> list[str]:
    """Put the shared libraries that external code needs into ``lib`` of a folder; returns their paths in it.

    ``workspace`` is a directory to make for intermediate files; it is gone afterwards.

    Raises
    ------
    UsageError
        One has another name than the linker will look for, or that of a library that is there.
    """
    workspace.mkdir()
    for source in external.runtime.libraries:
        soname = _soname(source)
        if soname != source.name:
            raise UsageError(
                f"{source}: its SONAME, by which it is looked for, is {soname or 'not set'} and not "
                f"{source.name}: name the file by its SONAME, and give it one if it has none"
            )
        shutil.copyfile(source, workspace / source.name)
    if external.runtime.bring is not None:
        external.runtime.bring(workspace)
    brought = []
    (folder / "lib").mkdir(exist_ok=True)
    for source in sorted(workspace.iterdir()):
        place = folder / "lib" / source.name
        if place.exists() and place.read_bytes() != source.read_bytes():
            raise UsageError(f"{source.name}: the artifact has another library of that name")
        source.rename(place)
        brought.append(f"lib/{source.name}")
    workspace.rmdir()
    return brought


def _soname(library: Path) -> str:
    """The name by which the dynamic linker knows a shared library; empty where it has none."""
    shown = subprocess.run(["objdump", "-p", str(library)], capture_output=True, text=True)
    if shown.returncode:
        raise UsageError(f"{library}: no shared library ({shown.stderr.strip()})")
    return next((line.split()[1] for line in shown.stdout.splitlines() if "SONAME" in line), "")


def _numbered(source: str) -> str:
    """Code with the numbers of its lines, of which compilers speak."""
    return "\n".join(f"{number:4} {line}" for number, line in enumerate(source.splitlines(), 1))


def _external_options(external: External, workspace: Path, compiler: str) -> list[str]:
    """Compile external code, each source by itself; returns what links it."""
    runtime = external.runtime
    shared = {source: workspace / f"{source.name}.o" for source in runtime.sources}
    own = {workspace / symbol: workspace / f"{symbol}.o" for symbol in external.code}
    for symbol, generated in external.code.items():
        (workspace / symbol).write_text(generated.source)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        compiled = pool.map(
            lambda item: _compile(external, item[0], item[1], workspace, compiler), {**shared, **own}.items()
        )
        done = dict(zip([*shared, *own], compiled, strict=True))
    for source in shared:
        if done[source].returncode:
            raise UsageError(
                f"{source}, which accelerator '{external.accelerator}' needs, does not compile:\n"
                + done[source].stderr
            )
    for symbol, generated in external.code.items():
        _check_compiled(external.accelerator, symbol, generated, done[workspace / symbol], workspace)
    # RPATH and not RUNPATH: it holds for what brought libraries need themselves, too.
    options = ["-Wl,--disable-new-dtags", "-Wl,-rpath,$ORIGIN/lib"]
    standard = ["-lstdc++", "-ldl"] if runtime.language == "c++" else []
    objects = map(str, [*shared.values(), *own.values()])
    return [*options, *objects, *map(str, runtime.libraries), *standard]


def _check_compiled(
    accelerator: str,
    symbol: str,
    generated: Generated,
    done: subprocess.CompletedProcess[str],
    workspace: Path,
) -> None:
    """Refuse generated code that does not compile, or does not define what is called."""
    if done.returncode:
        raise UnsupportedModelError(
            f"the code that accelerator '{accelerator}' makes of {symbol} does not compile:\n"
            f"{done.stderr.replace(f'{workspace}/', '')}\n{_numbered(generated.source)}"
        )
    made = workspace / f"{symbol}.o"
    defined = subprocess.run(["nm", "--defined-only", "-g", str(made)], capture_output=True, text=True)
    functions = [f"__tvm_ffi_{symbol}"]
    if generated.constants is not None:
        functions.append(f"__tvm_ffi_{symbol}_load")
    for function in functions:
        if f" T {function}\n" not in defined.stdout:
            raise UnsupportedModelError(
                f"the code that accelerator '{accelerator}' makes of {symbol} does not define "
                f"{function} with C linkage:\n{_numbered(generated.source)}"
            )


def _compile(
    external: External, source: Path, made: Path, workspace: Path, compiler: str
) -> subprocess.CompletedProcess[str]:
    includes = [f"-I{path}" for path in (_HEADERS, *tvm_ffi.libinfo.include_paths())]
    # The folder has another name each time, and may be in messages of the code.
    options = ["-fPIC", f"-ffile-prefix-map={workspace}=.", *includes, *external.runtime.options]
    command = [compiler, "-c", *options, "-x", external.runtime.language, str(source), "-o", str(made)]
    return subprocess.run(command, capture_output=True, text=True)


@contextmanager
def _objects_in_memory(workspace: Path) -> Iterator[None]:
    """Let LLVM write its objects to memory: on a full disk it ends the process, without any clean-up."""
    with ExitStack() as stack:
        for name in _OBJECT_FILES:
            descriptor = os.memfd_create(name)
            stack.callback(os.close, descriptor)
            (workspace / name).symlink_to(f"/proc/{os.getpid()}/fd/{descriptor}")
        yield
