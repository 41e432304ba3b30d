"""The oneDNN target: an accelerator that computes subgraphs with the primitives of oneDNN."""

from paddle_tvm.targets.onednn.accelerator import OneDnn
from paddle_tvm.targets.onednn.target import onednn_targets

__all__ = ["OneDnn", "onednn_targets"]
