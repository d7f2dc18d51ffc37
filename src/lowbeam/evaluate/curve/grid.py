"""The operating points of a sweep."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from lowbeam.codec import PIXEL_CODECS, OperatingPoint
from lowbeam.errors import UsageError
from lowbeam.scale import SCALES, side_of

T = TypeVar("T")


@dataclass(frozen=True)
class Grid:
    """Every combination of `codecs`, `scales`, `qps` and `fps` (the fastest first)."""

    codecs: tuple[str, ...] = PIXEL_CODECS
    scales: tuple[int, ...] = SCALES
    qps: tuple[int, ...] = (22, 27, 32, 37, 42, 47)
    fps: tuple[float, ...] = (25.0, 12.5, 5.0, 2.5, 1.0)

    def points(self) -> list[OperatingPoint]:
        """All points. Raises `UsageError` if one is out of range."""
        return [
            OperatingPoint(codec, scale, qp, fps)
            for codec in self.codecs for scale in self.scales for qp in self.qps for fps in self.fps
        ]  # fmt: skip


def parse_grid(codecs: str, scales: str, qps: str, fps: str) -> Grid:
    """A grid from comma-separated lists: ``"hevc,avc"``, ``"1,2,4"``, ``"22,32"``, ``"25,5"``.

    Raises `UsageError` for values that are not numbers, out of range, or repeated.
    """
    grid = Grid(
        _list("codecs", codecs, str), _list("scales", scales, int), _list("qps", qps, int),
        tuple(sorted(_list("fps", fps, float), reverse=True)),
    )  # fmt: skip
    grid.points()
    return grid


def parse_scales(scales: str) -> tuple[int, ...]:
    """Scales from a comma-separated list: ``"1,2,4"``. Raises `UsageError` as `parse_grid` does."""
    found = _list("scales", scales, int)
    for scale in found:
        side_of(scale)
    return found


def _list(name: str, text: str, kind: Callable[[str], T]) -> tuple[T, ...]:
    try:
        values = tuple(kind(word.strip()) for word in text.split(",") if word.strip())
    except ValueError as error:
        raise UsageError(f"--{name} {text} is not a comma-separated list of numbers") from error
    if not values or len(set(values)) < len(values):
        raise UsageError(f"--{name} {text} is empty or names one twice")
    return values


def by_run(points: Iterable[OperatingPoint]) -> list[tuple[OperatingPoint, ...]]:
    """Group points that differ only in their frame rate; one process measures a group."""
    runs: dict[tuple[str, int, int], list[OperatingPoint]] = {}
    for point in points:
        runs.setdefault((point.codec, point.scale, point.qp), []).append(point)
    return [tuple(run) for run in runs.values()]
