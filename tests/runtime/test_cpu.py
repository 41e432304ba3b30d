"""What CPUs a machine has: cores are told from hyperthreads, and features from those that are refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paddle_tvm.runtime import cpu


def _machine(folder: Path, siblings: dict[int, str]) -> None:
    for number, listed in siblings.items():
        topology = folder / f"cpu{number}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{listed}\n")


@pytest.mark.parametrize(
    ("siblings", "allowed", "cores"),
    [
        # As Linux numbers them: the second threads of all cores come last, or those of a core are neighbours.
        ({0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, {0, 1, 2, 3}, 2),
        ({0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}, {0, 1, 2, 3}, 2),
        # Part of the machine: one thread of a core is a core, too.
        ({0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, {0, 2, 3}, 2),
        ({0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, {0, 2}, 1),
        ({0: "0", 1: "1"}, {0, 1}, 2),
        # Nothing is told.
        ({}, {0, 1, 5}, 3),
    ],
)
def test_hyperthreads_of_a_core_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, siblings: dict[int, str], allowed: set[int], cores: int
) -> None:
    _machine(tmp_path, siblings)
    monkeypatch.setattr(cpu, "_CPUS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: allowed)
    assert cpu.default_threads() == cores


def test_here_there_is_a_core_and_no_more_than_cpus() -> None:
    assert 1 <= cpu.default_threads() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize("permitted", [True, False])
def test_amx_is_a_feature_where_the_system_permits_it(
    permitted: bool, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    known = frozenset({"avx2", "amx_bf16", "amx_int8", "amx_tile"})
    monkeypatch.setattr(cpu, "_flags", lambda: known)
    monkeypatch.setattr(cpu, "permit_amx", lambda: permitted)
    cpu.cpu_features.cache_clear()
    request.addfinalizer(cpu.cpu_features.cache_clear)
    assert cpu.cpu_features() == (known if permitted else {"avx2"})


def test_the_system_permits_amx_where_the_cpu_has_it() -> None:
    """Linux does from 5.16 on; a CPU without it is refused."""
    if "amx_tile" not in cpu._flags():
        assert not cpu.permit_amx()
    elif tuple(map(int, os.uname().release.split("-")[0].split(".")[:2])) >= (5, 16):
        assert cpu.permit_amx()
