"""AFEW-VA (Kossaifi et al. 2017): 600 short clips of films, valence and arousal in [-10, 10] for every frame.

On disk, a folder for each clip, ``001`` to ``600``, at any depth, with the frames as pictures and a JSON file::

    001/00000.png …
    001/001.json    {"video_id": …, "actor": …, "frames": {"00000": {"valence": 3.0, "arousal": 1.0, …}, …}}

It has no official split. Clips are split by actor (0.7 / 0.15 / 0.15), so that no actor is in two splits.
"""

import json
from pathlib import Path

import numpy as np

from lowbeam.corpora.frames import picture_frames
from lowbeam.corpora.labelled import Recording
from lowbeam.corpora.labels import check_affect, read_text
from lowbeam.corpora.parted import split_of
from lowbeam.errors import CorpusError

BOUND = 10.0
PICTURES = {".png", ".jpg", ".jpeg"}


def recordings(root: Path, split: str) -> list[Recording]:
    """The clips of `split`. Raises `CorpusError` if a file is missing or damaged."""
    found = sorted(path for path in root.rglob("*.json") if path.stem == path.parent.name)
    if not found:
        raise CorpusError(f"{root} is not AFEW-VA: no folder in it has a JSON file of its name, such as 001/001.json")
    return [clip for path in found if (clip := _recording(path, split)) is not None]


def _recording(path: Path, split: str) -> Recording | None:
    try:
        about = json.loads(read_text(path))
        labels = {int(name): (float(f["valence"]), float(f["arousal"])) for name, f in about["frames"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(f"{path} is damaged: it has no frames with valence and arousal") from error
    if split_of(str(about.get("actor") or path.stem)) != split:
        return None
    if not labels or min(labels) < 0:
        raise CorpusError(f"{path} has no labels")
    pictures = {int(p.stem): p for p in path.parent.iterdir() if p.suffix.lower() in PICTURES and p.stem.isdecimal()}
    missing = sorted(set(labels) - set(pictures))
    if missing:
        raise CorpusError(f"{path.parent / f'{missing[0]:05d}.png'} is missing, but {path.name} labels it")
    affect = np.full((max(labels) + 1, 2), np.nan)
    for index, values in labels.items():
        affect[index] = values
    files = (path, *(pictures[index] for index in sorted(pictures)))
    return Recording(path.stem, files, picture_frames(pictures), check_affect(path, affect, BOUND))
