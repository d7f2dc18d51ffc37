"""Finding, following and cutting faces."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lowbeam.errors import ModelError
from lowbeam.face import Box, Grey
from lowbeam.faces import FaceTracker, YunetDetector, crop, detect
from lowbeam.faces.detect import MODEL, SIDE
from lowbeam.faces.smooth import OneEuroFilter
from lowbeam.faces.track import RECALL_S

WALL = 120


@pytest.fixture(scope="module")
def head(short_frames: list[NDArray[np.uint8]]) -> Grey:
    """The clip's person at rest, cut out, 280×280."""
    return np.asarray(Image.fromarray(short_frames[0]).convert("L"))[10:290, 190:470]


def scene(head: Grey, x: float, y: float, size: tuple[int, int] = (640, 360)) -> Grey:
    """The head pasted with its upper left corner at a sub-pixel place."""
    canvas = Image.new("L", size, WALL)
    left, top = int(np.floor(x)), int(np.floor(y))
    shifted = Image.fromarray(head).transform(
        head.shape[::-1], Image.Transform.AFFINE, (1, 0, left - x, 0, 1, top - y), Image.Resampling.BILINEAR
    )
    canvas.paste(shifted, (left, top))
    return np.asarray(canvas)


def test_crop_inside_the_frame_is_the_frame_resampled() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (200, 300), np.uint8)
    assert np.array_equal(crop(grey, Box(50, 60, 96)), grey[60:156, 50:146])


def test_crop_repeats_the_border_where_it_leaves_the_frame() -> None:
    grey = np.tile(np.arange(100, dtype=np.uint8), (100, 1))
    face = crop(grey, Box(-48, 0, 96))
    assert (face[:, :46] == 0).all()
    assert np.array_equal(face[:, 48:], grey[:96, :48])
    assert (crop(grey, Box(500, 500, 50)) == 99).all()


@pytest.mark.parametrize("side", [0.5, 1, 7.3, 95.9, 400, 3000])
def test_crop_is_always_96_pixels(side: float) -> None:
    grey = np.full((33, 47), 77, np.uint8)
    face = crop(grey, Box(3.3, -2.2, side))
    assert face.shape == (96, 96)
    assert (face == 77).all()


def test_the_face_fills_its_square_as_the_training_faces_do(head: Grey) -> None:
    found = YunetDetector()(scene(head, 200, 60))
    assert len(found) == 1
    # In the mean face of FER2013 the eyes lie at 38 % of the height and the mouth at 78 %, darker than what is between.
    face = crop(scene(head, 200, 60), found[0].box)
    pupils, mouth = 30 + face[30:50, 20:76].min(1).argmin(), 60 + face[60:90, 40:56].mean(1).argmin()
    assert 32 <= pupils <= 44
    assert 64 <= mouth <= 79


@pytest.mark.parametrize("factor", [0.3, 0.5, 1.0, 2.0])
def test_faces_of_many_sizes_are_found_in_proportion(head: Grey, factor: float) -> None:
    grey = scene(head, 200, 60)
    resized = Image.fromarray(grey).resize((round(640 * factor), round(360 * factor)), Image.Resampling.LANCZOS)
    reference = FaceTracker(YunetDetector()).update(grey, 0.0)[0].box
    found = FaceTracker(YunetDetector()).update(np.asarray(resized), 0.0)
    assert len(found) == 1
    assert found[0].box.scaled(1 / factor).overlap(reference) > 0.7


def test_the_box_does_not_lag_behind_a_nod(head: Grey) -> None:
    tracker = FaceTracker(YunetDetector())
    offsets = []
    for i in range(75):
        time_s = i / 25
        y = 60 + (25 * np.sin(2 * np.pi * 1.5 * time_s) if time_s > 1 else 0.0)  # a nod of a tenth of the head, 1.5 Hz
        box = tracker.update(scene(head, 200, y), time_s)[0].box
        offsets.append((box.centre[1] - y) / box.side)
    still, nodding = np.array(offsets[5:25]), np.array(offsets[30:])
    assert np.abs(nodding - still.mean()).max() < 0.05


