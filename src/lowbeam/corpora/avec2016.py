"""AVEC 2016 (Valstar et al. 2016), from RECOLA (Ringeval et al. 2013): video calls of five minutes each.

On disk, as distributed::

    recordings_video/train_1.mp4 …                          train_1..9 and dev_1..9
    recordings_video_frame_time/train_1.csv …               ';'-separated, with a header; frame times in column two
    ratings_gold_standard/{valence,arousal}/train_1.arff …  name, time, gold standard in [-1, 1]
    bbox/train_1.csv …                                      optional: ';'-separated, with a header;
                                                            time, left, top, width, height

The boxes are those that the authors of Cheng et al. 2017 released as MATLAB files. As in their release, a frame whose
box is missing (all zeros) or has a side of 100 px or less is omitted. Without the folder ``bbox`` lowbeam detects the
faces. The paper tests on dev, so ``test`` is dev_1..9, and ``valid`` is train_8 and train_9.

A corpus written by ``lowbeam corpus render`` has the same layout, a ``settings.json`` and, once it is complete, a
``manifest.json``, which lists its people by split: train, dev (here ``valid``) and test. Its boxes are the ground truth
and have any size.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.frames import video_frames
from lowbeam.corpora.labelled import Recording
from lowbeam.corpora.labels import at_times, check_affect, check_times, read_columns, read_text
from lowbeam.errors import CorpusError

NAMES = {
    "train": [f"train_{n}" for n in range(1, 8)],
    "valid": ["train_8", "train_9"],
    "test": [f"dev_{n}" for n in range(1, 10)],
}
MANIFEST, SETTINGS = "manifest.json", "settings.json"
RENDERED_SPLITS = {"train": "train", "valid": "dev", "test": "test"}
MIN_BOX_PX = 100  # side of a box; a frame with a box of this side or smaller is omitted, as in the authors' release
MOST_GAP_S = 0.1  # the gold standard has a value every 0.04 s


def recordings(root: Path, split: str) -> list[Recording]:
    """The recordings of `split`. Raises `CorpusError` if a file is missing or damaged."""
    if not (root / "recordings_video").is_dir():
        raise CorpusError(f"{root} is not AVEC 2016: it has no folder recordings_video")
    if is_rendered(root):
        return [_recording(root, name, 0) for name in _rendered_names(root / MANIFEST, RENDERED_SPLITS[split])]
    if (root / SETTINGS).is_file():
        raise CorpusError(f"{root} is not complete: run the same lowbeam corpus render again, and it goes on")
    return [_recording(root, name, MIN_BOX_PX) for name in NAMES[split]]


def is_rendered(root: Path) -> bool:
    """Whether the corpus was written by ``lowbeam corpus render``."""
    return (root / MANIFEST).is_file()


def _rendered_names(path: Path, split: str) -> list[str]:
    try:
        people = json.loads(read_text(path))["people"]
        return [str(person["name"]) for person in people if person["split"] == split]
    except (ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{path} is damaged, or not a manifest of lowbeam corpus render") from error


def _recording(root: Path, name: str, min_box_px: float) -> Recording:
    video = root / "recordings_video" / f"{name}.mp4"
    if not video.is_file():
        raise CorpusError(f"{video} is missing")
    times = root / "recordings_video_frame_time" / f"{name}.csv"
    frame_s = _below_heading(times, (1,))[:, 0]
    check_times(times, frame_s)
    ratings = [root / "ratings_gold_standard" / kind / f"{name}.arff" for kind in ("valence", "arousal")]
    columns = []
    for path in ratings:
        label_s, values = _read_arff(path).T
        check_times(path, label_s)
        columns.append(at_times(frame_s, label_s, values[:, None], MOST_GAP_S))
    affect = check_affect(ratings[0], np.hstack(columns))
    files, boxes = [video, times, *ratings], None
    if (root / "bbox").is_dir():
        path = root / "bbox" / f"{name}.csv"
        boxes = _boxes(path, frame_s)
        boxes[(boxes[:, 2:] <= min_box_px).any(1)] = np.nan
        files.append(path)
    return Recording(name, tuple(files), video_frames(video), affect, boxes=boxes, exact=True)


def _below_heading(path: Path, columns: tuple[int, ...]) -> NDArray[np.float64]:
    heading, _, text = read_text(path).partition("\n")
    if heading.strip().replace(";", "").replace(".", "").isdigit():
        raise CorpusError(f"{path} begins with numbers; its first row must be a header")
    return read_columns(path, text, ";", columns, first_line=2)


def _read_arff(path: Path) -> NDArray[np.float64]:
    """Time and value, (n, 2), of an ARFF file of name, time and value."""
    lines = read_text(path).splitlines()
    starts = [number for number, line in enumerate(lines) if line.strip().lower() == "@data"]
    if not starts:
        raise CorpusError(f"{path} is not ARFF: it has no @DATA")
    return read_columns(path, "\n".join(lines[starts[0] + 1 :]), ",", (1, 2), first_line=starts[0] + 2)


def _boxes(path: Path, frame_s: NDArray[np.float64]) -> NDArray[np.float32]:
    """The boxes of the frames at `frame_s` (n,): left, top, width, height, float32 (n, 4); NaN if missing or all
    zeros."""
    rows = _below_heading(path, (0, 1, 2, 3, 4))
    check_times(path, rows[:, 0])
    at = np.searchsorted(rows[:, 0], frame_s - 1e-3).clip(max=len(rows) - 1)
    boxes = rows[at, 1:]
    boxes[(np.abs(rows[at, 0] - frame_s) > 1e-3) | (boxes == 0).all(1)] = np.nan
    return boxes.astype(np.float32)
