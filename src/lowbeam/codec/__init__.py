"""Codes LR faces at a few kbit/s and decodes them: operating points, codecs, cues, rate control."""

from lowbeam.codec.interface import CodedFace, Decoder, Encoder, TrackHeader
from lowbeam.codec.operating_point import OperatingPoint, open_encoder
from lowbeam.codec.registry import CODECS, available_codecs, open_decoder

__all__ = [
    "CODECS",
    "CodedFace",
    "Decoder",
    "Encoder",
    "OperatingPoint",
    "TrackHeader",
    "available_codecs",
    "open_decoder",
    "open_encoder",
]
