"""What became of a recording."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Outcome:
    """What became of the recording `source`.

    `state` is ``read``; ``kept`` if an earlier run had read it, with the same content, model and settings; or
    ``failed``, with the `error` and `advice`, one line each. `duration_s` is the length of the recording in seconds,
    `estimates` the number of rows; both are 0 if it failed.
    """

    source: str
    state: Literal["read", "kept", "failed"]
    estimates: int = 0
    duration_s: float = 0.0
    error: str = ""
    advice: str = ""
