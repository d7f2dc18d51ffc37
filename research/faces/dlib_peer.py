"""The face finder that lowbeam used before YuNet, kept for comparison only: dlib's HOG detector three times a second,
and dlib's correlation tracker (Danelljan et al. 2014) between. Needs ``dlib-bin`` (the `bench` extra)."""

import math

import dlib
import numpy as np
from PIL import Image

from lowbeam.face import Box, Grey
from lowbeam.faces import Sighting
from lowbeam.faces.smooth import OneEuroFilter

WORK_SIDE = 960  # pixels: larger frames are downsampled to this side
DETECT_EVERY_S = 0.32
INNER = 0.8  # share of the box that is correlated
MIN_CONFIDENCE = 7.0  # peak-to-sidelobe ratio of a correlation that is trusted
MATCH_OVERLAP = 0.3  # intersection over union of a detection and the track that it belongs to
PLACE_GAIN, SIDE_GAIN = 0.5, 0.25  # weight of a detection against the tracked box
SPARSE_S = 0.15  # seconds between frames from which a detection has the weight of all that were missed
MAX_MISSES = 2  # detections in a row that a track may lack
RECALL_S = 3.0  # a face that reappears at its place within this time keeps its id


class DlibDetector:
    """dlib's frontal face detector. Its template is 80 px; if it finds nothing, it searches at twice the size."""

    SIDE, RIGHT, UP = 1.23, 0.03, 0.05  # side and offset of the face box, in sides of dlib's box

    def __init__(self) -> None:
        self._detector = dlib.get_frontal_face_detector()

    def __call__(self, grey: Grey) -> list[Box]:
        """The faces in `grey`, uint8 (h, w), most confident first."""
        found = self._detector(grey, 0) or self._detector(grey, 1)
        boxes = []
        for r in found:
            side = (r.width() + r.height()) / 2
            x, y = r.left() + r.width() / 2, r.top() + r.height() / 2
            boxes.append(Box.around(x + self.RIGHT * side, y - self.UP * side, self.SIDE * side))
        return boxes


class _Track:
    def __init__(self, face: int, grey: Grey, box: Box) -> None:
        self.face, self.misses, self.presence, self.seen_s = face, 0, 0.0, -math.inf
        self._correlator = dlib.correlation_tracker()
        self.restart(grey, box)
        self.forget_motion()

    def forget_motion(self) -> None:
        self._filters = [OneEuroFilter(rest_hz=1.0, speed_gain=gain) for gain in (40.0, 40.0, 4.0)]

    def restart(self, grey: Grey, box: Box) -> None:
        self.box, self.misses = box, 0
        inner = Box.around(*box.centre, box.side * INNER)
        area = dlib.drectangle(inner.x, inner.y, inner.x + inner.side, inner.y + inner.side)
        self._correlator.start_track(grey, area)

    def follow(self, grey: Grey) -> bool:
        """Move the box to the face in the next frame; returns whether its place is sure."""
        confidence = self._correlator.update(grey)
        place = self._correlator.get_position()
        x, y = (place.left() + place.right()) / 2, (place.top() + place.bottom()) / 2
        self.box = Box.around(x, y, (place.width() + place.height()) / 2 / INNER)
        return bool(confidence >= MIN_CONFIDENCE)

    def approach(self, grey: Grey, detected: Box, rounds: float) -> None:
        """Move the box towards a `detected` one, as far as `rounds` detections would."""
        (x, y), (to_x, to_y), side = self.box.centre, detected.centre, self.box.side
        place, size = 1 - (1 - PLACE_GAIN) ** rounds, 1 - (1 - SIDE_GAIN) ** rounds
        self.restart(
            grey, Box.around(x + place * (to_x - x), y + place * (to_y - y), side + size * (detected.side - side))
        )

    def smoothed(self, time_s: float) -> Box:
        (x, y), (by_x, by_y, by_side) = self.box.centre, self._filters
        self.presence += self.box.side**2
        self.seen_s = time_s
        side = math.exp(by_side(math.log(self.box.side), time_s))
        return Box.around(by_x(x, time_s, side), by_y(y, time_s, side), side)


class DlibTracker:
    """The tracker that lowbeam used before; called as `lowbeam.faces.FaceTracker`."""

    def __init__(self) -> None:
        self._detector = DlibDetector()
        self._tracks: list[_Track] = []
        self._lost: list[_Track] = []
        self._due_s = self._detected_s = self._last_s = -math.inf
        self._next_face = 0

    def update(self, grey: Grey, time_s: float) -> list[Sighting]:
        """The faces in a grey frame, uint8 (h, w), at `time_s` (seconds), the primary first."""
        factor = min(1.0, WORK_SIDE / max(grey.shape))
        work = grey if factor == 1.0 else _shrunk(grey, factor)
        unsure = [track for track in self._tracks if not track.follow(work)]
        if time_s >= self._due_s or unsure:
            self._detect(work, time_s, unsure)
            self._due_s = time_s + DETECT_EVERY_S
        self._last_s = time_s
        self._drop([track for track in self._tracks if not _touches(track.box, work)])
        found = [(track, Sighting(track.face, track.smoothed(time_s).scaled(1 / factor))) for track in self._tracks]
        return [sighting for _, sighting in sorted(found, key=lambda pair: -pair[0].presence)]

    def _detect(self, work: Grey, time_s: float, unsure: list[_Track]) -> None:
        self._lost = [track for track in self._lost if time_s - track.seen_s <= RECALL_S]
        unmatched = list(self._tracks)
        is_sparse = time_s - self._last_s >= SPARSE_S
        rounds = max(1.0, (time_s - self._detected_s) / DETECT_EVERY_S) if is_sparse else 1.0
        self._detected_s = time_s
        for box in self._detector(work):
            known = _best_match(box, unmatched)
            if known is not None:
                unmatched.remove(known)
                known.approach(work, box, rounds)
            elif _best_match(box, self._tracks) is None:
                self._tracks.append(self._recalled(work, box))
        for track in unmatched:
            track.misses += 1
        self._drop([track for track in unmatched if track.misses > MAX_MISSES or track in unsure])

    def _recalled(self, work: Grey, box: Box) -> _Track:
        """The track that was lost at `box`, or else a new one."""
        track = _best_match(box, self._lost)
        if track is None:
            self._next_face += 1
            return _Track(self._next_face - 1, work, box)
        self._lost.remove(track)
        track.restart(work, box)
        track.forget_motion()
        return track

    def _drop(self, gone: list[_Track]) -> None:
        self._tracks = [track for track in self._tracks if track not in gone]
        self._lost += gone


def _best_match(box: Box, tracks: list[_Track]) -> _Track | None:
    best = max(tracks, key=lambda track: box.overlap(track.box), default=None)
    return best if best is not None and box.overlap(best.box) >= MATCH_OVERLAP else None


def _touches(box: Box, grey: Grey) -> bool:
    """Whether the centre of `box` is in the frame and its size can be cropped."""
    (x, y), (height, width) = box.centre, grey.shape
    return bool(0 <= x < width and 0 <= y < height and 1 <= box.side < 4 * max(height, width))


def _shrunk(grey: Grey, factor: float) -> Grey:
    height, width = (max(1, round(side * factor)) for side in grey.shape)
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.BOX))
