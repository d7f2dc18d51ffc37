"""The size that a file declares; a shorter file was truncated."""

from pathlib import Path

import av.container
from av.video.stream import VideoStream

SEGMENT_ID = b"\x18\x53\x80\x67"
MATROSKA_HEAD = 256  # bytes, within which the segment begins


def declared_bytes(container: av.container.InputContainer, stream: VideoStream, path: Path) -> int:
    """The least size that a file declares, in bytes: MP4 and MOV list the position of every sample, Matroska states the
    size of its segment. 0 if the file declares none."""
    entries = stream.index_entries
    if "mp4" in container.format.name and len(entries):
        last = entries[len(entries) - 1]
        return last.pos + last.size
    if "matroska" in container.format.name:
        with path.open("rb") as file:
            return _matroska_end(file.read(MATROSKA_HEAD))
    return 0


def _matroska_end(head: bytes) -> int:
    """Where the segment of a Matroska file that begins with `head` ends, in bytes (RFC 8794, 4 and 6); 0 if unknown."""
    after_header = _element_end(head, 4)  # the EBML header has an id of four bytes, and so has the segment
    if after_header is None or head[after_header : after_header + 4] != SEGMENT_ID:
        return 0
    return _element_end(head, after_header + 4) or 0


def _element_end(data: bytes, at: int) -> int | None:
    """The end of the element whose size field is at `at`; None if it is unknown or incomplete."""
    if at >= len(data) or data[at] == 0:
        return None
    length = 9 - data[at].bit_length()
    coded = int.from_bytes(data[at : at + length], "big")
    size = coded & ((1 << 7 * length) - 1)
    is_unknown = size == (1 << 7 * length) - 1
    return None if is_unknown or at + length > len(data) else at + length + size