def test_the_box_is_still_when_the_face_is(head: Grey) -> None:
    rng = np.random.default_rng(1)
    tracker = FaceTracker(YunetDetector())
    places = []
    for i in range(50):
        noisy = scene(head, 200, 60).astype(float) + rng.normal(0, 4, (360, 640))
        box = tracker.update(np.clip(noisy, 0, 255).astype(np.uint8), i / 25)[0].box
        places.append((*box.centre, box.side))
    assert np.std(places[10:], axis=0).max() < 0.015 * box.side


def gone_between(start_s: float, end_s: float, head: Grey) -> Iterator[tuple[float, list[int]]]:
    tracker = FaceTracker(YunetDetector())
    for i in range(round(25 * (end_s + 1))):
        time_s = i / 25
        away = start_s <= time_s < end_s
        grey = np.full((360, 640), WALL, np.uint8) if away else scene(head, 200, 60)
        yield time_s, [s.face for s in tracker.update(grey, time_s)]


def test_a_face_that_comes_back_soon_keeps_its_id_and_is_absent_between(head: Grey) -> None:
    seen = dict(gone_between(1.0, 2.0, head))
    assert all(faces == [0] for time_s, faces in seen.items() if time_s < 1 or time_s > 2.4)
    assert all(faces == [] for time_s, faces in seen.items() if 1.1 < time_s < 2)


def test_a_face_that_comes_late_is_another(head: Grey) -> None:
    seen = dict(gone_between(1.0, 1.5 + RECALL_S, head))
    assert seen[max(seen)] == [1]


def test_a_black_frame_ends_a_track_within_a_tenth_of_a_second(head: Grey) -> None:
    tracker = FaceTracker(YunetDetector())
    assert tracker.update(scene(head, 200, 60), 0.0)
    tracker.update(np.zeros((360, 640), np.uint8), 0.04)
    assert not tracker.update(np.zeros((360, 640), np.uint8), 0.08)


def test_the_largest_face_is_primary_and_ids_stay_with_their_faces(head: Grey) -> None:
    small = np.asarray(Image.fromarray(head).resize((150, 150)))
    tracker = FaceTracker(YunetDetector())
    ids = set()
    for i in range(20):
        both = scene(head, 330, 60).copy()
        both[80:230, 30 + i : 180 + i] = small
        sightings = tracker.update(both, i / 25)
        assert len(sightings) == 2
        assert sightings[0].box.side > sightings[1].box.side
        left = min(sightings, key=lambda s: s.box.x)
        ids.add((left.face, sightings[0].face))
    assert len(ids) == 1


def test_tiny_frames_hold_no_face_and_do_no_harm() -> None:
    for shape in ((1, 1), (1, 500), (7, 3)):
        assert FaceTracker(YunetDetector()).update(np.zeros(shape, np.uint8), 0.0) == []


def test_the_filter_follows_a_step_fast_and_irons_out_noise() -> None:
    rng = np.random.default_rng(0)
    smooth = OneEuroFilter(rest_hz=1.0, speed_gain=40.0)
    still = [smooth(v, i / 25) for i, v in enumerate(rng.normal(0, 0.002, 50))]
    assert np.std(still[10:]) < 0.5 * 0.002 * 1.5
    moved = [smooth(1.0, 2 + i / 25) for i in range(4)]
    assert moved[2] > 0.9


def test_detections_are_those_of_opencv(short_frames: list[NDArray[np.uint8]]) -> None:
    cv2 = pytest.importorskip("cv2", reason="OpenCV comes with the dev extra")
    theirs = cv2.FaceDetectorYN.create(str(MODEL), "", (320, 320), 0.5, 0.3)
    ours, rng, count = YunetDetector(), np.random.default_rng(0), 0
    for index in range(100):
        frame = Image.fromarray(short_frames[index % len(short_frames)]).convert("L")
        size = tuple(rng.integers(90, 500, 2).tolist())
        grey = np.asarray(frame.rotate(rng.uniform(-40, 40)).resize(size, Image.Resampling.BILINEAR))
        theirs.setInputSize(grey.shape[::-1])
        _, rows = theirs.detect(np.repeat(grey[:, :, None], 3, axis=2))
        found = [one for one in ours(grey) if one.score >= 0.5]
        assert len(found) == (0 if rows is None else len(rows))
        for one, (x, y, width, height, *_, score) in zip(found, [] if rows is None else rows.tolist(), strict=True):
            assert one.score == pytest.approx(score, abs=1e-3)
            assert one.box.overlap(Box.around(x + width / 2, y + height / 2, SIDE * width)) > 0.7  # ours is a mean
            count += 1
    assert count > 40


