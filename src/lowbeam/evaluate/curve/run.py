"""One recording at one operating point: coded, its bytes counted, decoded and estimated. Results are cached under a
digest of all inputs."""

import hashlib
import json
import zipfile
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from lowbeam.codec import CodedFace, OperatingPoint, PlacedFace, open_encoder
from lowbeam.codec.cues import CueChooser
from lowbeam.codec.trip import CodedRun, code, decode, milliseconds, sent_rows
from lowbeam.codec.wire import ByteCounter
from lowbeam.container import FaceStreamWriter
from lowbeam.corpora.labelled import Track
from lowbeam.evaluate.curve.systems import Affect, Readers, System
from lowbeam.face import Box
from lowbeam.files import Pipe, make_folder, whole_file
from lowbeam.scale import FACE_SIDE, Faces

KEPT_VERSION = 2  # of the cached files
PERSON = 1  # the track id in the face stream of a run


@dataclass(frozen=True)
class Weight:
    """Bytes of a run of `faces` over `duration_s` seconds: of the video `payload`; of the face stream as written to a
    pipe in clusters of 2 s (`container`; a file also has an index); on the wire by `rtp` and by `tls`, with boxes."""

    faces: int
    duration_s: float
    payload: int = 0
    container: int = 0
    rtp: int = 0
    tls: int = 0


@dataclass(frozen=True)
class RunResult:
    """The weight of a run and, by system, the estimates for the faces at `time_s`, float64 (n,) in seconds: valence and
    arousal, float32 (n, 2)."""

    weight: Weight
    time_s: NDArray[np.float64]
    readings: dict[str, Affect]


def digest_of(track: Track) -> str:
    """SHA-256 of a recording's faces, times and boxes."""
    digest = hashlib.sha256(np.ascontiguousarray(track.pixels).data)
    digest.update(track.time_s.tobytes() + track.box.tobytes())
    return digest.hexdigest()


class RunCache:
    """Runs cached in a folder: each is coded once for all systems, and estimated once by each system."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def result(
        self, track: Track, digest: str, point: OperatingPoint | None, scale: int, lr: Faces, readers: Readers,
        systems: list[System],
    ) -> RunResult:  # fmt: skip
        """The result of `track` (with its `digest_of`) at `point`, or without a codec at `scale` and full frame rate if
        `point` is None; `lr` are its faces at that scale. Results that are not cached are computed and cached."""
        rows = _rows(track, point)
        key = _key(digest, point, scale)
        place = self._folder / key[:2] / key
        wanted = {system.name: found for system in systems if (found := system.digest(scale)) is not None}
        readings = {}
        for name, weights in wanted.items():
            try:
                readings[name] = np.load(place / f"{weights}.npy")
            except (OSError, ValueError, EOFError):
                continue
        time_s = track.time_s[rows]
        weight, faces = self._coded(place, track, rows, point, lr, need_faces=len(readings) < len(wanted))
        if faces is not None:
            for name, affect in readers.read(set(wanted) - set(readings), scale, faces, time_s).items():
                readings[name] = affect
                with whole_file(place / f"{wanted[name]}.npy") as beside:
                    np.save(beside, affect)
        return RunResult(weight, time_s, readings)

    def _coded(
        self, place: Path, track: Track, rows: NDArray[np.int64], point: OperatingPoint | None, lr: Faces,
        need_faces: bool,
    ) -> tuple[Weight, Faces | None]:  # fmt: skip
        """The weight of a run and, if `need_faces`, its faces as decoded."""
        if point is None:
            make_folder(place)
            return Weight(len(rows), duration_s(track)), lr[rows] if need_faces else None
        run = _load(place / "coded.npz", point)
        if run is None:
            make_folder(place)
            run = code(point, lr[rows], milliseconds(track.time_s[rows]))
            _save(run, place / "coded.npz")
        return weigh(run, track.box[rows], duration_s(track)), decode(run) if need_faces else None


def _rows(track: Track, point: OperatingPoint | None) -> NDArray[np.int64]:
    """Indices of the faces that are coded."""
    if point is None:
        return np.arange(len(track))
    return sent_rows(track.time_s, point.fps)


def duration_s(track: Track) -> float:
    """Duration of the recording in seconds, including the last face, which lasts the median interval."""
    return float(track.time_s[-1] - track.time_s[0] + np.median(np.diff(track.time_s)))


def _key(digest: str, point: OperatingPoint | None, scale: int) -> str:
    """Digest of all that determines the decoded faces: the faces, operating point, and versions of the codecs."""
    about = [KEPT_VERSION, digest, str(point), scale, sorted(av.library_versions.items())]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]


def _save(run: CodedRun, path: Path) -> None:
    data = np.frombuffer(b"".join(face.data for face in run.faces), np.uint8)
    columns = np.array([(len(face.data), face.time_ms, face.is_key) for face in run.faces], np.int64)
    with whole_file(path) as beside:
        np.savez(beside, data=data, columns=columns, header=np.frombuffer(run.header.config, np.uint8))


def _load(path: Path, point: OperatingPoint) -> CodedRun | None:
    """A cached run; None if there is none, or it is damaged."""
    try:
        with np.load(path) as kept:
            data, header = kept["data"].tobytes(), kept["header"].tobytes()
            faces, start = [], 0
            for size, time_ms, is_key in kept["columns"].tolist():
                faces.append(CodedFace(data[start : start + size], time_ms, bool(is_key)))
                start += size
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    described = open_encoder(point)
    described.flush()
    return CodedRun(point, replace(described.header, config=header), faces)


def weigh(run: CodedRun, boxes: NDArray[np.float32], duration_s: float) -> Weight:
    """The weight of `run` with its `boxes`, float32 (n, 3); as in a face stream, a box is sent when it has moved."""
    header, counter = run.header, ByteCounter()
    cues = CueChooser(header.scale, header.padding)
    target = Pipe(BytesIO())
    with FaceStreamWriter(target, (FACE_SIDE, FACE_SIDE)) as writer:
        track = writer.add_track(header, run.point)
        for face, box in zip(run.faces, boxes.tolist(), strict=True):
            placed = PlacedFace(face, cues.before(PERSON, Box(*box), header.scale, header.padding))
            cues.sent(placed.cues)
            track.write(placed)
            counter.add(face.time_ms / 1000, len(face.data), placed.cue_bytes)
    return Weight(len(counter), duration_s, counter.payload, target.size, counter.rtp, counter.tls)
