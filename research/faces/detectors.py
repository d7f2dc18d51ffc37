"""lowbeam's face finder beside the one that it used before: boxes of rendered people and real clips, time, and the
agreement of estimates."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lowbeam.corpora.rendered.face_model import FaceModel, load_face_model
from lowbeam.errors import UsageError
from lowbeam.face import Box, Grey
from lowbeam.faces import FaceTracker, Sighting, YunetDetector, crop
from lowbeam.faces.search import FACE_PX, FAR_SIDES, NEAR_SIDES
from lowbeam.faces.track import QUICK_PX, THOROUGH_PX
from lowbeam.media import VideoSource
from lowbeam.metrics import AFFECT_NAMES, ccc
from lowbeam.progress import Progress
from lowbeam.recognize import DEFAULT_MODEL, Recognizer
from lowbeam.scale import FACE_SIDE
from research.faces.dlib_peer import DlibDetector, DlibTracker
from research.faces.staged import CONDITIONS, FPS, SIZE, staged

FOUND_OVERLAP = 0.5  # intersection over union with the true box from which a face counts as found
LIVELY = "real"  # sub-folder of the clips whose estimates are compared
FEW_FPS = 5.0
TIMED_FRAMES, ROUNDS = 200, 3
SUFFIXES = {".mp4", ".mov"}


class Tracker(Protocol):
    """Finds faces in the frames of one video."""

    def update(self, grey: Grey, time_s: float) -> list[Sighting]: ...


def _yunet() -> Tracker:
    return FaceTracker(YunetDetector())


TRACKERS: dict[str, Callable[[], Tracker]] = {"yunet": _yunet, "dlib": DlibTracker}


def measure_detectors(
    face_model: str | Path, clips: str | Path, timed: str | Path, *, people: int = 4, seconds: float = 2.0,
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measure each of `TRACKERS`: on `people` rendered from `face_model` for so many `seconds` in each of `CONDITIONS`;
    on the videos in the folder `clips` and its sub-folders, and of those in ``real`` the agreement of estimates; and
    the time per frame in the video `timed`, on one core.

    Returns ``{"people", "seconds", "size", "conditions", "framing", "clips", "agreement", "times"}``; all but the first
    three are lists of rows, with the figures of each finder by its name. Raises `UsageError`, `CorpusError` or
    `SourceError`.
    """
    model, videos = load_face_model(face_model), videos_in(clips)
    total, done = len(CONDITIONS) * people + len(videos), 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    conditions, frontal = _on_rendered(model, people, seconds, advance)
    rows, agreement = _on_clips(videos, advance)
    return {
        "people": people, "seconds": seconds, "size": list(SIZE), "conditions": conditions,
        "framing": [{"finder": name, **takes.framing()} for name, takes in frontal.items()],
        "clips": rows, "agreement": agreement, "times": measure_times(timed),
    }  # fmt: skip


def videos_in(folder: str | Path) -> list[Path]:
    """The videos in `folder` and then its sub-folders, by name. Raises `UsageError` if there are none."""
    found = [path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES]
    if not found:
        raise UsageError(f"{folder} has no videos ({', '.join(sorted(SUFFIXES))})")
    return sorted(found, key=lambda path: (len(path.parts), path))


@dataclass
class Takes:
    """What a finder found in the rendered frames of one condition. `off` has, of each found face, how far its box is to
    the right, down and larger, (3,): in sides of the true box, and as the logarithm of the ratio of sides. `shaken` has
    second differences of `off` over three frames in a row, (3,)."""

    frames: int = 0
    found: int = 0
    elsewhere: int = 0
    changes: int = 0
    off: list[NDArray[np.float64]] = field(default_factory=list)
    shaken: list[NDArray[np.float64]] = field(default_factory=list)

    def scores(self) -> dict[str, Any]:
        """Figures of all takes; those of boxes are None where no face was found."""
        off, shaken = np.array(self.off).reshape(-1, 3), np.array(self.shaken).reshape(-1, 3)
        return {
            "found": self.found / self.frames, "elsewhere": self.elsewhere / self.frames, "id_changes": self.changes,
            "centre_off": float(np.hypot(off[:, 0], off[:, 1]).mean()) if len(off) else None,
            "side_off": float(np.abs(off[:, 2]).mean()) if len(off) else None,
            **_jitter(shaken),
        }  # fmt: skip

    def framing(self) -> dict[str, float]:
        """Mean and standard deviation of `off` over all frames."""
        off, names = np.array(self.off).reshape(-1, 3), ("right", "down", "larger")
        means = {name: float(value) for name, value in zip(names, off.mean(0), strict=True)} if len(off) else {}
        stds = {f"{name}_std": float(value) for name, value in zip(names, off.std(0), strict=True)} if len(off) else {}
        return means | stds


