"""The shipped weights, through ONNX Runtime."""

import json
from pathlib import Path

import numpy as np
import pytest

from lowbeam import ModelError, Recognizer, UsageError, shipped_models
from lowbeam.recognize import MAX_BATCH, WEIGHTS
from lowbeam.scale import SCALES, Faces, resample, shrink


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer()


@pytest.mark.parametrize("side", range(6, 97, 5))
def test_reads_faces_of_any_side(side: int, recognizer: Recognizer, hr_faces: Faces) -> None:
    reading = recognizer(resample(hr_faces[:3], side))
    for values in (reading.valence, reading.arousal, reading.valence_std, reading.arousal_std):
        assert values.shape == (3,)
        assert values.dtype == np.float32
    assert np.abs(reading.valence).max() <= 1
    assert np.abs(reading.arousal).max() <= 1
    assert reading.valence_std.min() > 0


def test_a_smile_raises_valence_down_to_twelve_pixels(recognizer: Recognizer, hr_faces: Faces) -> None:
    for scale in (1, 2, 3, 4, 6, 8):  # the clip's person is at rest at 2 s, and smiles at 3.4 s
        reading = recognizer(shrink(hr_faces, scale))
        assert reading.valence[30:40].mean() > reading.valence[:8].mean() + 0.15, f"at scale {scale}"


def test_the_deviation_grows_as_the_face_shrinks(recognizer: Recognizer, hr_faces: Faces) -> None:
    spread = [recognizer(shrink(hr_faces, scale)).valence_std.mean() for scale in SCALES]
    assert spread[-1] > 1.5 * spread[0]
    assert spread[SCALES.index(16)] > spread[SCALES.index(8)] > spread[SCALES.index(4)]


def test_a_face_reads_the_same_alone_and_in_a_batch(recognizer: Recognizer, hr_faces: Faces) -> None:
    many = np.concatenate([hr_faces, hr_faces])[: MAX_BATCH + 7]
    together = recognizer(many)
    alone = np.array([recognizer(face[None]).valence[0] for face in many])
    assert np.allclose(together.valence, alone, atol=1e-5)


def test_no_faces_give_no_readings(recognizer: Recognizer) -> None:
    assert len(recognizer(np.zeros((0, 12, 12), np.uint8))) == 0


def test_flat_faces_read_as_numbers(recognizer: Recognizer) -> None:
    flat = np.stack([np.full((12, 12), grey, np.uint8) for grey in (0, 128, 255)])
    assert np.isfinite(recognizer(flat).valence).all()


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 5, 5), np.uint8), np.zeros((1, 97, 97), np.uint8), np.zeros((1, 12, 13), np.uint8),
        np.zeros((12, 12), np.uint8), np.zeros((1, 12, 12), np.float32),
    ],
)  # fmt: skip
def test_what_is_no_batch_of_faces_is_refused(wrong: np.ndarray, recognizer: Recognizer) -> None:
    with pytest.raises(UsageError):
        recognizer(wrong)


def test_a_missing_or_foreign_model_is_named(tmp_path: object) -> None:
    with pytest.raises(ModelError, match="neither a file nor one that ships: accurate, fast"):
        Recognizer("none")
    with pytest.raises(ModelError, match="is not an ONNX model that this lowbeam can run"):
        Recognizer(__file__)
    with pytest.raises(UsageError, match="threads must be from 1 to"):
        Recognizer(threads=0)


@pytest.mark.parametrize(
    "about",
    [
        '{"format": 3, "grid": 48, "calibration": {"side": [48], "factor": [[1, 1]]}}',
        '{"format": 1, "grid": 48, "calibration": {"side": [48], "factor": [[1, 1]]}, "memory": {}}',
        '{"format": 1, "grid": 100000000, "calibration": {"side": [48], "factor": [[1, 1]]}}',
        '{"format": 1, "grid": 7, "calibration": {"side": [48], "factor": [[1, 1]]}}',
        '{"format": 1, "grid": 48, "calibration": {"side": [48], "factor": [[1]]}}',
        '{"format": 1, "grid": 48, "calibration": {"side": [48], "factor": [[NaN, 1]]}}', "[]", "{",
        '{"format": 1, "grid": 48, "calibration": {"side": [48], "factor": [[-1, 1]]}}',
        '{"format": 1, "grid": 48, "calibration": {"side": [48, 6], "factor": [[1, 1], [1, 1]]}}',
        '{"format": 1, "grid": 48, "calibration": {"side": [], "factor": []}}',
        '{"format": 1, "grid": 48, "calibration": {"side": [48], "factor": [[1, 1]], "power": [[1]]}}',
    ],
)  # fmt: skip
def test_a_model_with_hostile_metadata_is_refused(about: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx comes with the train extra")
    model = onnx.load(WEIGHTS / "fast.onnx")
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {"lowbeam": about})
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="is not an ONNX model that this lowbeam can run"):
        Recognizer(tmp_path / "m.onnx")


def test_a_model_whose_memory_is_broken_is_refused_at_once(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx comes with the train extra")
    model = onnx.load(WEIGHTS / "fast.onnx")
    model.graph.output.remove(next(output for output in model.graph.output if output.name == "steady_std"))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="is not an ONNX model that this lowbeam can run"):
        Recognizer(tmp_path / "m.onnx")


def test_every_model_ships_small_with_its_card_and_figures() -> None:
    assert shipped_models() == ["accurate", "fast"]
    for name in shipped_models():
        assert (WEIGHTS / f"{name}.onnx").stat().st_size <= 5e6
        assert "## Limits" in (WEIGHTS / f"{name}.md").read_text()
        figures = json.loads((WEIGHTS / f"{name}.json").read_text())
        assert set(figures["systems"][f"lowbeam {name}"]) == {str(scale) for scale in SCALES}
