"""The page ``docs/faces.md``, written from the results of ``python -m research detectors``."""

import json
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any

from lowbeam.errors import SourceError, reason
from lowbeam.evaluate.table import markdown_table
from lowbeam.faces import track
from lowbeam.faces.search import FACE_PX, FAR_SIDES, NEAR_SIDES
from research.result_files import shown_command, write_page

TEMPLATE = Path(__file__).with_name("faces_page_template.md")
NAMES = {"yunet": "YuNet", "dlib": "dlib"}  # finders in the order of the figures in a cell
CLEARLY = 1.1  # ratio from which one finder's figure counts as better

Row = dict[str, Any]


def write_faces_page(results: str | Path, page: str | Path) -> Path:
    """Write `page` (Markdown) from the file `results`. Raises `SourceError` if it is missing or damaged, and
    `OutputError`."""
    try:
        found = json.loads(Path(results).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{results} cannot be read: {reason(error)}") from error
    try:
        text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
            people=found["people"], seconds=f"{found['seconds']:g}", size="×".join(map(str, found["size"])),
            conditions=conditions_table(found["conditions"]), framing=framing_table(found["framing"]),
            dlib_better=where_better(found["conditions"], "dlib"), clips=clips_table(found["clips"]),
            agreement=agreement_table(found["agreement"]), times=times_table(found["times"]),
            command=f"    {shown_command(found['command'])}", results=Path(results).name,
            near=f"{NEAR_SIDES:g}", far=f"{FAR_SIDES:g}", face_px=FACE_PX, quick_px=track.QUICK_PX,
            thorough_px=track.THOROUGH_PX, thorough_s=f"{track.THOROUGH_EVERY_S:g}", retry_s=f"{track.RETRY_S:g}",
            detect_s=f"{track.DETECT_EVERY_S:g}", new_score=f"{track.NEW_SCORE:g}", recall_s=f"{track.RECALL_S:g}",
        )  # fmt: skip
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise SourceError(f"{results} lacks what the page needs: {error}; run python -m research detectors") from error
    return write_page(Path(page), text)


def conditions_table(rows: list[Row]) -> str:
    """Figures of each condition, by finder."""
    headings = [
        "condition", "found, %", "centre off", "side off", "centre jitter", "side jitter", "id changes", "elsewhere, %"
    ]  # fmt: skip
    keys = ("found", "centre_off", "side_off", "centre_jitter", "side_jitter", "id_changes", "elsewhere")
    return markdown_table(headings, [[row["condition"], *(_pair(row, key) for key in keys)] for row in rows])


def clips_table(rows: list[Row]) -> str:
    """Figures of each real clip, by finder."""
    headings = ["clip", "frames", "with a face, %", "ids", "centre jitter", "side jitter"]
    keys = ("shown", "ids", "centre_jitter", "side_jitter")
    return markdown_table(
        headings, [[row["clip"], str(row["frames"]), *(_pair(row, key) for key in keys)] for row in rows]
    )


def framing_table(rows: list[Row]) -> str:
    """Mean offset of the boxes of frontal faces, ± its standard deviation over frames."""
    cells = [
        [
            NAMES[row["finder"]],
            *(f"{100 * row[k]:+.1f} ± {100 * row[f'{k}_std']:.1f}" if k in row else "–" for k in OFFSETS),
        ]
        for row in rows
    ]
    return markdown_table(["finder", *(f"{key}, %" for key in OFFSETS)], cells)


OFFSETS = ("right", "down", "larger")


def agreement_table(rows: list[Row]) -> str:
    """CCC between estimates with boxes from all frames and from few."""
    cells = [
        [NAMES[row["finder"]], str(row["faces"]), f"{row['valence']:.3f}", f"{row['arousal']:.3f}"] for row in rows
    ]
    return markdown_table(["finder", "faces", "valence", "arousal"], cells)


def times_table(rows: list[Row]) -> str:
    """Milliseconds per call; the last column is the time as a share of dlib's, of the same task."""
    dlib = {row["what"]: row["ms"] for row in rows if row["finder"] == "dlib"}
    tasks = {"detection": "detect in a picture", "update": "track, per frame"}
    cells = [
        [
            NAMES[row["finder"]],
            tasks[row["what"]],
            row["size"],
            f"{row['ms']:.2f}",
            f"{row['ms'] / dlib[row['what']]:.2f}",
        ]
        for row in rows
    ]
    return markdown_table(["finder", "task", "pixels", "ms", "× dlib"], cells)


def where_better(rows: list[Row], finder: str) -> str:
    """A list, in Markdown, of the conditions in which `finder` is clearly better than the other, by figure."""
    (other,) = set(NAMES) - {finder}
    figures: dict[str, tuple[str, Callable[[float], float]]] = {
        "found": ("finds more faces", lambda value: -value), "centre_off": ("places the centre better", abs),
        "side_off": ("measures the side better", abs), "centre_jitter": ("has a steadier centre", abs),
        "side_jitter": ("has a steadier side", abs), "elsewhere": ("has fewer boxes elsewhere", abs),
    }  # fmt: skip
    lines = []
    for key, (what, cost) in figures.items():
        pairs = [(row["condition"], row[finder][key], row[other][key]) for row in rows]
        both = [(name, one, two) for name, one, two in pairs if None not in (one, two)]
        better = [
            name for name, one, two in both
            if cost(one) < cost(two) and max(one, two) > CLEARLY * min(one, two)
        ]  # fmt: skip
        if better:
            where = "in every condition in which both find faces" if len(better) == len(both) else "; ".join(better)
            lines.append(f"- {NAMES[finder]} {what}: {where}.")
    return "\n".join(lines) or f"- {NAMES[finder]} is clearly better in no condition."


def _pair(row: Row, key: str) -> str:
    """A figure of both finders: a count, or a share in per cent; a dash where there is none."""
    values = [row[name][key] for name in NAMES]
    return " / ".join("–" if v is None else str(v) if isinstance(v, int) else f"{100 * v:.1f}" for v in values)
