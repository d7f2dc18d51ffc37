"""The layout of a face stream: Matroska with one video track per face, each with a small text track of cues.

Any player opens it. The information for the decoder is in tags:

- of the file: ``LOWBEAM`` (format version: 1, 2 if a track can change its scale, or 3 if it has packets of a compact
  codec), ``LOWBEAM_FRAMING`` (framing version), ``LOWBEAM_SOURCE`` (``WIDTHxHEIGHT`` of the source, pixels);
- of each face track: ``LOWBEAM_SCALE``, ``LOWBEAM_PADDING`` (pixels added right and below), ``LOWBEAM_POINT`` (for
  information: codec, scale, QP, fps); of a track of packets also ``LOWBEAM_CODEC`` (name and configuration, hex) and
  ``LOWBEAM_GATHERED`` (seconds of samples in a packet); of a further layer of the face of the track before,
  ``LOWBEAM_LAYER`` (its number, from 1).

The packets of compact codecs have no picture, and are in a subtitle track of Matroska's kind for binary data.

Tracks are in order of presence (box area summed over time), the primary face first. The n-th text track belongs to the
n-th face track. Its cues are those of `lowbeam.codec.cues`; the last is ``end COUNT``, the number of coded faces or
packets, and a stream without it was cut.
"""

from contextlib import suppress
from pathlib import Path

from av.stream import Stream

from lowbeam.media.inputs import HEAD_BYTES, PipeInput, Source, is_url

STREAM_VERSION, CHANGING_VERSION, PACKETS_VERSION = 1, 2, 3
MAX_TRACKS = 60  # faces; FFmpeg's Matroska writer holds 127 tracks, and a face takes two
PACKETS_FORMAT, PACKETS_DECODER = "dvd_subtitle", "dvdsub"  # FFmpeg's names of a track of packets
IO_BUFFER = 4096  # bytes
EBML_MAGIC = b"\x1a\x45\xdf\xa3"
TITLE = "lowbeam face stream"  # is early in the file, so that a face stream is recognized from its first bytes


def is_packet_track(stream: Stream) -> bool:
    """Whether a stream has packets of a compact codec."""
    return stream.type == "subtitle" and stream.codec_context is not None and (
        stream.codec_context.name == PACKETS_DECODER
    )  # fmt: skip


def is_head_of_face_stream(head: bytes) -> bool:
    """Whether a file that begins with `head` is a face stream."""
    return head.startswith(EBML_MAGIC) and TITLE.encode() in head


def is_face_stream(source: Source) -> bool:
    """Whether a file or pipe begins like a face stream; False for a URL, which must be opened first."""
    if isinstance(source, PipeInput):
        return is_head_of_face_stream(source.head)
    if not is_url(source):
        with suppress(OSError, ValueError), Path(source).open("rb") as file:
            return is_head_of_face_stream(file.read(HEAD_BYTES))
    return False
