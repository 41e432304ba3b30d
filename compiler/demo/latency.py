"""Latency of two engines on the same inputs, in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence

from .picture import FloatArray
from .pipeline import Engine

ROUNDS = 5
FEWEST_ROUNDS = 3
ENOUGH_SECONDS = 60.0
# OpenMP threads spin for about 200 ms after a run and would slow down whoever comes next.
REST_SECONDS = 0.4


def compare_latency(
    engines: Mapping[str, Engine], inputs: Mapping[str, Sequence[FloatArray]]
) -> dict[str, dict[str, float]]:
    """Time every model of a picture on every engine, the engines in turns, after one run to warm up.

    Five rounds; three where they take more than a minute.

    Parameters
    ----------
    inputs
        By model, the inputs of all its calls for the picture.

    Returns
    -------
    dict
        By engine, by model: the median over the rounds, in seconds, of all calls together.
    """
    seconds: dict[str, dict[str, list[float]]] = {name: {model: [] for model in inputs} for name in engines}
    started = time.perf_counter()
    for done in range(ROUNDS):
        if done >= FEWEST_ROUNDS and time.perf_counter() - started > ENOUGH_SECONDS:
            break
        for name, engine in engines.items():
            time.sleep(REST_SECONDS)
            for model, arrays in inputs.items():
                engine.run(model, arrays[0])
                begun = time.perf_counter()
                for array in arrays:
                    engine.run(model, array)
                seconds[name][model].append(time.perf_counter() - begun)
    return {
        name: {model: statistics.median(rounds) for model, rounds in models.items()}
        for name, models in seconds.items()
    }