def _jitter(shaken: NDArray[np.float64]) -> dict[str, float | None]:
    """Standard deviation of the second differences `shaken` (n, 3): of the centre, over both directions, in sides, and
    of the logarithm of the side."""
    if not len(shaken):
        return {"centre_jitter": None, "side_jitter": None}
    x, y, side = shaken.std(0).tolist()
    return {"centre_jitter": math.sqrt((x * x + y * y) / 2), "side_jitter": side}


def observe(tracker: Tracker, shots: list[tuple[Grey, Box]], takes: Takes) -> None:
    """Add to `takes` what `tracker` finds in `shots`, frames at 25 a second and their true boxes."""
    last: int | None = None
    recent: list[NDArray[np.float64]] = []
    for index, (picture, true) in enumerate(shots):
        sightings = tracker.update(picture, index / FPS)
        takes.frames += 1
        takes.elsewhere += any(math.dist(s.box.centre, true.centre) > true.side / 2 for s in sightings)
        best = max(sightings, key=lambda s: s.box.overlap(true), default=None)
        if best is None or best.box.overlap(true) < FOUND_OVERLAP:
            recent = []
            continue
        takes.found += 1
        if best.face != last and last is not None:
            takes.changes += 1
        last = best.face
        (x, y), (true_x, true_y) = best.box.centre, true.centre
        off = np.array([x - true_x, y - true_y, true.side * math.log(best.box.side / true.side)]) / true.side
        takes.off.append(off)
        recent = [*recent[-2:], off]
        if len(recent) == 3:
            takes.shaken.append(recent[2] - 2 * recent[1] + recent[0])


def _on_rendered(
    model: FaceModel, people: int, seconds: float, advance: Callable[[], None]
) -> tuple[list[dict[str, Any]], dict[str, Takes]]:
    """Scores of each condition, and the takes of the first, which is frontal."""
    rows, all_takes = [], []
    for condition in CONDITIONS:
        takes = {name: Takes() for name in TRACKERS}
        for person in range(people):
            shots = [(shot.picture, shot.box) for shot in staged(model, condition, person, seconds)]
            for name, make in TRACKERS.items():
                observe(make(), shots, takes[name])
            advance()
        rows.append({"condition": condition.name, **{name: found.scores() for name, found in takes.items()}})
        all_takes.append(takes)
    return rows, all_takes[0]


@dataclass(frozen=True)
class _Followed:
    """The primary face through a video: a box for each frame, None where no face was found."""

    boxes: list[Box | None]
    ids: int

    def scores(self) -> dict[str, Any]:
        shaken = []
        for before, box, after in zip(self.boxes, self.boxes[1:], self.boxes[2:], strict=False):
            if before is not None and box is not None and after is not None:
                places = [np.array([*b.centre, box.side * math.log(b.side)]) / box.side for b in (before, box, after)]
                shaken.append(places[2] - 2 * places[1] + places[0])
        shown = sum(box is not None for box in self.boxes)
        return {"shown": shown / len(self.boxes), "ids": self.ids, **_jitter(np.array(shaken).reshape(-1, 3))}


def _follow(make: Callable[[], Tracker], frames: list[tuple[Grey, float]]) -> _Followed:
    tracker, ids = make(), set()
    boxes: list[Box | None] = []
    for grey, time_s in frames:
        sightings = tracker.update(grey, time_s)
        ids |= {s.face for s in sightings}
        boxes.append(sightings[0].box if sightings else None)
    return _Followed(boxes, len(ids))


