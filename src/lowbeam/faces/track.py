"""Tracks faces by detection: matches the faces of a frame with those before, and smooths their boxes."""

import math
from dataclasses import dataclass

from lowbeam.face import Box, Grey
from lowbeam.faces.detect import Detection, Detector
from lowbeam.faces.search import FAR_SIDES, NEAR_SIDES, search_around, search_frame
from lowbeam.faces.smooth import OneEuroFilter

DETECT_EVERY_S = 0.06  # seconds: every second frame at 25 a second; between, the motion is extrapolated
FAST, FAST_FOR_S = 1.0, 0.5  # sides per second: after a face moved so fast, every frame is searched for a while
QUICK_PX, THOROUGH_PX = 320, 640  # longer side at which a whole frame is searched
ENLARGED_PX, MOST_FACTOR = 1280, 2.0  # the same for faces of 12 to 25 pixels, where no other is found
THOROUGH_EVERY_S = 2.0  # seconds between thorough searches, which also find small and new faces
RETRY_S = 0.5  # the same while no face is tracked
MAX_WINDOWS = 4  # faces that are searched one by one, the most present first; others in the whole frame
MISSING_PX = 30  # height at which a face that is missing is searched in the whole frame
PRIMARY_AWAY_S = 1.0  # for which no other face becomes the primary one
NEW_SCORE = 0.6  # of a face that is not tracked yet; a tracked one needs only the detector's lowest score
MAX_SHIFT, SHIFT_PER_S = 0.6, 1.2  # sides by which a face may have moved: at once, and in addition for each second
MAX_SHIFT_SUM = 2.0
MAX_RATIO = 1.8  # by which its size may have changed
COAST_S = 0.2  # motion is extrapolated over no longer a time
RECALL_S = 3.0  # a face that reappears at its place within this time keeps its id
FORGET_S = 1.0  # after so long without the face, smoothing starts again


@dataclass(frozen=True)
class Sighting:
    """The face with the id `face` (from 0) at `box`, in frame pixels."""

    face: int
    box: Box


class _Track:
    def __init__(self, face: int, box: Box, time_s: float) -> None:
        self.face = face
        self.presence = 0.0  # sum of box areas: greatest for the largest and longest-lived face
        self._box, self._seen_s = box, time_s
        self._velocity = (0.0, 0.0)  # pixels per second
        self.fast_s = -math.inf  # time at which it last moved fast
        self._smooth_from(box)

    @property
    def seen_s(self) -> float:
        """Time of the last detection."""
        return self._seen_s

    def _smooth_from(self, box: Box) -> None:
        # Speeds are measured in face sides, the side as its logarithm, so that one setting fits all sizes.
        self._filters = tuple(OneEuroFilter(rest_hz=1.0, speed_gain=g) for g in (40.0, 40.0, 2.0))
        self.box = box

    def expected(self, time_s: float) -> Box:
        """Where the face is expected at `time_s`, by its last place and motion."""
        step_s = min(time_s - self._seen_s, COAST_S)
        (x, y), (right, down) = self._box.centre, self._velocity
        return Box.around(x + right * step_s, y + down * step_s, self._box.side)

    def shift_to(self, box: Box, time_s: float) -> float:
        """The distance between `box` and the expected place, as a share of the largest that is possible; infinite if
        the sizes are too different."""
        expected = self.expected(time_s)
        if not 1 / MAX_RATIO <= box.side / expected.side <= MAX_RATIO:
            return math.inf
        most = min(MAX_SHIFT + SHIFT_PER_S * (time_s - self._seen_s), MAX_SHIFT_SUM)
        return math.dist(expected.centre, box.centre) / (most * max(box.side, expected.side))

    def see(self, box: Box, time_s: float) -> None:
        """Continue the track at a detected `box`."""
        step_s = time_s - self._seen_s
        if step_s > FORGET_S:
            self._smooth_from(box)
        (from_x, from_y), (x, y) = self._box.centre, box.centre
        is_near = 0 < step_s <= COAST_S
        self._velocity = ((x - from_x) / step_s, (y - from_y) / step_s) if is_near else (0.0, 0.0)
        if math.hypot(*self._velocity) > FAST * box.side:
            self.fast_s = time_s
        self._box, self._seen_s = box, time_s
        self._smooth(box, time_s)

    def coast(self, time_s: float) -> None:
        """Continue the track to a frame that was not searched."""
        self._smooth(self.expected(time_s), time_s)

    def _smooth(self, box: Box, time_s: float) -> None:
        (x, y), (by_x, by_y, by_side) = box.centre, self._filters
        side = math.exp(by_side(math.log(box.side), time_s))
        self.box = Box.around(by_x(x, time_s, side), by_y(y, time_s, side), side)
        self.presence += side * side


