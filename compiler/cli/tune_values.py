"""Values of the options of ``paddle-tvm tune``."""

from __future__ import annotations

import os
import re
from pathlib import Path

from paddle_tvm.compiler.array_files import check_writable
from paddle_tvm.compiler.tuning.log import check_appendable
from paddle_tvm.runtime.artifact import MANIFEST_FILE
from paddle_tvm.runtime.errors import UsageError

LOG_FOLDER = Path("tuning_logs")
"""Where logs go whose place nobody names, each under its target class."""

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)
_LONGEST_SECONDS = 365 * 24 * 3600
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
_MOST_PORT = 65535


def parse_duration(value: str) -> float:
    """Seconds of ``90s``, ``30m``, ``2h`` or ``1h30m``; a number without its unit is none.

    Raises
    ------
    UsageError
        It is none, or not above 0.
    """
    found = _DURATION.fullmatch(value.strip())
    hours, minutes, seconds = (float(part or 0) for part in found.groups()) if found else (0.0, 0.0, 0.0)
    total = 3600 * hours + 60 * minutes + seconds
    if not 0 < total <= _LONGEST_SECONDS:
        raise UsageError(
            f"--time-budget {value}: expected a time with its unit, such as 90s, 30m, 2h or 1h30m"
        )
    return total


def parse_share(value: str) -> float:
    """A share from 0 to 1: ``1%``, or ``0.01``.

    Raises
    ------
    UsageError
        It is none.
    """
    text = value.strip()
    digits = text.removesuffix("%").strip()
    share = float(digits) / (100 if text.endswith("%") else 1) if _NUMBER.fullmatch(digits) else -1.0
    # "1" may well stand for 1 %, which would leave nothing to tune if it were read as a share.
    if not 0 <= share < 1:
        raise UsageError(f"--min-share {value}: expected a share of the run below 100 %, such as 1% or 0.01")
    return share


def parse_operators(value: str | None) -> tuple[str, ...]:
    """Names separated by commas; none where the option is not given.

    Raises
    ------
    UsageError
        It names nothing.
    """
    if value is None:
        return ()
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
    if not names:
        raise UsageError("--ops names no operator; leave it out to tune all of them")
    return names


def parse_tracker(rpc: str | None, key: str | None) -> tuple[str, int, str] | None:
    """Host and port of an RPC tracker, and the key of its machines.

    Raises
    ------
    UsageError
        One is given without the other, or the address cannot be read.
    """
    if rpc is None and key is None:
        return None
    if rpc is None:
        raise UsageError(f"--key {key} names machines of a tracker: say which with --rpc HOST:PORT")
    if not key:
        raise UsageError(f"--rpc {rpc}: name the machines that shall measure with --key, as they registered")
    host, _, port = rpc.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) <= _MOST_PORT:
        raise UsageError(f"--rpc {rpc}: expected HOST:PORT of a tracker, such as 192.168.1.5:9190")
    return host, int(port), key


def place_log(output: Path, model_name: str) -> Path:
    """The log's file: in a directory, NAME.jsonl.

    Raises
    ------
    UsageError
        It could not be read, or not be written to.
    """
    if (output / MANIFEST_FILE).exists():
        raise UsageError(f"{output} is an artifact, whose files are its own; name a file beside it with -o")
    path = output / f"{model_name}.jsonl" if output.is_dir() else output
    if os.path.lexists(path):
        check_appendable(path)
        if not os.access(path, os.W_OK):
            raise UsageError(f"{path}: no permission to append to this tuning log; name another with -o")
        return path
    check_writable(path)
    return path


def check_log_folder() -> None:
    """Refuse where no log can be made by default.

    Raises
    ------
    UsageError
        ``tuning_logs`` is a file, or nothing can be made in it or in the current directory.
    """
    if LOG_FOLDER.exists() and not LOG_FOLDER.is_dir():
        raise UsageError(f"{LOG_FOLDER} is no directory, and logs go there: name a file with -o")
    folder = LOG_FOLDER if LOG_FOLDER.is_dir() else Path()
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"no permission to make a log in {folder.absolute()}: name a file with -o")


def default_log(target_class: str, model_name: str) -> Path:
    """The log of a model where none is named; its directory is made."""
    folder = LOG_FOLDER / target_class
    folder.mkdir(parents=True, exist_ok=True)
    return place_log(folder / f"{model_name}.jsonl", model_name)