def _on_clips(videos: list[Path], advance: Callable[[], None]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Scores of each clip, and for each finder the agreement between estimates with boxes from all frames and from few
    of them, over the clips in `LIVELY`."""
    rows: list[dict[str, Any]] = []
    recognizer, pairs = Recognizer(), {name: list[NDArray[np.float32]]() for name in TRACKERS}
    for video in videos:
        with VideoSource(video) as source:
            step = max(1, round(source.fps / FEW_FPS))
            frames = [(frame.grey, frame.time_s) for frame in source]
        row: dict[str, Any] = {"clip": video.name, "frames": len(frames)}
        for name, make in TRACKERS.items():
            followed = _follow(make, frames)
            row[name] = followed.scores()
            if video.parent.name == LIVELY:
                few = _follow(make, frames[::step])
                pairs[name].append(_two_readings(recognizer, frames[::step], followed.boxes[::step], few.boxes))
        rows.append(row)
        advance()
    agreement = []
    for name, found in pairs.items():
        if found:
            both = np.concatenate(found, 1)  # (2, n, 2)
            agree = {affect: ccc(both[0, :, i], both[1, :, i]) for i, affect in enumerate(AFFECT_NAMES)}
            agreement.append({"finder": name, "model": DEFAULT_MODEL, "faces": both.shape[1], **agree})
    return rows, agreement


def _two_readings(
    recognizer: Recognizer, frames: list[tuple[Grey, float]], boxes: list[Box | None], others: list[Box | None]
) -> NDArray[np.float32]:
    """Valence and arousal estimated from one person's faces, cropped by `boxes` and by `others`, (2, n, 2), in the
    frames in which both show a face."""
    rows = zip(frames, boxes, others, strict=True)
    both = [(*frame, box, other) for frame, box, other in rows if box is not None and other is not None]
    times = [time_s for _, time_s, *_ in both]
    readings = []
    for cut in ([crop(grey, box) for grey, _, box, _ in both], [crop(grey, other) for grey, _, _, other in both]):
        found, _ = recognizer.follow(np.array(cut, np.uint8).reshape(-1, FACE_SIDE, FACE_SIDE), times)
        readings.append(np.stack([found.valence, found.arousal], 1))
    return np.stack(readings)


@contextmanager
def one_core() -> Iterator[None]:
    """Keep this process on one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def measure_times(video: str | Path) -> list[dict[str, Any]]:
    """Milliseconds of processor time, on one core: of detection at each size that is used (the median over frames), and
    of a tracker's update (the mean over the frames, the median over rounds). All take turns."""
    with VideoSource(video) as source:
        frames = [(frame.grey, frame.time_s) for frame, _ in zip(source, range(TIMED_FRAMES), strict=False)]
    height, width = frames[0][0].shape
    with one_core():
        yunet, dlib = YunetDetector(), DlibDetector()
        sizes = [(round(sides * FACE_PX),) * 2 for sides in (NEAR_SIDES, FAR_SIDES)]
        sizes += [_fitted(width, height, longest) for longest in (QUICK_PX, THOROUGH_PX)]
        kinds: list[tuple[str, tuple[int, int], Callable[[Grey], Any]]] = [("yunet", size, yunet) for size in sizes]
        kinds.append(("dlib", (width, height), dlib))
        return [*_detection_times(kinds, frames), *_update_times(frames, f"{width}×{height}")]


def _fitted(width: int, height: int, longest: int) -> tuple[int, int]:
    factor = min(1.0, longest / max(width, height))
    return round(width * factor), round(height * factor)


def _detection_times(
    kinds: list[tuple[str, tuple[int, int], Callable[[Grey], Any]]], frames: list[tuple[Grey, float]]
) -> list[dict[str, Any]]:
    spent: dict[int, list[float]] = {}
    for grey, _ in frames[:: max(1, len(frames) // 40)]:
        for index, (_, size, detect) in enumerate(kinds):
            given = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR))
            begin = time.process_time()
            detect(given)
            spent.setdefault(index, []).append(1000 * (time.process_time() - begin))
    return [
        {"finder": name, "what": "detection", "size": f"{size[0]}×{size[1]}", "ms": median(spent[index])}
        for index, (name, size, _) in enumerate(kinds)
    ]


def _update_times(frames: list[tuple[Grey, float]], size: str) -> list[dict[str, Any]]:
    spent: dict[str, list[float]] = {name: [] for name in TRACKERS}
    for _ in range(ROUNDS):
        for name, make in TRACKERS.items():
            tracker = make()
            begin = time.process_time()
            for grey, time_s in frames:
                tracker.update(grey, time_s)
            spent[name].append(1000 * (time.process_time() - begin) / len(frames))
    return [{"finder": name, "what": "update", "size": size, "ms": median(found)} for name, found in spent.items()]
