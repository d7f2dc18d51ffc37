"""The two halves of the street: `pack` on the camera's side, `read` and `stream` on the far side. They go frame by
frame: what grows with a video's length is the trace alone, 72 bytes an estimate."""

from lowbeam.pipeline.packing import Packed, pack
from lowbeam.pipeline.reading import Reader, read, stream

__all__ = ["Packed", "Reader", "pack", "read", "stream"]
