"""Finding, following and cutting faces."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lowbeam.errors import ModelError, UsageError
from lowbeam.face import Box, Grey
from lowbeam.faces import FaceTracker, crop, make_detector
from lowbeam.faces.smooth import OneEuroFilter
from lowbeam.faces.track import RECALL_S
from lowbeam.recognize import WEIGHTS

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
    boxes = make_detector()(scene(head, 200, 60))
    assert len(boxes) == 1
    # In the mean face of FER2013 the eyes lie at 38 % of the height and the mouth at 78 %, darker than what is between.
    face = crop(scene(head, 200, 60), boxes[0])
    pupils, mouth = 30 + face[30:50, 20:76].min(1).argmin(), 60 + face[60:90, 40:56].mean(1).argmin()
    assert 32 <= pupils <= 44
    assert 64 <= mouth <= 79


@pytest.mark.parametrize("factor", [0.3, 0.5, 1.0, 2.0])
def test_faces_of_many_sizes_are_found_in_proportion(head: Grey, factor: float) -> None:
    grey = scene(head, 200, 60)
    resized = Image.fromarray(grey).resize((round(640 * factor), round(360 * factor)), Image.Resampling.LANCZOS)
    reference = FaceTracker(make_detector()).update(grey, 0.0)[0].box
    found = FaceTracker(make_detector()).update(np.asarray(resized), 0.0)
    assert len(found) == 1
    assert found[0].box.scaled(1 / factor).overlap(reference) > 0.7


def test_the_box_does_not_lag_behind_a_nod(head: Grey) -> None:
    tracker = FaceTracker(make_detector())
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
    tracker = FaceTracker(make_detector())
    places = []
    for i in range(50):
        noisy = scene(head, 200, 60).astype(float) + rng.normal(0, 4, (360, 640))
        box = tracker.update(np.clip(noisy, 0, 255).astype(np.uint8), i / 25)[0].box
        places.append((*box.centre, box.side))
    assert np.std(places[10:], axis=0).max() < 0.015 * box.side


def gone_between(start_s: float, end_s: float, head: Grey) -> Iterator[tuple[float, list[int]]]:
    tracker = FaceTracker(make_detector())
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


def test_a_black_frame_ends_a_track_at_once(head: Grey) -> None:
    tracker = FaceTracker(make_detector())
    assert tracker.update(scene(head, 200, 60), 0.0)
    assert not tracker.update(np.zeros((360, 640), np.uint8), 0.04)


def test_the_largest_face_is_primary_and_ids_stay_with_their_faces(head: Grey) -> None:
    small = np.asarray(Image.fromarray(head).resize((150, 150)))
    tracker = FaceTracker(make_detector())
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
        assert FaceTracker(make_detector()).update(np.zeros(shape, np.uint8), 0.0) == []


def test_the_filter_follows_a_step_fast_and_irons_out_noise() -> None:
    rng = np.random.default_rng(0)
    smooth = OneEuroFilter(rest_hz=1.0, speed_gain=40.0)
    still = [smooth(v, i / 25) for i, v in enumerate(rng.normal(0, 0.002, 50))]
    assert np.std(still[10:]) < 0.5 * 0.002 * 1.5
    moved = [smooth(1.0, 2 + i / 25) for i in range(4)]
    assert moved[2] > 0.9


def write_bright_spot_yunet(path: Path) -> None:
    """A network of YuNet's inputs and outputs that takes bright cells of 32 px for faces of e × 32 px."""
    onnx = pytest.importorskip("onnx", reason="onnx comes with the train extra")
    make, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes, outputs, constants = [], [], []

    def constant(name: str, values: list, dtype: int = kind) -> str:
        constants.append(make.make_tensor(name, dtype, [len(values)], values))
        return name

    ones, axes = constant("cells", [1, -1, 1], onnx.TensorProto.INT64), constant("axes", [1], onnx.TensorProto.INT64)
    for stride in (8, 16, 32):
        scale = constant(f"scale_{stride}", [1 / 255 if stride == 32 else 0.0])
        nodes += [
            make.make_node("AveragePool", ["input"], [f"p{stride}"], kernel_shape=[stride] * 2, strides=[stride] * 2),
            make.make_node("ReduceMean", [f"p{stride}", axes], [f"m{stride}"], keepdims=1),
            make.make_node("Reshape", [f"m{stride}", ones], [f"r{stride}"]),
            make.make_node("Mul", [f"r{stride}", scale], [f"cls_{stride}"]),
            make.make_node("Mul", [f"r{stride}", scale], [f"obj_{stride}"]),
        ]
        for name, row in (("bbox", [0.0, 0.0, 1.0, 1.0]), ("kps", [0.0] * 10)):
            nothing, offset = constant(f"zero_{name}_{stride}", [0.0]), constant(f"{name}_row_{stride}", row)
            nodes += [
                make.make_node("Mul", [f"r{stride}", nothing], [f"z_{name}_{stride}"]),
                make.make_node("Add", [f"z_{name}_{stride}", offset], [f"{name}_{stride}"]),
            ]
    for name, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
        outputs += [make.make_tensor_value_info(f"{name}_{s}", kind, [1, None, width]) for s in (8, 16, 32)]
    image = make.make_tensor_value_info("input", kind, [1, 3, 640, 640])
    graph = make.make_graph(nodes, "yunet", [image], outputs, constants)
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=8), path)


def test_yunet_boxes_come_in_the_framing(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="OpenCV comes with the yunet extra")
    write_bright_spot_yunet(tmp_path / "spot.onnx")
    grey = np.zeros((320, 384), np.uint8)
    grey[96:128, 192:224] = 255
    boxes = make_detector(f"yunet:{tmp_path / 'spot.onnx'}")(grey)
    assert len(boxes) == 1
    assert boxes[0].side == pytest.approx(np.e * 32, rel=0.01)
    assert boxes[0].centre == pytest.approx((192, 96), abs=1)


def test_a_foreign_yunet_file_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="OpenCV comes with the yunet extra")
    (tmp_path / "words.onnx").write_text("not a network")
    for foreign in (tmp_path / "words.onnx", WEIGHTS / "fast.onnx"):
        with pytest.raises(ModelError, match="is not a YuNet model"):
            make_detector(f"yunet:{foreign}")


def test_smoothing_is_the_same_wherever_the_value_is() -> None:
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.3, 60)
    near, far = OneEuroFilter(1.0, 40.0), OneEuroFilter(1.0, 40.0)
    for i, value in enumerate(noise):
        unit = 100 + rng.normal(0, 1)
        assert far(value + 900, i / 25, unit) - 900 == pytest.approx(near(value, i / 25, unit), abs=1e-9)


def test_a_face_is_found_soon_at_one_frame_a_second(head: Grey) -> None:
    tracker = FaceTracker(make_detector())
    wall = np.full((360, 640), WALL, np.uint8)
    seen = [bool(tracker.update(scene(head, 200, 60) if t >= 3 else wall, float(t))) for t in range(6)]
    assert seen == [False, False, False, True, True, True]


def test_another_detector_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="is not one of dlib, yunet:PATH"):
        make_detector("haar")
    with pytest.raises((UsageError, ModelError), match=r"pip install 'lowbeam\[yunet\]'|is missing"):
        make_detector("yunet:/nowhere.onnx")
