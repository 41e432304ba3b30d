"""The x86 CPUs that can be compiled for, by LLVM's names.

Apart from what is known of them, because that comes from TVM, which takes a second to import.
"""

from __future__ import annotations

from collections.abc import Sequence

from paddle_tvm.runtime.errors import UsageError

CPUS = (
    "znver5",
    "znver4",
    "sapphirerapids",
    "graniterapids",
    "icelake-server",
    "cooperlake",
    "cascadelake",
    "skylake-avx512",
    "alderlake",
    "znver3",
    "znver2",
    "skylake",
    "haswell",
    "x86-64",
)
"""Best first: no CPU stands before one that has all its features and more."""

TARGET_CLASSES = {16: "x86-avx512", 8: "x86-avx2", 4: "x86-sse"}
"""The machines among which tuning records hold, by the float32 values in their vectors."""

AMX_FEATURES = frozenset({"amx_bf16", "amx_tile"})
"""What multiplies matrices of bfloat16. Virtual machines often hide it."""


def check_cpu_names(mcpus: Sequence[str]) -> None:
    """Refuse names that ``--mcpu`` does not take.

    Raises
    ------
    UsageError
        A name is not known, or given twice.
    """
    for number, mcpu in enumerate(mcpus):
        if mcpu not in CPUS:
            native = "; leave it out for this machine's" if mcpu == "native" else ""
            raise UsageError(f"--mcpu {mcpu} is not known{native}; known: {', '.join(CPUS)}")
        if mcpu in mcpus[:number]:
            raise UsageError(f"--mcpu {mcpu} is given twice")
