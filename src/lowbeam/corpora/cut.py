"""Recordings cut into faces, by the boxes that came with them or by lowbeam's own."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lowbeam.corpora.labelled import Recording
from lowbeam.errors import CorpusError
from lowbeam.faces import FaceTracker, crop, make_detector
from lowbeam.faces.crop import Box
from lowbeam.media import Grey
from lowbeam.scale import FACE_SIDE, Faces

MIN_BOX_PX = 100  # sides of a given box under which a frame is left out, as the authors' release does


def cut(recording: Recording) -> tuple[Faces, NDArray[np.int64]]:
    """The HR faces uint8 (k, 96, 96) of the frames that have a label and a face, and which frames those are (k,).

    Raises `CorpusError` where the video ends before its labels, or cannot be decoded.
    """
    tracker = None if recording.cropped or recording.boxes is not None else FaceTracker(make_detector())
    faces, indices, last = [], [], -1
    with recording.frames() as frames:
        for index, time_s, grey in frames:
            last = index
            if index >= len(recording.affect):
                break
            sighted = tracker.update(grey, time_s) if tracker is not None else []
            if np.isnan(recording.affect[index]).any():
                continue
            if recording.cropped:
                faces.append(_whole(grey))
            elif recording.boxes is not None:
                box = given_box(recording.boxes[index])
                if box is None:
                    continue
                faces.append(crop(grey, box))
            elif sighted:
                faces.append(crop(grey, sighted[0].box))
            else:
                continue
            indices.append(index)
    labelled = np.flatnonzero(~np.isnan(recording.affect).any(1))
    if not recording.cropped and len(labelled) and last < labelled[-1]:
        raise CorpusError(f"{recording.name}: the video has {last + 1} frames, its labels reach to {labelled[-1] + 1}")
    pixels = np.stack(faces) if faces else np.empty((0, FACE_SIDE, FACE_SIDE), np.uint8)
    return pixels, np.array(indices, np.int64)


def given_box(box: NDArray[np.float32]) -> Box | None:
    """The square around a box of left, top, width and height (4,); None where it is missing or under `MIN_BOX_PX`."""
    left, top, width, height = box.tolist()
    if not math.isfinite(sum(box.tolist())) or width <= MIN_BOX_PX or height <= MIN_BOX_PX:
        return None
    return Box.around(left + width / 2, top + height / 2, (width + height) / 2)


def _whole(grey: Grey) -> Grey:
    return np.asarray(Image.fromarray(grey).resize((FACE_SIDE, FACE_SIDE), Image.Resampling.BICUBIC))
