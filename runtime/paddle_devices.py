"""Names of Paddle Inference for other devices and precisions, which are refused."""

from __future__ import annotations

from paddle_tvm.runtime.errors import UsageError


class XpuConfig:
    """Refuses to be made: compiled models run on the CPU."""

    def __init__(self) -> None:
        raise UsageError("XpuConfig(): compiled models run on the CPU; leave it out")


def convert_to_mixed_precision(*args: object, **kwargs: object) -> None:
    """Refuse: the precision is chosen when the model is compiled."""
    raise UsageError(
        "convert_to_mixed_precision(): models are compiled in float32; compile the model as it is: "
        "paddle-tvm compile MODEL -o ARTIFACT"
    )
