"""Writes ``docs/link-measured.md`` from the result files: ``python -m benchmarks.link.page``."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.link.rates import LOSSES, RATES_KBPS
from benchmarks.link.simulate import DELAY_S, QUEUE_BYTES, START_S, STEADY_S, STEP_KBPS
from benchmarks.link.steps import BACK, DOWN_S, UP_S
from benchmarks.link.trial import RESULTS

PAGE = Path(__file__).parents[2] / "docs" / "link-measured.md"
AIM_LOSS, AIM_BELOW, AIM_PERCENT, AIM_FIT_S, AIM_BACK_S, AIM_STREAMS = 5, 0.03, 2.0, 3.0, 10.0, 100
AIM_GLASS_KBPS, AIM_GLASS_S = 4.0, 0.3
INTRODUCTION = """# The live link, measured

Every figure on this page is from a file in `benchmarks/results`, and the page is written by
`python -m benchmarks.link.page`. Sender and receiver ran in two network namespaces of one machine with two cores,
joined by a veth pair. Behind the receiver's interface a relay limits the rate of IP packets in both directions: a
packet arrives when its last bit has passed, and 8000 bytes may wait. (`tc tbf` lets seconds' worth of bytes pass at
once after a pause at such rates.) `nft` drops packets on their way to the receiver at random. The benchmarks need root.

Rates were measured five at a time on two cores. The start of the player is then known to a few tenths of a second only,
which a negative delay shows. Cuts, repair and streams were measured before the last changes of the bandwidth estimate.
"""


def _table(heads: list[str], rows: list[list[Any]]) -> str:
    lines = [heads, ["---:"] * len(heads), *rows]
    return "\n".join("| " + " | ".join("-" if cell is None else str(cell) for cell in line) + " |" for line in lines)


def _ccc(value: float) -> str:
    return f"{value:.3f}"


RATE_HEADS = [
    "kbit/s", "loss %", "on the wire, kbit/s", "faces, kbit/s", "faces", "first face, s", "delay p50 / p95, s",
    "live", "live, own time", "in the end", "offline", "offline over the link", "stored", "finish, s",
]  # fmt: skip


def _rate_row(one: dict[str, Any], offline: dict[str, Any]) -> list[Any]:
    """A row of the table of rates; `offline` is the figure at the same rate."""
    if "live_ccc" not in one:  # no face came in the time that is scored
        cells = [f"{one['kbps']:g}", f"{one['loss_percent']:g}", one["wire_kbps"], 0, one["coded"]]
        return [*cells, *["none"] * 2, *[None] * 5, "0 %", None]
    share = f"{100 * one['stored_share']:.4g} %{'' if one['is_once_in_order'] else ' (not in order)'}"
    return [
        f"{one['kbps']:g}", f"{one['loss_percent']:g}", one["wire_kbps"], one["face_kbps"], one["coded"],
        one["first_face_s"], f"{one['delay_p50_s']:.2f} / {one['delay_p95_s']:.2f}",
        *(_ccc(one[name]["mean"]) for name in ("live_ccc", "live_ccc_own_time", "end_ccc")),
        _ccc(offline["mean"]), _ccc(offline["over_link"]["mean"]), share, one["finish_s"],
    ]  # fmt: skip


def _rate_table(found: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    return _table(RATE_HEADS, [_rate_row(one, found["offline"][f"{one['kbps']:g}"]) for one in rows])


def _below(found: dict[str, Any], rows: list[dict[str, Any]]) -> list[tuple[float, float, float]]:
    """Rate, and how far live and live by own time are below offline, of the rows at `AIM_LOSS`."""
    offline = found["offline"]
    return [
        (one["kbps"], *(offline[f"{one['kbps']:g}"]["mean"] - one[name]["mean"]
                        for name in ("live_ccc", "live_ccc_own_time")))
        for one in rows
        if one["loss_percent"] == AIM_LOSS and "live_ccc" in one
    ]  # fmt: skip


def _late(found: dict[str, Any]) -> str:
    return ", ".join(f"{_ccc(value)} at {delay} s" for delay, value in found["uncoded_late"].items() if delay != "0")


def _rendered(found: dict[str, Any]) -> str:
    rows = found["rendered"]
    below = _below(found, rows)
    return f"""## The same on rendered people

The test people of the [rendered corpus](recognizer.md), 16 s each, joined in the same way; CCC with their labels. The
uncoded clip has {_ccc(found["uncoded_late"]["0"])}; shown late, {_late(found)}.

{_rate_table(found, rows)}

{_stored(rows)}

At {AIM_LOSS} % loss, a live CCC within {AIM_BELOW:.2f} of offline is {_missed(below, 1)}; held from the time of each
face it is {_missed(below, 2)}.

