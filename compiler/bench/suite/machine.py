"""What a table of times must say about where they come from."""

from __future__ import annotations

import os
import platform
import re
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

_PACKAGES = ("paddle-tvm", "apache-tvm", "paddlepaddle", "onnxruntime", "openvino", "paddle2onnx", "numpy")
# In the order in which they say more about speed.
_FEATURES = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def describe_machine() -> dict[str, str]:
    """CPU, memory, system and versions, as text by name."""
    cpu = cpu_info()
    flags = set(cpu.get("flags", "").split())
    return {
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu.get("model name", "unknown")
        + f" (family {cpu.get('cpu family', '?')}, model {cpu.get('model', '?')})",
        "cores": f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} usable",
        "features": " ".join(name for name in _FEATURES if name in flags),
        "caches": ", ".join(_caches()) or "unknown",
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "not shown",
        "virtual": "yes" if "hypervisor" in flags else "no",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "system": f"Linux {platform.release()}, Python {platform.python_version()}",
        "load before": f"{os.getloadavg()[0]:.2f} processes over the last minute",
    } | {name: _version(name) for name in _PACKAGES}


def cpu_info() -> dict[str, str]:
    """What /proc/cpuinfo says of the first CPU."""
    info: dict[str, str] = {}
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon:
                break
            info[name.strip()] = value.strip()
    return info


def _caches() -> list[str]:
    found = []
    for folder in sorted(_CACHES.glob("index*")):
        level, kind, size = (_read(str(folder / name)) for name in ("level", "type", "size"))
        if kind != "Instruction" and re.fullmatch(r"\d+K", size):
            kilobytes = int(size[:-1])
            found.append(
                f"L{level} {kilobytes} kB" if kilobytes < 1024 else f"L{level} {kilobytes / 1024:g} MB"
            )
    return found


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
