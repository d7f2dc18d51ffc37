"""The sender's side of one recording: which faces wait, are on their way, are lost, or have to be filled in.

A lost face is repaired in one of two ways. If sending the lost faces again costs less than a key face, they are sent
again, and the faces after them, which the receiver holds, can then be decoded; otherwise the next face is a key face,
and the lost ones are filled in later. docs/link-measured.md compares the ways.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum

from lowbeam.codec import CODECS, CodedFace, TrackHeader
from lowbeam.codec.cues import BoxCue
from lowbeam.errors import OutputError
from lowbeam.link.messages import Bye, Fill, Gone, Hello, Message, Welcome, write_message
from lowbeam.link.records import MAX_HEADERS, FaceRecord, write_records
from lowbeam.link.spool import Spool, SpooledRecording

MAX_RESENT = 3  # times that a face is sent again
MAX_REPAIR = 1000  # bytes of lost faces that are sent again at most
FILL_FACES = 16  # faces in a message at most

log = logging.getLogger(__name__)


class Repair(Enum):
    """How lost faces are repaired: by the cheaper of both ways, or always in one of them (to compare them)."""

    CHEAPEST = "cheapest"
    RESEND = "resend"
    KEY = "key"


class RecordingSender:
    """The faces of `recording`, which are in `spool`. `is_live` tells whether new faces still come. Where the spool
    cannot be written, faces go on live, and those that are lost are given up."""

    def __init__(
        self, spool: Spool, recording: SpooledRecording, is_live: bool, repair: Repair = Repair.CHEAPEST
    ) -> None:
        self.recording, self.is_live = recording, is_live
        self._spool, self._repair = spool, repair
        self._headers = spool.headers(recording.id)
        self._confirmed: set[int] = set()  # headers that the receiver has
        self.count = spool.count(recording.id)  # faces so far
        self.stored = spool.first(recording.id)  # by the receiver, or gone
        self.is_welcome = self.is_complete = False
        self._is_ending_told = False
        self.unsent: list[FaceRecord] = []  # for the next datagrams
        self._out: dict[int, FaceRecord] = {}  # in datagrams on their way
        self._resent: dict[int, int] = {}  # how often a face was sent again
        self._to_fill: set[int] = set(range(self.stored, self.count))
        self._intact: set[int] = set()  # tracks whose last faces the receiver has, or will have
        self._key_bytes: dict[int, int] = {}  # by track, of its last key face
        self._packets: set[int] = set()  # tracks of compact codecs, each of whose packets is a key
        self._last: dict[int, int] = {}  # by track, the number of its last face
        self._last_ms: dict[int, int] = {}  # and its time
        self._newest_ms = 0
        self._is_warned = False
        self.wants_key = False  # the next face of every track has to be a key face
        self.resent_bytes = 0
        self.keys_for_repair = 0

    def add(self, coded: CodedFace, track: int, header: TrackHeader, box: BoxCue | None, is_up: bool) -> None:
        """Take a coded face, which goes to the spool first; with `is_up` it is sent live. `box` is its box where it has
        changed, and that of every key face. Times of the recording never go back, so that few bytes tell them."""
        is_key, before = coded.is_key, self._last.get(track)
        header_id = self._header_id(header) if is_key else 0
        if is_key and CODECS[header.codec].kind != "pixels":
            self._packets.add(track)
        newest_ms = 0 if track in self._packets else self._newest_ms  # a packet begins long before it is sent
        time_ms = max(coded.time_ms, newest_ms, self._last_ms.get(track, -1) + 1)
        self._newest_ms, self._last_ms[track] = max(self._newest_ms, time_ms), time_ms
        record = FaceRecord(self.count, before, time_ms, is_key, track, header_id, box, coded.data)
        with self._spooling():
            self._spool.add(self.recording.id, record)
        self.count += 1
        self._last[track] = record.number
        if is_key:
            self._key_bytes[track] = record.size
            if is_up:
                self._intact.add(track)
        if is_up and track in self._intact:
            self.unsent.append(record)
        else:
            self._to_fill.add(record.number)

    @contextmanager
    def _spooling(self) -> Iterator[None]:
        """Go on where the spool cannot be written, and say so once."""
        try:
            yield
        except OutputError as error:
            if not self._is_warned:
                log.warning("%s; faces that are lost from now on are not sent again", error)
            self._is_warned = True

    def end(self) -> None:
        """No more faces will come."""
        self.is_live = False
        with self._spooling():
            self._spool.end(self.recording.id, self.count)

    def _header_id(self, header: TrackHeader) -> int:
        for known, other in self._headers.items():
            if other == header:
                return known
        found = len(self._headers) % MAX_HEADERS
        self._headers[found] = header
        with self._spooling():
            self._spool.add_header(self.recording.id, found, header)
        return found

    def hello(self, token: str) -> bytes:
        """The message that begins or continues the recording on a new connection."""
        self.is_welcome = self._is_ending_told = False
        rec = self.recording
        return write_message(Hello(token, rec.key, rec.started_ms, rec.name, self._spool.first(rec.id)))

    def welcomed(self, message: Welcome) -> bytes:
        """The receiver knows the recording; returns what to answer."""
        self.is_welcome = True
        self._confirmed.clear()
        self.take_stored(message.stored)
        start = message.stored if message.holds else self._spool.needed_from(self.recording.id, message.stored)
        held = set(message.held) if message.holds else set()
        self.go_down()
        first = self._spool.first(self.recording.id)
        self._to_fill = set(range(max(start, first), self.count)) - held
        return write_message(Gone(message.stored, first - 1)) if first > message.stored else b""

    def go_down(self) -> None:
        """Nothing can be sent: what is on its way is filled in later, and then every track begins with a key face."""
        self._to_fill.update(face.number for face in self.unsent)
        self._to_fill.update(self._out)
        self.unsent.clear()
        self._out.clear()
        self._intact.clear()
        self.wants_key = True

    def take_stored(self, stored: int) -> None:
        """The receiver has stored the faces before `stored`."""
        if stored <= self.stored:
            return
        self.stored = stored
        self._to_fill = {number for number in self._to_fill if number >= stored}
        with self._spooling():
            self._spool.forget(self.recording.id, stored, frozenset(self._last) if self.is_live else frozenset())

    def datagram(self, most: int) -> tuple[bytes, list[int]]:
        """Faces for the next datagram of at most `most` bytes, and their numbers; those that do not fit wait. A face
        that does not fit by itself is filled in."""
        rows: list[FaceRecord] = []
        self.unsent.sort(key=lambda face: face.number)
        while self.unsent:
            data = write_records([*rows, self.unsent[0]], self._headers, self._confirmed)
            if len(data) > most and rows:
                break
            face = self.unsent.pop(0)
            if len(data) > most:
                self._to_fill.add(face.number)
                continue
            rows.append(face)
        for face in rows:
            self._out[face.number] = face
        return write_records(rows, self._headers, self._confirmed), [face.number for face in rows]

    def delivered(self, numbers: Iterable[int]) -> None:
        """The datagram with these faces was acknowledged."""
        for number in numbers:
            face = self._out.pop(number, None)
            self._resent.pop(number, None)
            if face is not None and face.is_key:
                self._confirmed.add(face.header)

    def lost(self, numbers: Iterable[int]) -> None:
        """The datagram with these faces was lost."""
        faces = [self._out.pop(number) for number in sorted(numbers) if number in self._out]
        for track in {face.track for face in faces}:
            self._repair_track([face for face in faces if face.track == track], track)

    def _repair_track(self, faces: list[FaceRecord], track: int) -> None:
        size = sum(face.size for face in faces) + sum(face.size for face in self.unsent if face.number in self._resent)
        times = max(self._resent.get(face.number, 0) for face in faces)
        is_cheap = size <= min(self._key_bytes.get(track, 0), MAX_REPAIR) and times < MAX_RESENT
        resend = is_cheap if self._repair is Repair.CHEAPEST else self._repair is Repair.RESEND
        if resend and track in self._intact:
            for face in faces:
                self._resent[face.number] = self._resent.get(face.number, 0) + 1
                self.resent_bytes += face.size
            self.unsent += faces
            return
        self._to_fill.update(face.number for face in faces)
        if track in self._intact and track not in self._packets:
            self._intact.discard(track)
            self.wants_key = True
            self.keys_for_repair += 1

    @property
    def is_repairing(self) -> bool:
        """Whether a lost face waits to be sent again."""
        return any(face.number in self._resent for face in self.unsent)

    @property
    def behind(self) -> int:
        """The number of faces that are to be filled in."""
        return len(self._to_fill)

    def fill(self, most: int) -> bytes | None:
        """The next message of faces that are filled in, of about `most` bytes or one face, or that the spool does not
        have any more; None if there are none."""
        if not self._to_fill:
            return None
        found = self._spool.faces(self.recording.id, min(self._to_fill), FILL_FACES)
        lowest = min(self._to_fill)
        if not found or found[0].number > lowest:
            last = lowest
            while last + 1 in self._to_fill and (not found or last + 1 < found[0].number):
                last += 1
            self._to_fill.difference_update(range(lowest, last + 1))
            return write_message(Gone(lowest, last))
        rows: list[FaceRecord] = []
        for face in found:
            if face.number not in self._to_fill or (rows and sum(row.size for row in rows) + face.size > most):
                break
            rows.append(face)
        if not rows:
            return None
        self._to_fill.difference_update(face.number for face in rows)
        data = write_records(rows, self._headers, self._confirmed)
        self._confirmed.update(face.header for face in rows if face.is_key)  # a stream loses nothing
        return write_message(Fill(data))

    def ending(self) -> bytes | None:
        """The message that ends the recording, once all was sent; None before and after."""
        is_over = not (self.is_live or self._to_fill or self.unsent or self._out)
        if not is_over or self._is_ending_told or not self.is_welcome:
            return None
        self._is_ending_told = True
        return write_message(Bye(self.count))

    def take(self, message: Message) -> None:
        """The receiver confirms that the recording is complete."""
        if isinstance(message, Bye):
            self.is_complete = True
            with self._spooling():
                self._spool.remove(self.recording.id)
