"""The face stream, a Matroska container of coded faces and cues: writer and readers."""

from lowbeam.container.reader import FaceStreamReader, count_bytes
from lowbeam.container.writer import FaceStreamWriter, TrackWriter

__all__ = ["FaceStreamReader", "FaceStreamWriter", "TrackWriter", "count_bytes"]