class FaceTracker:
    """Finds faces and tracks them through the frames of one video, which are given in order.

    Around each face of the frame before, a window is searched. The whole frame is searched where one was not found
    again, and every `THOROUGH_EVERY_S`. A frame in which a face is not detected shows none.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._tracks: list[_Track] = []  # of the frame before
        self._lost: list[_Track] = []
        self._now_s = 0.0
        self._enlarged_s = self._thorough_s = self._detected_s = -math.inf
        self._next_face = 0

    def update(self, grey: Grey, time_s: float) -> list[Sighting]:
        """The faces in a grey frame, uint8 (h, w), at `time_s` (seconds), the primary first: the face with the largest
        sum of box areas so far."""
        self._now_s = time_s
        is_fast = any(time_s - track.fast_s < FAST_FOR_S for track in self._tracks)
        if self._tracks and not is_fast and time_s - self._detected_s < DETECT_EVERY_S:
            for track in self._tracks:
                track.coast(time_s)
        else:
            self._detected_s = time_s
            self._detect(grey, time_s)
        self._tracks.sort(key=lambda track: -track.presence)
        return [Sighting(track.face, track.box) for track in self._tracks]

    @property
    def is_primary_away(self) -> bool:
        """Whether the primary face was in view until a moment ago, and is expected back."""
        most = max((track.presence for track in self._tracks), default=0.0)
        return any(self._now_s - t.seen_s < PRIMARY_AWAY_S and t.presence > most for t in self._lost)

    def _detect(self, grey: Grey, time_s: float) -> None:
        self._lost = [track for track in self._lost if time_s - track.seen_s <= RECALL_S]
        tracks = [*self._tracks, *(track for track in self._lost if time_s - track.seen_s < PRIMARY_AWAY_S)]
        tracks.sort(key=lambda track: -track.presence)
        found: list[Detection] = []
        for track in tracks[:MAX_WINDOWS]:
            sides = NEAR_SIDES if time_s - track.seen_s <= COAST_S else FAR_SIDES
            found = _joined(found, search_around(self._detector, grey, track.expected(time_s), sides))
        seen = _continued(tracks, found, time_s)
        self._lost = [track for track in self._lost if track not in seen]
        missing = [track for track in self._tracks if track not in seen]
        if missing or not seen or time_s - self._thorough_s >= THOROUGH_EVERY_S:
            found = [
                one for one in self._search(grey, missing, time_s) if not any(_is_same(one.box, t.box) for t in seen)
            ]
            seen += _continued(missing, found, time_s)
            seen += self._begun(found, time_s)
        self._lost += [track for track in self._tracks if track not in seen]
        self._tracks = seen

    def _search(self, grey: Grey, missing: list[_Track], time_s: float) -> list[Detection]:
        """The faces in the whole frame, at a size at which those that are `missing` can be found."""
        smallest = min((track.box.side for track in missing), default=math.inf)
        longest_px = min(round(MISSING_PX * max(grey.shape) / smallest), ENLARGED_PX)
        every_s = THOROUGH_EVERY_S if self._tracks else RETRY_S
        if time_s - self._thorough_s < every_s:
            return search_frame(self._detector, grey, max(QUICK_PX, longest_px))
        self._thorough_s = time_s
        found = search_frame(self._detector, grey, max(THOROUGH_PX, longest_px))
        if not found and not self._tracks and time_s - self._enlarged_s >= THOROUGH_EVERY_S:
            self._enlarged_s = time_s
            found = search_frame(self._detector, grey, ENLARGED_PX, MOST_FACTOR)
        return found

    def _begun(self, found: list[Detection], time_s: float) -> list[_Track]:
        """Tracks of the faces in `found` that were lost at their place, or are new."""
        begun = _continued(self._lost, found, time_s)
        self._lost = [track for track in self._lost if track not in begun]
        for one in found:
            if one.score >= NEW_SCORE:
                track = _Track(self._next_face, one.box, time_s)
                track.see(one.box, time_s)
                begun.append(track)
                self._next_face += 1
        return begun


def _continued(tracks: list[_Track], found: list[Detection], time_s: float) -> list[_Track]:
    """Continue `tracks` at the nearest detections, the nearest pair first; returns those that were continued, and
    removes their detections from `found`."""
    pairs = sorted(
        ((track.shift_to(one.box, time_s), index, track, one) for index, track in enumerate(tracks) for one in found),
        key=lambda pair: pair[:2],
    )
    continued: list[_Track] = []
    for shift, _, track, one in pairs:
        if shift <= 1 and track not in continued and one in found:
            track.see(one.box, time_s)
            found.remove(one)
            continued.append(track)
    return continued


def _joined(found: list[Detection], more: list[Detection]) -> list[Detection]:
    """The detections of two windows that may overlap, each face once, with its higher score."""
    kept: list[Detection] = []
    for one in sorted(found + more, key=lambda one: -one.score):
        if not any(_is_same(one.box, other.box) for other in kept):
            kept.append(one)
    return kept


def _is_same(box: Box, other: Box) -> bool:
    """Whether two boxes are of one face."""
    return math.dist(box.centre, other.centre) < 0.5 * min(box.side, other.side)
