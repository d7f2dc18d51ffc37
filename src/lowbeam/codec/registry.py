"""The codecs by name; all encoders and decoders are opened here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from lowbeam.codec import standard
from lowbeam.codec.interface import Decoder, Encoder, TrackHeader
from lowbeam.errors import UsageError


@dataclass(frozen=True)
class Codec:
    """A codec: its `name`, its largest QP (the smallest is 0), and the functions that open its encoders and decoders.

    `open_encoder` takes scale, QP and frames per second. `is_available` tells whether this machine can encode and
    decode it.
    """

    name: str
    max_qp: int
    open_encoder: Callable[[int, int, float], Encoder]
    open_decoder: Callable[[TrackHeader], Decoder]
    is_available: Callable[[], bool]

    def check_qp(self, qp: int) -> None:
        """Raise `UsageError` if `qp` is out of range."""
        if not 0 <= qp <= self.max_qp:
            raise UsageError(f"QP {qp} is out of range for {self.name}: 0 to {self.max_qp}")


def _standard(name: str, max_qp: int) -> Codec:
    return Codec(
        name, max_qp, partial(standard.StandardEncoder, name), standard.StandardDecoder,
        partial(standard.is_available, name),
    )  # fmt: skip


CODECS = {codec.name: codec for codec in (
    _standard("hevc", 51), _standard("avc", 51), _standard("av1", 63), _standard("vp9", 63),
)}  # fmt: skip


def codec_named(name: str) -> Codec:
    """The codec called `name`. Raises `UsageError` for another name."""
    if name not in CODECS:
        raise UsageError(f"codec {name} is not one of {', '.join(CODECS)}")
    return CODECS[name]


def available_codecs() -> dict[str, bool]:
    """For each name of `CODECS`, whether this machine can both encode and decode it."""
    return {name: codec.is_available() for name, codec in CODECS.items()}


def open_decoder(header: TrackHeader) -> Decoder:
    """A decoder for the track that `header` describes. Raises `CodecError` or `UsageError`."""
    return codec_named(header.codec).open_decoder(header)
