"""The interface of a codec: an encoder and a decoder for one track of faces."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from lowbeam.codec.cues import Cue, size_of
from lowbeam.face import Box, Face, FaceEstimate, Grey, Latents


@dataclass(frozen=True)
class CodedFace:
    """A coded face: `data` is one complete access unit, `time_ms` its presentation time in milliseconds, `is_key`
    whether it can be decoded by itself."""

    data: bytes
    time_ms: int
    is_key: bool


@dataclass(frozen=True)
class TrackHeader:
    """The information that a decoder needs before the first face of a track; it is sent once.

    `codec` is a name of `lowbeam.codec.CODECS`; `scale` is that of the LR faces; `padding` is the number of pixels
    added on the right and below; `config` is the codec's own header (parameter sets). `template` describes the track to
    FFmpeg's muxers and is set by encoders only.
    """

    codec: str
    scale: int
    padding: int
    config: bytes
    template: Any = field(default=None, compare=False, repr=False)

    def __reduce__(self) -> tuple[type, tuple[str, int, int, bytes]]:
        return TrackHeader, (self.codec, self.scale, self.padding, self.config)  # a template cannot be pickled


@dataclass(frozen=True)
class PlacedFace:
    """A coded face, and the cues to send before it."""

    coded: CodedFace
    cues: tuple[Cue, ...] = ()

    @property
    def cue_bytes(self) -> int:
        """Bytes of the cues' texts."""
        return size_of(self.cues)


@dataclass(frozen=True, eq=False)
class Sample:
    """What a decoder gives of one face at `time_ms` (milliseconds): `pixels`, uint8 (d, d) without padding, or
    `lowbeam.face.NO_PIXELS`, and what a compact codec carries: `face` and `box` (else they come as cues), and `latents`
    or an `estimate`."""

    time_ms: int
    pixels: Grey
    face: int | None = None
    box: Box | None = None
    latents: Latents | None = None
    estimate: FaceEstimate | None = None


def face_of(sample: Sample, face: int, box: Box) -> Face:
    """The face of `sample`, whose id and box are given."""
    return Face(sample.time_ms / 1000, face, box, sample.pixels, sample.latents, sample.estimate)


class Encoder(Protocol):
    """Encodes the LR faces of one track in order."""

    @property
    def header(self) -> TrackHeader:
        """The header that a decoder needs before the first face."""

    @property
    def in_band_config(self) -> bytes:
        """Bytes to insert before the first key face when this encoder continues the track of another."""

    def is_key_due(self, time_ms: int) -> bool:
        """Whether a face at `time_ms` would be a key face."""

    def encode(self, face: Grey, time_ms: int) -> list[CodedFace]:
        """Encode an LR face, uint8 (d, d), at `time_ms` (increasing); returns the coded faces that are ready. Raises
        `CodecError`."""

    def flush(self) -> list[CodedFace]:
        """End the track and free the encoder; returns the remaining coded faces."""


class Decoder(Protocol):
    """Decodes the faces of one track in order."""

    def decode(self, coded: CodedFace) -> list[Sample]:
        """The samples that `coded` completes. Raises `StreamError` if it is damaged or has another size or pixel
        format."""

    def flush(self) -> list[Sample]:
        """The remaining samples."""

    def change_scale(self, time_ms: int, scale: int) -> None:
        """Announce another scale from `time_ms` on, the time of a key face. Raises `StreamError` if too many changes
        are pending."""
