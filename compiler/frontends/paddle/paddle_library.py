"""The one place that imports Paddle, so that its import noise and absence are handled once."""

from __future__ import annotations

import os
import warnings
from typing import Any

from paddle_tvm.runtime.errors import UsageError


def import_paddle() -> Any:
    """Import and return ``paddle``.

    Raises
    ------
    UsageError
        Paddle is not installed.
    """
    # Paddle logs each program pass at INFO and WARNING on stderr.
    os.environ.setdefault("GLOG_minloglevel", "2")
    try:
        with warnings.catch_warnings():
            # Paddle 3.3 warns on import where ccache is not installed.
            warnings.simplefilter("ignore")
            import paddle
    except ImportError as error:
        raise UsageError(
            f"PaddlePaddle is not installed ({error}): pip install 'paddle-tvm[compiler]'"
        ) from error
    return paddle
