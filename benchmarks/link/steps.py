"""How fast a sender follows the rate of its link: ``python -m benchmarks.link.steps REAL_FOLDER [--trials N]``.

The link carries 16, then 2, then 16 kbit/s. Writes ``benchmarks/results/link-steps.json``.
"""

import argparse
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.link.lasting import BACK, DOWN_S, UP_S, fits, lasting, sent_bps
from benchmarks.link.material import real
from benchmarks.link.network import Network
from benchmarks.link.trial import at_once, run_trial, save_results

HIGH_KBPS, LOW_KBPS = 16.0, 2.0


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
    rate_bps = sent_bps(at_s, sent)
    backlog = np.array([one["backlog_bytes"] for one in seen])
    queue_s = 8 * backlog / (1000 * LOW_KBPS)
    usual = min(float(budget[(at_s > down_s - 10) & (at_s < down_s)].mean()), 1000 * HIGH_KBPS)
    late = (at_s > down_s) & (at_s < up_s)
    arrived_s, time_s = faces["arrived_s"], faces["time_s"]
    during = (time_s > down_s) & (time_s < up_s) & faces["is_live"]
    return {
        "loss_percent": loss, "budget_before_bps": round(usual),
        "budget_low_bps": round(float(np.median(budget[late][-20:]))),
        "fits_after_s": lasting(at_s, fits(rate_bps, backlog, 1000 * LOW_KBPS), down_s, up_s),
        "back_after_s": lasting(at_s, budget >= BACK * usual, up_s, at_s[-1]),
        "longest_queue_s": round(float(queue_s[late].max()), 2),
        "longest_live_delay_s": round(float((arrived_s - time_s)[during].max()), 2) if during.any() else None,
        "is_stored": told["is_stored"],
        "seen": [
            [round(one["at_s"] - down_s, 1), one["budget_bps"], round(rate), one["backlog_bytes"]]
            for one, rate in zip(seen, rate_bps, strict=True)
            if one["at_s"] > down_s - 10
        ],
    }  # fmt: skip


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
