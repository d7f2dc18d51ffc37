"""Writes a rendered corpus in the layout of AVEC 2016, which `lowbeam.corpora.avec2016` reads.

Beside the folders of that layout, ``manifest.json`` states seed, version, settings, people by split, and the SHA-256 of
every file. All boxes are ground truth. The same seed and settings give the same bytes with the same libraries on the
same kind of processor, for any number of processes. A person depends only on seed and number: corpora with the same
seed and another size have people in common, possibly in other splits.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from lowbeam.corpora.rendered.face_model import load_face_model
from lowbeam.corpora.rendered.talker import Talker, needed_expressions
from lowbeam.errors import OutputError, UsageError, reason
from lowbeam.face import Box, Grey
from lowbeam.files import whole_file
from lowbeam.pool import shared
from lowbeam.progress import Progress

RENDER_VERSION = 1  # of the frames that a seed gives
MANIFEST = "manifest.json"
SETTINGS = "settings.json"
SPLIT_SHARES = {"test": 5 / 24, "dev": 4 / 24}  # of the people; the rest are train
QP = "12"  # H.264: an error of about one grey level
MIN_SIZE, MAX_SIZE = 64, 1024  # pixels
MAX_SUBJECTS, MAX_MINUTES, MAX_FPS = 10_000, 600, 120


@dataclass(frozen=True)
class Settings:
    """The settings that determine the corpus: `minutes` of video at `fps` for each of `subjects` people, with frames of
    `size` × `size` pixels; `unconstrained` people are recorded as outside a laboratory. Raises `UsageError` if a value
    is out of range."""

    subjects: int = 24
    minutes: float = 2.0
    fps: float = 25.0
    size: int = 192
    seed: int = 7
    unconstrained: bool = False

    def __post_init__(self) -> None:
        ranges = {
            "subjects": (3, MAX_SUBJECTS), "minutes": (1 / 60, MAX_MINUTES), "fps": (1, MAX_FPS),
            "size": (MIN_SIZE, MAX_SIZE), "seed": (0, 2**31),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name} {getattr(self, name):g} is out of range: {low:.3g} to {high:g}")
        if self.size % 2:
            raise UsageError(f"size {self.size} is odd; H.264 needs an even side")

    @property
    def frames(self) -> int:
        """Number of frames of each recording."""
        return max(2, round(60 * self.minutes * self.fps))

    def stated(self) -> dict[str, Any]:
        """As written to files. `unconstrained` is left out where it is not so, as in corpora of earlier versions."""
        return {name: value for name, value in asdict(self).items() if name != "unconstrained" or value}

    def names(self) -> list[tuple[str, str]]:
        """Split and name of each recording, in the order of people: ``("train", "train_1")``, …"""
        counts = {split: max(1, round(share * self.subjects)) for split, share in SPLIT_SHARES.items()}
        counts = {"train": self.subjects - sum(counts.values()), "dev": counts["dev"], "test": counts["test"]}
        return [(split, f"{split}_{n + 1}") for split, count in counts.items() for n in range(count)]


def render_corpus(
    out: str | Path, face_model: str | Path, settings: Settings | None = None, *, workers: int | None = None,
    ray: str | None = None, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Render a corpus into the folder `out`, or continue an interrupted run; returns its manifest.

    `face_model` is ``ict_face.npz`` or a clone of ICT-FaceKit; `workers` and `ray` are those of `lowbeam.pool.shared`;
    the machines of a cluster must share the disk of the folder. Raises `UsageError` if a setting is out of range or the
    folder has other contents, `CorpusError` if the face model lacks parts, `OutputError` if a file cannot be written.
    """
    settings = settings or Settings()
    if workers is not None and not 1 <= workers <= 256:
        raise UsageError(f"workers must be from 1 to 256, not {workers}")
    load_face_model(face_model, needed_expressions())  # an error here leaves no folder
    folder = Path(out)
    _claim(folder, settings, face_model)
    jobs = [(folder, face_model, settings, i, name) for i, (_, name) in enumerate(settings.names())]
    about: dict[str, Any] = {}
    for done, (_, found) in enumerate(shared(_render, jobs, workers, ray=ray), 1):
        about |= found
        if progress is not None:
            progress(done * settings.frames, len(jobs) * settings.frames)
    people = [{"name": name, "split": split, **about[name]} for split, name in settings.names()]
    manifest = {
        "kind": "lowbeam rendered corpus", "version": RENDER_VERSION, "settings": settings.stated(),
        "face_model_sha256": _face_model_digest(face_model), "people": people,
        "files": {str(path.relative_to(folder)): _digest(path) for path in _files(folder, settings)},
    }  # fmt: skip
    with whole_file(folder / MANIFEST) as beside:
        beside.write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def _claim(folder: Path, settings: Settings, face_model: str | Path) -> None:
    """Create the folder, or check that it has the same corpus, complete or not."""
    claim = {"version": RENDER_VERSION, **settings.stated(), "face_model_sha256": _face_model_digest(face_model)}
    path = folder / SETTINGS
    try:
        if path.exists():
            if json.loads(path.read_text()) != claim:
                raise UsageError(f"{folder} has a corpus with other settings; name another folder")
            return
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; name another folder")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise OutputError(f"{folder} cannot be used: {reason(error)}") from error
    with whole_file(path) as beside:
        beside.write_text(json.dumps(claim, indent=1) + "\n")


