"""What of this machine and its libraries decides results, found without importing them."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from composer.model.version import ARITHMETIC
from composer.recipe.grammar.backbones import Precision

LIBRARIES = ("adapters", "tokenizers", "torch", "transformers")
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
CPU_FLAGS = Path("/proc/cpuinfo")

Resolved = Literal["float32", "bfloat16"]


def versions() -> dict[str, str]:
    """Give the versions that are part of every stage's key."""
    found = {"arithmetic": str(ARITHMETIC)}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "not installed"
    return found


def resolve_precision(precision: Precision, *, cpu_flags: Path = CPU_FLAGS) -> Resolved:
    """Choose what "auto" is here: bfloat16 where the processor multiplies it natively.

    >>> resolve_precision("bfloat16")
    'bfloat16'
    """
    if precision != "auto":
        return precision
    return "bfloat16" if _flags(cpu_flags) & BFLOAT16_FLAGS else "float32"


def _flags(path: Path) -> frozenset[str]:
    """Read the flags of the first processor; none where the system has no such file."""
    if not path.exists():
        return frozenset()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()
