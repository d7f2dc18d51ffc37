"""`pack` on the encoder side, `read` and `stream` on the decoder side. They work frame by frame: only the trace, 72
bytes per estimate, grows with the length of a video."""

from lowbeam.pipeline.packing import Packed, pack
from lowbeam.pipeline.reading import Reader, read, stream

__all__ = ["Packed", "Reader", "pack", "read", "stream"]
