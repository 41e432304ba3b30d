"""The oneDNN target: an accelerator that computes subgraphs with the primitives of oneDNN."""

from paddle_tvm.targets.onednn.accelerator import OneDnn

__all__ = ["OneDnn"]
