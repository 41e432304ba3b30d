"""What the cost model is told of a form of a workload: numbers, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import combinations
from math import log2, prod

import numpy as np
import numpy.typing as npt

from paddle_tvm.targets.workload import Config, PackedWorkload, Workload

Features = Mapping[str, float]


def workload_features(workload: Workload) -> Features:
    """What all forms have in common: sizes, as logarithms, and the amounts that follow from them."""
    features = {f"operator {workload.operator}": 1.0}
    for name, value in _numbers(workload):
        features[name] = log2(1 + value)
    flops = workload.flops()
    if flops:
        features["flops"] = log2(flops)
    if isinstance(workload, PackedWorkload):
        features["weight"] = log2(prod(workload.weight_shape))
    positions = _positions(workload)
    if positions:
        features["positions"] = log2(positions)
    return features


def form_features(workload: Workload, configs: Sequence[Config]) -> list[Features]:
    """What tells forms apart.

    Every parameter; each relative to the default's; the products of two, which are what a register tile
    holds, the tiles of a chunk, and the like; of the sizes that a tile divides, how many parts a parameter
    makes and how much of the last part is computed in vain; and what the workload itself says of it.
    """
    default = workload.default()
    sizes = {name: getattr(workload, name) for name in _DIVIDED if hasattr(workload, name)}
    sizes["positions"] = _positions(workload)
    known = {name: size for name, size in sizes.items() if size is not None}
    return [{**_form(config, default, known), **workload.traits(config)} for config in configs]


def matrix(rows: Sequence[Features], names: Sequence[str]) -> npt.NDArray[np.float32]:
    """Rows of features as a matrix; what a row lacks is NaN."""
    return np.array([[row.get(name, np.nan) for name in names] for row in rows], np.float32)


# Fields of workloads along which tiles are laid.
_DIVIDED = ("rows", "columns")


def _form(config: Config, default: Config, sizes: Mapping[str, int]) -> Features:
    features = {name: float(value) for name, value in config.items()}
    positive = {name: value for name, value in sorted(config.items()) if value > 0}
    for name, value in positive.items():
        if default.get(name, 0) > 0:
            features[f"{name}/default"] = log2(value / default[name])
        for size_name, size in sizes.items():
            parts = -(-size // value)
            features[f"{size_name}/{name}"] = log2(parts)
            features[f"{size_name}%{name}"] = parts * value / size
    for (one, first), (two, second) in combinations(positive.items(), 2):
        features[f"{one}*{two}"] = log2(first * second)
    return features


def _positions(workload: Workload) -> int | None:
    """Positions of the output, of what multiplies each by all of a weight."""
    flops = workload.flops()
    if not flops or not isinstance(workload, PackedWorkload):
        return None
    return flops // (2 * prod(workload.weight_shape))


def _numbers(workload: Workload) -> Iterator[tuple[str, int]]:
    for field in fields(workload):
        value = getattr(workload, field.name)
        for place, number in enumerate(value) if isinstance(value, tuple) else [(None, value)]:
            if isinstance(number, int):
                yield (field.name if place is None else f"{field.name}.{place}"), number
