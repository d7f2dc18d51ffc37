"""The codecs by name; all encoders and decoders are opened here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

from lowbeam.codec import standard
from lowbeam.codec.compact import coder, features
from lowbeam.codec.compact.coder import PacketCoder
from lowbeam.codec.interface import Decoder, Encoder, TrackHeader
from lowbeam.errors import CodecError, UsageError

Kind = Literal["pixels", "features", "estimates"]
"""What a codec sends: faces to look at, learned features, or estimates."""
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Codec:
    """A codec: its `name`, what it sends, its largest QP (the smallest is 0), the `usual` scale, QP and frames per
    second, and the functions that open its encoders and decoders.

    `open_encoder` takes scale, QP and frames per second; a compact codec, which sends no pixels, has `open_packets`
    instead, which takes scale, QP, and whether a key face goes along. `is_available` tells whether this machine can
    encode and decode it.
    """

    name: str
    kind: Kind
    max_qp: int
    usual: tuple[int, int, float]
    open_decoder: Callable[[TrackHeader], Decoder]
    open_encoder: Callable[[int, int, float], Encoder] | None = None
    open_packets: Callable[[int, int, bool], PacketCoder[Any]] | None = None
    is_available: Callable[[], bool] = lambda: True

    def check_qp(self, qp: int) -> None:
        """Raise `UsageError` if `qp` is out of range."""
        if not 0 <= qp <= self.max_qp:
            raise UsageError(f"QP {qp} is out of range for {self.name}: 0 to {self.max_qp}")


def _standard(name: str, max_qp: int) -> Codec:
    return Codec(
        name, "pixels", max_qp, (3, 27, 5.0), standard.StandardDecoder, partial(standard.StandardEncoder, name),
        is_available=partial(standard.is_available, name),
    )  # fmt: skip


CODECS = {codec.name: codec for codec in (
    _standard("hevc", 51), _standard("avc", 51), _standard("av1", 63), _standard("vp9", 63),
    Codec("estimates", "estimates", coder.MAX_QP, (1, 6, 10.0), coder.EstimatesDecoder,
          open_packets=coder.EstimatesCoder),
    Codec("features", "features", features.MAX_QP, (1, 8, 5.0), features.FeaturesDecoder,
          open_packets=features.FeaturesCoder),
)}  # fmt: skip
PIXEL_CODECS = tuple(name for name, codec in CODECS.items() if codec.kind == "pixels")


def codec_named(name: str) -> Codec:
    """The codec called `name`. Raises `UsageError` for another name."""
    if name not in CODECS:
        raise UsageError(f"codec {name} is not one of {', '.join(CODECS)}")
    return CODECS[name]


def available_codecs() -> dict[str, bool]:
    """For each name of `CODECS`, whether this machine can both encode and decode it."""
    return {name: codec.is_available() for name, codec in CODECS.items()}


def open_packet_coder(codec: str, scale: int, qp: int, *, has_key_face: bool = False) -> PacketCoder[Any]:
    """The coder of the packets of a compact codec; of features, `has_key_face` sends a key face along. Raises
    `CodecError` or `UsageError`."""
    opened = codec_named(codec).open_packets
    if opened is None:
        raise CodecError(f"{codec} sends pixels, not packets of samples")
    return opened(scale, qp, has_key_face)


def open_decoder(header: TrackHeader) -> Decoder:
    """A decoder for the track that `header` describes. Raises `CodecError` or `UsageError`."""
    return codec_named(header.codec).open_decoder(header)
