"""Predicts, from the trials so far, how fast forms of a workload are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
import numpy.typing as npt

from paddle_tvm.compiler.tuning.features import Features, form_features, matrix, workload_features
from paddle_tvm.compiler.tuning.form_space import FormKey, form_key
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.targets.workload import Config, Workload

Floats = npt.NDArray[np.float64]

# Models, each fitted without a share of the trials: on those it shows how far it can be trusted.
_FOLDS = 3
_ROUNDS = 40
_BINS = 64
_BOOSTER = {
    "tree_method": "hist",
    "max_depth": 5,
    "eta": 0.2,
    "min_child_weight": 1,
    "subsample": 0.8,
    "colsample_bytree": 0.4,
    "max_bin": _BINS,
    # Threads of OpenMP would spin into the next timing.
    "nthread": 1,
    "verbosity": 0,
}
# What a workload's own trials count, in trials of others.
_OWN_WEIGHT = 4.0
# Slower than the default by e to this power is all the same; what failed counts as that slow.
_SLOWEST = 0.7
# The error of a prediction, a logarithm, where fewer trials than these show it.
_UNKNOWN_ERROR, _FEW_TRIALS = 0.3, 6
# Trials of other workloads that are learnt from at most, so that it takes a tenth of a second.
_MOST_OTHERS = 500


@dataclass(frozen=True)
class Prediction:
    """For each form the logarithm of its time relative to the default's, and the standard error of that."""

    mean: Floats
    error: Floats


class CostModel:
    """Boosted trees over all trials on a kind of machine, of whatever workload.

    Times are taken relative to those of the workloads' default forms, so what is learnt of one serves
    another.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._examples: dict[Workload, _Examples] = {}
        self._known_rows: dict[Workload, dict[FormKey, Features]] = {}

    def fit(self, trials: Mapping[Workload, Sequence[Outcome]]) -> None:
        """Take trials to learn from; those of a workload whose default form has no time say nothing."""
        self._examples = {}
        for workload, outcomes in trials.items():
            relative = relative_times(workload, outcomes)
            if relative is not None:
                forms = self._rows(workload, [outcome.config for outcome in outcomes])
                self._examples[workload] = _Examples(forms, np.minimum(relative, _SLOWEST))

    def knows(self, operator: str) -> bool:
        """Whether there are trials of an operator, beside those of default forms, to learn from."""
        trials = [
            len(examples.times) - 1
            for workload, examples in self._examples.items()
            if workload.operator == operator
        ]
        return sum(trials) >= _FEW_TRIALS

    def predict(self, workload: Workload, configs: Sequence[Config]) -> Prediction:
        """Predict the times of forms of a workload.

        The model is fitted anew for each workload, whose own trials count more than others'. Before there is
        anything to learn from, all forms are as the default.
        """
        rows, wanted, own = self._training(workload)
        names = sorted({name for row in rows for name in row})
        values = matrix(rows, names)
        varying = [not _is_constant(column) for column in values.T]
        if not any(varying):
            return Prediction(np.zeros(len(configs)), np.full(len(configs), _UNKNOWN_ERROR))
        names = [name for name, varies in zip(names, varying, strict=True) if varies]
        values = np.ascontiguousarray(values[:, varying])
        asked = matrix(self._rows(workload, configs), names)
        opinions, left_out = self._fit_folds(values, wanted, own, asked)
        residuals = (left_out - wanted)[own]
        error = float(np.sqrt(np.mean(residuals**2))) if len(residuals) >= _FEW_TRIALS else _UNKNOWN_ERROR
        return Prediction(opinions.mean(axis=0), np.sqrt(error**2 + opinions.var(axis=0)))

    def _rows(self, workload: Workload, configs: Sequence[Config]) -> list[Features]:
        """Features of forms, which are kept: most forms are asked for again and again."""
        known = self._known_rows.setdefault(workload, {})
        keys = [form_key(config) for config in configs]
        missing = {key: config for key, config in zip(keys, configs, strict=True) if key not in known}
        if missing:
            common = workload_features(workload)
            forms = form_features(workload, list(missing.values()))
            known.update({key: {**common, **form} for key, form in zip(missing, forms, strict=True)})
        return [known[key] for key in keys]

    def _training(self, workload: Workload) -> tuple[list[Features], Floats, npt.NDArray[np.bool_]]:
        """Features and times of trials, and which are the workload's own; of very many others, some."""
        rows: list[Features] = []
        times: list[float] = []
        for other, examples in self._examples.items():
            if other != workload:
                rows += examples.rows
                times += examples.times.tolist()
        if len(rows) > _MOST_OTHERS:
            places = np.linspace(0, len(rows) - 1, _MOST_OTHERS).astype(int).tolist()
            rows, times = [rows[place] for place in places], [times[place] for place in places]
        others = len(rows)
        if workload in self._examples:
            rows += self._examples[workload].rows
            times += self._examples[workload].times.tolist()
        return rows, np.array(times), np.arange(len(rows)) >= others

    def _fit_folds(
        self,
        values: npt.NDArray[np.float32],
        wanted: Floats,
        own: npt.NDArray[np.bool_],
        asked: npt.NDArray[np.float32],
    ) -> tuple[Floats, Floats]:
        """What each model says of the forms in question, and of each trial one that has not seen it."""
        import xgboost

        weights = np.where(own, _OWN_WEIGHT, 1.0)
        folds = np.arange(len(wanted)) % _FOLDS
        left_out = np.zeros(len(wanted))

        def opinion(fold: int) -> Any:
            kept = folds != fold
            data = xgboost.QuantileDMatrix(
                values[kept], wanted[kept], weight=weights[kept], nthread=1, max_bin=_BINS
            )
            booster = xgboost.train({**_BOOSTER, "seed": self._seed + fold}, data, _ROUNDS)
            if not kept.all():
                left_out[~kept] = booster.inplace_predict(values[~kept])
            return booster.inplace_predict(asked)

        # One thread each, so that the sums in a tree are the same whatever the machine.
        with ThreadPoolExecutor(_FOLDS) as executor:
            opinions = list(executor.map(opinion, range(_FOLDS)))
        return np.stack(opinions).astype(np.float64), left_out


@dataclass(frozen=True)
class _Examples:
    """Trials of a workload, as the model takes them."""

    rows: Sequence[Features]
    times: Floats


def relative_times(workload: Workload, outcomes: Sequence[Outcome]) -> Floats | None:
    """Logarithms of times relative to the default's, infinite where a trial failed.

    None where the default was not timed.
    """
    default = dict(workload.default())
    base = [outcome.median for outcome in outcomes if outcome.config == default and outcome.seconds]
    return np.array([log(outcome.median / base[-1]) for outcome in outcomes]) if base else None


def _is_constant(column: npt.NDArray[np.float32]) -> bool:
    return bool(np.isnan(column).all() or (column == column[0]).all())
