"""Crops the faces of a recording, with the boxes of the corpus or by lowbeam's face tracker."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lowbeam.corpora.labelled import Affect, Recording
from lowbeam.corpora.labels import at_times
from lowbeam.errors import CorpusError
from lowbeam.face import Box, Grey
from lowbeam.faces import FaceTracker, YunetDetector, crop
from lowbeam.scale import FACE_SIDE, Faces

MOST_GAP_S = 1.0  # most seconds between two labels that are interpolated
SPARE_FRAMES = 5  # frames that a video may have beyond its labels
NO_LABEL = np.full(2, np.nan, np.float32)


@dataclass(frozen=True)
class CutFaces:
    """The faces of the k frames with a face and, in a labelled recording, a label: HR `pixels`, uint8 (k, 96, 96);
    `affect`, float32 (k, 2);
    `time_s`, float64 (k,), in seconds; `box`, float32 (k, 3): left, top and side in pixels."""

    pixels: Faces
    affect: Affect
    time_s: NDArray[np.float64]
    box: NDArray[np.float32]


def cut(recording: Recording) -> CutFaces:
    """Crop the faces of a recording; without labels their `affect` is NaN.

    Raises `CorpusError` if the video does not match its labels or cannot be decoded.
    """
    tracker = None if recording.cropped or recording.boxes is not None else FaceTracker(YunetDetector())
    found: list[tuple[Grey, Affect, float, Box]] = []
    count, last_s = 0, 0.0
    with recording.frames() as frames:
        for index, time_s, grey in frames:
            count, last_s = index + 1, time_s
            sighted = tracker.update(grey, time_s) if tracker is not None else []
            affect = _label(recording, index, time_s)
            if recording.labelled and np.isnan(affect).any():
                continue
            box = _box(recording, index, grey, sighted[0].box if sighted else None)
            if box is not None and not (found and time_s <= found[-1][2]):  # some videos repeat a time
                found.append((_whole(grey) if recording.cropped else crop(grey, box), affect, time_s, box))
    _check_length(recording, count, last_s)
    return CutFaces(
        np.stack([f[0] for f in found]) if found else np.empty((0, FACE_SIDE, FACE_SIDE), np.uint8),
        np.array([f[1] for f in found], np.float32).reshape(-1, 2),
        np.array([f[2] for f in found], np.float64),
        np.array([(b.x, b.y, b.side) for _, _, _, b in found], np.float32).reshape(-1, 3),
    )


def _box(recording: Recording, index: int, grey: Grey, sighted: Box | None) -> Box | None:
    """The box of a frame's face: the whole frame, the given box, or the tracked one (`sighted`)."""
    if recording.cropped:
        return Box(0, 0, min(grey.shape))
    if recording.boxes is not None:
        return given_box(recording.boxes[index])
    return sighted


def _label(recording: Recording, index: int, time_s: float) -> Affect:
    if recording.label_s is not None:
        at_frame = at_times(np.array([time_s]), recording.label_s, recording.affect, MOST_GAP_S)
        label: Affect = at_frame[0].astype(np.float32)
        return label
    return recording.affect[index] if index < len(recording.affect) else NO_LABEL


def _check_length(recording: Recording, count: int, last_s: float) -> None:
    """Raise `CorpusError` if labels extend beyond the video, or frames beyond exact labels."""
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
    """The square around a box, float32 (4,): left, top, width and height; None if it is missing or empty."""
    left, top, width, height = box.tolist()
    if not math.isfinite(sum(box.tolist())) or width <= 0 or height <= 0:
        return None
    return Box.around(left + width / 2, top + height / 2, (width + height) / 2)


def _whole(grey: Grey) -> Grey:
    return np.asarray(Image.fromarray(grey).resize((FACE_SIDE, FACE_SIDE), Image.Resampling.BICUBIC))
