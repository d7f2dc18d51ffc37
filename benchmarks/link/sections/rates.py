"""Rates and losses, of real and of rendered people."""

from typing import Any

from benchmarks.link.rates import LOSSES, RATES_KBPS
from benchmarks.link.sections.table import ccc_text, table
from lowbeam.link.policy import SMALLER, SMALLER_FROM_BPS

AIM_LOSS, AIM_BELOW = 5, 0.03

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
        *(ccc_text(one[name]["mean"]) for name in ("live_ccc", "live_ccc_own_time", "end_ccc")),
        ccc_text(offline["mean"]), ccc_text(offline["over_link"]["mean"]), share, one["finish_s"],
    ]  # fmt: skip


def _rate_table(found: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    return table(RATE_HEADS, [_rate_row(one, found["offline"][f"{one['kbps']:g}"]) for one in rows])


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
    return ", ".join(
        f"{ccc_text(value)} at {delay} s" for delay, value in found["uncoded_late"].items() if delay != "0"
    )


def rendered(found: dict[str, Any]) -> str:
    rows = found["rendered"]
    below = _below(found, rows)
    return f"""## The same on rendered people

The test people of the [rendered corpus](recognizer.md), 16 s each, joined in the same way; CCC with their labels. The
uncoded clip has {ccc_text(found["uncoded_late"]["0"])}; shown late, {_late(found)}.

{_rate_table(found, rows)}

{_stored(rows)}

At {AIM_LOSS} % loss, a live CCC within {AIM_BELOW:.2f} of offline is {_missed(below, 1)}; held from the time of each
face it is {_missed(below, 2)}.

`python -m benchmarks.link.rates PEOPLE --rendered`, `benchmarks/results/link-rates-rendered.json`
"""


def rates(found: dict[str, Any]) -> str:
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


def points(found: dict[str, Any]) -> str:
    """The section on the points that a link takes."""

    def row(place: int) -> list[Any]:
        ones = [found[name][place] for name in ("rendered_valid", "real")]
        values = [(ccc_text(one["over_link"]["mean"]), ccc_text(one["mean"]), one["over_link_p50_s"]) for one in ones]
        return [f"{ones[0]['kbps']:g}", f"1/{ones[0]['smaller']:g}", *values[0], *values[1]]

    heads = ["kbit/s", "point of", "rendered: live", "own time", "delay, s", "real: live", "own time", "delay, s"]
    from_kbps = SMALLER_FROM_BPS / 1000
    return f"""## Smaller faces are earlier

`lowbeam pack` takes the operating points that keep most in the end. Above {from_kbps:g} kbit/s a live link takes those
of 1/{SMALLER:g} of its budget (`--fast` does not). This was chosen on the rendered validation people. Each face is
shown once its packet has passed a link of the given rate, as in *offline over the link* above; the real clip beside:

{table(heads, [row(place) for place in range(len(found["real"]))])}

`python -m benchmarks.link.points PEOPLE REAL`, `benchmarks/results/link-points.json`
"""
