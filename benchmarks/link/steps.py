"""How fast a sender follows the rate of its link: ``python -m benchmarks.link.steps REAL_FOLDER [--trials N]``.

The link carries 16, then 2, then 16 kbit/s. Writes ``benchmarks/results/link-steps.json``.
"""

import argparse
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.link.material import real
from benchmarks.link.network import Network
from benchmarks.link.trial import at_once, run_trial, save_results

HIGH_KBPS, LOW_KBPS = 16.0, 2.0
DOWN_S, UP_S = 45.0, 75.0  # after the start
SMOOTH_S = 1.5  # over which the sent rate is taken
QUEUE_S = 1.0
STAYS_S = 3.0  # a state counts if it lasts so long
BACK = 0.8  # of the budget before


def step(link: Network, ended: threading.Event) -> list[dict[str, float]]:
    """Change the rate; returns when, in Unix time."""
    found = []
    begun_s = time.monotonic()
    for at_s, kbps in ((DOWN_S, LOW_KBPS), (UP_S, HIGH_KBPS)):
        ended.wait(begun_s + at_s - time.monotonic())
        link.set_rate(1000 * kbps)
        found.append({"utc": time.time(), "kbps": kbps})
    return found


def trial(clip: str, loss: float) -> dict[str, Any]:
    """One recording."""
    told, faces, events = run_trial(clip, HIGH_KBPS, loss, step)
    seen = told["seen"]
    at_s = np.array([one["at_s"] for one in seen])
    down_s, up_s = (event["utc"] - told["started_utc"] for event in events)
    budget = np.array([one["budget_bps"] for one in seen], float)
    sent = np.array([one["wire_bytes"] for one in seen], float)  # by the sender, before the limited link
    before = np.interp(at_s - SMOOTH_S, at_s, sent)
    sent_bps = 8 * (sent - before) / SMOOTH_S
    queue_s = 8 * np.array([one["backlog_bytes"] for one in seen]) / (1000 * LOW_KBPS)
    fits = (queue_s < QUEUE_S) & (sent_bps <= 1100 * LOW_KBPS)
    usual = min(float(budget[(at_s > down_s - 10) & (at_s < down_s)].mean()), 1000 * HIGH_KBPS)
    late = (at_s > down_s) & (at_s < up_s)
    arrived_s, time_s = faces["arrived_s"], faces["time_s"]
    during = (time_s > down_s) & (time_s < up_s) & faces["is_live"]
    return {
        "loss_percent": loss, "budget_before_bps": round(usual),
        "budget_low_bps": round(float(np.median(budget[late][-20:]))),
        "fits_after_s": _lasting(at_s, fits, down_s, up_s),
        "back_after_s": _lasting(at_s, budget >= BACK * usual, up_s, at_s[-1]),
        "longest_queue_s": round(float(queue_s[late].max()), 2),
        "longest_live_delay_s": round(float((arrived_s - time_s)[during].max()), 2) if during.any() else None,
        "is_stored": told["is_stored"],
        "seen": [
            [round(one["at_s"] - down_s, 1), one["budget_bps"], round(rate), one["backlog_bytes"]]
            for one, rate in zip(seen, sent_bps, strict=True)
            if one["at_s"] > down_s - 10
        ],
    }  # fmt: skip


def _lasting(at_s: np.ndarray, holds: np.ndarray, since_s: float, until_s: float) -> float | None:
    """Seconds from `since_s` until `holds` is true for `STAYS_S`; None if it never is before `until_s`."""
    for begin_s in at_s[(at_s >= since_s) & (at_s <= until_s)]:
        if holds[(at_s >= begin_s) & (at_s <= begin_s + STAYS_S)].all():
            return round(float(begin_s - since_s), 1)
    return None


def main() -> None:
    """Measure, and write the results after each recording."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, default=1, help="of each loss")
    given = parser.parse_args()
    clip = str(real(given.folder).path)
    points = [{"clip": clip, "loss": loss} for loss in (0.0, 5.0)] * given.trials
    about = {"kbps": [HIGH_KBPS, LOW_KBPS, HIGH_KBPS], "seen": ["seconds", "budget_bps", "sent_bps", "backlog_bytes"]}
    at_once(trial, points, lambda rows: save_results("link-steps", {**about, "trials": rows}))


if __name__ == "__main__":
    main()
