"""The checks of ``doctor``; they need the base install alone."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import sys
from importlib import metadata
from typing import Literal, NamedTuple

from paddle_tvm.runtime.cpu import (
    AMX_NEEDS,
    cpu_features,
    default_threads,
    fitting_mcpu,
    is_amx_refused,
)
from paddle_tvm.runtime.gpus import find_gpus
from paddle_tvm.runtime.tensorrt_package import PACKAGE, find_tensorrt
from paddle_tvm.runtime.wording import counted

State = Literal["ok", "absent", "broken"]

_EXTRAS = ("compiler", "onednn", "onnxruntime", "cuda", "bench", "demo", "dev")

# Packages whose import shows more than their version: that the native library loads. TVM and Paddle take
# seconds, so their presence and version must do.
_IMPORTED = {"numpy": "numpy", "apache-tvm-ffi": "tvm_ffi"}

_REQUIREMENT = re.compile(r"^([\w.-]+)\s*([^;]*?)\s*(?:;.*extra == [\"'](\w+)[\"'])?$")


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    state: State
    found: str
    advice: str = ""


def check_installation() -> list[Finding]:
    """Look at everything that paddle-tvm builds on."""
    requirements = _requirements()
    findings = [_python(), *_extra("", requirements[""])]
    for extra in _EXTRAS:
        needed = requirements.get(extra, [])
        if not needed:
            continue
        if any(_version(name) is None for name, _ in needed) and not _half_installed(extra, needed):
            packages = ", ".join(name for name, _ in needed)
            findings.append(
                Finding(
                    f"[{extra}]",
                    "absent",
                    f"not installed ({packages})",
                    f"pip install 'paddle-tvm[{extra}]'",
                )
            )
        else:
            findings += _extra(extra, needed)
    compiler_installed = all(_version(name) is not None for name, _ in requirements.get("compiler", []))
    # A package may be in several extras.
    unique = dict.fromkeys(findings)
    return [*unique, _c_compiler(compiler_installed), *_cpu(compiler_installed), _gpu(), _tensorrt()]


def _half_installed(extra: str, needed: list[tuple[str, str]]) -> bool:
    """Whether part of an extra is there, which is a fault only where its main package is."""
    return _version(needed[0][0]) is not None and extra in ("compiler", "bench")


def _python() -> Finding:
    found = platform.python_version()
    spec = metadata.metadata("paddle-tvm")["Requires-Python"]
    if _satisfies(found, spec):
        return Finding("Python", "ok", f"{found} ({sys.executable})")
    return Finding("Python", "broken", f"{found}, expected {spec}", "use a Python of these versions")


def _requirements() -> dict[str, list[tuple[str, str]]]:
    """Name and version range of each requirement, by extra; the base's are under ''."""
    by_extra: dict[str, list[tuple[str, str]]] = {"": []}
    for line in metadata.requires("paddle-tvm") or []:
        match = _REQUIREMENT.match(line)
        if match is not None and _for_this_python(line):
            by_extra.setdefault(match[3] or "", []).append((match[1], match[2]))
    return by_extra


def _for_this_python(requirement: str) -> bool:
    """Whether a requirement's marker, if it has one, holds for the running Python."""
    marker = re.search(r"python_version\s*(==|>=|<)\s*[\"']([\d.]+)[\"']", requirement)
    return marker is None or _satisfies(platform.python_version(), marker[1] + marker[2])


def _extra(extra: str, needed: list[tuple[str, str]]) -> list[Finding]:
    suffix = f"[{extra}]" if extra else ""
    return [_package(name, spec, f"pip install 'paddle-tvm{suffix}'") for name, spec in needed]


def _package(name: str, spec: str, install_all: str) -> Finding:
    found = _version(name)
    if found is None:
        return Finding(name, "broken", "not installed", install_all)
    if not _satisfies(found, spec):
        return Finding(name, "broken", f"{found}, expected {spec}", f"pip install '{name}{spec}'")
    if name in _IMPORTED:
        try:
            importlib.import_module(_IMPORTED[name])
        except Exception as error:
            return Finding(
                name,
                "broken",
                f"{found} cannot be imported: {error}",
                f"pip install --force-reinstall '{name}{spec}'",
            )
    return Finding(name, "ok", found)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _satisfies(version: str, spec: str) -> bool:
    """Whether a version is in a range of ``==``, ``>=`` and ``<``, which is all that our pins use."""
    for clause in filter(None, (part.strip() for part in spec.split(","))):
        match = re.fullmatch(r"(==|>=|<)\s*(.+)", clause)
        if match is None:
            raise ValueError(f"cannot read the version range {clause!r}")
        operator, bound = match.groups()
        if operator == "==":
            # With the post-release, which is what distinguishes the working build.
            if version != bound:
                return False
        elif (_numbers(version) >= _numbers(bound)) != (operator == ">="):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])


def _c_compiler(needed: bool) -> Finding:
    wanted = [os.environ[name] for name in ("CXX", "CC") if os.environ.get(name)] or [
        "g++",
        "gcc",
        "clang",
        "cc",
    ]
    for name in wanted:
        path = shutil.which(name)
        if path is not None:
            return Finding("C compiler", "ok", path)
    advice = "apt install gcc, or set CC" if needed else "only needed to compile: apt install gcc"
    return Finding("C compiler", "broken" if needed else "absent", f"none of {', '.join(wanted)}", advice)


def _gpu() -> Finding:
    gpus = find_gpus()
    if not gpus.problem:
        return Finding("GPU", "ok", gpus.found)
    advice = "only needed to run what is compiled with --target cuda: install NVIDIA's driver for CUDA 13"
    return Finding("GPU", "absent", gpus.found, advice)


def _tensorrt() -> Finding:
    package = find_tensorrt()
    if not package.problem:
        return Finding("TensorRT", "ok", str(package.module.__version__))
    found = "not installed" if package.module is None else f"{package.module.__version__}, expected 10"
    advice = f"only needed to run what is compiled with --target tensorrt: pip install '{PACKAGE}'"
    return Finding("TensorRT", "absent", found, advice)


def _cpu(compiler_installed: bool) -> list[Finding]:
    machine = platform.machine()
    if machine != "x86_64":
        advice = "paddle-tvm compiles for and runs on 64-bit x86"
        return [Finding("CPU", "broken", machine, advice)]
    have = cpu_features()
    vector = [
        name for name in ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if name in have
    ]
    findings = [
        Finding("CPU", "ok", f"{counted(default_threads(), 'core')}; {' '.join(vector) or 'no AVX2'}")
    ]
    if is_amx_refused():
        advice = f"{AMX_NEEDS}; code without it: --mcpu {fitting_mcpu()}"
        findings.append(Finding("AMX", "absent", "refused by the system", advice))
    if compiler_installed:
        try:
            from paddle_tvm.targets.x86.cpus import detect
        except Exception as error:
            advice = "pip install --force-reinstall 'paddle-tvm[compiler]'"
            findings.append(Finding("TVM", "broken", f"cannot be imported: {error}", advice))
        else:
            findings.append(Finding("target", "ok", f"x86 --mcpu {detect()}"))
    return findings
