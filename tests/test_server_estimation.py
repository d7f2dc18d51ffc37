"""Estimates of several recordings together."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason="SQLAlchemy comes with the extra serve")

from lowbeam.estimator import Estimator
from lowbeam.face import Box, Face
from lowbeam.scale import Faces
from lowbeam.server.estimation import estimate_together
from lowbeam.server.followed import Arrival, Followed


def arrivals(faces: Faces, *, since_s: float = 0.0, person: int = 0) -> list[Arrival]:
    """Final faces of one person, ten a second."""
    box = Box(10.0, 10.0, 80.0)
    return [
        Arrival(number, Face(since_s + number / 10, person, box, pixels), True, 0.0)
        for number, pixels in enumerate(faces)
    ]


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    return Estimator()


def test_people_are_estimated_together_as_each_would_be_alone(estimator: Estimator, hr_faces: Faces) -> None:
    parts = [arrivals(hr_faces[:4]), arrivals(hr_faces[5:12], person=3), arrivals(hr_faces[20:22, ::2, ::2])]
    together = estimate_together(estimator, [(Followed(), part) for part in parts])
    for part, rows in zip(parts, together, strict=True):
        expected, _ = estimator.follow([one.face for one in part], None)
        assert rows is not None
        assert [row.number for row, _ in rows] == [one.number for one in part]
        np.testing.assert_allclose([row.estimate.valence for row, _ in rows], expected.valence, atol=1e-5)
        np.testing.assert_allclose([row.estimate.arousal_std for row, _ in rows], expected.arousal_std, atol=1e-5)


def test_the_memory_of_a_recording_outlives_the_server(estimator: Estimator, hr_faces: Faces) -> None:
    faces = arrivals(hr_faces[:10])
    (whole,) = estimate_together(estimator, [(Followed(), faces)])
    before = Followed()
    (first,) = estimate_together(estimator, [(before, faces[:6])])
    (rest,) = estimate_together(estimator, [(Followed(before.save()), faces[6:])])
    assert whole is not None and first is not None and rest is not None  # noqa: PT018
    estimates = [np.array([row.estimate for row, _ in rows]) for rows in (whole, first + rest)]
    np.testing.assert_allclose(estimates[0], estimates[1], atol=1e-5)


def test_provisional_faces_leave_the_memory_of_final_ones_alone(estimator: Estimator, hr_faces: Faces) -> None:
    faces = arrivals(hr_faces[:6])
    shown = [Arrival(one.number, one.face, False, one.arrived_utc) for one in faces[3:]]
    (expected,) = estimate_together(estimator, [(Followed(), faces)])
    (found,) = estimate_together(estimator, [(Followed(), [*faces[:1], *shown, *faces[1:]])])
    assert expected is not None and found is not None  # noqa: PT018
    finals = [row.estimate for row, _ in found if row.is_final]
    np.testing.assert_allclose(np.array(finals), np.array([row.estimate for row, _ in expected]), atol=1e-5)


def test_a_recording_whose_face_cannot_be_estimated_does_not_disturb_the_others(
    estimator: Estimator, hr_faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow, broken = estimator.follow_people, hr_faces[7]

    def failing(faces: list[Face], *others: Any) -> Any:
        if any((face.pixels == broken).all() for face in faces):
            raise RuntimeError("a defect")
        return follow(faces, *others)

    monkeypatch.setattr(estimator, "follow_people", failing)
    parts = [arrivals(hr_faces[:5]), arrivals(hr_faces[5:10]), arrivals(hr_faces[10:15])]
    first, second, third = estimate_together(estimator, [(Followed(), part) for part in parts])
    assert second is None
    assert first is not None and len(first) == 5  # noqa: PT018
    assert third is not None and len(third) == 5  # noqa: PT018


def test_a_final_face_that_comes_twice_is_new_once_until_it_is_settled(hr_faces: Faces) -> None:
    followed, faces = Followed(), arrivals(hr_faces[:6])
    assert followed.new(faces[:4]) == faces[:4]
    assert followed.new(faces[2:]) == faces[4:]
    provisional = Arrival(9, faces[0].face, False, 0.0)
    assert followed.new([provisional]) == followed.new([provisional]) == [provisional]
    followed.settle(6)
    assert followed.new(faces[:1]) == faces[:1]
