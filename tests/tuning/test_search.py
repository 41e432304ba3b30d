"""The search through the forms of a kernel, over real spaces and made-up costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import log2
from zlib import crc32

import numpy as np
import pytest

from paddle_tvm.compiler.tuning.cost_model import CostModel
from paddle_tvm.compiler.tuning.outcome import Outcome
from paddle_tvm.compiler.tuning.search import KernelSearch
from paddle_tvm.targets.workload import Config, Workload
from paddle_tvm.targets.x86.conv2d_workload import Conv2d

POINTWISE = Conv2d(
    batch=1,
    rows=28,
    columns=28,
    channels=512,
    outputs=128,
    kernel=(1, 1),
    strides=(1, 1),
    dilation=(1, 1),
    padding=(0, 0, 0, 0),
    groups=1,
    lanes_in=16,
    lanes=16,
)
WIDE = replace(POINTWISE, channels=128, outputs=512)
THREE = replace(
    POINTWISE, channels=256, outputs=256, rows=14, columns=14, kernel=(3, 3), padding=(1, 1, 1, 1)
)

Cost = Callable[[Config], float]


def cost_of(workload: Workload) -> Cost:
    """A made-up machine, which likes tiles of about 9 by 2, few positions in vain, and even shares of work.

    Up to 2 % come from nothing that could be learnt.
    """
    positions = (workload.flops() or 0) // (2 * int(np.prod(workload.weight_shape)))

    def cost(config: Config) -> float:
        points, blocks = config["points"], config["blocks"]
        tile = 1 + 0.05 * abs(points - 9) + 0.1 * abs(blocks - 2)
        tile += 0.02 * (crc32(repr(key(config)).encode()) % 1000) / 1000
        if config["winograd"]:
            tiles = config["rows"] * config["columns"]
            waste = 1 + abs(tiles - 16) / 64 + 0.05 * config["shared"] + 0.2 / config["group"]
            return 1e-3 * tile * waste * (0.8 if config["winograd"] == 2 else 0.7)
        waste = -(-positions // points) * points / positions
        chunks = config.get("chunks", 4)
        share = 1.3 if chunks == 0 else 1 + 0.05 * abs(log2(chunks / 14))
        return 1e-3 * tile * waste * share

    return cost


def tried(config: Config, cost: Cost) -> Outcome:
    return Outcome(config, "ok", (cost(config),) * 3)


def search_for(
    workload: Workload, trials: int, seed: int, others: Mapping[Workload, list[Outcome]] | None = None
) -> list[Outcome]:
    """The trials of a search in batches of 8."""
    model, outcomes = CostModel(seed), list[Outcome]()
    search = KernelSearch(workload, [], model, seed)
    while len(outcomes) < trials and not search.exhausted:
        model.fit({**(others or {}), workload: outcomes})
        batch = [
            tried(config, cost_of(workload)) for config in search.propose(min(8, trials - len(outcomes)))
        ]
        search.record(batch)
        outcomes += batch
    return outcomes


def gap(workload: Workload, outcomes: list[Outcome]) -> float:
    """How much slower the best of some trials is than the best of all forms."""
    best = min(map(cost_of(workload), workload.candidates()))
    return min(outcome.median for outcome in outcomes) / best - 1


def at_random(workload: Workload, trials: int, seed: int) -> list[Outcome]:
    forms = workload.candidates()
    places = np.random.default_rng(seed).permutation(len(forms))[:trials]
    return [tried(forms[place], cost_of(workload)) for place in places]


def key(config: Config) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(config.items()))


def test_the_default_is_tried_first() -> None:
    assert KernelSearch(THREE, [], CostModel()).propose(4)[0] == THREE.default()


def test_the_first_forms_are_of_every_kind() -> None:
    assert {config["winograd"] for config in KernelSearch(THREE, [], CostModel()).propose(8)} == {0, 2, 4}


@pytest.mark.parametrize("workload", [POINTWISE, THREE])
def test_forty_trials_come_within_two_percent_of_the_best_form_much_more_surely_than_chance(
    workload: Conv2d,
) -> None:
    found = [gap(workload, search_for(workload, 40, seed)) <= 0.02 for seed in range(8)]
    by_chance = [gap(workload, at_random(workload, 40, seed)) <= 0.02 for seed in range(8)]
    assert sum(found) >= 7
    assert sum(by_chance) <= 4


def test_trials_of_another_workload_give_a_start() -> None:
    others = {WIDE: search_for(WIDE, 96, 0)}
    known = [gap(POINTWISE, search_for(POINTWISE, 12, seed, others)) for seed in range(3)]
    unknown = [gap(POINTWISE, search_for(POINTWISE, 12, seed)) for seed in range(3)]
    assert np.mean(known) < np.mean(unknown)


def test_no_form_is_proposed_twice_and_all_are_in_the_end() -> None:
    small = replace(POINTWISE, rows=None, columns=None, outputs=32)
    search, model = KernelSearch(small, [], CostModel()), CostModel()
    proposed = []
    while batch := search.propose(5):
        proposed += batch
        search.record([tried(config, lambda config: 1.0) for config in batch])
    assert model.knows("conv2d") is False
    assert search.exhausted
    assert search.converged
    assert sorted(map(key, proposed)) == sorted({key(config) for config in small.candidates()})


def test_a_search_goes_on_from_its_trials_as_if_it_had_not_stopped() -> None:
    outcomes = search_for(THREE, 32, 3)
    model = CostModel(3)
    model.fit({THREE: outcomes[:24]})
    resumed = KernelSearch(THREE, outcomes[:24], model, 3)
    assert resumed.propose(8) == [outcome.config for outcome in outcomes[24:]]


def test_another_seed_takes_another_way() -> None:
    first, second = (KernelSearch(THREE, [], CostModel(), seed).propose(8) for seed in (0, 1))
    assert first != second


def test_forms_that_failed_are_not_tried_again_and_ones_like_them_less_than_others() -> None:
    def crashes(config: Config) -> bool:
        return config["winograd"] == 4

    crashed = []
    for seed in range(3):
        model, outcomes = CostModel(seed), list[Outcome]()
        search = KernelSearch(THREE, [], model, seed)
        for _ in range(6):
            model.fit({THREE: outcomes})
            batch = [
                Outcome(config, "crash") if crashes(config) else tried(config, cost_of(THREE))
                for config in search.propose(8)
            ]
            search.record(batch)
            outcomes += batch
        assert len({key(outcome.config) for outcome in outcomes}) == len(outcomes)
        assert search.best is not None
        crashed += [outcome.status == "crash" for outcome in outcomes[16:]]
    assert np.mean(crashed) < 0.6 * np.mean([crashes(config) for config in THREE.candidates()])


def test_a_search_whose_default_fails_goes_on() -> None:
    search = KernelSearch(THREE, [Outcome(THREE.default(), "crash", detail="signal 11")], CostModel())
    assert search.best is None
    assert len(search.propose(8)) == 8


def test_trials_of_forms_that_no_longer_exist_do_no_harm() -> None:
    gone: Config = {"winograd": 0, "points": 99, "blocks": 7}
    default = tried(THREE.default(), cost_of(THREE))
    search = KernelSearch(THREE, [default, Outcome(gone, "ok", (1e-6,))], CostModel())
    assert search.best == default
    assert len(search.propose(24)) == 24


def test_a_search_converges_after_many_trials_without_a_gain() -> None:
    outcomes = [tried(config, lambda config: 1.0) for config in THREE.candidates()[:60]]
    default = tried(THREE.default(), lambda config: 0.5)
    assert not KernelSearch(THREE, [*outcomes[:30], default], CostModel()).converged
    assert not KernelSearch(THREE, [default, *outcomes[:20]], CostModel()).converged
    assert KernelSearch(THREE, [default, *outcomes], CostModel()).converged
