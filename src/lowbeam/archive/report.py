"""`report`: a dataset as one page, which works from disk and loads nothing from elsewhere."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from lowbeam.archive.dataset import Dataset
from lowbeam.archive.records import About
from lowbeam.archive.sources import is_remote
from lowbeam.archive.summary import summary
from lowbeam.errors import UsageError
from lowbeam.files import check_outputs, whole_file
from lowbeam.progress import Progress

PAGE = Path(__file__).parent.parent / "assets" / "report.html"
ALL_POINTS, MOST_POINTS, FEWEST_POINTS = 1_000_000, 600, 60  # of the courses: of all recordings, and of one


def report(
    dataset: str | os.PathLike[str], out: str | os.PathLike[str], *, progress: Progress | None = None
) -> int:  # fmt: skip
    """Write a page about a dataset of `batch`, and return the number of recordings on it.

    Each recording has a row with its course, the mean and spread of valence and arousal, the share of time with a face,
    and what to be careful about; one can be looked at in full, beside its video if the page finds it. `progress` is
    called with the number of recordings done and their total. Raises `UsageError` if `dataset` is none or empty,
    `OutputError` if `out` cannot be written.
    """
    found = Dataset(dataset, create=False)
    check_outputs(dataset, out)
    known = found.recordings()
    failed = [
        {"source": one.source, "error": one.error, "advice": one.advice} for one in found.failures()
    ]  # fmt: skip
    if not known and not failed:
        raise UsageError(f"{os.fspath(dataset)} has no recording; lowbeam batch makes one")
    points = max(FEWEST_POINTS, min(MOST_POINTS, ALL_POINTS // max(len(known), 1)))
    folder = Path(os.path.abspath(out)).parent  # noqa: PTH100  (links are kept as they are)
    rows = list(_rows(found, known, points, folder, progress))
    data = {"dataset": os.fspath(dataset), "recordings": rows, "failures": failed}
    # A "<" would end the script element.
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")
    with whole_file(out) as beside:
        beside.write_text(Template(PAGE.read_text(encoding="utf-8")).substitute(data=text), encoding="utf-8")
    return len(rows)


def _rows(
    found: Dataset, known: list[About], points: int, folder: Path, progress: Progress | None
) -> Iterator[dict[str, Any]]:
    for number, about in enumerate(known, 1):
        yield summary(about, found.columns(about), points) | {"video": _address(about.source, folder)}
        if progress is not None:
            progress(number, len(known))


def _address(source: str, folder: Path) -> str | None:
    """Where the page looks for a video: relative to the folder of the page, so that both can be moved together; None if
    it is not on this machine."""
    if is_remote(source):
        return None
    path = os.path.abspath(source)  # noqa: PTH100
    try:
        return quote(Path(os.path.relpath(path, folder)).as_posix().encode("utf-8", "surrogateescape"))
    except ValueError:  # another drive
        return None
