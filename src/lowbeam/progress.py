"""The type of the progress callbacks that long-running functions accept."""

from collections.abc import Callable

Progress = Callable[[int, int | None], None]
"""Called as ``progress(done, total)`` after each unit of work: `done` counts the units finished so far; `total` is the
number of all units, or None where it is not known in advance. Each function documents its unit (frames, recordings)."""
