"""The one place that imports Paddle, so that its import noise and absence are handled once."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from paddle_tvm.runtime.errors import UsageError


def import_paddle() -> Any:
    """Import and return ``paddle``.

    Raises
    ------
    UsageError
        Paddle is not installed.
    """
    if "paddle" not in sys.modules:
        _import_first()
    import paddle

    return paddle


def _import_first() -> None:
    # Paddle logs each program pass at INFO and WARNING on stderr.
    os.environ.setdefault("GLOG_minloglevel", "2")
    try:
        with warnings.catch_warnings():
            # Paddle 3.3 warns on import where ccache is not installed.
            warnings.simplefilter("ignore")
            import paddle  # noqa: F401
    except ImportError as error:
        _raise_what_interrupted(error)
        raise UsageError(
            f"PaddlePaddle is not installed ({error}): pip install 'paddle-tvm[compiler]'"
        ) from error
    # Paddle 3.3 takes SIGTERM from whoever handles it: give it back, so that temporary files are removed.
    handler = signal.getsignal(signal.SIGTERM)
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _raise_what_interrupted(error: ImportError) -> None:
    """An extension module that is interrupted while it is initialised makes an ImportError of that."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt | SystemExit):
            raise cause
        cause = cause.__cause__ or cause.__context__


@contextmanager
def static_mode() -> Iterator[None]:
    """Paddle's static mode, in which alone it reads programs; then the mode that was before.

    ``paddle.enable_static`` of Paddle 3.3 does nothing in any thread but the one that imported Paddle.
    """
    with import_paddle().base.framework._dygraph_guard(None):
        yield
