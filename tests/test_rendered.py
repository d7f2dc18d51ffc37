"""The renderer and its corpus: on a toy head everywhere, and on the real one where it lies at hand."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="the renderer needs the render extra")

from hypothesis import given
from hypothesis import strategies as st
from toy_head import write_toy_head

from lowbeam import CorpusError, UsageError
from lowbeam.corpora.choose import load_faces
from lowbeam.corpora.labelled import tracks_of
from lowbeam.corpora.rendered import clip, motion
from lowbeam.corpora.rendered import unconstrained as unconstrained_people
from lowbeam.corpora.rendered.expressions import Style
from lowbeam.corpora.rendered.face_model import PARTS, FaceModel, load_face_model
from lowbeam.corpora.rendered.feelings import feel, hump
from lowbeam.corpora.rendered.looks import Looks, random_looks
from lowbeam.corpora.rendered.person import Person, Pose
from lowbeam.corpora.rendered.raster import capsule, rasterize
from lowbeam.corpora.rendered.talker import Talker, needed_expressions
from lowbeam.corpora.rendered.write import Settings, render_corpus
from lowbeam.faces import YunetDetector
from research.recognizer.blinks import Shown, dent

FEW = Settings(subjects=3, minutes=1 / 30, fps=10, size=96, seed=3)


@pytest.fixture(scope="module")
def toy_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_head(tmp_path_factory.mktemp("head") / "head.npz")


@pytest.fixture(scope="module")
def model(toy_head: Path) -> FaceModel:
    return load_face_model(toy_head)


@pytest.fixture(scope="module")
def people(toy_head: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("people") / "corpus"
    render_corpus(out, toy_head, FEW, workers=2)
    return out


def test_a_missing_or_partial_face_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is not a face model"):
        load_face_model(tmp_path / "none.npz")
    np.savez(tmp_path / "half.npz", neutral=np.zeros((4, 3), np.float32))
    with pytest.raises(CorpusError, match="is not a face model"):
        load_face_model(tmp_path / "half.npz")
    (tmp_path / "empty.npz").touch()
    for broken in (
        tmp_path / "empty.npz", write_toy_head(tmp_path / "marks.npz", landmarks68=np.zeros(5, int)),
        write_toy_head(tmp_path / "names.npz", expression_names=np.array([f"x{i}" for i in range(46)])),
    ):  # fmt: skip
        with pytest.raises(CorpusError, match="is not a face model"):
            load_face_model(broken, needed_expressions())


def test_a_clone_of_the_public_repository_is_the_same_model(model: FaceModel, toy_head: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clone" / "FaceXModel"
    folder.mkdir(parents=True)
    with np.load(toy_head) as head:
        neutral, names = head["neutral"], head["expression_names"]

        def write_obj(name: str, vertices: np.ndarray, *rest: str) -> None:
            lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in vertices]
            (folder / f"{name}.obj").write_text("\n".join(["mtllib a.mtl", *lines, "vt 0 0", *rest]) + "\n")

        faces = []
        for corners, material in zip(head["triangles"], head["material"], strict=True):
            faces += [f"usemtl {head['material_names'][material]}", "f " + " ".join(f"{c + 1}/1" for c in corners)]
        write_obj("generic_neutral_mesh", neutral, *faces)
        for prefix, offsets in (("identity", head["identity"]), ("", head["expression"])):
            for index, offset in enumerate(offsets.astype(np.float32)):
                write_obj(f"{prefix}{index:03d}" if prefix else str(names[index]), neutral + offset)
        about = {"idx_to_landmark_verts": head["landmarks68"].tolist()}
        (folder / "vertex_indices.json").write_text(json.dumps(about))
    found = load_face_model(tmp_path / "clone")
    assert found.triangles.tolist() == model.triangles.tolist()
    assert found.part.tolist() == model.part.tolist()
    assert np.abs(found.identity - model.identity).max() < 1e-4
    order = [found.expression_names.index(name) for name in model.expression_names]
    assert np.abs(found.expression[order] - model.expression).max() < 1e-4
    (folder / "identity007.obj").unlink()
    with pytest.raises(CorpusError, match="identity007"):
        load_face_model(tmp_path / "clone")


def test_the_nearer_triangle_hides_the_farther() -> None:
    corners = [(0, 20), (20, 20), (0, 0)]  # y runs down: this order faces the camera
    points = np.array([(x, y, z) for z in (1.0, 5.0) for x, y in corners], np.float32)
    colours = np.repeat(np.array([[1, 0, 0], [0, 1, 0]], np.float32), 3, axis=0)
    triangles = np.arange(6, dtype=np.int32).reshape(2, 3)
    for order in (triangles, triangles[::-1].copy()):
        canvas, depth = np.zeros((20, 20, 3), np.float32), np.full((20, 20), -np.inf, np.float32)
        rasterize(points, order, colours, canvas, depth)
        assert canvas[15, 3].tolist() == [0, 1, 0]
        assert canvas[3, 15].tolist() == [0, 0, 0]


def test_a_triangle_that_faces_away_is_not_drawn() -> None:
    points = np.array([(0, 0, 1), (20, 20, 1), (0, 20, 1)], np.float32)
    canvas, depth = np.zeros((20, 20, 3), np.float32), np.full((20, 20), -np.inf, np.float32)
    rasterize(points, np.array([[0, 1, 2]], np.int32), np.ones((3, 3), np.float32), canvas, depth)
    assert canvas.max() == 0


def test_a_stroke_is_hidden_by_what_is_nearer_and_hides_the_rest() -> None:
    canvas, depth = np.zeros((20, 20, 1), np.float32), np.full((20, 20), -np.inf, np.float32)
    depth[:, 10:] = 8.0
    ends = (np.array([2, 10, 5], np.float32), np.array([18, 10, 5], np.float32))
    capsule(canvas, depth, *ends, 2.0, np.ones(1, np.float32), 0.0)
    assert canvas[10, 5, 0] == 1
    assert canvas[:, 10:].max() == 0
    in_front = [np.array([*end[:2], np.inf], np.float32) for end in ends]
    capsule(canvas, depth, *in_front, 2.0, np.ones(1, np.float32), 0.0)
    assert canvas[10, 15, 0] == 1


def test_the_script_passes_through_every_feeling_and_rest() -> None:
    time_s = np.arange(0, clip.DURATION_S, 0.04)
    affect = clip.truth(time_s)
    assert affect[:, 0].max() > 0.6
    assert affect[:, 0].min() < -0.4
    assert affect[:, 1].min() < -0.2
    assert (np.abs(affect).max(1) == 0).mean() > 0.1
    assert np.abs(np.diff(affect, axis=0)).max() < 0.12  # feelings do not jump


@given(seed=st.integers(0, 2**31), fps=st.sampled_from([5.0, 12.5, 25.0]))
def test_feelings_stay_on_the_circumplex_and_do_not_jump(seed: int, fps: float) -> None:
    affect = feel(500, fps, np.random.default_rng(seed))
    assert np.linalg.norm(affect, axis=1).max() <= 1 + 1e-9
    assert np.abs(np.diff(affect, axis=0)).max() * fps < 20


def test_feelings_wander_over_the_whole_circumplex() -> None:
    affect = np.concatenate([feel(3000, 25, np.random.default_rng(seed)) for seed in range(12)])
    quarters = np.unique(np.sign(affect[np.linalg.norm(affect, axis=1) > 0.4]), axis=0, return_counts=True)[1]
    assert (quarters / quarters.sum() > 0.1).all()
    assert np.abs(affect.mean(0)).max() < 0.15
    assert (affect.std(0) > 0.25).all()


@given(start=st.floats(-5, 15), attack=st.floats(0.1, 2), hold=st.floats(0, 3), decay=st.floats(0.1, 3))
def test_a_hump_rises_once_and_falls_once(start: float, attack: float, hold: float, decay: float) -> None:
    values = hump(np.linspace(-10, 30, 2000), start, attack, hold, decay)
    assert values.min() >= -1e-9
    assert values.max() <= 1 + 1e-9
    assert values[0] == values[-1] == 0


def test_one_feeling_has_many_faces_and_its_intensity_is_graded() -> None:
    joy = np.tile([[0.81, 0.51]], (50, 1)) * np.linspace(0, 1, 50)[:, None]
    shown = [Style(np.random.default_rng(seed)).show(joy, 25) for seed in range(8)]
    smiles = np.array([weights["mouthSmile_L"] for weights in shown])
    assert smiles[:, -10:].mean() > 3 * smiles[:, 10:20].mean()
    assert smiles[:, -1].std() > 0.03
    assert np.abs(smiles[:, -1] - [weights["mouthSmile_R"][-1] for weights in shown]).max() > 0.01


def test_the_head_has_every_blendshape_that_is_needed(shared: Path) -> None:
    assert load_face_model(shared / "data" / "ict_face.npz", needed_expressions()).part.size > 1000
    assert {"eyeBlink_L", "mouthSmile_R", "mouthDimple_L", "eyeLookOut_R"} <= set(needed_expressions())


def test_talk_opens_the_mouth_whatever_is_felt() -> None:
    weights: dict = {}
    motion.talk(weights, 1500, 25, np.random.default_rng(1))
    opening = weights["jawOpen"]
    assert 0.15 < opening.max() <= 1
    assert (opening < 0.02).mean() > 0.2


def test_heads_turn_to_their_bounds_and_not_beyond() -> None:
    heads = [motion.move_head(3000, 25, np.random.default_rng(seed)) for seed in range(4)]
    for head in heads:
        assert (np.abs(head.angles_deg) <= [30, 14, 10]).all()
    assert max(np.abs(head.angles_deg[:, 0]).max() for head in heads) > 15


def test_people_differ_and_glasses_are_drawn(model: FaceModel) -> None:
    wall = np.full((96, 96, 1), 0.2, np.float32)
    pictures = [
        Person(model, random_looks(np.random.default_rng(seed))).render(Pose(), wall, 3.4).picture() for seed in (1, 2)
    ]
    assert np.abs(pictures[0] - pictures[1]).mean() > 0.01
    plain = Looks(np.zeros(60, np.float32), **dict.fromkeys(COLOURS, (0.4,)))  # type: ignore[arg-type]
    bare, dressed = (
        Person(model, looks).render(Pose(), wall, 3.4).picture() for looks in (plain, replace(plain, glasses=2.2))
    )
    changed = np.abs(bare - dressed)[..., 0] > 0.05
    rows = np.flatnonzero(changed.any(1))
    assert 0.005 < changed.mean() < 0.2
    assert rows.max() < 60


COLOURS = ("skin", "lips", "hair", "brow", "iris", "shirt", "teeth", "sclera", "gums")


def test_a_corpus_reads_back_by_the_adapter_of_its_layout(people: Path, tmp_path: Path) -> None:
    faces = [load_faces(f"avec2016:{people}", split, cache=tmp_path) for split in ("train", "valid", "test")]
    for found in faces:
        (track,) = tracks_of(found)
        assert len(track) == FEW.frames
        assert np.allclose(np.diff(track.time_s), 0.1, atol=1e-3)
        assert track.pixels.shape[1:] == (96, 96)
        assert track.pixels.std() > 5
        assert (track.box[:, 2] > 20).all()
    manifest = json.loads((people / "manifest.json").read_text())
    assert [person["split"] for person in manifest["people"]] == ["train", "dev", "test"]


def test_the_same_seed_gives_the_same_bytes_whoever_shares_the_work(
    people: Path, toy_head: Path, tmp_path: Path
) -> None:
    again = render_corpus(tmp_path / "again", toy_head, FEW, workers=1)
    assert again == json.loads((people / "manifest.json").read_text())
    other = render_corpus(tmp_path / "other", toy_head, replace(FEW, seed=4), workers=1)
    assert not set(other["files"].values()) & {d for n, d in again["files"].items() if "time" not in n}


def test_unconstrained_people_feel_the_same_and_look_otherwise(model: FaceModel) -> None:
    shown = []
    for unconstrained in (False, True):
        people = [Talker(model, 3, index, 40, 5.0, 64, unconstrained=unconstrained) for index in range(60)]
        angles = np.abs(np.concatenate([person._head.angles_deg for person in people]))
        shown.append((people, angles.max(0)))
    (before, least), (after, most) = shown
    assert all(np.array_equal(one.affect, other.affect) for one, other in zip(before, after, strict=True))
    assert all(one.looks.mask is None and one.looks.wrinkles == 0 for one in before)
    assert np.all(most > least)
    assert np.all(most <= unconstrained_people.LIMITS_DEG)
    masked = [person for person in after if person.looks.mask is not None]
    assert 1 <= len(masked) <= 15
    assert not any(name.startswith("mouth") for person in masked for name in person._weights)
    assert "mask" in masked[0].about()
    still, other = (next(iter(person.shots())).picture for person in (before[0], after[0]))
    assert not np.array_equal(still, other)


def test_a_corpus_of_unconstrained_people_says_so(toy_head: Path, tmp_path: Path) -> None:
    made = render_corpus(tmp_path / "corpus", toy_head, replace(FEW, unconstrained=True))
    assert made["settings"]["unconstrained"] is True
    assert "unconstrained" not in FEW.stated()
    with pytest.raises(UsageError, match="other settings"):
        render_corpus(tmp_path / "corpus", toy_head, FEW)


def test_an_interrupted_corpus_goes_on_and_another_is_not_written_over(
    people: Path, toy_head: Path, tmp_path: Path
) -> None:
    whole = render_corpus(tmp_path / "c", toy_head, FEW)
    kept = (tmp_path / "c" / "recordings_video" / "train_1.mp4").stat().st_mtime_ns
    (tmp_path / "c" / "recordings_video" / "dev_1.mp4").unlink()
    (tmp_path / "c" / "manifest.json").unlink()
    with pytest.raises(CorpusError, match="not complete: run the same lowbeam corpus render again"):
        load_faces(f"avec2016:{tmp_path / 'c'}", "train")
    assert render_corpus(tmp_path / "c", toy_head, FEW) == whole
    assert (tmp_path / "c" / "recordings_video" / "train_1.mp4").stat().st_mtime_ns == kept
    with pytest.raises(UsageError, match="other settings"):
        render_corpus(people, toy_head, replace(FEW, seed=9))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("…")
    with pytest.raises(UsageError, match="not empty"):
        render_corpus(tmp_path / "mine", toy_head, FEW)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"subjects": 2}, "subjects 2 is out of range"), ({"minutes": 0.0}, "minutes 0"), ({"fps": 0.5}, "fps 0.5"),
     ({"size": 97}, "size 97 is odd"), ({"size": 8}, "size 8"), ({"seed": -1}, "seed -1")],
)  # fmt: skip
def test_settings_out_of_range_are_named(wrong: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Settings(**wrong)


def test_the_command_names_a_face_model_with_missing_parts(
    tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    head = write_toy_head(tmp_path / "head.npz", material_names=np.array([f"M_{p}" for p in (*PARTS[:3], *"abcdef")]))
    done = run_cli("corpus", "render", tmp_path / "out", "--face-model", head)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "it lacks Teeth" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_person_is_drawn_so_that_a_face_is_found(shared: Path) -> None:
    model = load_face_model(shared / "data" / "ict_face.npz")
    person = Person(model, Looks(np.zeros(60, np.float32)))
    wall = np.full((240, 320, 3), 0.2, np.float32)
    neutral = person.draw(Pose(), wall, pixels_per_cm=8)
    smile = person.draw(Pose({"mouthSmile_L": 1.0, "mouthSmile_R": 1.0}), wall, pixels_per_cm=8)
    assert neutral.shape == (240, 320, 3)
    assert len(YunetDetector()(np.ascontiguousarray(neutral[:, :, 1]))) == 1
    changed = np.abs(neutral.astype(int) - smile).max(2) > 20
    assert 0.001 < changed.mean() < 0.05
    assert np.average(np.arange(240), weights=changed.sum(1)) > 120  # it is the lower face that moves


def test_blinks_are_told_from_lids_that_an_expression_lowers() -> None:
    weights = {name: np.full(2500, 0.6) for name in ("eyeBlink_L", "eyeBlink_R")}  # tired
    blinks = motion.blink_and_look(weights, 2500, 25.0, np.random.default_rng(3))
    assert 0.01 < (blinks > 0.5).mean() < 0.1
    assert (weights["eyeBlink_L"] > 0.5).all()
    shown = Shown(np.zeros((2500, 96, 96), np.uint8), np.arange(2500) / 25, np.zeros((2500, 2), np.float32), blinks)
    assert np.allclose(dent(np.where(blinks > 0.5, -0.3, 0.1), shown), -0.4, atol=1e-6)
    assert len(dent(np.zeros(2500), shown)) == (blinks > 0.5).sum()
