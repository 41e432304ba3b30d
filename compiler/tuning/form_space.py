"""The forms of a workload as points, so that there is a nearness among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from paddle_tvm.targets.workload import Config, Workload

Floats = npt.NDArray[np.float64]
FormKey: TypeAlias = tuple[tuple[str, int], ...]


class FormSpace:
    """All forms of a workload; a form is known by its place in ``configs``, the default's is 0.

    A parameter is an axis, along which its logarithm goes from 0 to 1; whether a form has it is another, and
    whether it is 0, which means something of its own, a third.
    """

    def __init__(self, workload: Workload) -> None:
        forms = {form_key(config): config for config in (workload.default(), *workload.candidates())}
        self.configs: Sequence[Config] = list(forms.values())
        self._places = {key: place for place, key in enumerate(forms)}
        self._points = _points(self.configs)

    def place(self, config: Config) -> int | None:
        """The place of a form; None for one that there is not, as in a log of another version."""
        return self._places.get(form_key(config))

    def distances(self, place: int) -> Floats:
        """How far each form is from one of them, summed over the axes."""
        return np.asarray(np.abs(self._points - self._points[place]).sum(axis=1))


def form_key(config: Config) -> FormKey:
    """The same for the same form, whatever the order of its parameters."""
    return tuple(sorted(config.items()))


def _points(configs: Sequence[Config]) -> Floats:
    axes = []
    for name in sorted({name for config in configs for name in config}):
        values = np.array([config.get(name, 0) for config in configs], float)
        present = np.array([name in config for config in configs], float)
        logs = np.log2(np.maximum(values, 1))
        axes += [logs / max(logs.max(), 1.0), present, present * (values == 0)]
    return np.stack(axes, axis=1)
