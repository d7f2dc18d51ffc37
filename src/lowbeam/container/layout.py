"""How a face stream is laid out: Matroska with one video track a face, each with a small text track of cues.

Any player opens it. What the far side needs stands in tags:

- of the file: ``LOWBEAM`` (format version: 1, or 2 where a track may change its scale), ``LOWBEAM_FRAMING`` (framing
  version), ``LOWBEAM_SOURCE`` (``WIDTHxHEIGHT`` of the source, pixels);
- of each video track: ``LOWBEAM_SCALE``, ``LOWBEAM_PADDING`` (pixels added right and below), ``LOWBEAM_POINT`` (for
  people: codec, scale, QP, fps).

Tracks are in the order of presence (area summed over time), the primary first. The n-th text track belongs to the
n-th video track; its cues are those of `lowbeam.codec.cues`, and the last is ``end COUNT``: a stream without it was
cut.
"""

from contextlib import suppress
from pathlib import Path

from lowbeam.media.inputs import HEAD_BYTES, PipeInput, Source, is_url

STREAM_VERSION, CHANGING_VERSION = 1, 2
MAX_TRACKS = 60  # faces; FFmpeg's Matroska writer holds 127 tracks, and a face takes two
IO_BUFFER = 4096  # bytes
EBML_MAGIC = b"\x1a\x45\xdf\xa3"
TITLE = "lowbeam face stream"  # stands early in the file, so that a pipe's kind is soon told


def is_head_of_face_stream(head: bytes) -> bool:
    """Whether a file that begins with `head` is a face stream."""
    return head.startswith(EBML_MAGIC) and TITLE.encode() in head


def is_face_stream(source: Source) -> bool:
    """Whether a file or pipe begins as a face stream does. What a URL holds is seen once it is opened."""
    if isinstance(source, PipeInput):
        return is_head_of_face_stream(source.head)
    if not is_url(source):
        with suppress(OSError, ValueError), Path(source).open("rb") as file:
            return is_head_of_face_stream(file.read(HEAD_BYTES))
    return False
