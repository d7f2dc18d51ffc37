"""Measure everything, print a table, and keep it as JSON in ``benchmarks/results``."""

import json
import os
import platform
from pathlib import Path
from typing import Any

from benchmarks.memory import memory
from benchmarks.speed import recognizer_speed, street_speed
from lowbeam.demo import demo

RESULTS = Path(__file__).parent / "results"


def _machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return f"{model}, one core of {os.cpu_count()}"


def _demo(folder: Path) -> list[dict[str, Any]]:
    return [
        {
            "point": str(result.packed.point), "rate_bps": result.packed.rate_bps,
            "valence_ccc": result.ccc[0], "arousal_ccc": result.ccc[1],
        }
        for result in demo(out=folder).results
    ]  # fmt: skip


def main() -> None:
    """Run on one core, so that "a core" means one."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    speed = {"machine": _machine(), "recognizer_faces_per_s": recognizer_speed(), "street": street_speed()}
    results = {"speed": speed, "memory_mib": memory(), "demo": _demo(Path("demo-out"))}
    RESULTS.mkdir(exist_ok=True)
    for name, value in results.items():
        (RESULTS / f"{name}.json").write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
