"""Recordings cut into faces, by the boxes that came with them or by lowbeam's own."""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lowbeam.corpora.labelled import Affect, Recording
from lowbeam.corpora.labels import at_times
from lowbeam.errors import CorpusError
from lowbeam.faces import FaceTracker, crop, make_detector
from lowbeam.faces.crop import Box
from lowbeam.media import Grey
from lowbeam.scale import FACE_SIDE, Faces

MOST_GAP_S = 1.0  # between two labels in time, to take it that affect went straight from one to the other
SPARE_FRAMES = 5  # that a video may have beyond its labels
NO_LABEL = np.full(2, np.nan, np.float32)
MIN_BOX_PX = 100  # sides of a given box under which a frame is left out, as the authors' release does


def cut(recording: Recording) -> tuple[Faces, Affect]:
    """The HR faces uint8 (k, 96, 96) of the frames that have a label and a face, and their labels (k, 2).

    Raises `CorpusError` where the video does not go with its labels, or cannot be decoded.
    """
    tracker = None if recording.cropped or recording.boxes is not None else FaceTracker(make_detector())
    faces, labels, count, last_s = [], [], 0, 0.0
    with recording.frames() as frames:
        for index, time_s, grey in frames:
            count, last_s = index + 1, time_s
            sighted = tracker.update(grey, time_s) if tracker is not None else []
            affect = _label(recording, index, time_s)
            if np.isnan(affect).any():
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
            labels.append(affect)
    _check_length(recording, count, last_s)
    pixels = np.stack(faces) if faces else np.empty((0, FACE_SIDE, FACE_SIDE), np.uint8)
    return pixels, np.array(labels, np.float32).reshape(-1, 2)


def _label(recording: Recording, index: int, time_s: float) -> Affect:
    if recording.label_s is not None:
        return at_times(np.array([time_s]), recording.label_s, recording.affect, MOST_GAP_S)[0]
    return recording.affect[index] if index < len(recording.affect) else NO_LABEL


def _check_length(recording: Recording, count: int, last_s: float) -> None:
    """Labels beyond the video's end, or frames beyond exact labels, mean that the two do not belong together."""
    if recording.label_s is not None:
        if recording.label_s[-1] > last_s + MOST_GAP_S:
            raise CorpusError(f"{recording.name} ends at {last_s:g} s, its labels at {recording.label_s[-1]:g} s")
        return
    labelled = np.flatnonzero(~np.isnan(recording.affect).any(1))
    if not recording.cropped and len(labelled) and count <= labelled[-1]:
        raise CorpusError(f"{recording.name}: the video has {count} frames, its labels reach to {labelled[-1] + 1}")
    if recording.exact and count > len(recording.affect) + SPARE_FRAMES:
        raise CorpusError(
            f"{recording.name}: the video has {count} frames, but there are {len(recording.affect)} labels"
        )


def given_box(box: NDArray[np.float32]) -> Box | None:
    """The square around a box of left, top, width and height (4,); None where it is missing or under `MIN_BOX_PX`."""
    left, top, width, height = box.tolist()
    if not math.isfinite(sum(box.tolist())) or width <= MIN_BOX_PX or height <= MIN_BOX_PX:
        return None
    return Box.around(left + width / 2, top + height / 2, (width + height) / 2)


def _whole(grey: Grey) -> Grey:
    return np.asarray(Image.fromarray(grey).resize((FACE_SIDE, FACE_SIDE), Image.Resampling.BICUBIC))
