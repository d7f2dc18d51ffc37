"""The errors that lowbeam raises.

::

    LowbeamError
    ├── UsageError        an argument is out of its range, or a needed extra is not installed
    ├── SourceError       a video, camera or URL cannot be opened or decoded
    │   ├── NoFaceError   no face was found in a source
    │   └── StreamError   a face stream is damaged, malformed, or of an unknown version
    ├── CodecError        an encoder or decoder fails, or FFmpeg was built without it
    ├── ModelError        a model file is missing or is not a lowbeam model
    ├── CorpusError       a corpus is missing, damaged or without labels
    ├── AccountError      an account, a password or a token is refused (`lowbeam.server.store`)
    └── OutputError       an output cannot be written

Each message is one line that says what is wrong and, where possible, what to do. The command line prints it after
``lowbeam:`` and exits with status 2.

`Terminated`, which SIGTERM and SIGHUP raise in the command line, is not an error and is not part of the tree.
"""


class LowbeamError(Exception):
    """Base class of all errors that lowbeam raises."""


class UsageError(LowbeamError, ValueError):
    """An argument is out of its range, or a needed optional package is not installed."""


class SourceError(LowbeamError):
    """A video, camera or URL cannot be opened or decoded."""


class NoFaceError(SourceError):
    """No face was found in a source."""


class StreamError(SourceError):
    """A face stream is damaged, malformed, or of an unknown version."""


class CodecError(LowbeamError):
    """An encoder or decoder fails, or this FFmpeg was built without it."""


class ModelError(LowbeamError):
    """A model file is missing or is not a lowbeam model."""


class CorpusError(LowbeamError):
    """A corpus is missing, damaged or without labels."""


class OutputError(LowbeamError):
    """An output cannot be written."""


class Terminated(BaseException):
    """SIGTERM or SIGHUP asked the program to end. Not an error; do not catch it. `signal` is the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


def shown(text: str, most: int = 60) -> str:
    """`text` from a file, made safe for a terminal: one line, without control characters, at most `most` characters."""
    plain = "".join(c if c.isprintable() else "�" for c in text[: most + 1])
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def reason(error: Exception) -> str:
    """The reason that the system or FFmpeg gives for `error`, in one line, without the path."""
    text = getattr(error, "strerror", None) or str(error)
    return shown(str(text).splitlines()[0].lower(), 200) if text else type(error).__name__
