"""A directory that takes its place only when it is complete."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from paddle_tvm.runtime.errors import UsageError

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def staging_directory(target: Path, mode: int = 0o777) -> Iterator[Path]:
    """Make a directory beside ``target``, and remove it again whichever way the block ends.

    What killed runs left for the same target is removed as well. SIGTERM ends the block like an exception.
    """
    _remove_stale(target)
    with _sigterm_raises():
        staging = target.parent / f"{_prefix(target)}{os.getpid()}-{os.urandom(4).hex()}.tmp"
        lock = -1
        try:
            staging.mkdir(mode)
            lock = os.open(staging, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield staging
        finally:
            _remove(staging)
            if lock >= 0:
                os.close(lock)


@contextmanager
def scratch_directory(name: str) -> Iterator[Path]:
    """Make a directory for temporary files; if this run is killed, the next one removes it.

    ``name`` begins with ``paddle-tvm-`` and says what it is for.
    """
    with staging_directory(Path(tempfile.gettempdir()) / name, mode=0o700) as folder:
        yield folder


def publish(staging: Path, target: Path, *, replace: bool) -> None:
    """Give a staging directory its name.

    Parameters
    ----------
    staging
        The complete directory; on return it is gone, or holds what ``target`` was.
    target
        Its name.
    replace
        Whether to exchange it, in one step, with the directory that has the name.

    Raises
    ------
    UsageError
        There is something at ``target`` and ``replace`` is not set.
    """
    if replace and target.exists():
        _exchange(staging, target)
    else:
        try:
            staging.rename(target)
        except OSError as error:
            if error.errno in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
                raise UsageError(f"{target} exists by now; write to another name, or use --force") from error
            raise
    _sync_path(target.parent)


def sync(directory: Path) -> None:
    """Wait until a directory and all in it are on the disk."""
    for folder, _, files in os.walk(directory):
        for name in files:
            _sync_path(Path(folder, name))
        _sync_path(Path(folder))


def forget_cached(path: Path) -> None:
    """Let the system drop a file that is on the disk from memory.

    What was written bit by bit lies there in small pages. Who maps it next has it read into large ones.
    """
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _exchange(staging: Path, target: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    done = libc.renameat2(
        _AT_FDCWD, os.fsencode(staging), _AT_FDCWD, os.fsencode(target), ctypes.c_uint(_RENAME_EXCHANGE)
    )
    if done == 0:
        return
    if ctypes.get_errno() not in {errno.EINVAL, errno.ENOSYS}:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(target))
    # Some network file systems cannot exchange. A kill between the two steps leaves both directories whole,
    # and the target without its name.
    aside = staging.with_suffix(".old")
    target.rename(aside)
    try:
        staging.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    _remove(aside)


def _remove(directory: Path) -> None:
    """Remove a directory as far as possible, one whose folders are read-only too."""
    for folder, _, _ in os.walk(directory):
        with suppress(OSError):
            os.chmod(folder, 0o700)
    shutil.rmtree(directory, ignore_errors=True)


def _prefix(target: Path) -> str:
    return f".{target.name}."


def _remove_stale(target: Path) -> None:
    prefix = _prefix(target)
    for path in target.parent.iterdir():
        if path.name.startswith(prefix) and path.name.endswith(".tmp"):
            pid = path.name[len(prefix) :].partition("-")[0]
            if pid.isdecimal() and not _is_alive(int(pid)) and not _is_locked(path):
                _remove(path)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_locked(path: Path) -> bool:
    """Whether a process holds it, which may be in another container, where process ids are others."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Let SIGTERM raise SystemExit, if it would end the process without cleaning up."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    ):
        yield
        return
    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
