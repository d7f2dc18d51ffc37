"""A user's own recordings, listed in a CSV file with a header and one row per label::

    recording,split,time_s,valence,arousal
    calls/ann.mp4,train,0.00,0.10,-0.05

`recording` is the path of a video, relative to the folder of the CSV file, or absolute; `split` is train, valid or
test, the same in all rows of a recording; times are seconds from its first frame and increase; valence and arousal are
in [-1, 1]. Labels are interpolated between two that are at most one second apart; other frames have no label.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.frames import video_frames
from lowbeam.corpora.labelled import SPLITS, Recording
from lowbeam.corpora.labels import check_affect, check_times, read_rows, read_text
from lowbeam.errors import CorpusError

COLUMNS = ("recording", "split", "time_s", "valence", "arousal")


def recordings(path: Path, split: str) -> list[Recording]:
    """The recordings of `split`. Raises `CorpusError` if a row is invalid or a video is missing."""
    rows = read_rows(path, read_text(path))
    if tuple(cell.strip() for cell in next(rows, (1, []))[1]) != COLUMNS:
        raise CorpusError(f"{path} does not begin with the header {','.join(COLUMNS)}")
    labels: dict[str, list[tuple[float, ...]]] = {}
    splits: dict[str, str] = {}
    for number, row in rows:
        try:
            name, its_split, *cells = row
            time_s, valence, arousal = map(float, cells)
        except ValueError as error:
            raise CorpusError(f"{path}, line {number}: not {','.join(COLUMNS)}: {','.join(row)[:60]}") from error
        if its_split not in SPLITS or splits.setdefault(name, its_split) != its_split:
            raise CorpusError(
                f"{path}, line {number}: split {its_split} is not one of {', '.join(SPLITS)}, or is inconsistent"
            )
        labels.setdefault(name, []).append((time_s, valence, arousal))
    chosen = [name for name in labels if splits[name] == split]
    if not chosen:
        raise CorpusError(f"{path} has no recording in split {split}")
    return [_recording(path, name, np.array(labels[name])) for name in chosen]


def _recording(path: Path, name: str, labels: NDArray[np.float64]) -> Recording:
    video = path.parent / name
    if not video.is_file():
        raise CorpusError(f"{video} is missing, but {path.name} labels it")
    check_times(path, labels[:, 0])
    affect = check_affect(path, labels[:, 1:])
    return Recording(name, (path, video), video_frames(video), affect, label_s=labels[:, 0].copy())