`python -m benchmarks.link.rates PEOPLE --rendered`, `benchmarks/results/link-rates-rendered.json`
"""


def _rates(found: dict[str, Any]) -> str:
    rows = found["real"]
    at_aim = _below(found, rows)
    return f"""## Rates and losses

Seven recordings of real people (80 s in all) are joined to one clip; the people change at the joints. `lowbeam send`
has its defaults, with `--latency {found["latency_s"]:g}`. CCC is the mean of valence and arousal against the reading
of the uncoded clip at each of its frames, 25 a second, after the first 30 s.

- *live*: the estimate of the newest face that had arrived by then;
- *live, own time*: the same estimates, each held from the time of its face instead of that of its arrival;
- *in the end*: all faces after fill-in, each held from its own time;
- *offline*: `lowbeam.pack(…, budget=RATE, budget_of="link")`, each held from its own time. It may send the bytes of ten
  seconds at once, and nothing arrives late;
- *offline over the link*: the same faces, each shown once its packet has passed a link of that rate.

*Finish* is from the end of the clip until the receiver has confirmed all faces. Delays are from frame to arrival,
of faces after the first 30 s. Each row is one run.

{_rate_table(found, rows)}

These recordings are lively, so delay alone costs much: the readings of the uncoded clip, shown late, have a CCC of
{_late(found)}.

The aim was a live CCC within {AIM_BELOW:.2f} of offline at {AIM_LOSS} % loss. It is {_missed(at_aim, 1)}. Held from the
time of each face, which leaves the delay out, it is {_missed(at_aim, 2)}. {_stored(rows)}{_missing(found)}

`python -m benchmarks.link.rates FOLDER`, `benchmarks/results/link-rates.json`
"""


def _stored(rows: list[dict[str, Any]]) -> str:
    """What was stored, and what a late connection left to be filled in when the measurement ended."""
    if not all(one["is_once_in_order"] for one in rows if "live_ccc" in one):
        return "Not every point stored its faces once and in order."
    late = [
        f"{one['kbps']:g} kbit/s with {one['loss_percent']:g} %, first face after {one['first_face_s']:.0f} s"
        for one in rows
        if "live_ccc" in one and one["stored_share"] < 1
    ]  # fmt: skip
    begun = "Every coded face was stored, once and in order"
    if not late:
        return f"{begun}."
    return f"{begun}, except at {'; '.join(late)}: there the minute after the clip was too short to fill in the rest."


def _missing(found: dict[str, Any]) -> str:
    known = {(one["kbps"], one["loss_percent"]) for one in found["real"]}
    missing = [
        f"{kbps:g} kbit/s with {loss:g} %" for loss in LOSSES for kbps in RATES_KBPS if (kbps, loss) not in known
    ]
    return f" Not measured yet: {', '.join(missing)}." if missing else ""


def _missed(points: list[tuple[float, float, float]], column: int) -> str:
    near = [f"{one[0]:g}" for one in points if one[column] <= AIM_BELOW]
    far = [f"{one[0]:g} kbit/s by {one[column]:.3f}" for one in points if one[column] > AIM_BELOW]
    reached = f"reached at {', '.join(near)} kbit/s" if near else "reached at no rate"
    return f"{reached}; below offline at {', '.join(far)}" if far else reached


def _known_rates() -> list[dict[str, Any]]:
    path = RESULTS / "link-rates.json"
    found: list[dict[str, Any]] = json.loads(path.read_text())["real"] if path.exists() else []
    return found


def _repair(found: dict[str, Any]) -> str:
    rows = [
        [
            one["repair"], f"{one['loss_percent']:g}", one["wire_kbps"], one["coded"], one["keys_for_repair"],
            one["resent_bytes"], _ccc(one["live_ccc"]["mean"]), _ccc(one["end_ccc"]["mean"]),
        ]
        for one in found["real"]
    ]  # fmt: skip
    heads = [
        "repair", "loss %", "on the wire, kbit/s", "faces", "key faces for repair", "bytes sent again", "CCC live",
        "CCC in the end",
    ]  # fmt: skip
    again = next(
        (one for one in _known_rates() if (one["kbps"], one["loss_percent"]) == (found["kbps"], AIM_LOSS)), None
    )
    runs = "" if again is None else (
        f"Single runs differ: the first row repeats a point of the first table, where the CCC live was "
        f"{_ccc(again['live_ccc']['mean'])} and in the end {_ccc(again['end_ccc']['mean'])}."
    )  # fmt: skip
    return f"""## Repair of lost faces

At {found["kbps"]:g} kbit/s, one run each: lost faces are always sent again, always repaired by a key face, or by the
cheaper of both (the default).

{_table(heads, rows)}

{runs}