def _paths(folder: Path, name: str) -> dict[str, Path]:
    return {
        "video": folder / "recordings_video" / f"{name}.mp4",
        "times": folder / "recordings_video_frame_time" / f"{name}.csv",
        "valence": folder / "ratings_gold_standard" / "valence" / f"{name}.arff",
        "arousal": folder / "ratings_gold_standard" / "arousal" / f"{name}.arff",
        "boxes": folder / "bbox" / f"{name}.csv",
    }


def _files(folder: Path, settings: Settings) -> Iterator[Path]:
    for _, name in settings.names():
        yield from _paths(folder, name).values()


def _render(job: tuple[Path, str | Path, Settings, int, str]) -> dict[str, dict[str, Any]]:
    """Render one recording unless it exists; returns its properties for the manifest."""
    folder, face_model, settings, index, name = job
    paths = _paths(folder, name)
    model = load_face_model(face_model)
    talker = Talker(
        model, settings.seed, index, settings.frames, settings.fps, settings.size, unconstrained=settings.unconstrained
    )
    if not paths["video"].exists():
        try:
            for path in paths.values():
                path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be written: {reason(error)}") from error
        with whole_file(paths["video"]) as beside:  # it appears last: without it the job is repeated
            boxes = _write_video(talker, beside, settings)
            _write_labels(paths, name, talker.affect, boxes, settings.fps)
    return {name: talker.about()}


def _write_video(talker: Talker, path: Path, settings: Settings) -> list[Box]:
    boxes = []
    rate = Fraction(settings.fps).limit_denominator(1001)
    with av.open(str(path), "w", format="mp4") as container:
        options = {"qp": QP, "preset": "veryfast"}
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width = stream.height = settings.size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.color_range = ColorRange.JPEG
        stream.codec_context.thread_count = 1  # with more, the bytes depend on their number
        for index, shot in enumerate(talker.shots()):
            picture = _grey_frame(shot.picture)
            picture.pts, picture.time_base = index, 1 / rate
            container.mux(stream.encode(picture))
            boxes.append(shot.box)
        container.mux(stream.encode())
    return boxes


def _grey_frame(grey: Grey) -> VideoFrame:
    chroma = np.full((grey.shape[0] // 2, grey.shape[1]), 128, np.uint8)
    picture = VideoFrame.from_ndarray(np.concatenate([grey, chroma]), format="yuv420p")
    picture.color_range = ColorRange.JPEG
    return picture


def _write_labels(paths: dict[str, Path], name: str, affect: NDArray[np.float64], boxes: list[Box], fps: float) -> None:
    times = [f"{i / fps:.6f}" for i in range(len(affect))]
    with whole_file(paths["times"]) as beside:
        beside.write_text("frame;time\n" + "".join(f"{i};{t}\n" for i, t in enumerate(times)))
    with whole_file(paths["boxes"]) as beside:
        rows = (f"{t};{b.x:.2f};{b.y:.2f};{b.side:.2f};{b.side:.2f}\n" for t, b in zip(times, boxes, strict=True))
        beside.write_text("time;left;top;width;height\n" + "".join(rows))
    for kind, values in zip(("valence", "arousal"), affect.T, strict=True):
        with whole_file(paths[kind]) as beside:
            head = (
                f"@relation {kind}\n@attribute name string\n@attribute time numeric\n@attribute value numeric\n@data\n"
            )
            beside.write_text(head + "".join(f"'{name}',{t},{v:.5f}\n" for t, v in zip(times, values, strict=True)))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _face_model_digest(path: str | Path) -> str:
    """SHA-256 of the file, or of all meshes of a clone."""
    source = Path(path)
    if not source.is_dir():
        return _digest(source)
    digests = [_digest(mesh) for mesh in sorted(source.glob("**/*.obj"))]
    return hashlib.sha256("".join(digests).encode()).hexdigest()
