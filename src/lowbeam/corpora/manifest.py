"""Your own recordings, by a CSV file with a heading and one row for each label::

    recording,split,time_s,valence,arousal
    calls/ann.mp4,train,0.00,0.10,-0.05

`recording` is a video beside the CSV file, or its full path; `split` is train, valid or test, the same in all rows of a
recording; times are seconds from its first frame, and rise; valence and arousal lie in [-1, 1]. Between two labels of
at most one second apart they are interpolated; other frames have none.
"""

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.frames import video_frames
from lowbeam.corpora.labelled import SPLITS, Recording
from lowbeam.corpora.labels import at_times, check_affect, check_times, read_text
from lowbeam.errors import CorpusError, SourceError
from lowbeam.media import VideoSource

COLUMNS = ("recording", "split", "time_s", "valence", "arousal")
MOST_GAP_S = 1.0


def recordings(path: Path, split: str) -> list[Recording]:
    """The recordings of a split. Raises `CorpusError` where a row is wrong or a video is missing."""
    rows = list(csv.reader(read_text(path).splitlines()))
    if not rows or tuple(cell.strip() for cell in rows[0]) != COLUMNS:
        raise CorpusError(f"{path} does not begin with {','.join(COLUMNS)}")
    labels: dict[str, list[tuple[float, ...]]] = {}
    splits: dict[str, str] = {}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        try:
            name, its_split, *cells = row
            time_s, valence, arousal = map(float, cells)
        except ValueError as error:
            raise CorpusError(f"{path}, line {number}: not {','.join(COLUMNS)}: {','.join(row)[:60]}") from error
        if its_split not in SPLITS or splits.setdefault(name, its_split) != its_split:
            raise CorpusError(
                f"{path}, line {number}: split {its_split} is none of {', '.join(SPLITS)}, or a second one"
            )
        labels.setdefault(name, []).append((time_s, valence, arousal))
    chosen = [name for name in labels if splits[name] == split]
    if not chosen:
        raise CorpusError(f"{path} holds no recording of split {split}")
    return [_recording(path, name, np.array(labels[name])) for name in chosen]


def _recording(path: Path, name: str, labels: NDArray) -> Recording:
    video = path.parent / name
    if not video.is_file():
        raise CorpusError(f"{video} is missing, but {path.name} labels it")
    check_times(path, labels[:, 0])
    affect = check_affect(path, labels[:, 1:])
    frame_s = np.fromiter(_frame_times(video), np.float64)
    if not len(frame_s) or labels[-1, 0] > frame_s[-1] + MOST_GAP_S:
        end = f"{frame_s[-1]:g} s" if len(frame_s) else "its beginning"
        raise CorpusError(f"{video} ends at {end}, its labels at {labels[-1, 0]:g} s")
    return Recording(
        name, (path, video), video_frames(video),
        at_times(frame_s, labels[:, 0], affect, MOST_GAP_S).astype(np.float32),
    )  # fmt: skip


def _frame_times(video: Path) -> Iterable[float]:
    try:
        with VideoSource(video) as source:
            for frame in source:
                yield frame.time_s
    except SourceError as error:
        raise CorpusError(str(error)) from error
