"""How a sender starts and follows its link, in virtual time: ``python -m benchmarks.link.simulate``.

Many seeds of `benchmarks.link.simulation`: time to the first face, steps of the rate, and constant rates. Writes
``benchmarks/results/link-start.json``; figures of an earlier state of the code are kept in it with ``--as before``.
"""

import argparse
import json
import logging
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.link.lasting import BACK, DOWN_S, UP_S, fits, lasting, sent_bps
from benchmarks.link.simulation import LOSSES, Loss, Simulation, material

RESULT = Path(__file__).parents[1] / "results" / "link-start.json"
RATES_KBPS = (1.0, 2.0, 4.0, 8.0, 16.0)
START_KBPS = (0.5, *RATES_KBPS)
START_S = 400.0  # after which a start counts as failed
STEADY_S, WARM_S = 120.0, 20.0  # at a constant rate, after the time to get live
STEP_KBPS, STEP_END_S = (16.0, 2.0), 120.0  # the latter after the sender is live, as the times of the steps


def start(seed: int, kbps: float, loss: Loss, folder: Path) -> tuple[float | None, float | None]:
    """Seconds until the sender is live and until the first face has arrived; None if not within `START_S`."""
    trial = Simulation(material(folder), kbps, loss, seed)
    trial.run(START_S, lambda: bool(trial.receiver.arrived))
    return trial.live_s, trial.first_face_s()


def step(seed: int, loss: Loss, folder: Path) -> tuple[float | None, float | None]:
    """Seconds until the sender fits after the link has become thin, and until it is back; None if it never does."""
    high, low = STEP_KBPS
    trial = Simulation(material(folder), high, loss, seed)
    trial.run(START_S, lambda: trial.live_s is not None)
    begun_s = trial.now
    trial.run(begun_s + DOWN_S)
    trial.set_rate(low)
    trial.run(begun_s + UP_S)
    trial.set_rate(high)
    trial.run(begun_s + STEP_END_S)
    at_s, budget, entered, backlog = (np.array(column, float) for column in zip(*trial.seen, strict=True))
    down_s, up_s = begun_s + DOWN_S, begun_s + UP_S
    is_fit = fits(sent_bps(at_s, entered), backlog, 1000 * low)
    usual = min(float(budget[(at_s > down_s - 10) & (at_s < down_s)].mean()), 1000 * high)
    return lasting(at_s, is_fit, down_s, up_s), lasting(at_s, budget >= BACK * usual, up_s, at_s[-1])


def steady(seed: int, kbps: float, loss: Loss, folder: Path) -> dict[str, float]:
    """At a constant rate, from `WARM_S` after the start: share of the rate that was sent, share of faces that arrived
    live, their delays, share of time with more than a second in the queue, and the budget's share of the rate and its
    deviation."""
    trial = Simulation(material(folder), kbps, loss, seed)
    trial.run(START_S, lambda: trial.live_s is not None)
    since_s = trial.now + WARM_S
    trial.run(since_s + STEADY_S)
    seen = np.array([row for row in trial.seen if row[0] >= since_s], float)
    delays = trial.delays_s(since_s)
    made = sum(one >= since_s for one in trial.coder.made_s)
    return {
        "sent_share": 8 * (seen[-1, 2] - seen[0, 2]) / STEADY_S / (1000 * kbps),
        "faces_per_s": made / STEADY_S, "live_share": len(delays) / max(made, 1),
        "delay_p50_s": float(np.percentile(delays, 50)) if delays else START_S,
        "delay_p95_s": float(np.percentile(delays, 95)) if delays else START_S,
        "queue_above_1s": float((8 * seen[:, 3] / (1000 * kbps) > 1.0).mean()),
        "budget_share": float(seen[:, 1].mean() / (1000 * kbps)),
        "budget_deviation": float(seen[:, 1].std() / (1000 * kbps)),
    }  # fmt: skip


def spread(values: list[float | None], most: float) -> dict[str, Any]:
    """Median, 95th percentile and largest of `values`, of which None counts as `most`, and how many are None."""
    found = [most if value is None else value for value in values]
    p50, p95 = np.percentile(found, [50, 95])
    missing = sum(value is None for value in values)
    return {"p50": round(float(p50), 2), "p95": round(float(p95), 2), "max": round(max(found), 2), "missing": missing}


def measure(seeds: int, parts: list[str], folder: Path, save: Callable[[dict[str, Any]], None]) -> None:
    """Measure `parts`, and hand all that is known to `save` after each point."""
    found: dict[str, Any] = {}
    with ProcessPoolExecutor(2) as pool:
        for kbps in START_KBPS if "start" in parts else ():
            for loss in LOSSES:
                pairs = [*pool.map(partial(start, kbps=kbps, loss=loss, folder=folder), range(seeds))]
                live, first = ([one[column] for one in pairs] for column in (0, 1))
                found.setdefault("start", []).append(
                    {
                        "kbps": kbps,
                        "loss": loss.name,
                        "live_s": spread(live, START_S),
                        "first_s": spread(first, START_S),
                    }
                )
                save(found)
        for loss in LOSSES[:2] if "step" in parts else ():
            pairs = [*pool.map(partial(step, loss=loss, folder=folder), range(seeds))]
            fit, back = ([one[column] for one in pairs] for column in (0, 1))
            most = UP_S - DOWN_S, STEP_END_S - UP_S
            found.setdefault("step", []).append(
                {"loss": loss.name, "fits_s": spread(fit, most[0]), "back_s": spread(back, most[1])}
            )
            save(found)
        for kbps in RATES_KBPS if "steady" in parts else ():
            for loss in LOSSES:
                rows = [*pool.map(partial(steady, kbps=kbps, loss=loss, folder=folder), range(max(1, seeds // 4)))]
                means = {name: round(float(np.mean([row[name] for row in rows])), 3) for name in rows[0]}
                found.setdefault("steady", []).append({"kbps": kbps, "loss": loss.name, **means})
                save(found)


def main() -> None:
    """Measure, print, and write the results after each point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--as", dest="name", default="now", help="name of this state of the code")
    parser.add_argument("--parts", nargs="+", default=["start", "step", "steady"])
    parser.add_argument("--result", type=Path, default=RESULT)
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    results: dict[str, Any] = json.loads(given.result.read_text()) if given.result.exists() else {}
    before = results.get(given.name, {})

    def save(found: dict[str, Any]) -> None:
        print(*[part[-1] for part in list(found.values())[-1:]], flush=True)
        results[given.name] = {**before, **found, "seeds": given.seeds}
        given.result.write_text(json.dumps(results, indent=1) + "\n")

    with tempfile.TemporaryDirectory() as folder:
        material(Path(folder))  # makes the certificate
        measure(given.seeds, given.parts, Path(folder), save)


if __name__ == "__main__":
    main()
