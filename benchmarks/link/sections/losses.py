"""What losses and cuts cost, and how they are repaired."""

import json
from typing import Any

from benchmarks.link.sections.rates import AIM_LOSS
from benchmarks.link.sections.table import ccc_text, table
from benchmarks.link.trial import RESULTS

AIM_PERCENT = 2.0


def repair(found: dict[str, Any]) -> str:
    rows = [
        [
            one["repair"], f"{one['loss_percent']:g}", one["wire_kbps"], one["coded"], one["keys_for_repair"],
            one["resent_bytes"], ccc_text(one["live_ccc"]["mean"]), ccc_text(one["end_ccc"]["mean"]),
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
        f"{ccc_text(again['live_ccc']['mean'])} and in the end {ccc_text(again['end_ccc']['mean'])}."
    )  # fmt: skip
    return f"""## Repair of lost faces

At {found["kbps"]:g} kbit/s, one run each: lost faces are always sent again, always repaired by a key face, or by the
cheaper of both (the default).

{table(heads, rows)}

{runs}

`python -m benchmarks.link.repair FOLDER`, `benchmarks/results/link-repair.json`
"""


def cuts(found: dict[str, Any]) -> str:
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

{table(heads, rows)}

The aim was that all coded faces are stored in the end: {"reached" if whole else "not reached"}.

`python -m benchmarks.link.cuts FOLDER`, `benchmarks/results/link-cuts.json`
"""


def _known_rates() -> list[dict[str, Any]]:
    path = RESULTS / "link-rates.json"
    found: list[dict[str, Any]] = json.loads(path.read_text())["real"] if path.exists() else []
    return found


def accounting(found: dict[str, Any]) -> str:
    most = found["largest_difference_percent"]
    return f"""## Bytes on the wire

The bytes that the sender counts (QUIC packets with their UDP and IPv4 headers) differ from those that left the
interface, less Ethernet's 14 bytes a packet, by at most {most:.2f} % over the {len(found["points"])} runs above. The
aim was {AIM_PERCENT:g} %: {"reached" if most <= AIM_PERCENT else "not reached"}.

`python -m benchmarks.link.accounting`, `benchmarks/results/link-accounting.json`
"""
