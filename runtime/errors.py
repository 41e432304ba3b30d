"""Errors a user can cause, each with the exit code that the command line gives it.

A bug of ours is any other exception: it keeps its traceback and exits with 1.
"""

from __future__ import annotations


class PaddleTvmError(Exception):
    """Base of all errors with a cause outside this code; the message says what to do next."""

    exit_code = 1


class UsageError(PaddleTvmError):
    """An argument, an input name, a dtype or a shape that does not fit."""

    exit_code = 2


class UnsupportedModelError(PaddleTvmError):
    """A model that cannot be read, or holds something that cannot be compiled."""

    exit_code = 3


class VerificationError(PaddleTvmError):
    """Outputs that differ from the reference by more than the tolerance."""

    exit_code = 4


class ArtifactError(PaddleTvmError):
    """An artifact that is missing parts, damaged, too new, or made for another machine."""

    exit_code = 5
