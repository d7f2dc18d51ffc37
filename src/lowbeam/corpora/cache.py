"""A cache of the faces of recordings: memory-mapped, and made again when the source or the framing changes."""

import hashlib
import json
import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lowbeam.corpora.cut import CutFaces, cut
from lowbeam.corpora.labelled import LabelledFaces, Recording
from lowbeam.errors import CorpusError, OutputError, reason
from lowbeam.face import FRAMING_VERSION
from lowbeam.files import exclusive
from lowbeam.progress import Progress
from lowbeam.scale import FACE_SIDE

CACHE_VERSION = 3  # of the layout of the files


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/lowbeam``, or ``~/.cache/lowbeam``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lowbeam"


def cached_faces(
    name: str, recordings: list[Recording], cache: Path, progress: Progress | None = None
) -> LabelledFaces:
    """The faces of `recordings` from the folder ``cache/name``, which is made first if it is missing or out of date.

    Raises `CorpusError` if there is no face or a recording is damaged, `OutputError` if the cache cannot be written.
    """
    folder = cache / name
    fingerprint = _fingerprint(recordings)
    with exclusive(cache / f".{name}.lock", wait=True):  # another process may be making the same cache
        if not _is_current(folder, fingerprint):
            beside = cache / f".{name}.part"
            try:
                shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed
                beside.mkdir()
                _build(recordings, beside, fingerprint, progress)
                shutil.rmtree(folder, ignore_errors=True)
                beside.rename(folder)
            except OSError as error:
                raise OutputError(f"cache {folder} cannot be written: {reason(error)}") from error
            finally:
                shutil.rmtree(beside, ignore_errors=True)
    try:
        pixels = np.load(folder / "faces.npy", mmap_mode="r")
        with np.load(folder / "labels.npz") as labels:
            return LabelledFaces(
                pixels, labels["affect"], labels["recording"], time_s=labels["time_s"], box=labels["box"]
            )
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise CorpusError(f"cache {folder} is damaged: delete it, and it will be made again") from error


def _is_current(folder: Path, fingerprint: str) -> bool:
    try:
        return bool(json.loads((folder / "about.json").read_text())["fingerprint"] == fingerprint)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _fingerprint(recordings: list[Recording]) -> str:
    """A hash of the names, sizes and times of all files, the labels, and the versions of cache and framing."""
    digest = hashlib.sha256(json.dumps([CACHE_VERSION, FRAMING_VERSION, FACE_SIDE]).encode())
    for recording in recordings:
        digest.update(json.dumps([recording.name, recording.cropped]).encode())
        digest.update(recording.affect.tobytes())
        for array in (recording.boxes, recording.label_s):
            digest.update(b"" if array is None else array.tobytes())
        for file in recording.files:
            try:
                found = file.stat()
            except OSError as error:
                raise CorpusError(f"{file} is missing") from error
            digest.update(json.dumps([str(file), found.st_size, found.st_mtime_ns]).encode())
    return digest.hexdigest()


def _build(recordings: list[Recording], folder: Path, fingerprint: str, progress: Progress | None) -> None:
    parts: list[CutFaces] = []
    with (folder / "faces.raw").open("wb") as raw:  # a corpus may be larger than memory
        for number, recording in enumerate(recordings):
            faces = cut(recording)
            raw.write(faces.pixels.data)
            parts.append(replace(faces, pixels=faces.pixels[:0]))
            if progress is not None:
                progress(number + 1, len(recordings))
    counts = [len(part.time_s) for part in parts]
    count = sum(counts)
    if count == 0:
        raise CorpusError(f"no face with a label in {len(recordings)} recordings, first {recordings[0].name}")
    shape = (count, FACE_SIDE, FACE_SIDE)
    pixels = np.lib.format.open_memmap(folder / "faces.npy", mode="w+", dtype=np.uint8, shape=shape)
    pixels[:] = np.memmap(folder / "faces.raw", np.uint8, "r", shape=shape)
    pixels.flush()
    (folder / "faces.raw").unlink()
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in ("affect", "time_s", "box")
    }
    recording_of = np.repeat(np.arange(len(parts), dtype=np.int32), counts)
    np.savez(folder / "labels.npz", recording=recording_of, **columns)
    about = {"fingerprint": fingerprint, "faces": count, "recordings": [r.name for r in recordings]}
    (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n")
