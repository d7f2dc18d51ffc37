"""The renderer, on a head of two triangles, and on the real one where it lies at hand."""

from pathlib import Path

import numpy as np
import pytest

rendered = pytest.importorskip("lowbeam.corpora.rendered", reason="the renderer needs the render extra")

from lowbeam import CorpusError  # noqa: E402
from lowbeam.corpora import clip  # noqa: E402
from lowbeam.faces import make_detector  # noqa: E402


def test_a_missing_or_partial_face_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is not a face model"):
        rendered.load_face_model(tmp_path / "none.npz")
    np.savez(tmp_path / "half.npz", neutral=np.zeros((4, 3), np.float32))
    with pytest.raises(CorpusError, match="is not a face model"):
        rendered.load_face_model(tmp_path / "half.npz")


def test_the_nearer_triangle_hides_the_farther() -> None:
    corners = [(0, 20), (20, 20), (0, 0)]  # y runs down: this order faces the camera
    points = np.array([(x, y, z) for z in (1.0, 5.0) for x, y in corners], np.float64)
    colours = np.repeat(np.array([[1, 0, 0], [0, 1, 0]], np.float32), 3, axis=0)
    triangles = np.arange(6, dtype=np.int32).reshape(2, 3)
    for order in (triangles, triangles[::-1].copy()):
        canvas, depth = np.zeros((20, 20, 3), np.float32), np.full((20, 20), -np.inf, np.float32)
        rendered._rasterize(points, order, colours, canvas, depth)
        assert canvas[15, 3].tolist() == [0, 1, 0]
        assert canvas[3, 15].tolist() == [0, 0, 0]


def test_a_triangle_that_faces_away_is_not_drawn() -> None:
    points = np.array([(0, 0, 1), (20, 20, 1), (0, 20, 1)], np.float64)
    canvas, depth = np.zeros((20, 20, 3), np.float32), np.full((20, 20), -np.inf, np.float32)
    rendered._rasterize(points, np.array([[0, 1, 2]], np.int32), np.ones((3, 3), np.float32), canvas, depth)
    assert canvas.max() == 0


def test_the_script_passes_through_every_feeling_and_rest() -> None:
    time_s = np.arange(0, clip.DURATION_S, 0.04)
    affect = clip.truth(time_s)
    assert affect[:, 0].max() > 0.6
    assert affect[:, 0].min() < -0.4
    assert affect[:, 1].min() < -0.2
    assert (np.abs(affect).max(1) == 0).mean() > 0.1
    assert np.abs(np.diff(affect, axis=0)).max() < 0.12  # feelings do not jump


def test_a_person_is_drawn_so_that_a_face_is_found(shared: Path) -> None:
    model = rendered.load_face_model(shared / "data" / "ict_face.npz")
    person = rendered.Person(model, rendered.Looks(np.zeros(60, np.float32)))
    wall = np.full((240, 320, 3), 0.2, np.float32)
    neutral = person.draw(rendered.Pose(), wall, pixels_per_cm=8)
    smile = person.draw(rendered.Pose({"mouthSmile_L": 1.0, "mouthSmile_R": 1.0}), wall, pixels_per_cm=8)
    assert neutral.shape == (240, 320, 3)
    assert len(make_detector()(np.ascontiguousarray(neutral[:, :, 1]))) == 1
    changed = np.abs(neutral.astype(int) - smile).max(2) > 20
    assert 0.001 < changed.mean() < 0.05
    assert np.average(np.arange(240), weights=changed.sum(1)) > 120  # it is the lower face that moves