`python -m benchmarks.link.repair FOLDER`, `benchmarks/results/link-repair.json`
"""


def _steps(found: dict[str, Any]) -> str:
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

The link carries {" then ".join(f"{kbps:g}" for kbps in found["kbps"])} kbit/s. It *fits* when less than a second of
packets waits in the queue and what the sender puts out, over 1.5 s, is within 10 % of the low rate, both for 3 s; it is
*back* when the budget is at 80 % of that before, for 3 s.

{_table(heads, rows)}

The aims were {AIM_FIT_S:g} s and {AIM_BACK_S:g} s: reached in {fits} and {back} of {count} runs.

`python -m benchmarks.link.steps FOLDER`, `benchmarks/results/link-steps.json`
"""


def _first(seen: list[list[float]], since_s: float, most: float = math.inf, least: float = 0.0) -> float | None:
    """Seconds from `since_s` until the budget is between `least` and `most`."""
    found = [row[0] - since_s for row in seen if row[0] >= since_s and least <= row[1] <= most]
    return round(found[0], 1) if found else None


def _cuts(found: dict[str, Any]) -> str:
    rows = [
        [
            one["seed"], len(one["cuts"]), one["cut_s"], round(one["duration_s"]), one["coded"], one["stored"],
            "yes" if one["is_once_in_order"] else "no", one["finish_s"],
        ]
        for one in found["trials"]
    ]  # fmt: skip
    heads = ["seed", "cuts", "cut, s", "of, s", "faces coded", "stored", "once, in order", "finish, s"]
    lengths = [cut["length_s"] for one in found["trials"] for cut in one["cuts"]]
    whole = all(one["coded"] == one["stored"] and one["is_once_in_order"] for one in found["trials"])
    return f"""## Losses and cuts

{found["kbps"]:g} kbit/s, {found["loss_percent"]:g} % loss, and {len(lengths)} cuts of {min(lengths):g} to
{max(lengths):g} s: by turns the camera's interface goes down, and all packets to the receiver vanish.

{_table(heads, rows)}

The aim was that all coded faces are stored in the end: {"reached" if whole else "not reached"}.

`python -m benchmarks.link.cuts FOLDER`, `benchmarks/results/link-cuts.json`
"""


def _accounting(found: dict[str, Any]) -> str:
    most = found["largest_difference_percent"]
    return f"""## Bytes on the wire

The bytes that the sender counts (QUIC packets with their UDP and IPv4 headers) differ from those that left the
interface, less Ethernet's 14 bytes a packet, by at most {most:.2f} % over the {len(found["points"])} runs above. The
aim was {AIM_PERCENT:g} %: {"reached" if most <= AIM_PERCENT else "not reached"}.

`python -m benchmarks.link.accounting`, `benchmarks/results/link-accounting.json`
"""


def _streams(found: dict[str, Any]) -> str:
    heads = [
        "streams", "faces made/s", "faces stored/s", "server's core", "senders' core", "CPU ms per stream and second",
        "age p50 / p95, s", "memory, MiB", "descriptors",
    ]  # fmt: skip

    def rows(part: list[dict[str, Any]]) -> list[list[Any]]:
        return [
            [
                one["streams"], one["made_faces_per_s"], one["stored_faces_per_s"],
                f"{100 * one['server_core_share']:.0f} %", f"{100 * one['senders_core_share']:.0f} %",
                one["cpu_ms_per_stream_second"], f"{one['unstored_age_p50_s']} / {one['unstored_age_p95_s']}",
                one["memory_mib"], one["descriptors"],
            ]
            for one in part
        ]  # fmt: skip

    carried = max((one["streams"] for one in found["counts"] if one["unstored_age_p95_s"] <= 1), default=0)
    text = f"""## Streams a core

`lowbeam serve` with its SQLite store on one core, all senders in one process on the other; each sends faces at
{found["point"]} that were coded before. *Age* is that of the oldest face that is not stored yet, asked each second.

{_table(heads, rows(found["counts"]))}

Carried with a 95th percentile of at most 1 s: {carried} streams. The aim was {AIM_STREAMS}:
{"reached" if carried >= AIM_STREAMS else "not reached"}.
"""
    if found["held"]:
        text += f"\nHeld for {12 * len(found['held'])} s:\n\n{_table(heads, rows(found['held']))}\n"
    return text + "\n`python -m benchmarks.link.streams FOLDER`, `benchmarks/results/link-streams.json`\n"


GLASS_HEADS = {
    "coded": "found and coded", "sent": "sent", "own_packet": "its packet alone", "arrived": "arrived",
    "changed": "estimated, in the document", "drawn": "drawn", "glass_to_page": "**frame to page**",
}  # fmt: skip


