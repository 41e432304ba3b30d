"""The CPUs that can be compiled for: their order, and the features that they stand for."""

from __future__ import annotations

import pytest
import tvm

from paddle_tvm.runtime import cpu
from paddle_tvm.runtime.cpu import cpu_features
from paddle_tvm.runtime.errors import UsageError
from paddle_tvm.targets.core_families import CORE_FAMILIES, same_family
from paddle_tvm.targets.cpu_names import AMX_FEATURES, CPUS
from paddle_tvm.targets.x86 import cpus, x86_target, x86_targets
from paddle_tvm.targets.x86.cpus import codegen, detect, features_of, microarchitecture_here


def test_no_cpu_stands_before_one_that_has_more() -> None:
    for place, better in enumerate(CPUS):
        for other in CPUS[place + 1 :]:
            assert not set(features_of(better)) < set(features_of(other)), (better, other)


def test_features_are_those_of_the_manuals() -> None:
    """Intel's and AMD's manuals, in the spelling of Linux."""
    haswell = {"avx", "avx2", "fma", "f16c", "bmi1", "bmi2", "movbe", "abm", "popcnt", "sse4_2"}
    assert haswell < set(features_of("haswell"))
    assert not any(feature.startswith("avx512") for feature in features_of("haswell"))
    gained = set(features_of("skylake-avx512")) - set(features_of("haswell"))
    assert gained == {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
    assert set(features_of("cascadelake")) - set(features_of("skylake-avx512")) == {"avx512_vnni"}
    assert set(features_of("cooperlake")) - set(features_of("cascadelake")) == {"avx512_bf16"}
    assert set(features_of("sapphirerapids")) - set(features_of("icelake-server")) == {
        "amx_bf16",
        "amx_tile",
        "avx512_bf16",
        "avx512_fp16",
        "avx_vnni",
    }
    assert "sse4a" in features_of("znver4")
    assert features_of("x86-64") == ()


@pytest.mark.parametrize(("mcpu", "lanes"), [("znver4", 16), ("haswell", 8), ("znver3", 8), ("x86-64", 4)])
def test_vectors_are_as_wide_as_the_cpu_has_them(mcpu: str, lanes: int) -> None:
    assert x86_target(mcpu).lanes == lanes


def test_what_is_detected_runs_here() -> None:
    assert cpu_features().issuperset(features_of(detect()))
    assert [target.mcpu for target in x86_targets([])] == [detect()]


def test_several_are_put_into_the_order_of_preference() -> None:
    targets = x86_targets(["x86-64", "icelake-server", "haswell", "znver4"])
    assert [target.mcpu for target in targets] == ["znver4", "icelake-server", "haswell", "x86-64"]


def test_unknown_and_repeated_names_are_refused() -> None:
    with pytest.raises(UsageError, match=r"--mcpu pentium is not known; known: .*haswell"):
        x86_targets(["haswell", "pentium"])
    with pytest.raises(UsageError, match="--mcpu haswell is given twice"):
        x86_targets(["haswell", "znver3", "haswell"])


@pytest.mark.parametrize("here", ["znver4", "emeraldrapids", "znver3"])
def test_forms_are_for_the_cpu_that_is_named_else_for_this_machine(
    here: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(cpus, "cpu_features", lambda: frozenset(features_of("haswell")))
    monkeypatch.setattr(codegen, "llvm_get_system_cpu", lambda: here)
    microarchitecture_here.cache_clear()
    request.addfinalizer(microarchitecture_here.cache_clear)
    assert [target.microarchitecture for target in x86_targets(["haswell", "znver4"])] == [
        "znver4",
        "haswell",
    ]
    assert x86_target().microarchitecture == here
    # The code stays what any machine with these instructions runs.
    assert x86_target().mcpu == "haswell"


@pytest.mark.parametrize(
    ("named", "can_do", "is_taken_for"),
    [
        ("rocketlake", "sapphirerapids", "sapphirerapids"),
        ("haswell", "znver4", "znver4"),
        ("generic", "skylake-avx512", "skylake-avx512"),
        # A virtual machine that hides features of its CPU does not make it another.
        ("znver4", "haswell", "znver4"),
        ("rocketlake", "skylake-avx512", "rocketlake"),
    ],
)
def test_a_cpu_that_can_do_more_than_the_one_of_its_model_number_is_another(
    named: str,
    can_do: str,
    is_taken_for: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setattr(codegen, "llvm_get_system_cpu", lambda: named)
    monkeypatch.setattr(cpus, "cpu_features", lambda: frozenset(features_of(can_do)))
    microarchitecture_here.cache_clear()
    request.addfinalizer(microarchitecture_here.cache_clear)
    assert microarchitecture_here() == is_taken_for


def test_a_machine_that_hides_amx_is_of_its_kind_and_runs_code_without_it(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    hidden = frozenset(features_of("sapphirerapids")) - AMX_FEATURES
    monkeypatch.setattr(codegen, "llvm_get_system_cpu", lambda: "rocketlake")
    monkeypatch.setattr(cpus, "cpu_features", lambda: hidden)
    microarchitecture_here.cache_clear()
    request.addfinalizer(microarchitecture_here.cache_clear)
    assert microarchitecture_here() == "sapphirerapids"
    assert detect() == "icelake-server"


def test_the_runtime_knows_what_code_for_its_few_names_needs() -> None:
    assert [name for name in CPUS if name in cpu.NEEDED] == list(cpu.NEEDED)
    for name, needed in cpu.NEEDED.items():
        assert needed == set(features_of(name))


@pytest.mark.parametrize(
    ("here", "fits"),
    [
        ("sapphirerapids", "icelake-server"),
        ("znver5", "icelake-server"),
        ("cooperlake", "skylake-avx512"),
        ("alderlake", "haswell"),
        ("x86-64", "x86-64"),
    ],
)
def test_the_runtime_names_a_cpu_whose_code_runs(
    here: str, fits: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "cpu_features", lambda: frozenset(features_of(here)))
    assert cpu.fitting_mcpu() == fits


def test_families_of_cores_are_disjoint_and_of_names_that_llvm_has() -> None:
    names = [name for family in CORE_FAMILIES for name in family]
    assert len(names) == len(set(names))
    target = tvm.target.Target({"kind": "llvm", "mcpu": "x86-64", "mtriple": "x86_64-linux-gnu"})
    assert set(names) <= set(map(str, codegen.llvm_get_cpu_archlist(target)))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sapphirerapids", "emeraldrapids", True),
        ("skylake-avx512", "graniterapids", True),
        ("haswell", "alderlake", True),
        ("znver2", "znver3", True),
        ("icelake-client", "tigerlake", True),
        ("znver4", "znver4", True),
        # Half as many multiply-adds of 512 bits a cycle.
        ("znver4", "sapphirerapids", False),
        ("icelake-client", "icelake-server", False),
        ("znver4", "znver5", False),
        ("znver1", "znver2", False),
        # Nothing is known of these.
        ("x86-64", "haswell", False),
        ("a CPU of the future", "a CPU of the future", True),
        (None, "znver4", False),
        (None, None, False),
    ],
)
def test_cores_of_a_family_start_as_many_multiply_adds_in_a_cycle(
    one: str | None, other: str | None, same: bool
) -> None:
    assert same_family(one, other) is same
    assert same_family(other, one) is same
