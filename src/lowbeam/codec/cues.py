"""Cues, the side information of coded faces: the box of a face, a change of scale, and the end of a track.

A cue is a short text with a time. It is sent only when needed: boxes in every frame would cost more than the faces.
"""

import math
from dataclasses import dataclass

from lowbeam.errors import StreamError
from lowbeam.face import Box
from lowbeam.scale import SCALES

BOX_TOLERANCE = 0.04  # of the box's side: half as many cues on a moving head as with 0.02
FINE_BELOW = 50  # pixels: boxes with a smaller side are sent to a tenth of a pixel
MAX_CUE_BYTES = 64
MAX_FACE_ID = 2**31
MAX_PLACE = 4 * 16384  # pixels: limit on the position and the side of a box
MAX_PADDING = 128  # pixels


@dataclass(frozen=True)
class BoxCue:
    """From its time on, the face with the id `face` is at `box`: ``FACE X Y SIDE``, in source pixels."""

    face: int
    box: Box

    def __str__(self) -> str:
        digits = 0 if self.box.side >= FINE_BELOW else 1
        return f"{self.face} {self.box.x:.{digits}f} {self.box.y:.{digits}f} {self.box.side:.{digits}f}"


@dataclass(frozen=True)
class ScaleCue:
    """From its time on, which is that of a key face, the track continues at another scale: ``at SCALE PADDING``."""

    scale: int
    padding: int

    def __str__(self) -> str:
        return f"at {self.scale} {self.padding}"


@dataclass(frozen=True)
class EndCue:
    """The track is complete and has `count` faces: ``end COUNT``."""

    count: int

    def __str__(self) -> str:
        return f"end {self.count}"


Cue = BoxCue | ScaleCue | EndCue


def size_of(cues: tuple[Cue, ...]) -> int:
    """Size of the texts of `cues` in bytes."""
    return sum(len(str(cue)) for cue in cues)


def parse_cue(data: bytes) -> Cue:
    """The cue in `data`. Raises `StreamError` if it is damaged or out of range."""
    if len(data) > MAX_CUE_BYTES:
        raise StreamError("a cue is damaged")
    match data.decode("ascii", "replace").split():
        case ["end", count] if (found := whole_number(count, 0, 10**9)) is not None:
            return EndCue(found)
        case ["at", scale, padding] if (form := parse_form(scale, padding)) is not None:
            return ScaleCue(*form)
        case [face, x, y, side] if (place := _parse_box(face, x, y, side)) is not None:
            return place
    raise StreamError("a cue is damaged or out of range")


def parse_form(scale: str, padding: str) -> tuple[int, int] | None:
    """Scale and padding from their texts; None if they are invalid."""
    found = whole_number(scale, 1, max(SCALES)), whole_number(padding, 0, MAX_PADDING)
    return (found[0], found[1]) if found[0] in SCALES and found[0] is not None and found[1] is not None else None


def _parse_box(face: str, x: str, y: str, side: str) -> BoxCue | None:
    number = whole_number(face, 0, MAX_FACE_ID - 1)
    try:
        box = Box(float(x), float(y), float(side))
    except ValueError:
        return None
    is_possible = math.hypot(box.x, box.y) < MAX_PLACE and 0 < box.side < MAX_PLACE
    return BoxCue(number, box) if number is not None and is_possible else None


def whole_number(text: str, low: int, high: int) -> int | None:
    """`text` as an integer from `low` to `high`; None if it is not one."""
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else low - 1
    return value if low <= value <= high else None


def has_moved(sent: Box, now: Box) -> bool:
    """Whether the box has moved so far that it must be sent again."""
    shift = max(abs(a - b) for a, b in zip(sent.centre, now.centre, strict=True))
    return max(shift, abs(sent.side - now.side)) > BOX_TOLERANCE * sent.side


class CueChooser:
    """Chooses the cues before each face of one track; the caller confirms those that it sent with `sent`."""

    def __init__(self, scale: int, padding: int) -> None:
        self._form = scale, padding
        self._place: BoxCue | None = None

    def before(self, face: int, box: Box, scale: int, padding: int) -> tuple[Cue, ...]:
        """The cues to send before the next face, which has the given `box`, `scale` and `padding`."""
        cues: list[Cue] = []
        if (scale, padding) != self._form:
            cues.append(ScaleCue(scale, padding))
        if self._place is None or self._place.face != face or has_moved(self._place.box, box):
            cues.append(BoxCue(face, box))
        return tuple(cues)

    def sent(self, cues: tuple[Cue, ...]) -> None:
        """Record the cues that were sent."""
        for cue in cues:
            if isinstance(cue, BoxCue):
                self._place = cue
            elif isinstance(cue, ScaleCue):
                self._form = cue.scale, cue.padding
