"""What is known of a recording: that it was read, or why it could not be."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Key:
    """What decides whether a recording is read again: its `content`, a hash, and that of the `settings`, model
    included."""

    content: str
    settings: str

    def digest(self) -> str:
        """A hash of both, for file names."""
        return hashlib.blake2b(f"{self.content} {self.settings}".encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class About:
    """What is known of a recording that was read.

    `fingerprint` is what the file system tells of its state, such as size and time of change; `duration_s` and `face_s`
    the seconds that it lasts and in which a face was found (None for a face stream, which has only faces); `faces` the
    number of people, `estimates` that of rows; `side_px` the median side of the faces in pixels of the source, `light`
    the median of their mean grey value (0 to 255, None if no pixels came); `point` the operating point of a face
    stream; `cut_at_s` where a cut recording ends.
    """

    source: str
    model: str
    key: Key
    fingerprint: str
    duration_s: float
    face_s: float | None
    faces: int
    estimates: int
    side_px: float
    light: float | None
    width: int
    height: int
    point: str | None
    cut_at_s: float | None


@dataclass(frozen=True)
class Failure:
    """Why a recording could not be read, and what to do; the rest as in `About`. The fingerprint of one that could not
    be found is empty."""

    source: str
    model: str
    error: str
    advice: str
    settings: str
    fingerprint: str
