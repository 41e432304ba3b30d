"""The CPUs whose kernels want the same forms, by LLVM's names.

Which register tile is best follows first of all from how many multiply-adds a core starts in a cycle: a CPU
that computes vectors of 512 bits in two halves wants others than one that has two units of that width, though
both run the same code. The units are those of Intel's *Optimization Reference Manual*, AMD's *Software
Optimization Guides* and uops.info.
"""

from __future__ import annotations

CORE_FAMILIES = (
    # Intel, two multiply-adds a cycle of the widest vectors: of 256 bits, and of 512 where there is AVX-512.
    frozenset(
        (
            *("haswell", "broadwell", "skylake", "skylake-avx512", "cascadelake", "cooperlake"),
            *("icelake-server", "sapphirerapids", "emeraldrapids", "graniterapids", "graniterapids-d"),
            *("alderlake", "raptorlake", "meteorlake", "arrowlake", "arrowlake-s", "lunarlake"),
        )
    ),
    # Intel, one multiply-add a cycle of 512 bits.
    frozenset(("cannonlake", "icelake-client", "tigerlake", "rocketlake")),
    # AMD, two multiply-adds a cycle of 256 bits. Zen 1 has one, Zen 4 one of 512, Zen 5 two of 512.
    frozenset(("znver2", "znver3")),
)
"""What is in none of them is a family of its own."""


def same_family(one: str | None, other: str | None) -> bool:
    """Whether forms that were measured on one CPU hold for another; never where one is not known."""
    if one is None or other is None:
        return False
    return one == other or any({one, other} <= family for family in CORE_FAMILIES)
