"""The recordings of an archive: files, folders, patterns, lists of them, and places that fsspec reaches."""

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lowbeam.archive.outcome import Outcome
from lowbeam.errors import UsageError, reason
from lowbeam.media import VIDEO_SUFFIXES

CHECK_ADDRESS = "check the address and your access to it"
LIST_SUFFIX = ".txt"
NO_SUCH_FILE = "check the path; a relative one starts in the current folder, in a list in the folder of the list"


def find_recordings(sources: Iterable[str | os.PathLike[str]]) -> Iterator[str | Outcome]:
    """The paths and URLs of the recordings that `sources` name, each once, in order: a file; a folder, whose videos and
    face streams are found at any depth (hidden ones are not); a pattern such as ``videos/**/*.mp4``; a text file with
    one of these per line (``#`` begins a comment); or a URL of a file, a folder or a pattern, such as ``s3://…``.

    What names no recording is a failed `Outcome`.
    """
    seen: set[str] = set()
    for source in sources:
        for found in _of_source(os.fspath(source)):
            name = found if isinstance(found, str) else found.source
            if name not in seen:
                seen.add(name)
                yield found


def _of_source(source: str) -> Iterator[str | Outcome]:
    if is_remote(source):
        yield from _remote(source)
    elif os.path.isdir(source):  # noqa: PTH112  (unlike Path.is_dir it never raises)
        found: list[str | Outcome] = [*_in_folder(source)]
        yield from found or [_nothing(source, "has no video", "name a folder with videos, or files of any name")]
    elif os.path.isfile(source):  # noqa: PTH113
        yield from _in_list(source) if source.lower().endswith(LIST_SUFFIX) else [source]
    elif glob.has_magic(source):
        matches = sorted(glob.iglob(source, recursive=True))  # noqa: PTH207  (a pattern may be absolute)
        files: list[str | Outcome] = [match for match in matches if os.path.isfile(match)]  # noqa: PTH113
        yield from files or [_nothing(source, "matches no file", NO_SUCH_FILE)]
    elif os.path.exists(source):  # noqa: PTH110
        yield _nothing(source, "is not a file", "a live source is read by `lowbeam read`")
    else:
        yield _nothing(source, "does not exist", NO_SUCH_FILE)


def _in_folder(folder: str) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(place, name) for name in sorted(files) if _is_video(name))  # noqa: PTH118


def _in_list(path: str) -> Iterator[str | Outcome]:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        yield _nothing(path, f"cannot be read: {reason(error)}", "a list is a text file with a source per line")
        return
    for line in map(str.strip, lines):
        if line and not line.startswith("#"):
            within = line if is_remote(line) else str(Path(path).parent / line)
            yield from (
                _of_source(within)
                if not within.lower().endswith(LIST_SUFFIX)
                else [_nothing(within, "is a list within a list", "name it on the command line")]
            )


def is_remote(source: str) -> bool:
    """Whether `source` is a URL that fsspec opens."""
    return "://" in source


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL or a local path, and the path in it. Raises `UsageError` if a package that it
    needs is not installed, and what fsspec raises."""
    try:
        import fsspec

        found: tuple[Any, str] = fsspec.core.url_to_fs(url)
    except ImportError as error:
        missing = "fsspec: pip install 'lowbeam[batch]'" if error.name == "fsspec" else reason(error)
        raise UsageError(f"{url} needs {missing}") from error
    return found


def _remote(url: str) -> Iterator[str | Outcome]:
    try:
        fs, path = file_system(url)
        if glob.has_magic(path):
            found = sorted(fs.glob(path))
        elif fs.isdir(path):
            found = sorted(name for name in fs.find(path) if _is_video(name.rpartition("/")[2]))
        else:
            yield url
            return
        names = [fs.unstrip_protocol(name) for name in found]
    except Exception as error:
        yield _nothing(url, f"cannot be listed: {reason(error)}", CHECK_ADDRESS)
        return
    yield from names or [_nothing(url, "has no video", "check the address")]


def _is_video(name: str) -> bool:
    return Path(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith(".")


def _nothing(source: str, what: str, advice: str) -> Outcome:
    return Outcome(source, "failed", error=f"{source} {what}", advice=advice)
