"""lowbeam reads emotion, as valence and arousal over time, from face video that a thin link can carry.

>>> import lowbeam
>>> lowbeam.pack("call.mp4", "face.mkv", scale=8)
>>> trace = lowbeam.read("face.mkv")
>>> trace.to_pandas()
"""

from lowbeam.errors import (
    CodecError,
    CorpusError,
    LowbeamError,
    ModelError,
    NoFaceError,
    OutputError,
    SourceError,
    StreamError,
    UsageError,
)  # fmt: skip
from lowbeam.pipeline import Packed, pack, read
from lowbeam.recognize import Estimates, Recognizer, shipped_models
from lowbeam.restore import Restorer
from lowbeam.trace import Trace, load_csv

__version__ = "0.1.0"

__all__ = [
    "CodecError",
    "CorpusError",
    "Estimates",
    "LowbeamError",
    "ModelError",
    "NoFaceError",
    "OutputError",
    "Packed",
    "Recognizer",
    "Restorer",
    "SourceError",
    "StreamError",
    "Trace",
    "UsageError",
    "__version__",
    "load_csv",
    "pack",
    "read",
    "shipped_models",
]
