"""Predictors for several threads, with the methods of Paddle Inference's ``PredictorPool``."""

from __future__ import annotations

from paddle_tvm.runtime.config import Config
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.runtime.predictor import Predictor, create_predictor


class PredictorPool:
    """Predictors that share code and weights, one for each thread.

    Parameters
    ----------
    config
        As for ``create_predictor``.
    size
        How many predictors, at least 1.
    """

    def __init__(self, config: Config, size: int = 1) -> None:
        if size < 1:
            raise UsageError(f"a PredictorPool has at least 1 predictor, got a size of {size}")
        first = create_predictor(config)
        self._predictors = [first, *(first.clone() for _ in range(size - 1))]

    def retrieve(self, index: int) -> Predictor:
        """Return a predictor of the pool, always the same for the same index.

        Raises
        ------
        UsageError
            There is no such predictor.
        """
        if not 0 <= index < len(self._predictors):
            raise UsageError(f"the pool has predictors 0 to {len(self._predictors) - 1}, got {index}")
        return self._predictors[index]

    def retrive(self, index: int) -> Predictor:
        """Return what ``retrieve`` returns; earlier versions of Paddle spell it so."""
        return self.retrieve(index)
