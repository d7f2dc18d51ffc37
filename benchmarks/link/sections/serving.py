"""How fast and how much a server serves."""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.link.sections.table import table

AIM_STREAMS, AIM_MEMORY = 100, 0.05
MOST_SKIPPED = 0.01
SETTLED_MINUTES = 3.0  # after which as much is in memory as will be: the last two minutes of each stream
AIM_GLASS_KBPS, AIM_GLASS_S = 4.0, 0.3


def streams(found: dict[str, Any]) -> str:
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

    carried = max((one["streams"] for one in found["counts"] if _is_carried(one)), default=0)
    text = f"""## Streams a core

`lowbeam serve` with its SQLite store on one core, all senders in one process on the other; each sends faces at
{found["point"]} that were coded before. *Age* is that of the oldest face that is not stored yet, asked each second.

{table(heads, rows(found["counts"]))}

Carried, with a 95th percentile of at most 1 s and without a choked link: {carried} streams. The aim was {AIM_STREAMS}:
{"reached" if carried >= AIM_STREAMS else "not reached"}.
"""
    if found["held"]:
        text += _held(found["held"], heads, rows)
    return text + "\n`python -m benchmarks.link.streams FOLDER`, `benchmarks/results/link-streams.json`\n"


def _is_carried(one: dict[str, Any]) -> bool:
    """Whether faces are stored in time, and senders skip next to none."""
    return bool(one["unstored_age_p95_s"] <= 1 and one["skipped_per_s"] <= MOST_SKIPPED * one["made_faces_per_s"])


def _held(
    found: list[dict[str, Any]], heads: list[str], rows: Callable[[list[dict[str, Any]]], list[list[Any]]]
) -> str:
    """The streams that were held for long: some of the measurements, and how memory and descriptors changed."""
    settled = [one for one in found if one["minutes"] > SETTLED_MINUTES]
    memory = [one["memory_mib"] for one in settled]
    tenth = max(1, len(memory) // 10)
    first, last = float(np.median(memory[:tenth])), float(np.median(memory[-tenth:]))
    is_flat = abs(last / first - 1) <= AIM_MEMORY
    leaked = settled[-1]["descriptors"] - settled[0]["descriptors"]
    shown = [found[round(place)] for place in np.linspace(0, len(found) - 1, 7)]
    lines = [[one["minutes"], *row] for one, row in zip(shown, rows(shown), strict=True)]
    return f"""
{found[0]["streams"]} streams held for {found[-1]["minutes"]:.0f} minutes, beside other work on the machine:

{table(["minute", *heads], lines)}

From minute {SETTLED_MINUTES:.0f} on, when the page's history is full, memory went from {first:.0f} to {last:.0f} MiB
(medians of the first and the last tenth of the time): {100 * (last / first - 1):+.1f} %. The aim was at most
{100 * AIM_MEMORY:.0f} %: {"reached" if is_flat else "not reached"}. Descriptors changed by {leaked}.
"""


GLASS_HEADS = {
    "coded": "found and coded", "sent": "sent", "own_packet": "its packet alone", "arrived": "arrived",
    "changed": "estimated, in the document", "drawn": "drawn", "glass_to_page": "**frame to page**",
}  # fmt: skip


def glass(found: dict[str, Any]) -> str:
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

{table(heads, [cells(one) for one in found["trials"]])}
{reached}
`python -m benchmarks.link.glass FOLDER`, `benchmarks/results/link-glass.json`
"""
