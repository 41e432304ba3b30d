"""What the cost model learns from trials."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from paddle_tvm.compiler.tuning.cost_model import CostModel, relative_times
from paddle_tvm.compiler.tuning.features import form_features, matrix, workload_features
from paddle_tvm.compiler.tuning.improvement import expected_improvement
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.targets.workload import Config
from paddle_tvm.targets.x86.conv2d_workload import Conv2d

CONV = Conv2d(
    batch=1,
    rows=14,
    columns=14,
    channels=256,
    outputs=256,
    kernel=(3, 3),
    strides=(1, 1),
    dilation=(1, 1),
    padding=(1, 1, 1, 1),
    groups=1,
    lanes_in=16,
    lanes=16,
)


def seconds(config: Config) -> float:
    return 1e-3 * (1 + abs(config["points"] * config["blocks"] - 14) / 14 + (config["winograd"] == 0))


def trials(workload: Conv2d, count: int, seed: int = 0) -> list[Outcome]:
    forms = workload.candidates()
    places = np.random.default_rng(seed).permutation(len(forms))[:count]
    configs = [workload.default(), *(forms[place] for place in places)]
    return [Outcome(config, "ok", (seconds(config),)) for config in configs]


def order_kept(model: CostModel, workload: Conv2d) -> float:
    """Correlation of ranks of predicted and true times over all forms."""
    forms = workload.candidates()
    ranks = [
        np.argsort(np.argsort(values))
        for values in (
            model.predict(workload, forms).mean,
            [seconds(config) for config in forms],
        )
    ]
    return float(np.corrcoef(*ranks)[0, 1])


def test_it_ranks_forms_that_it_has_not_seen() -> None:
    model = CostModel()
    model.fit({CONV: trials(CONV, 40)})
    assert order_kept(model, CONV) > 0.8


def test_it_ranks_forms_of_a_workload_that_it_has_not_seen() -> None:
    model = CostModel()
    model.fit({replace(CONV, channels=channels): trials(CONV, 60, channels) for channels in (128, 512)})
    assert model.knows("conv2d")
    assert order_kept(model, CONV) > 0.8


def test_before_it_has_learnt_all_forms_are_the_same() -> None:
    model = CostModel()
    assert not model.knows("conv2d")
    model.fit({CONV: trials(CONV, 0)})
    assert not model.knows("conv2d")
    prediction = model.predict(CONV, CONV.candidates())
    assert not prediction.mean.any()
    assert (prediction.error == prediction.error[0]).all()


def test_it_is_the_same_for_the_same_trials() -> None:
    first, second = CostModel(7), CostModel(7)
    for model in (first, second):
        model.fit({CONV: trials(CONV, 30)})
    forms = CONV.candidates()
    assert (first.predict(CONV, forms).mean == second.predict(CONV, forms).mean).all()


def test_what_failed_counts_as_slow() -> None:
    outcomes = trials(CONV, 40)
    failing = [
        Outcome(outcome.config, "timeout", detail="10 s") if outcome.config["winograd"] == 2 else outcome
        for outcome in outcomes[1:]
    ]
    model = CostModel()
    model.fit({CONV: [outcomes[0], *failing]})
    forms = CONV.candidates()
    predicted = model.predict(CONV, forms).mean
    failed = np.array([config["winograd"] == 2 for config in forms])
    assert predicted[failed].mean() > predicted[~failed].mean()


def test_a_few_trials_are_enough_to_ask() -> None:
    for count in range(5):
        model = CostModel()
        model.fit({CONV: trials(CONV, count)})
        assert np.isfinite(model.predict(CONV, CONV.candidates()).mean).all()


def test_workloads_without_a_time_of_their_default_are_not_learnt_from() -> None:
    default = CONV.default()
    others = [outcome for outcome in trials(CONV, 20) if outcome.config != default]
    assert relative_times(CONV, others) is None
    model = CostModel()
    model.fit({CONV: others})
    assert not model.knows("conv2d")


def test_times_are_relative_to_the_latest_of_the_default() -> None:
    default, other = CONV.default(), CONV.candidates()[0]
    outcomes = [
        Outcome(default, "ok", (3.0,)),
        Outcome(other, "ok", (1.0,)),
        Outcome(default, "ok", (2.0,)),
        Outcome(other, "crash"),
    ]
    relative = relative_times(CONV, outcomes)
    assert relative is not None
    np.testing.assert_allclose(relative, np.log([1.5, 0.5, 1.0, np.inf]))


def test_features_say_what_a_tile_wastes_and_what_it_holds() -> None:
    (form,) = form_features(CONV, [{"winograd": 0, "points": 4, "blocks": 2}])
    assert form["columns%points"] == 16 / 14
    assert form["columns/points"] == 2
    assert form["blocks*points"] == 3


def test_sizes_that_are_not_known_are_missing() -> None:
    unknown = replace(CONV, rows=None)
    names = sorted(workload_features(CONV))
    values = matrix([workload_features(unknown)], names)[0]
    missing = {name for name, value in zip(names, values, strict=True) if np.isnan(value)}
    assert missing == {"rows", "flops", "positions"}


def test_expected_improvement_is_what_drawing_at_random_gives() -> None:
    mean, error, best = np.array([-0.1, 0.0, 0.2]), np.array([0.05, 0.1, 0.3]), -0.02
    drawn = np.random.default_rng(0).normal(mean, error, (200_000, 3))
    gains = np.maximum(best - drawn, 0).mean(axis=0)
    np.testing.assert_allclose(expected_improvement(mean, error, best), gains, rtol=0.02)
