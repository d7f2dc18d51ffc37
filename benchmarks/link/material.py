"""What is sent: recordings joined to one clip, with the estimates that are right for it, and the offline figure.

The clip begins with `LEAD_S` seconds of the end of the material, in which a sender starts and which are not scored.
"""

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

import lowbeam
from lowbeam.codec.wire import quic_bytes
from lowbeam.corpora.avec2016 import recordings
from lowbeam.faces import FaceTracker, YunetDetector
from lowbeam.media import open_video, opened
from lowbeam.metrics import ccc
from lowbeam.pipeline.sources import find_faces
from lowbeam.recognize import Memory, Recognizer

FPS = 25
LEAD_S = 30.0
LEAD_FRAMES = round(LEAD_S * FPS)
RENDERED_S = 16.0  # of each rendered person
SIDE = 512  # pixels of the joined clip; recordings of another shape get black borders
KEPT = Path(tempfile.gettempdir()) / "lowbeam-link-material"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Material:
    """The joined clip at `path`, with valence and arousal at every frame (n, 2), at `time_s` (n,)."""

    path: Path
    time_s: Floats
    affect: Floats


def _joined(name: str, sources: list[Path], most_s: float) -> Path:
    """`sources`, each shortened to `most_s` seconds, joined; kept in a temporary folder."""
    KEPT.mkdir(exist_ok=True)
    path = KEPT / f"{name}.mp4"
    if not path.exists():
        frames = [frame for source in sources for frame in _frames(source, most_s)]
        _write(path, frames[-LEAD_FRAMES:] + frames)
    return path


def real(folder: Path) -> Material:
    """The recordings of real people in `folder`; the truth is the reading of the uncoded clip."""
    path = _joined("real", sorted(folder.glob("*.mp4")), most_s=1000.0)
    return Material(path, *own_estimates(path))


def rendered(folder: Path, split: str = "test") -> Material:
    """The people of a split of the corpus of rendered people in `folder`; the truth is their labels."""
    people = recordings(folder, split)
    path = _joined(f"rendered-{split}", [one.files[0] for one in people], RENDERED_S)
    affect = np.concatenate([one.affect[: round(RENDERED_S * FPS)] for one in people]).astype(np.float64)
    affect = np.concatenate([affect[-LEAD_FRAMES:], affect])
    return Material(path, np.arange(len(affect)) / FPS, affect)


def repeated(material: Material, times: int) -> Path:
    """The clip of `material`, `times` times in a row."""
    path = KEPT / f"{material.path.stem}-{times}.mp4"
    if not path.exists():
        _write(path, chain.from_iterable(_decoded(material.path) for _ in range(times)))
    return path


def _decoded(path: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(path)) as container:
        yield from container.decode(video=0)


def _frames(source: Path, most_s: float) -> list[av.VideoFrame]:
    decoded = [*_decoded(source)]
    times = np.array([frame.time for frame in decoded], np.float64) - float(decoded[0].time or 0)
    count = round(min(most_s, times[-1] + 1 / FPS) * FPS)
    nearest = [int(np.argmin(np.abs(times - n / FPS))) for n in range(count)]
    return [_square(decoded[index]) for index in nearest]


def _square(frame: av.VideoFrame) -> av.VideoFrame:
    ratio = SIDE / max(frame.width, frame.height)
    width, height = (2 * round(ratio * side / 2) for side in (frame.width, frame.height))
    pixels = frame.reformat(width, height, "rgb24").to_ndarray()
    square = np.zeros((SIDE, SIDE, 3), np.uint8)
    top, left = (SIDE - height) // 2, (SIDE - width) // 2
    square[top : top + height, left : left + width] = pixels
    return av.VideoFrame.from_ndarray(square, format="rgb24")


def _write(path: Path, frames: Iterable[av.VideoFrame]) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "10", "preset": "ultrafast"})
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        for index, frame in enumerate(frames):
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def own_estimates(path: Path) -> tuple[Floats, Floats]:
    """Times and estimates (n, 2) of the uncoded faces at every frame, each person with a memory of their own; kept
    beside the clip."""
    known = path.with_suffix(".npz")
    if not known.exists():
        np.savez(known, **_estimated(path))
    found = np.load(known)
    return found["time_s"], found["affect"]


def _estimated(path: Path) -> dict[str, Floats]:
    tracker, recognizer = FaceTracker(YunetDetector()), Recognizer()
    memories: dict[int, Memory | None] = {}
    times, rows = [], []
    with open_video(opened(str(path))) as video:
        for frame in video:
            for face in find_faces(frame, tracker, "primary").faces:
                found, memories[face.id] = recognizer.follow(face.pixels[None], [face.time_s], memories.get(face.id))
                times.append(face.time_s)
                rows.append((float(found.valence[0]), float(found.arousal[0])))
    return {"time_s": np.array(times), "affect": np.array(rows)}


def offline(material: Material, kbps: float) -> dict[str, Any]:
    """As `shown_after_link`, kept beside the clip."""
    kept = KEPT / f"{material.path.stem}-offline-{kbps:g}.json"
    if not kept.exists():
        kept.write_text(json.dumps(shown_after_link(material, kbps)))
    loaded: dict[str, Any] = json.loads(kept.read_text())
    return loaded


def shown_after_link(material: Material, kbps: float) -> dict[str, Any]:
    """The CCC of `lowbeam pack --budget`, counted as the link counts it, each estimate held until the next. Also
    ``over_link``: if every face is shown once its bytes have passed a link of that rate, in order."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "faces.mkv"
        packed = lowbeam.pack(material.path, out, budget=f"{kbps:g}kbps", budget_of="link")
        trace = lowbeam.read(out, faces="all")
        passed_s = _passed_s(out, 1000 * kbps)
    order = np.argsort(trace.time_s, kind="stable")
    affect = np.stack([trace.valence, trace.arousal], 1)[order]
    time_s = trace.time_s[order]
    later_s = np.array([passed_s[round(1000 * one)] for one in time_s.tolist()])
    return {
        **agreement(material, time_s, affect), "faces": packed.coded,
        "over_link": agreement(material, later_s, affect),
        "over_link_p50_s": round(float(np.median(later_s - time_s)), 2),
    }  # fmt: skip


def _passed_s(stream: Path, bps: float) -> dict[int, float]:
    """By the time of each face in milliseconds: when its packet has passed a link of `bps`, in seconds."""
    free_s, found = 0.0, {}
    with av.open(str(stream)) as container:
        for packet in container.demux(video=0):
            if packet.pts is not None and packet.time_base is not None:
                time_s = float(packet.pts * packet.time_base)
                free_s = max(free_s, time_s) + 8 * quic_bytes(np.array([packet.size])) / bps
                found[round(1000 * time_s)] = free_s
    return found


def agreement(material: Material, time_s: Floats, affect: Floats, late_s: float = 0.0) -> dict[str, float]:
    """CCC over all frames after `LEAD_S`, of estimates `affect` (n, 2) that are held from each of `time_s` on until the
    next; compared with the truth `late_s` seconds earlier."""
    scored = material.time_s >= LEAD_S
    at_s = material.time_s[scored]
    truth = material.affect[scored]
    index = np.clip(np.searchsorted(time_s, at_s + late_s + 1e-6, side="right") - 1, 0, None)
    held = affect[index]
    valence, arousal = (ccc(held[:, i], truth[:, i]) for i in range(2))
    return {
        "valence": round(valence, 4), "arousal": round(arousal, 4), "mean": round((valence + arousal) / 2, 4),
    }  # fmt: skip
