"""Tracks faces: detection at intervals, correlation filters between, smoothed boxes and stable ids."""

import math
from dataclasses import dataclass

import dlib
import numpy as np
from PIL import Image

from lowbeam.face import Box, Grey
from lowbeam.faces.detect import Detector
from lowbeam.faces.smooth import OneEuroFilter

WORK_SIDE = 960  # pixels: larger frames are downsampled to this side for detection and tracking
DETECT_EVERY_S = 0.32  # seconds: 8 frames at 25 a second
INNER = 0.8  # share of the box that is correlated; its corners show background
MIN_CONFIDENCE = 7.0  # peak-to-sidelobe ratio; below it a correlation filter counts as lost (Bolme et al. 2010)
MATCH_OVERLAP = 0.3  # intersection over union at which a detection belongs to a track
PLACE_GAIN, SIDE_GAIN = 0.5, 0.25  # weight of a detection against the tracked box, at one each `DETECT_EVERY_S`
SPARSE_S = 0.15  # seconds between frames; from here on a detection has the weight of all that were missed
MAX_MISSES = 2  # detection rounds that a track survives on correlation alone
RECALL_S = 3.0  # a face that reappears at its place within this time keeps its id


@dataclass(frozen=True)
class Sighting:
    """The face with the id `face` (from 0) at `box`, in frame pixels."""

    face: int
    box: Box


class _Track:
    def __init__(self, face: int, grey: Grey, box: Box) -> None:
        self.face = face
        self.misses = 0
        self.presence = 0.0  # sum of box areas: greatest for the largest and longest-lived face
        self.seen_s = -math.inf
        self._correlator = dlib.correlation_tracker()
        self._filters: tuple[OneEuroFilter, ...] = ()
        self.restart(grey, box)
        self.forget_motion()

    def forget_motion(self) -> None:
        # Speeds are measured in face sides, the side as its logarithm, so that one setting fits all sizes.
        self._filters = tuple(OneEuroFilter(rest_hz=1.0, speed_gain=g) for g in (40.0, 40.0, 4.0))

    def restart(self, grey: Grey, box: Box) -> None:
        self.box = box
        inner = Box.around(*box.centre, box.side * INNER)
        self._correlator.start_track(
            grey, dlib.drectangle(inner.x, inner.y, inner.x + inner.side, inner.y + inner.side)
        )

    def follow(self, grey: Grey) -> float:
        """Move the box to the face in the next frame; returns the confidence (peak-to-sidelobe ratio)."""
        confidence: float = self._correlator.update(grey)
        place = self._correlator.get_position()
        x, y = (place.left() + place.right()) / 2, (place.top() + place.bottom()) / 2
        self.box = Box.around(x, y, (place.width() + place.height()) / 2 / INNER)
        return confidence

    def smoothed(self, time_s: float) -> Box:
        x, y = self.box.centre
        side = self.box.side
        by_x, by_y, by_side = self._filters
        self.presence += side * side
        self.seen_s = time_s
        smooth_side = math.exp(by_side(math.log(side), time_s))
        return Box.around(by_x(x, time_s, smooth_side), by_y(y, time_s, smooth_side), smooth_side)


class FaceTracker:
    """Finds faces and tracks them through the frames of one video, which are given in order."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._tracks: list[_Track] = []
        self._lost: list[_Track] = []
        self._detection_due_s = self._detected_s = self._last_s = -math.inf
        self._next_face = 0

    def update(self, grey: Grey, time_s: float) -> list[Sighting]:
        """The faces in a grey frame, uint8 (h, w), at `time_s` (seconds), the primary first: the face with the largest
        sum of box areas so far."""
        factor = min(1.0, WORK_SIDE / max(grey.shape))
        work = grey if factor == 1.0 else _shrunk(grey, factor)
        # The confidence of a black frame is NaN, for which every comparison is false.
        unsure = [t for t in self._tracks if not t.follow(work) >= MIN_CONFIDENCE]
        if time_s >= self._detection_due_s or unsure:
            self._detect(work, time_s, unsure)
            self._detection_due_s = time_s + DETECT_EVERY_S
        self._last_s = time_s
        inside = [t for t in self._tracks if _touches(t.box, work)]
        self._drop([t for t in self._tracks if t not in inside])
        sightings = [(t, Sighting(t.face, t.smoothed(time_s).scaled(1 / factor))) for t in inside]
        return [s for _, s in sorted(sightings, key=lambda pair: -pair[0].presence)]

    def _detect(self, work: Grey, time_s: float, unsure: list[_Track]) -> None:
        self._lost = [t for t in self._lost if time_s - t.seen_s <= RECALL_S]
        unmatched = list(self._tracks)
        is_sparse = time_s - self._last_s >= SPARSE_S
        rounds = max(1.0, (time_s - self._detected_s) / DETECT_EVERY_S) if is_sparse else 1.0
        self._detected_s = time_s
        for box in self._detector(work):
            known = _best_match(box, unmatched)
            if known is not None:
                unmatched.remove(known)
                known.misses = 0
                known.restart(work, _blend(known.box, box, rounds))
            elif _best_match(box, self._tracks) is None:
                self._tracks.append(self._recalled(work, box))
        for track in unmatched:
            track.misses += 1
        self._drop([t for t in unmatched if t.misses > MAX_MISSES or t in unsure])

    def _recalled(self, work: Grey, box: Box) -> _Track:
        """The track that was lost at `box`, or else a new one."""
        track = _best_match(box, self._lost)
        if track is None:
            track = _Track(self._next_face, work, box)
            self._next_face += 1
        else:
            self._lost.remove(track)
            track.misses = 0
            track.restart(work, box)
            track.forget_motion()
        return track

    def _drop(self, gone: list[_Track]) -> None:
        self._tracks = [t for t in self._tracks if t not in gone]
        self._lost += gone


def _blend(followed: Box, detected: Box, rounds: float) -> Box:
    """Move a tracked box towards a detected one, as far as `rounds` detections would. Detectors find sizes in coarse
    steps (dlib's pyramid: 20 %), so a box that jumped to each detection would pulsate; averaging avoids this."""
    (x, y), (to_x, to_y) = followed.centre, detected.centre
    place_gain, side_gain = 1 - (1 - PLACE_GAIN) ** rounds, 1 - (1 - SIDE_GAIN) ** rounds
    side = followed.side + side_gain * (detected.side - followed.side)
    return Box.around(x + place_gain * (to_x - x), y + place_gain * (to_y - y), side)


def _best_match(box: Box, tracks: list[_Track]) -> _Track | None:
    best = max(tracks, key=lambda t: box.overlap(t.box), default=None)
    return best if best is not None and box.overlap(best.box) >= MATCH_OVERLAP else None


def _touches(box: Box, grey: Grey) -> bool:
    """Whether the centre of `box` is in the frame and its size can be cropped."""
    x, y = box.centre
    height, width = map(int, grey.shape)
    return 0 <= x < width and 0 <= y < height and 1 <= box.side < 4 * max(height, width)


def _shrunk(grey: Grey, factor: float) -> Grey:
    height, width = (max(1, round(n * factor)) for n in grey.shape)
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BOX))
