"""Label files: columns of numbers, and labels interpolated to the times of frames."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.labelled import Affect
from lowbeam.errors import CorpusError, reason

AT_LABEL_S = 0.02  # seconds: a frame this close to a label has that label


def read_text(path: Path) -> str:
    """The text of a label file. Raises `CorpusError` if it is missing or not a text file."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise CorpusError(f"{path} is not a text file") from error


def read_rows(path: Path, text: str, delimiter: str = ",", first_line: int = 1) -> Iterator[tuple[int, list[str]]]:
    """The non-empty rows of the CSV `text`, with their line numbers from `first_line`. Raises `CorpusError`."""
    try:
        for number, row in enumerate(csv.reader(text.splitlines(), delimiter=delimiter), first_line):
            if row:
                yield number, row
    except csv.Error as error:
        raise CorpusError(f"{path} is not a CSV file: {error}") from error


def read_columns(
    path: Path, text: str, delimiter: str, columns: tuple[int, ...], first_line: int = 1
) -> NDArray[np.float64]:
    """The numbers in the given `columns` of the lines of `text`, float64 (n, k); empty lines are skipped.

    Raises `CorpusError`, which names the first invalid line; `first_line` is the number of the first line.
    """
    rows = []
    for number, row in read_rows(path, text, delimiter, first_line):
        try:
            rows.append([float(row[column]) for column in columns])
        except (ValueError, IndexError) as error:
            wanted = max(columns) + 1
            raise CorpusError(
                f"{path}, line {number}: not {wanted} columns of numbers: {','.join(row)[:60]}"
            ) from error
    if not rows:
        raise CorpusError(f"{path} has no labels")
    return np.array(rows)


def check_times(path: Path, times: NDArray[np.float64]) -> None:
    """Raise `CorpusError` unless `times` (n,) are finite and increase."""
    if not np.isfinite(times).all():
        raise CorpusError(f"{path}: a time is not a finite number")
    wrong = np.flatnonzero(np.diff(times) <= 0)
    if len(wrong):
        at = int(wrong[0])
        raise CorpusError(f"{path}: times must increase, but {times[at]:g} s is followed by {times[at + 1]:g} s")


def check_affect(path: Path, affect: NDArray[np.floating], bound: float = 1.0) -> Affect:
    """`affect` (n, 2) within ±`bound`, scaled to [-1, 1], as float32; NaN is kept. Raises `CorpusError` if a value is
    out of range."""
    wrong = np.flatnonzero((np.abs(affect) > bound * 1.0001).any(1))
    if len(wrong):
        value = affect[wrong[0]].tolist()
        raise CorpusError(f"{path}: valence or arousal {value} of row {wrong[0] + 1} is not in ±{bound:g}")
    return (affect / bound).astype(np.float32)


def at_times(
    frame_s: NDArray[np.float64], label_s: NDArray[np.float64], affect: NDArray[np.floating], most_gap_s: float
) -> NDArray[np.float64]:
    """Labels `affect` (n, 2) at increasing times `label_s` (n,), linearly interpolated to `frame_s` (m,): float64 (m,
    2). NaN outside the labels and between two that are more than `most_gap_s` apart, unless the frame is at a label."""
    found = np.stack([np.interp(frame_s, label_s, column) for column in affect.T], 1)
    after = np.searchsorted(label_s, frame_s).clip(0, len(label_s) - 1)
    before = (after - 1).clip(0)
    nearest_s = np.minimum(np.abs(label_s[after] - frame_s), np.abs(frame_s - label_s[before]))
    outside = (frame_s < label_s[0]) | (frame_s > label_s[-1])
    alone = outside | (label_s[after] - label_s[before] > most_gap_s)
    found[alone & (nearest_s > AT_LABEL_S)] = np.nan
    return found
