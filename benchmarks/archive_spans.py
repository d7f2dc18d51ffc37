"""What a cut changes: ``python -m benchmarks.archive_spans REAL RENDERED``.

Recordings are read as a whole, and in short spans that are joined as `lowbeam.batch` joins those of long ones: real
ones of 15 s or more in spans of `REAL_SPAN_S`, the first `COUNT` rendered ones in spans of `RENDERED_SPAN_S`. Compared
are the rows after the first cut. Writes ``benchmarks/results/archive-spans.json``.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lowbeam.archive import spans
from lowbeam.archive.dataset import Dataset
from lowbeam.archive.outcome import Outcome
from lowbeam.archive.reading import Reading, Settings
from lowbeam.archive.spans import Join
from lowbeam.media import VIDEO_SUFFIXES, VideoSource
from lowbeam.metrics import ccc

RESULT = Path(__file__).parent / "results" / "archive-spans.json"
REAL_SPAN_S, RENDERED_SPAN_S, LEAST_S, COUNT = 7.0, 40.0, 15.0, 6


def _read(video: Path, span_s: float, place: Path) -> dict[str, Any]:
    """The columns of a recording, read in spans of `span_s` seconds."""
    spans.SPAN_S = span_s
    dataset = Dataset(place)
    reading = Reading(dataset, Settings("accurate", "primary", float("inf")), retry_failed=False)
    found = reading.read(str(video))
    if not isinstance(found, Outcome):
        for span in found:
            reading.read_span(span)
        reading.join(Join(str(video), tuple(found)))
    (about,) = dataset.recordings()
    return dataset.columns(about)


def compare(videos: list[Path], span_s: float, lead_s: float) -> dict[str, Any]:
    """Whole readings against joined ones, after the first cut."""
    spans.LEAD_S = lead_s
    pairs: dict[str, list[Any]] = {"valence": [], "arousal": []}
    same_rows = True
    for video in videos:
        with tempfile.TemporaryDirectory() as place:
            whole = _read(video, 1e6, Path(place) / "whole")
            joined = _read(video, span_s, Path(place) / "joined")
        same_rows &= all(np.array_equal(whole[name], joined[name]) for name in ("time_s", "face"))
        for name, kept in pairs.items():
            kept.append([one[name][one["time_s"] >= span_s] for one in (whole, joined)])
    rows = {name: np.concatenate(kept, axis=1) for name, kept in pairs.items()}
    return {
        "recordings": len(videos), "span_s": span_s, "lead_s": lead_s, "rows": rows["valence"].shape[1],
        "same_times_and_people": same_rows,
        **{
            name: {"ccc": round(float(ccc(*both)), 4),
                   "mean_difference": round(float(np.abs(np.diff(both, axis=0)).mean()), 4)}
            for name, both in rows.items()
        },
    }  # fmt: skip


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("real", type=Path)
    parser.add_argument("rendered", type=Path)
    arguments = parser.parse_args()
    real, rendered = (
        sorted(path for path in folder.iterdir() if path.suffix in VIDEO_SUFFIXES)
        for folder in (arguments.real, arguments.rendered)
    )
    long = [video for video in real if (VideoSource(video).duration_s or 0) >= LEAST_S]
    found = {
        "command": "python -m benchmarks.archive_spans", "real": compare(long, REAL_SPAN_S, REAL_SPAN_S),
        "rendered": compare(rendered[:COUNT], RENDERED_SPAN_S, 20.0),
    }  # fmt: skip
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
