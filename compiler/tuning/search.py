"""Which forms of a kernel to try next."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from zlib import crc32

import numpy as np
import numpy.typing as npt

from paddle_tvm.compiler.tuning.cost_model import CostModel
from paddle_tvm.compiler.tuning.form_space import FormSpace
from paddle_tvm.compiler.tuning.improvement import expected_improvement
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.targets.workload import Config, Workload

# Until the model knows the operator, forms are spread over the space; where it does from other workloads,
# every other one of so many.
_SPREAD = 8
# One in so many of the forms that follow is near the best one, or taken at random.
_NEAR_EVERY, _RANDOM_EVERY = 6, 10
# How near that is: of so many the one of which the model expects the most.
_NEAR = 12
# A share of the time; a smaller gain does not count.
_LITTLE = 0.005
# The search has converged after so many trials without a gain, and this share of all.
_PATIENCE, _PATIENCE_SHARE = 48, 0.4


class KernelSearch:
    """A walk through the forms of a workload, the default first.

    What it does depends on the seed and the trials alone, so that one that goes on from a log takes the way
    that an undisturbed one takes.

    Parameters
    ----------
    workload
        What to search.
    tried
        Trials of it so far, in their order; those that failed too.
    model
        The cost model; the caller gives it the trials to learn from.
    seed
        Of what is taken at random.
    """

    def __init__(self, workload: Workload, tried: Sequence[Outcome], model: CostModel, seed: int = 0) -> None:
        self.workload = workload
        self.best: Outcome | None = None
        """The trial of the fastest form, of those that there still are; None before one was timed."""
        self._space = FormSpace(workload)
        self._model = model
        self._seed = seed
        self._taken = np.zeros(len(self._space.configs), bool)
        self._trials = 0
        self._gained_at = 0
        self._default: float | None = None
        self._given_up = False
        self.record(tried)

    @property
    def size(self) -> int:
        """How many forms there are."""
        return len(self._space.configs)

    @property
    def exhausted(self) -> bool:
        """Whether every form was proposed."""
        return bool(self._taken.all())

    @property
    def converged(self) -> bool:
        """Whether there is nothing left to try, or no gain to be expected."""
        waited = self._trials - self._gained_at
        return self._given_up or self.exhausted or waited >= max(_PATIENCE, _PATIENCE_SHARE * self._trials)

    def give_up(self) -> None:
        """Expect nothing of further trials."""
        self._given_up = True

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Take note of trials."""
        for outcome in outcomes:
            self._trials += 1
            place = self._space.place(outcome.config)
            if place is None:
                continue
            self._taken[place] = True
            if not outcome.seconds:
                continue
            if place == 0:
                self._default = outcome.median
            if self.best is None or outcome.median < self.best.median:
                if self.best is None or outcome.median < self.best.median * (1 - _LITTLE):
                    self._gained_at = self._trials
                self.best = outcome

    def propose(self, count: int) -> list[Config]:
        """Up to ``count`` forms to try next, none of which was proposed or tried before."""
        generator = np.random.default_rng((self._seed, crc32(self.workload.key.encode()), self._trials))
        chosen: list[int] = []
        if count and not self._taken[0]:
            self._take(0, chosen)
        known = self._model.knows(self.workload.operator)
        worth: npt.NDArray[np.float64] | None = None
        while len(chosen) < count and not self.exhausted:
            number = self._trials + len(chosen)
            if not known or (number < _SPREAD and number % 2):
                self._take(self._far(generator), chosen)
            elif number % _RANDOM_EVERY == 0:
                self._take(int(generator.choice(np.flatnonzero(~self._taken))), chosen)
            else:
                worth = self._worth(generator) if worth is None else worth
                eligible = ~self._taken
                if number % _NEAR_EVERY == 0 and self.best is not None:
                    eligible = self._near(self.best)
                self._take(int(np.where(eligible, worth, -np.inf).argmax()), chosen)
        return [self._space.configs[place] for place in chosen]

    def _take(self, place: int, chosen: list[int]) -> None:
        self._taken[place] = True
        chosen.append(place)

    def _far(self, generator: np.random.Generator) -> int:
        """A form at random, by the square of its distance from those that were taken.

        As k-means++ chooses its centres (Arthur and Vassilvitskii, 2007).
        """
        nearest = np.min(
            [self._space.distances(place) for place in np.flatnonzero(self._taken).tolist()], axis=0
        )
        # Forms may lie in one place.
        chance = np.where(self._taken, 0.0, nearest**2 + 1e-9)
        return int(generator.choice(self.size, p=chance / chance.sum()))

    def _near(self, best: Outcome) -> npt.NDArray[np.bool_]:
        """The forms near the best one that were not taken."""
        place = self._space.place(best.config)
        assert place is not None
        distances = np.where(self._taken, np.inf, self._space.distances(place))
        limit = np.sort(distances)[min(_NEAR, self.size) - 1]
        return np.asarray(~self._taken & (distances <= limit))

    def _worth(self, generator: np.random.Generator) -> npt.NDArray[np.float64]:
        """By how much the model expects each form to be better than the best; no two are quite the same."""
        prediction = self._model.predict(self.workload, self._space.configs)
        best = 0.0
        if self.best is not None and self._default is not None:
            best = log(self.best.median / self._default)
        worth = expected_improvement(prediction.mean, prediction.error, best)
        return np.asarray(worth * (1 + 1e-3 * generator.random(self.size)))
