"""Chooses among the code that an artifact holds for several CPUs."""

from __future__ import annotations

import os
from pathlib import Path

from paddle_tvm.runtime.cpu import AMX_REFUSED, cpu_features, fitting_mcpu, is_amx_refused
from paddle_tvm.runtime.errors import ArtifactError, UsageError
from paddle_tvm.runtime.manifest import Manifest, Variant


def choose_variant(path: str | os.PathLike[str], manifest: Manifest, mcpu: str | None = None) -> Variant:
    """Return the code of an artifact for this machine.

    Parameters
    ----------
    path
        The artifact's directory, for messages.
    manifest
        Its manifest. Its variants stand in the order of preference, so the first that runs here is taken.
    mcpu
        The CPU whose code to take instead.

    Raises
    ------
    UsageError
        The artifact has no code for ``mcpu``.
    ArtifactError
        The CPU of this machine lacks features; the message names them for each variant.
    """
    candidates = manifest.variants
    if mcpu is not None:
        candidates = tuple(variant for variant in candidates if variant.target.mcpu == mcpu)
        if not candidates:
            held = ", ".join(variant.target.mcpu for variant in manifest.variants)
            raise UsageError(f"{Path(path)}: holds no code for the CPU {mcpu}; it holds code for {held}")
    lacking = [missing_features(variant) for variant in candidates]
    for variant, missing in zip(candidates, lacking, strict=True):
        if not missing:
            return variant
    what = "; ".join(
        f"made for {variant.target.kind} {variant.target.mcpu}, and this machine's CPU lacks "
        f"{', '.join(missing)}"
        for variant, missing in zip(candidates, lacking, strict=True)
    )
    vector = [f for f in sorted(cpu_features()) if f.startswith(("avx", "sse4", "fma", "f16c", "amx"))]
    refused = f"; {AMX_REFUSED}" if is_amx_refused() and any("amx_tile" in found for found in lacking) else ""
    raise ArtifactError(
        f"{Path(path)}: {what} (it has {', '.join(vector) or 'no vector extensions'}){refused}; compile the "
        f"model for this machine: paddle-tvm compile MODEL -o ARTIFACT --mcpu {fitting_mcpu()}. One artifact "
        "holds code for several CPUs where --mcpu is repeated"
    )


def missing_features(variant: Variant) -> list[str]:
    """CPU features that a variant's code needs and this machine lacks, as /proc/cpuinfo names them."""
    here = cpu_features()
    return [feature for feature in variant.target.features if feature not in here]
