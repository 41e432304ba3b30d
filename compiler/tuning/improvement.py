"""How much better than the best so far what is uncertain may be."""

from __future__ import annotations

from math import erf, pi, sqrt

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_erf = np.vectorize(erf, otypes=[float])


def expected_improvement(mean: Floats, error: Floats, best: float) -> Floats:
    """By how much each of normally distributed values is below ``best`` on average, above it counting as 0.

    From Jones, Schonlau and Welch, *Efficient global optimization of expensive black-box functions*, 1998.
    """
    deviation = np.maximum(error, 1e-9)
    z = (best - mean) / deviation
    density = np.exp(-0.5 * z**2) / sqrt(2 * pi)
    return np.asarray((best - mean) * _below(z) + deviation * density)


def _below(z: Floats) -> Floats:
    """The standard normal distribution."""
    return np.asarray(0.5 * (1 + _erf(z / sqrt(2))))
