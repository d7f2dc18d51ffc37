"""Aff-Wild2 (Kollias & Zafeiriou 2019), as distributed for the valence–arousal track of the ABAW challenges.

On disk::

    annotations/VA_Estimation_Challenge/{Train_Set,Validation_Set}/NAME.txt
                                              a header, then valence,arousal of each frame
    videos/NAME.mp4 (or .avi)     and/or    cropped_aligned/NAME/00001.jpg …   faces, numbered from 1

Folders may be nested deeper, and videos may be in ``batch1`` and ``batch2``. -5 means no label. Crops are used instead
of the videos if there are any. ``NAME_left`` and ``NAME_right`` are two people in one video and need crops. The labels
of the official test set are not public: ``test`` is Validation_Set, and ``valid`` is 0.15 of the names in Train_Set.
"""

from pathlib import Path

import numpy as np

from lowbeam.corpora.frames import picture_frames, video_frames
from lowbeam.corpora.labelled import Affect, Recording
from lowbeam.corpora.labels import check_affect, read_columns, read_text
from lowbeam.corpora.parted import split_of
from lowbeam.errors import CorpusError

NO_LABEL = -5
CROPS = ("cropped_aligned", "cropped_aligned_images", "cropped")
VIDEOS = (".mp4", ".avi")
TRAIN_SHARES = {"train": 0.85, "valid": 0.15}


def recordings(root: Path, split: str) -> list[Recording]:
    """The recordings of `split`. Raises `CorpusError` if a file is missing or damaged."""
    folder = "Validation_Set" if split == "test" else "Train_Set"
    found = sorted(p for p in root.rglob("*.txt") if p.parent.name == folder and "VA" in p.parent.parent.name)
    if not found:
        raise CorpusError(f"{root} is not Aff-Wild2: it has no VA_Estimation_Challenge/{folder} with text files")
    if split != "test":
        found = [path for path in found if split_of(path.stem, TRAIN_SHARES) == split]
    crops = [path for name in CROPS for path in sorted(root.rglob(name)) if path.is_dir()]
    videos = {path.stem: path for path in sorted(root.rglob("*")) if path.suffix.lower() in VIDEOS}
    return [_recording(path, crops, videos) for path in found]


def _recording(path: Path, crops: list[Path], videos: dict[str, Path]) -> Recording:
    affect = _affect(path)
    for folder in crops:
        numbered = ((int(p.stem), p) for p in (folder / path.stem).glob("*.jpg") if p.stem.isdecimal())
        pictures = {number - 1: p for number, p in numbered if number > 0}
        if pictures:
            files = (path, *(pictures[index] for index in sorted(pictures)))
            return Recording(path.stem, files, picture_frames(pictures), affect, cropped=True)
    if path.stem not in videos:
        raise CorpusError(f"{path} labels {path.stem}, which has neither crops nor a video")
    video = videos[path.stem]
    return Recording(path.stem, (path, video), video_frames(video), affect)


def _affect(path: Path) -> Affect:
    heading, _, text = read_text(path).partition("\n")
    if heading.strip().lower().replace(" ", "") != "valence,arousal":
        raise CorpusError(f"{path} does not begin with the header valence,arousal")
    affect = read_columns(path, text, ",", (0, 1), first_line=2)
    affect[(affect == NO_LABEL).any(1)] = np.nan
    return check_affect(path, affect)
