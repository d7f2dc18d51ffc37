"""Codes LR faces at a few kbit/s and decodes them: operating points, codecs, cues, rate control."""

from lowbeam.codec.interface import CodedFace, Decoder, Encoder, PlacedFace, Sample, TrackHeader, face_of
from lowbeam.codec.operating_point import OperatingPoint, open_encoder, usual_point
from lowbeam.codec.registry import CODECS, PIXEL_CODECS, available_codecs, open_decoder

__all__ = [
    "CODECS",
    "PIXEL_CODECS",
    "CodedFace",
    "Decoder",
    "Encoder",
    "OperatingPoint",
    "PlacedFace",
    "Sample",
    "TrackHeader",
    "available_codecs",
    "face_of",
    "open_decoder",
    "open_encoder",
    "usual_point",
]
