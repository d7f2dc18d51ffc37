"""The faces on the link: how a coded face is written to a datagram or a stream, and read again.

A record has the number of the face in its recording and that of the face before it in its track, which it refers to
unless it is a key face. A key face names the header of its encoder; until the receiver has confirmed it, the header
itself goes along. Integers are those of QUIC (RFC 9000, section 16). docs/link.md draws the layout.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from aioquic.buffer import Buffer, BufferReadError

from lowbeam.codec import CODECS, TrackHeader
from lowbeam.codec.cues import MAX_CUE_BYTES, MAX_PADDING, BoxCue, parse_cue
from lowbeam.errors import StreamError
from lowbeam.face import NO_BOX
from lowbeam.scale import SCALES

MAX_RECORD = 60_000  # bytes
MAX_CONFIG = 2_000  # bytes of a header's parameter sets
MAX_NUMBER = 2**48  # of a face, and its time in milliseconds
MAX_HEADERS = 64  # of one recording
MAX_TRACKS = 4096  # of one recording
CODEC_NAMES = tuple(CODECS)  # their order is part of the format
# Flags; FOLLOWS: the face before it in its track is the one before it; EARLIER: its time is before that of the last.
KEY, HAS_HEADER, HAS_BOX, FOLLOWS, EARLIER = 1, 2, 4, 8, 16


@dataclass(frozen=True)
class FaceRecord:
    """A coded face: its `number` in the recording, from 0; `before`, the number of the face before it in its `track`,
    None for the first; its time in milliseconds from the start of the recording; for a key face the id of its `header`.
    `box_cue` is the box of the face where it has changed, always of a key face of pixels; `data` is one access unit, or
    one packet of a compact codec."""

    number: int
    before: int | None
    time_ms: int
    is_key: bool
    track: int
    header: int
    box_cue: BoxCue | None
    data: bytes

    @property
    def size(self) -> int:
        """About the bytes of the record, without its header."""
        return len(self.data) + 6 + (len(str(self.box_cue)) + 1 if self.box_cue else 0)


@dataclass(frozen=True)
class ReceivedRecord:
    """A record with the header that went along, None if none did."""

    face: FaceRecord
    header: TrackHeader | None


def write_records(records: Iterable[FaceRecord], headers: dict[int, TrackHeader], known: set[int]) -> bytes:
    """The bytes of `records`, in order of their numbers. The headers of key faces that are not `known` go along."""
    rows = list(records)
    buffer = Buffer(capacity=sum(len(r.data) + 256 for r in rows) + sum(len(h.config) + 64 for h in headers.values()))
    number = time_ms = 0
    for face in rows:
        follows = face.before is not None and face.before == face.number - 1
        with_header = face.is_key and face.header not in known
        flags = KEY * face.is_key | HAS_HEADER * with_header | HAS_BOX * (face.box_cue is not None) | FOLLOWS * follows
        buffer.push_uint8(flags | EARLIER * (face.time_ms < time_ms))
        buffer.push_uint_var(face.number - number)
        buffer.push_uint_var(abs(face.time_ms - time_ms))
        number, time_ms = face.number, face.time_ms
        if not follows:
            buffer.push_uint_var(0 if face.before is None else face.number - face.before)
        if face.is_key:
            buffer.push_uint_var(face.track)
            buffer.push_uint_var(face.header)
        if with_header:
            _push_header(buffer, headers[face.header])
        if face.box_cue is not None:
            _push_bytes(buffer, str(face.box_cue).encode())
        _push_bytes(buffer, face.data)
        known = known | {face.header} if with_header else known
    return bytes(buffer.data)


def read_records(data: bytes) -> list[ReceivedRecord]:
    """The records in `data`. Raises `StreamError` if they are damaged or out of range."""
    buffer, found, number, time_ms = Buffer(data=data), [], 0, 0
    try:
        while not buffer.eof():
            flags = buffer.pull_uint8()
            number += buffer.pull_uint_var()
            time_ms += -buffer.pull_uint_var() if flags & EARLIER else buffer.pull_uint_var()
            back = 1 if flags & FOLLOWS else buffer.pull_uint_var()
            track, index = (buffer.pull_uint_var(), buffer.pull_uint_var()) if flags & KEY else (0, 0)
            header = _pull_header(buffer) if flags & HAS_HEADER else None
            cue = _pull_box(buffer) if flags & HAS_BOX else None
            coded = _pull_bytes(buffer, MAX_RECORD)
            if (
                time_ms < 0
                or max(number, time_ms) >= MAX_NUMBER
                or back > number
                or track >= MAX_TRACKS
                or index >= MAX_HEADERS
            ):
                raise StreamError("a face on the link is out of range")
            before = number - back if back else None
            if flags >= 32 or (not flags & KEY and (before is None or header is not None)):
                raise StreamError("a face on the link has unknown flags")
            face = FaceRecord(number, before, time_ms, bool(flags & KEY), track, index, cue, coded)
            found.append(ReceivedRecord(face, header))
    except (BufferReadError, ValueError) as error:
        raise StreamError("a face on the link is cut or damaged") from error
    return found


def _push_bytes(buffer: Buffer, data: bytes) -> None:
    buffer.push_uint_var(len(data))
    buffer.push_bytes(data)


def _pull_bytes(buffer: Buffer, most: int) -> bytes:
    size = buffer.pull_uint_var()
    if size > most:
        raise StreamError(f"a face on the link states {size} bytes; at most {most} are allowed")
    return buffer.pull_bytes(size)


def _push_header(buffer: Buffer, header: TrackHeader) -> None:
    for value in (CODEC_NAMES.index(header.codec), header.scale, header.padding):
        buffer.push_uint8(value)
    _push_bytes(buffer, header.config)


def _pull_header(buffer: Buffer) -> TrackHeader:
    codec, scale, padding = buffer.pull_uint8(), buffer.pull_uint8(), buffer.pull_uint8()
    if codec >= len(CODEC_NAMES) or scale not in SCALES or padding > MAX_PADDING:
        raise StreamError("a header on the link is out of range")
    return TrackHeader(CODEC_NAMES[codec], scale, padding, _pull_bytes(buffer, MAX_CONFIG))


def _pull_box(buffer: Buffer) -> BoxCue:
    cue = parse_cue(_pull_bytes(buffer, MAX_CUE_BYTES))
    if not isinstance(cue, BoxCue):
        raise StreamError("a face on the link has another cue than a box")
    return cue


NO_CUE = BoxCue(0, NO_BOX)
"""The box of a face before one was received."""
