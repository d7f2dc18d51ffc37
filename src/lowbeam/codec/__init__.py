"""LR faces to a few kilobits a second and back: the operating point, the codecs, the face stream."""

from lowbeam.codec.operating_point import CODECS, OperatingPoint
from lowbeam.codec.standard import CodedFace, StandardDecoder, StandardEncoder, available_codecs

__all__ = ["CODECS", "CodedFace", "OperatingPoint", "StandardDecoder", "StandardEncoder", "available_codecs"]
