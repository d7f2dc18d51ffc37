"""The processor that figures are measured on."""

import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# Instruction sets on which the speed of networks in eight bits and in floating point depends, by the kernel's names.
INSTRUCTION_SETS = {
    "amx_int8": "AMX", "avx512_vnni": "AVX-512 VNNI", "avx_vnni": "AVX VNNI", "avx512f": "AVX-512", "avx2": "AVX2",
    "asimddp": "dot product", "asimd": "NEON",
}  # fmt: skip


def processor_name() -> str:
    """What the processor calls itself, such as ``AMD EPYC``: several generations may have the same name."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def processor() -> str:
    """Name, family and model, and the best of `INSTRUCTION_SETS`, as far as the system tells them."""
    about = _cpuinfo()
    flags = about.get("flags", about.get("Features", "")).split()
    parts = [processor_name()]
    if "cpu family" in about and "model" in about:
        parts.append(f"family {about['cpu family']} model {about['model']}")
    parts += [next((name for flag, name in INSTRUCTION_SETS.items() if flag in flags), "")]
    return ", ".join(filter(None, parts))


def _cpuinfo() -> dict[str, str]:
    """The kernel's description of the first core; empty on other systems."""
    try:
        first, _, _ = CPUINFO.read_text().partition("\n\n")
    except (OSError, ValueError):
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
