"""lowbeam estimates emotion, as valence and arousal over time, from face video that a thin link can carry.

>>> import lowbeam
>>> lowbeam.pack("call.mp4", "face.mkv", scale=8)
>>> trace = lowbeam.read("face.mkv")
>>> trace.to_pandas()
"""

TYPE_CHECKING = False  # type checkers know better; importing typing would take a while
if TYPE_CHECKING:
    from typing import Any

    from lowbeam.errors import (
        CodecError as CodecError,
    )  # fmt: skip
    from lowbeam.errors import (
        CorpusError as CorpusError,
    )
    from lowbeam.errors import (
        LowbeamError as LowbeamError,
    )
    from lowbeam.errors import (
        ModelError as ModelError,
    )
    from lowbeam.errors import (
        NoFaceError as NoFaceError,
    )
    from lowbeam.errors import (
        OutputError as OutputError,
    )
    from lowbeam.errors import (
        SourceError as SourceError,
    )
    from lowbeam.errors import (
        StreamError as StreamError,
    )
    from lowbeam.errors import (
        UsageError as UsageError,
    )
    from lowbeam.face import Box as Box
    from lowbeam.face import Face as Face
    from lowbeam.faces import FrameFaces as FrameFaces
    from lowbeam.pipeline import Packed as Packed
    from lowbeam.pipeline import Reader as Reader
    from lowbeam.pipeline import pack as pack
    from lowbeam.pipeline import read as read
    from lowbeam.pipeline import stream as stream
    from lowbeam.recognize import Estimates as Estimates
    from lowbeam.recognize import Recognizer as Recognizer
    from lowbeam.recognize import shipped_models as shipped_models
    from lowbeam.restore import Restorer as Restorer
    from lowbeam.trace import Estimate as Estimate
    from lowbeam.trace import Trace as Trace
    from lowbeam.trace import load_csv as load_csv

__version__ = "0.1.0"

# Public names by the module that has them. They are imported when they are first asked for: the command line can then
# answer an interrupt from its first moment on.
_PUBLIC = {
    "errors": (
        "CodecError", "CorpusError", "LowbeamError", "ModelError", "NoFaceError", "OutputError", "SourceError",
        "StreamError", "UsageError",
    ),
    "face": ("Box", "Face"), "faces": ("FrameFaces",),
    "pipeline": ("Packed", "Reader", "pack", "read", "stream"),
    "recognize": ("Estimates", "Recognizer", "shipped_models"), "restore": ("Restorer",),
    "trace": ("Estimate", "Trace", "load_csv"),
}  # fmt: skip
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}
__all__ = ["__version__", *sorted(_HOME)]  # noqa: PLE0604  (names are listed once, above)


def __getattr__(name: str) -> "Any":
    from importlib import import_module

    if name not in _HOME:
        raise AttributeError(f"module 'lowbeam' has no attribute {name!r}")
    found = getattr(import_module(f"lowbeam.{_HOME[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
