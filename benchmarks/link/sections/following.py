"""How a sender starts and follows the rate of its link."""

import math
from typing import Any

from benchmarks.link.lasting import BACK, DOWN_S, QUEUE_S, SMOOTH_S, STAYS_S, UP_S
from benchmarks.link.sections.table import table
from benchmarks.link.simulate import START_S, STEADY_S, STEP_KBPS
from benchmarks.link.simulation import DELAY_S, QUEUE_BYTES

AIM_FIT_S, AIM_BACK_S = 3.0, 10.0


def steps(found: dict[str, Any]) -> str:
    rows = [
        [
            f"{one['loss_percent']:g}", one["budget_before_bps"], one["budget_low_bps"], one["fits_after_s"],
            _first(one["seen"], 0.0, most=1000 * found["kbps"][1]), one["back_after_s"],
            _first(one["seen"], UP_S - DOWN_S, least=BACK * 1000 * found["kbps"][2]), one["longest_queue_s"],
            one["longest_live_delay_s"],
        ]
        for one in found["trials"]
    ]  # fmt: skip
    heads = [
        "loss %", "budget before, bit/s", "budget at the low rate, bit/s", "fits after, s",
        "budget within the low rate after, s", "back after, s", "budget at 80 % of the high rate after, s",
        "longest queue, s", "longest delay of a face, s",
    ]  # fmt: skip
    fits = sum(one["fits_after_s"] is not None and one["fits_after_s"] <= AIM_FIT_S for one in found["trials"])
    back = sum(one["back_after_s"] is not None and one["back_after_s"] <= AIM_BACK_S for one in found["trials"])
    count = len(found["trials"])
    return f"""## Steps in rate

The link carries {" then ".join(f"{kbps:g}" for kbps in found["kbps"])} kbit/s. It *fits* when less than
{QUEUE_S:g} s of packets wait in the queue and what the sender puts out, over {SMOOTH_S:g} s, is at most 10 % above the
low rate, both for {STAYS_S:g} s; it is *back* when the budget is at {100 * BACK:.0f} % of that before, or of the high
rate if that is less, for {STAYS_S:g} s.

{table(heads, rows)}

The aims were {AIM_FIT_S:g} s and {AIM_BACK_S:g} s: reached in {fits} and {back} of {count} runs.

`python -m benchmarks.link.steps FOLDER`, `benchmarks/results/link-steps.json`
"""


def _first(seen: list[list[float]], since_s: float, most: float = math.inf, least: float = 0.0) -> float | None:
    """Seconds from `since_s` until the budget is between `least` and `most`."""
    found = [row[0] - since_s for row in seen if row[0] >= since_s and least <= row[1] <= most]
    return round(found[0], 1) if found else None


def start(found: dict[str, Any]) -> str:
    now, before = found["now"], found["before"]

    def spread(one: dict[str, Any], name: str) -> str:
        missing = f", {one[name]['missing']} never" if one[name]["missing"] else ""
        return f"{one[name]['p50']:.1f} / {one[name]['p95']:.1f}{missing}"

    known = {(one["kbps"], one["loss"]): spread(one, "first_s") for one in before["start"]}
    starts = [
        [
            f"{new['kbps']:g}", new["loss"], known.get((new["kbps"], new["loss"]), "–"), spread(new, "first_s"),
            spread(new, "live_s"),
        ]
        for new in now["start"]
    ]  # fmt: skip
    steps = [
        [new["loss"], *(spread(one, name) for name in ("fits_s", "back_s") for one in (old, new))]
        for old, new in zip(before["step"], now["step"], strict=True)
    ]  # fmt: skip
    names = ("faces_per_s", "delay_p50_s", "delay_p95_s", "queue_above_1s", "budget_share", "budget_deviation")
    steady = [
        [f"{new['kbps']:g}", new["loss"], *(f"{old[name]:.2f} / {new[name]:.2f}" for name in names)]
        for old, new in zip(before["steady"], now["steady"], strict=True)
    ]  # fmt: skip
    return f"""## The start, simulated

Sender and receiver as they are, without sockets, joined by a simulated link in virtual time: each packet takes the time
of its bits in both directions, {QUEUE_BYTES} bytes may wait, packets travel {1000 * DELAY_S:.0f} ms more, and packets
are lost in both directions, independently or in bursts (Gilbert-Elliott). A stand-in for the coder makes faces of usual
sizes. {now["seeds"]} seeds each; median / 95th percentile, in seconds, of the time from the sender's start until its
first face arrived. *Before* is the code before the handshake and the bandwidth estimate were revised with this
simulation; *live* is when the sender was welcome. A start counts as {START_S:.0f} s if no face arrived in that time.

{table(["kbit/s", "loss", "first face before", "first face", "live"], starts)}

The same for steps from {STEP_KBPS[0]:g} to {STEP_KBPS[1]:g} and back to {
        STEP_KBPS[0]:g} kbit/s, with the definitions of
[steps in rate](#steps-in-rate):

{table(["loss", "fits before", "fits", "back before", "back"], steps)}

And at a constant rate, for {STEADY_S:.0f} s, before / now, means over {max(1, now["seeds"] // 4)} seeds. The budget and
its standard deviation are shares of the link's rate:

{
        table(
            [
                "kbit/s",
                "loss",
                "faces a second",
                "delay p50, s",
                "delay p95, s",
                "share of time with 1 s in the queue",
                "budget",
                "its deviation",
            ],
            steady,
        )
    }

`python -m benchmarks.link.simulate`, `benchmarks/results/link-start.json`
"""
