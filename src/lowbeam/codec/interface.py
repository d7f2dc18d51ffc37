"""What a codec is to the rest of lowbeam: an encoder and a decoder of one track of LR faces."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from lowbeam.face import Grey


@dataclass(frozen=True)
class CodedFace:
    """One face as it crosses the link: `data` holds a whole access unit; `time_ms` is its presentation time."""

    data: bytes
    time_ms: int
    is_key: bool


@dataclass(frozen=True)
class TrackHeader:
    """What a decoder needs before the first face of a track, sent once.

    `codec` is a name of `lowbeam.codec.CODECS`; `scale` that of the LR faces; `padding` how many pixels were added
    right and below; `config` the codec's own header (parameter sets). `template` describes the track to FFmpeg's
    muxers, where the header comes from an encoder.
    """

    codec: str
    scale: int
    padding: int
    config: bytes
    template: Any = field(default=None, compare=False, repr=False)

    def __reduce__(self) -> tuple[type, tuple[str, int, int, bytes]]:
        return TrackHeader, (self.codec, self.scale, self.padding, self.config)  # a template stays in its process


class Encoder(Protocol):
    """Codes the LR faces of one track in order."""

    @property
    def header(self) -> TrackHeader:
        """What a decoder needs before the first face."""

    @property
    def in_band_config(self) -> bytes:
        """What stands before the first key face of this encoder where it goes on in another's track."""

    def encode(self, face: Grey, time_ms: int) -> list[CodedFace]:
        """Code an LR face, uint8 (d, d), shown at `time_ms`, later than the last; returns what is ready to be sent.
        Raises `CodecError`."""

    def flush(self) -> list[CodedFace]:
        """End the track and let go of the encoder; returns what is left to be sent."""


class Decoder(Protocol):
    """Decodes the faces of one track in order."""

    def decode(self, coded: CodedFace) -> list[tuple[int, Grey]]:
        """Each face that `coded` completes, with its time in milliseconds: uint8 (d, d), padding cut off. Raises
        `StreamError` where it is damaged or holds a frame of another size or kind."""

    def flush(self) -> list[tuple[int, Grey]]:
        """The faces that are left."""

    def change_scale(self, time_ms: int, scale: int) -> None:
        """Say that from `time_ms` on, which is a key face's, faces are at another scale. Raises `StreamError` where
        too many changes wait for their face."""
