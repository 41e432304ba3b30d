"""Searches the forms of a model's kernels on the real machine, and keeps what it finds."""
