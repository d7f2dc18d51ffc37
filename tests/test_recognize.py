"""The shipped weights, through ONNX Runtime."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowbeam import ModelError, Recognizer, UsageError, onnx_session, shipped_models
from lowbeam.face import Expressions
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


@pytest.mark.parametrize("model", shipped_models())
def test_expressions_are_probabilities_and_change_no_estimate(model: str, hr_faces: Faces) -> None:
    plain, telling = Recognizer(model), Recognizer(model, expressions=True)
    faces = shrink(hr_faces, 3)
    assert plain(faces).expressions is None
    found = telling(faces)
    assert found.expressions is not None
    assert found.expressions.shape == (len(faces), len(Expressions._fields))
    assert np.allclose(found.expressions.sum(1), 1, atol=1e-5)
    assert np.array_equal(found.valence, plain(faces).valence)
    smiling = found.expressions[:, Expressions._fields.index("happiness")]
    assert smiling[30:40].mean() > smiling[:8].mean() + 0.15  # the clip's person smiles at 3.4 s


def test_expressions_with_memory_are_those_of_each_face_by_itself(hr_faces: Faces) -> None:
    telling = Recognizer(expressions=True)
    faces, times = shrink(hr_faces, 3)[:9], np.arange(9) / 5
    alone, (followed, _) = telling(faces), telling.follow(faces, times)
    people, _ = telling.follow_people(faces, times, [None] * 9)
    assert np.allclose(alone.expressions, followed.expressions, atol=1e-5)
    assert np.allclose(alone.expressions, people.expressions, atol=1e-5)
    assert telling(np.zeros((0, 12, 12), np.uint8)).expressions.shape == (0, 8)


def test_a_model_without_expressions_says_so(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx comes with the train extra")
    model = onnx.load(WEIGHTS / "fast.onnx")
    about = json.loads(model.metadata_props[0].value)
    del about["expressions"]
    onnx.helper.set_model_props(model, {"lowbeam": json.dumps(about)})
    onnx.save(model, tmp_path / "silent.onnx")
    assert len(Recognizer(tmp_path / "silent.onnx")(np.zeros((1, 12, 12), np.uint8))) == 1
    with pytest.raises(ModelError, match="does not tell expressions"):
        Recognizer(tmp_path / "silent.onnx", expressions=True)


@pytest.mark.parametrize(
    "wrong",
    [{"side": [6], "temperature": []}, {"side": [6], "temperature": [0]}, {"side": [9, 6], "temperature": [1, 1]}, {}],
)
def test_hostile_temperatures_are_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx comes with the train extra")
    model = onnx.load(WEIGHTS / "fast.onnx")
    about = json.loads(model.metadata_props[0].value) | {"expressions": wrong}
    onnx.helper.set_model_props(model, {"lowbeam": json.dumps(about)})
    onnx.save(model, tmp_path / "wrong.onnx")
    with pytest.raises(ModelError, match="damaged metadata"):
        Recognizer(tmp_path / "wrong.onnx")


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
    with pytest.raises(ModelError, match="neither a file nor a shipped model: accurate, best, fast"):
        Recognizer("none")
    with pytest.raises(ModelError, match=r"is not an ONNX model that can be loaded: .*protobuf"):
        Recognizer(__file__)
    with pytest.raises(UsageError, match="threads must be from 1 to"):
        Recognizer(threads=0)


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ('{"format": 3, "grid": 48, "calibration": {"side": [48], "factor": [[1, 1]]}}', "is of format 3"),
        ('{"format": 1, "grid": 48, "calibration": {"side": [48], "factor": [[1, 1]]}, "memory": {}}', "of format 1"),
        ('{"format": 1, "grid": 100000000, "calibration": {"side": [48], "factor": [[1, 1]]}}', "a grid of 100000000"),
        ('{"format": 1, "grid": 7, "calibration": {"side": [48], "factor": [[1, 1]]}}', "cannot be run"),
        ('{"format": 1, "grid": 48, "calibration": {"side": [48], "factor": [[1]]}}', "has the wrong shape"),
        ('{"format": 1, "grid": 48, "calibration": {"side": [48], "factor": [[NaN, 1]]}}', "is out of range"),
        ("[]", "damaged metadata"), ("{", "not one of lowbeam's"),
        ('{"format": 1, "grid": 48, "calibration": {"side": [48], "factor": [[-1, 1]]}}', "is out of range"),
        ('{"format": 1, "grid": 48, "calibration": {"side": [48, 6], "factor": [[1, 1], [1, 1]]}}', "is out of range"),
        ('{"format": 1, "grid": 48, "calibration": {"side": [], "factor": []}}', "has the wrong shape"),
        ('{"format": 1, "grid": 48, "calibration": {"side": [48], "factor": [[1, 1]], "power": [[1]]}}', "calibration"),
    ],
)  # fmt: skip
def test_a_model_with_hostile_metadata_is_refused_by_its_own_cause(about: str, said: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx comes with the train extra")
    model = onnx.load(WEIGHTS / "fast.onnx")
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {"lowbeam": about})
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=f"m.onnx.*{said}"):
        Recognizer(tmp_path / "m.onnx")


def test_a_model_whose_memory_is_broken_is_refused_at_once(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx comes with the train extra")
    model = onnx.load(WEIGHTS / "fast.onnx")
    model.graph.output.remove(next(output for output in model.graph.output if output.name == "steady_std"))
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"cannot be run: .*steady_std"):
        Recognizer(tmp_path / "m.onnx")


def stand_in(path: Path, nodes: Callable[[Any], list[Any]], shape: list[str | int]) -> Path:
    """A model whose affect is what `nodes`, made with ``onnx.helper``, compute, and whose deviations are 1."""
    onnx = pytest.importorskip("onnx", reason="onnx comes with the train extra")
    helper, kinds = onnx.helper, onnx.TensorProto
    inputs = [
        helper.make_tensor_value_info("faces", kinds.UINT8, ["n", "d", "d"]),
        helper.make_tensor_value_info("resample", kinds.FLOAT, [48, "d"]),
    ]
    outputs = [helper.make_tensor_value_info(name, kinds.FLOAT, shape) for name in ("affect", "std")]
    count = [
        helper.make_node("Shape", ["faces"], ["n1"], start=0, end=1),
        helper.make_node("Constant", [], ["two"], value=helper.make_tensor("t", kinds.INT64, [1], [2])),
        helper.make_node("Concat", ["n1", "two"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["std"], value=helper.make_tensor("o", kinds.FLOAT, [1], [1])),
    ]
    graph = helper.make_graph(count + nodes(helper), "stand-in", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    about = {"format": 1, "grid": 48, "calibration": {"side": [48], "factor": [[1, 1]]}}
    helper.set_model_props(model, {"lowbeam": json.dumps(about)})
    onnx.save(model, path)
    return path


def constant(value: float, shape: list[int]) -> Callable[[Any], list[Any]]:
    def nodes(helper: Any) -> list[Any]:
        size = int(np.prod(shape))
        return [helper.make_node("Constant", [], ["affect"], value=helper.make_tensor("a", 1, shape, [value] * size))]

    return nodes


def filled(value: float) -> Callable[[Any], list[Any]]:
    return lambda helper: [
        helper.make_node("ConstantOfShape", ["shape"], ["affect"], value=helper.make_tensor("v", 1, [1], [value]))
    ]


def endless(helper: Any) -> list[Any]:
    """A loop that goes on for ever."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["x", "x"], ["y"])], "body",
        [info("i", 7, []), info("go", 9, []), info("x", 1, None)], [info("go_on", 9, []), info("y", 1, None)],
    )  # fmt: skip
    return [
        helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("b", 9, [], [True])),
        helper.make_node("Loop", ["", "yes", "std"], ["affect"], body=body),
    ]


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        (constant(0.0, [2, 2]), r"has the shape \(2, 2\), not \(1, 2\)"), (filled(np.nan), "is not finite"),
        (filled(97.6), "out of range: 97.6"), (endless, "does not finish a trial run within 1 s"),
    ],
)  # fmt: skip
def test_what_a_model_gives_is_checked_before_it_is_used(
    nodes: Callable, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_session, "TRIAL_LIMIT_S", 1.0)
    with pytest.raises(ModelError, match=said):
        Recognizer(stand_in(tmp_path / "m.onnx", nodes, ["k", 2]))


def test_a_stand_in_that_behaves_is_used(tmp_path: Path) -> None:
    found = Recognizer(stand_in(tmp_path / "m.onnx", filled(0.25), ["k", 2]))(np.zeros((3, 12, 12), np.uint8))
    assert found.valence.tolist() == [0.25] * 3


def test_every_model_ships_small_with_its_card_and_figures() -> None:
    assert shipped_models() == ["accurate", "best", "fast"]
    for name in shipped_models():
        assert (WEIGHTS / f"{name}.onnx").stat().st_size <= 5e6
        assert "## Limits" in (WEIGHTS / f"{name}.md").read_text()
        figures = json.loads((WEIGHTS / f"{name}.json").read_text())
        assert set(figures["systems"][f"lowbeam {name}"]) == {str(scale) for scale in SCALES}
