"""What is stored in the end after losses and cuts: ``python -m benchmarks.link.cuts REAL_FOLDER [--seeds …]``.

20 % of packets are lost, and the link is cut again and again for 1 to 60 s: by turns the camera's interface goes down,
and all packets to the server vanish. Writes ``benchmarks/results/link-cuts.json``.
"""

import argparse
import json
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.link.material import FPS, real, repeated
from benchmarks.link.network import Network
from benchmarks.link.trial import RESULTS, at_once, is_once_in_order, run_trial, save_results

KBPS, LOSS = 4.0, 20.0
REPEATS = 2
FIRST_S = 20.0  # before the first cut
CUT_S, BETWEEN_S = (1.0, 60.0), (5.0, 15.0)  # lengths of cuts, even in their logarithm, and of the time between them
FINISH_S = 90.0


def cut_often(link: Network, ended: threading.Event, seed: int, duration_s: float) -> list[dict[str, float]]:
    """Cut the link until `duration_s` have passed; returns when and for how long."""
    random = np.random.default_rng(seed)
    begun_s, cuts = time.monotonic(), []
    ended.wait(FIRST_S)
    while not ended.is_set():
        at_s, length_s = time.monotonic() - begun_s, float(np.exp(random.uniform(*np.log(CUT_S))))
        if at_s + length_s > duration_s:
            break
        is_down = len(cuts) % 2 == 0
        link.cut(True) if is_down else link.set_loss(100)
        ended.wait(length_s)
        link.cut(False) if is_down else link.set_loss(LOSS)
        cuts.append({"at_s": round(at_s, 1), "length_s": round(length_s, 1), "interface_down": is_down})
        ended.wait(random.uniform(*BETWEEN_S))
    return cuts


def trial(clip: str, duration_s: float, seed: int) -> dict[str, Any]:
    """One recording."""
    told, faces, cuts = run_trial(
        clip, KBPS, LOSS, lambda link, ended: cut_often(link, ended, seed, duration_s), finish_s=FINISH_S
    )
    final = faces["number"][faces["is_final"]]
    return {
        "seed": seed, "cuts": cuts, "cut_s": round(sum(one["length_s"] for one in cuts), 1),
        "duration_s": told["duration_s"], "coded": told["coded"], "stored": len(np.unique(final)),
        "is_once_in_order": is_once_in_order(faces), "is_confirmed": told["is_stored"],
        "finish_s": round(told["taken_s"] - told["duration_s"], 1), "repairs": told["repairs"],
    }  # fmt: skip


def main() -> None:
    """Measure, and write the results after each recording."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    material = real(given.folder)
    clip, duration_s = str(repeated(material, REPEATS)), REPEATS * (material.time_s[-1] + 1 / FPS)
    points = [{"clip": clip, "duration_s": duration_s, "seed": seed} for seed in given.seeds]

    def save(found: list[dict[str, Any]]) -> None:
        kept = RESULTS / "link-cuts.json"
        known = json.loads(kept.read_text())["trials"] if kept.exists() else []
        others = [one for one in known if one["seed"] not in given.seeds]
        rows = sorted([*others, *found], key=lambda one: int(one["seed"]))
        save_results("link-cuts", {"kbps": KBPS, "loss_percent": LOSS, "trials": rows})

    at_once(trial, points, save)


if __name__ == "__main__":
    main()
