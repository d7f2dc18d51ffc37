"""The face stream in Matroska: coded faces and cues to a file or pipe, and back."""

from lowbeam.container.reader import FaceStreamReader, count_bytes
from lowbeam.container.writer import FaceStreamWriter, TrackWriter

__all__ = ["FaceStreamReader", "FaceStreamWriter", "TrackWriter", "count_bytes"]
