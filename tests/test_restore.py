"""Restored faces: the network that ships, and how they are shown."""

from pathlib import Path

import numpy as np
import pytest

import lowbeam
from lowbeam.errors import ModelError, UsageError
from lowbeam.media import VideoSource
from lowbeam.restore import RESTORERS, Restorer, shipped_restorers
from lowbeam.scale import SCALES, Faces, resample, shrink
from lowbeam.sinks.overlay import RESTORED


def psnr(faces: Faces, hr: Faces) -> float:
    """Mean over faces, in dB."""
    return float(np.mean(10 * np.log10(255**2 / ((faces.astype(float) - hr) ** 2).mean((1, 2)))))


def test_restored_faces_are_nearer_to_the_truth_than_interpolated_ones(hr_faces: Faces) -> None:
    restorer = Restorer()
    for scale in (3, 4, 6, 8):
        small = shrink(hr_faces[::5], scale)
        assert psnr(restorer(small), hr_faces[::5]) > psnr(resample(small, 96), hr_faces[::5]) + 0.2, scale


def test_a_face_of_full_detail_is_left_nearly_as_it_is(hr_faces: Faces) -> None:
    assert psnr(Restorer()(hr_faces[::10]), hr_faces[::10]) > 35


def test_faces_of_every_side_are_restored_one_as_many(hr_faces: Faces) -> None:
    restorer = Restorer()
    for scale in SCALES:
        small = shrink(hr_faces[:3], scale)
        together = restorer(small)
        assert (together.shape, together.dtype) == ((3, 96, 96), np.uint8)
        assert np.abs(together[1].astype(int) - restorer(small[1:2])[0]).max() <= 1
    assert restorer(hr_faces[:0]).shape == (0, 96, 96)


def test_what_ships_is_small_and_has_a_card() -> None:
    assert shipped_restorers() == ["face-restorer"]
    for name in shipped_restorers():
        assert (RESTORERS / f"{name}.onnx").stat().st_size <= 5_000_000
        assert (RESTORERS / f"{name}.md").stat().st_size > 500


@pytest.mark.parametrize("model", ["best", lowbeam.recognize.WEIGHTS / "fast.onnx", Path(__file__)])
def test_what_is_no_restorer_is_refused(model: str | Path) -> None:
    with pytest.raises(ModelError, match=r"restorer|fast.onnx|test_restore.py is not an ONNX model"):
        Restorer(model)
    for threads in (-1, 0, 10**6):
        with pytest.raises(UsageError, match="threads must be from 1 to"):
            Restorer(threads=threads)
    with pytest.raises(ModelError, match="neither a file nor a shipped restorer"):
        Restorer("x" * 5000)


@pytest.mark.parametrize("shape", [(1, 5, 5), (1, 97, 97), (1, 12, 13), (12, 12)])
def test_faces_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="faces"):
        Restorer()(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("kind", ["stream", "video"])
def test_an_overlay_shows_the_restored_face_beside_what_was_received(
    kind: str, short_clip: Path, face_stream: Path, tmp_path: Path
) -> None:
    source = face_stream if kind == "stream" else short_clip
    plain = lowbeam.read(source, overlay=tmp_path / "plain.mp4")
    trace = lowbeam.read(source, overlay=tmp_path / "both.mp4", restore=True)
    assert np.array_equal(trace.valence, plain.valence)  # what is read is what was received
    pictures = []
    for name in ("plain", "both"):
        with VideoSource(tmp_path / f"{name}.mp4") as video:
            pictures.append(next(iter(video)).rgb.astype(int))
    differs = np.abs(pictures[1] - pictures[0]).max(axis=2) > 60
    rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
    assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=16)  # a square, beside the face or in the corner
    assert np.ptp(rows) > 100
    yellow = (np.abs(pictures[1] - np.array(RESTORED)) < 50).all(axis=2)
    assert yellow.sum() > 2 * np.ptp(rows)
    assert not (np.abs(pictures[0] - np.array(RESTORED)) < 50).all(axis=2).any()


def test_restoring_needs_an_overlay_to_show_it_in(face_stream: Path) -> None:
    with pytest.raises(UsageError, match="--restore requires --overlay"):
        lowbeam.read(face_stream, restore=True)