def _glass(found: dict[str, Any]) -> str:
    def cells(one: dict[str, Any]) -> list[Any]:
        times = one["seconds"]
        shown = ["-" if times[name] is None else "{:.3f} / {:.3f}".format(*times[name]) for name in GLASS_HEADS]
        is_free = "budget" in one
        kbps = f"no limit, `--budget {one['budget']}`" if is_free else f"{one['kbps']:g}"
        age = "{:.2f} / {:.2f}".format(*one["age"])
        return [kbps, f"{one['loss_percent']:g}", f"{one['shown']} of {one['faces']}", *shown, age, one["load"]]

    heads = ["kbit/s", "loss %", "faces shown", *GLASS_HEADS.values(), "age of the number", "load"]
    aim = next((one for one in found["trials"] if (one["kbps"], one["loss_percent"]) == (AIM_GLASS_KBPS, 0)), None)
    reached = ""
    if aim is not None:
        p50_s, alone_s = aim["seconds"]["glass_to_page"][0], aim["seconds"]["own_packet"][0]
        reached = f"""
The aim was {AIM_GLASS_S:g} s p50 at {AIM_GLASS_KBPS:g} kbit/s: {"reached" if p50_s <= AIM_GLASS_S else "not reached"},
{p50_s:.3f} s without loss. Half of the faces are so large that such a link takes {alone_s:.3f} s or more for the bits
of their packets alone.
"""
    return f"""## Glass to page

From a frame of the camera to the number on the page in Chromium. `lowbeam serve` with its SQLite store and headless
Chromium, on the page *Who is on*, run on one side of the link; on the other, `lowbeam send` plays the clip of real
people with `--latency {found["latency_s"]:g}`. The time begins when the player's clock reaches the frame's time, as a
camera would expose it, and ends when the browser has drawn the frame that shows the number. A number is matched with
its face by the time that the page gives with it. Of the clip, the first 30 s are left out.

Seconds, p50 / p95 of the faces that were shown: from the frame until its face is *found and coded*; until it is first
*sent*, which includes the time that it waits for the link; from then until it has *arrived*; until the server has
*estimated* it and the number is *in the document* of the browser; until it is *drawn*. *Its packet alone* is what the
bits of a face take that travels in a packet of its own: a part of *arrived*. Faces that are not shown were filled in
after later ones had come, came in one packet with a later one, or were replaced by a later one within a tenth of a
second. *Age* is how long ago the frame was of the number that is on the page, at any moment. *Load* is the machine's
load average at the end. In the last row the link has no limit: this is the time of the program itself.

{_table(heads, [cells(one) for one in found["trials"]])}
{reached}
`python -m benchmarks.link.glass FOLDER`, `benchmarks/results/link-glass.json`
"""


def _start(found: dict[str, Any]) -> str:
    now, before = found["now"], found["before"]

    def spread(one: dict[str, Any], name: str) -> str:
        missing = f", {one[name]['missing']} never" if one[name]["missing"] else ""
        return f"{one[name]['p50']:.1f} / {one[name]['p95']:.1f}{missing}"

    pairs = [*zip(before["start"], now["start"], strict=True)]
    starts = [
        [f"{new['kbps']:g}", new["loss"], spread(old, "first_s"), spread(new, "first_s"), spread(new, "live_s")]
        for old, new in pairs
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

{_table(["kbit/s", "loss", "first face before", "first face", "live"], starts)}

The same for steps from {STEP_KBPS[0]:g} to {STEP_KBPS[1]:g} and back to {
        STEP_KBPS[0]:g} kbit/s, with the definitions of
[steps in rate](#steps-in-rate):

{_table(["loss", "fits before", "fits", "back before", "back"], steps)}

And at a constant rate, for {STEADY_S:.0f} s, before / now, means over {max(1, now["seeds"] // 4)} seeds. The budget and
its standard deviation are shares of the link's rate:

{
        _table(
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


PARTS: dict[str, Callable[[dict[str, Any]], str]] = {
    "rates": _rates, "rates-rendered": _rendered, "repair": _repair, "steps": _steps, "start": _start, "cuts": _cuts,
    "accounting": _accounting, "glass": _glass, "streams": _streams,
}  # fmt: skip


def main() -> None:
    """Write the page from the result files that exist."""
    texts = [INTRODUCTION]
    for name, part in PARTS.items():
        path = RESULTS / f"link-{name}.json"
        if path.exists():
            texts.append(part(json.loads(path.read_text())))
    missing = [name for name in PARTS if not (RESULTS / f"link-{name}.json").exists()]
    if missing:
        texts.append(f"## Not measured yet\n\n{', '.join(f'`link-{name}.json`' for name in missing)}\n")
    PAGE.write_text("\n".join(texts))


if __name__ == "__main__":
    main()