def test_a_missing_model_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(detect, "MODEL", tmp_path / "yunet.onnx")
    with pytest.raises(ModelError, match="install the package again"):
        YunetDetector()


@pytest.mark.parametrize("angle", [-35, 35])
def test_a_tilted_face_is_found(head: Grey, angle: float) -> None:
    tilted = np.asarray(Image.fromarray(scene(head, 200, 60)).rotate(angle, fillcolor=WALL))
    assert len(FaceTracker(YunetDetector()).update(tilted, 0.0)) == 1


def test_a_small_face_is_found_and_followed(head: Grey) -> None:
    small = Image.fromarray(head).resize((40, 40), Image.Resampling.LANCZOS)  # the face in it is about 34 px high
    tracker = FaceTracker(YunetDetector())
    for i in range(25):
        canvas = Image.new("L", (640, 360), WALL)
        canvas.paste(small, (300 + i, 150))
        sightings = tracker.update(np.asarray(canvas), i / 25)
        assert [s.face for s in sightings] == [0], i
        assert 25 < sightings[0].box.side < 42


def test_two_faces_that_pass_each_other_keep_their_ids(head: Grey) -> None:
    face = Image.fromarray(head).resize((140, 140))
    tracker = FaceTracker(YunetDetector())
    sides = []
    for i in range(50):
        canvas = Image.new("L", (640, 360), WALL)
        canvas.paste(face, (20 + 8 * i, 20))
        canvas.paste(face, (480 - 8 * i, 190))
        sightings = {s.face: s.box.centre for s in tracker.update(np.asarray(canvas), i / 25)}
        assert len(sightings) == 2, i
        sides.append({face: centre[1] < 180 for face, centre in sightings.items()})
    assert all(side == sides[0] for side in sides)


@pytest.mark.parametrize("count", [4, 6])
def test_many_small_faces_in_a_large_frame_stay_in_view(head: Grey, count: int) -> None:
    small = Image.fromarray(head).resize((90, 90), Image.Resampling.LANCZOS)
    tracker, found = FaceTracker(YunetDetector()), []
    for i in range(15):
        canvas = Image.new("L", (1280, 720), WALL)
        for n in range(count):
            canvas.paste(small, (60 + 190 * n + i, 120 + 200 * (n % 2)))
        found.append(len(tracker.update(np.asarray(canvas), i / 25)))
    assert min(found) == count


def test_a_face_that_hides_behind_another_leaves_one_track(head: Grey) -> None:
    face = Image.fromarray(head).resize((150, 150))
    tracker = FaceTracker(YunetDetector())
    for i in range(40):
        canvas = Image.new("L", (640, 360), WALL)
        canvas.paste(face, (max(230, 420 - 10 * i), 100))
        canvas.paste(face, (230, 100))
        sightings = tracker.update(np.asarray(canvas), i / 25)
    assert len(sightings) == 1


def test_another_face_does_not_become_primary_for_a_moment(head: Grey) -> None:
    large, small = (Image.fromarray(head).resize((side, side)) for side in (220, 120))
    tracker = FaceTracker(YunetDetector())
    for i in range(30):
        canvas = Image.new("L", (640, 360), WALL)
        if i != 20:
            canvas.paste(large, (20, 60))
        canvas.paste(small, (400, 100))
        tracker.update(np.asarray(canvas), i / 10)
        assert tracker.is_primary_away == (i == 20), i


def test_smoothing_is_the_same_wherever_the_value_is() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.3, 60)
    near, far = OneEuroFilter(1.0, 40.0), OneEuroFilter(1.0, 40.0)
    for i, value in enumerate(noise):
        unit = 100 + rng.normal(0, 1)
        assert far(value + 900, i / 25, unit) - 900 == pytest.approx(near(value, i / 25, unit), abs=1e-9)


def test_a_face_is_found_soon_at_one_frame_a_second(head: Grey) -> None:
    tracker = FaceTracker(YunetDetector())
    wall = np.full((360, 640), WALL, np.uint8)
    seen = [bool(tracker.update(scene(head, 200, 60) if t >= 3 else wall, float(t))) for t in range(6)]
    assert seen == [False, False, False, True, True, True]
