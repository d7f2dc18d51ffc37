"""The errors that lowbeam raises.

::

    LowbeamError
    ├── UsageError        an argument is out of its range, or a needed extra is not installed
    ├── SourceError       a video, camera or URL cannot be opened or decoded
    │   ├── NoFaceError   a source holds no face
    │   └── StreamError   a face stream is damaged, hostile, or of an unknown version
    ├── CodecError        an encoder or decoder refuses, or FFmpeg was built without it
    ├── ModelError        a model file is missing or is not a lowbeam model
    ├── CorpusError       a corpus is missing, damaged or without labels
    └── OutputError       an output cannot be written

Each message is one line: what is wrong, and where it helps, what to do. The command line prints it after
``lowbeam:`` and exits with status 2.

`Terminated`, which SIGTERM and SIGHUP raise in the command line, is no error and stands outside the tree.
"""


class LowbeamError(Exception):
    """Head of the tree; catch this to catch all."""


class UsageError(LowbeamError, ValueError):
    """An argument is out of its range, or a needed optional package is not installed."""


class SourceError(LowbeamError):
    """A video, camera or URL cannot be opened or decoded."""


class NoFaceError(SourceError):
    """A source holds no face."""


class StreamError(SourceError):
    """A face stream is damaged, hostile, or of an unknown version."""


class CodecError(LowbeamError):
    """An encoder or decoder refuses, or this FFmpeg was built without it."""


class ModelError(LowbeamError):
    """A model file is missing or is not a lowbeam model."""


class CorpusError(LowbeamError):
    """A corpus is missing, damaged or without labels."""


class OutputError(LowbeamError):
    """An output cannot be written."""


class Terminated(BaseException):
    """SIGTERM or SIGHUP asked the program to end: not an error, and nothing to be caught. `signal` is its number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


def shown(text: str, most: int = 60) -> str:
    """`text` from a file as a terminal may show it: one line, without control characters, shortened to `most`."""
    plain = "".join(c if c.isprintable() else "�" for c in text[: most + 1])
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def reason(error: Exception) -> str:
    """Why the system or FFmpeg refused, in one line, without the path that it repeats."""
    text = getattr(error, "strerror", None) or str(error)
    return shown(str(text).splitlines()[0].lower(), 200) if text else type(error).__name__
