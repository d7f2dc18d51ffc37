"""Corpora: each adapter on a small fixture in its exact layout, whole and damaged; and the cache of faces."""

import json
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from conftest import write_video
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from test_evaluate import write_ferplus

from lowbeam.corpora import afew_va, aff_wild2, avec2016, cache, faces96, ferplus, manifest
from lowbeam.corpora.choose import corpus_name, kind_and_place, load_faces, load_labelled
from lowbeam.corpora.cut import cut
from lowbeam.corpora.labels import at_times
from lowbeam.corpora.parted import split_of
from lowbeam.errors import CorpusError, UsageError
from lowbeam.scale import Faces, shrink

Frames = list[NDArray[np.uint8]]
FACE_BOX = (200, 60, 220, 220)  # left, top, width, height of the clip's head, roughly
COUNT = 50  # frames of the short clip
SPLITS_OF_PEOPLE = ["train", "train", "train", "valid", "valid", "train", "train", "train"]


def ramp(count: int = COUNT) -> NDArray[np.float64]:
    """Valence and arousal that tell each frame from the next, (count, 2)."""
    return np.stack([np.linspace(-0.5, 0.5, count), np.linspace(0.4, -0.4, count)], 1)


# --- AVEC 2016 ---------------------------------------------------------------------------------------------------


@pytest.fixture
def avec(tmp_path: Path, short_clip: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two recordings a split, as it is given out, with boxes."""
    names = {"train": ["train_1", "train_2"], "valid": ["train_8"], "test": ["dev_1"]}
    monkeypatch.setattr(avec2016, "NAMES", names)
    root = tmp_path / "AVEC2016"
    for folder in ("recordings_video", "recordings_video_frame_time", "bbox",
                   "ratings_gold_standard/valence", "ratings_gold_standard/arousal"):  # fmt: skip
        (root / folder).mkdir(parents=True)
    for name in chain.from_iterable(names.values()):
        (root / "recordings_video" / f"{name}.mp4").symlink_to(short_clip)
        times = [f"{i};{0.04 * i:.2f}" for i in range(COUNT)]
        (root / "recordings_video_frame_time" / f"{name}.csv").write_text("\n".join(["frame;time", *times]) + "\n")
        boxes = [f"{0.04 * i:.2f};" + ";".join(map(str, FACE_BOX)) for i in range(COUNT)]
        boxes[3] = "0.12;0;0;0;0"  # no face was found
        boxes[4] = "0.16;200;60;90;90"  # too small
        (root / "bbox" / f"{name}.csv").write_text("\n".join(["time;x;y;w;h", *boxes]) + "\n")
        for column, kind in enumerate(("valence", "arousal")):
            rows = [f"'{name}',{0.04 * i:.2f},{ramp()[i, column]:.6f}" for i in range(COUNT)]
            head = ["@RELATION gold", "@ATTRIBUTE name string", "@ATTRIBUTE time numeric", "@ATTRIBUTE gold numeric"]
            path = root / "ratings_gold_standard" / kind / f"{name}.arff"
            path.write_text("\n".join([*head, "", "@DATA", *rows]) + "\n")
    return root


def test_avec_s_frames_are_cut_by_their_boxes_and_those_without_are_left_out(avec: Path, tmp_path: Path) -> None:
    faces = load_faces(f"avec2016:{avec}", "train", cache=tmp_path / "cache")
    kept = [i for i in range(COUNT) if i not in (3, 4)]
    assert faces.pixels.shape == (2 * len(kept), 96, 96)
    assert np.allclose(faces.affect, np.tile(ramp()[kept], (2, 1)), atol=1e-5)
    assert faces.recording.tolist() == [0] * len(kept) + [1] * len(kept)
    assert isinstance(faces.pixels, np.memmap)


def test_avec_without_boxes_is_cut_by_lowbeam_s_own_faces(avec: Path, hr_faces: Faces) -> None:
    for path in (avec / "bbox").iterdir():
        path.unlink()
    (avec / "bbox").rmdir()
    (recording,) = avec2016.recordings(avec, "test")
    found = cut(recording)
    pixels, affect = found.pixels, found.affect
    assert np.allclose(affect, ramp(), atol=1e-5)
    assert np.array_equal(pixels, hr_faces)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "recordings_video" / "dev_1.mp4").unlink(), r"dev_1\.mp4 is missing"),
        (lambda root: (root / "recordings_video_frame_time" / "dev_1.csv").unlink(), r"dev_1\.csv cannot be read"),
        (lambda root: (root / "recordings_video_frame_time" / "dev_1.csv").write_text("h\n1;0.04\n2;0.02\n"),
         "times must increase"),
        (lambda root: (root / "recordings_video_frame_time" / "dev_1.csv").write_text("1;0.04\n2;0.08\n"),
         "begins with numbers"),
        (lambda root: (root / "recordings_video_frame_time" / "dev_1.csv").write_text("h\n1;0.04\n2;nan\n"),
         "not a finite number"),
        (lambda root: (root / "ratings_gold_standard" / "arousal" / "dev_1.arff").write_text("@relation x\n1,2,3\n"),
         "no @DATA"),
        (lambda root: (root / "ratings_gold_standard" / "valence" / "dev_1.arff").write_text("@DATA\nx,0.04,high\n"),
         "line 2"),
        (lambda root: (root / "bbox" / "dev_1.csv").write_text("h\n0.04;1;2\n"), "line 2"),
    ],
)  # fmt: skip
def test_a_damaged_avec_says_which_file(avec: Path, damage, message: str) -> None:  # type: ignore[no-untyped-def]
    damage(avec)
    with pytest.raises(CorpusError, match=message):
        avec2016.recordings(avec, "test")


def test_a_video_that_ends_before_its_labels_is_an_error(avec: Path, tmp_path: Path) -> None:
    for folder, line in (("recordings_video_frame_time", "{0};{1:.2f}"), ("bbox", "{1:.2f};200;60;220;220")):
        rows = [line.format(i, 0.04 * i) for i in range(COUNT + 5)]
        (avec / folder / "dev_1.csv").write_text("\n".join(["heading", *rows]))
    for kind in ("valence", "arousal"):
        rows = [f"x,{0.04 * i:.2f},0.1" for i in range(COUNT + 5)]
        (avec / "ratings_gold_standard" / kind / "dev_1.arff").write_text("\n".join(["@data", *rows]))
    with pytest.raises(CorpusError, match=r"dev_1: the video has 50 frames, its labels reach to 55"):
        load_faces(f"avec2016:{avec}", "test", cache=tmp_path / "cache")
    for path in (avec / "recordings_video_frame_time" / "dev_1.csv", avec / "bbox" / "dev_1.csv"):
        path.write_text("\n".join(path.read_text().splitlines()[:31]))
    with pytest.raises(CorpusError, match=r"dev_1: the video has 50 frames, but there are 30 labels"):
        load_faces(f"avec2016:{avec}", "test", cache=tmp_path / "cache")


# --- AFEW-VA -----------------------------------------------------------------------------------------------------


def write_afew(root: Path, frames: Frames, clips: dict[str, str]) -> Path:
    """Clips of ten frames each, by the names of their actors."""
    for clip, actor in clips.items():
        folder = root / clip
        folder.mkdir(parents=True)
        labels = {}
        for index, frame in enumerate(frames[:10]):
            Image.fromarray(frame).save(folder / f"{index:05d}.png")
            labels[f"{index:05d}"] = {"landmarks": [[0, 0]] * 68, "valence": float(index - 5), "arousal": 10.0 - index}
        (folder / f"{clip}.json").write_text(json.dumps({"video_id": clip, "actor": actor, "frames": labels}))
    return root


@pytest.fixture
def afew(tmp_path: Path, short_frames: Frames) -> Path:
    actors = iter(f"actor {n}" for n in range(1000))
    by_split = {split: next(a for a in actors if split_of(a) == split) for split in ("train", "valid", "test")}
    clips = {"001": by_split["train"], "002": by_split["valid"], "003": by_split["test"]}
    return write_afew(tmp_path / "AFEW-VA", short_frames, clips)


def test_afew_va_is_read_from_pictures_and_brought_to_one(afew: Path, tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        faces = load_faces(f"afew-va:{afew}", split, cache=tmp_path / "cache")
        assert len(faces) == 10
        assert np.allclose(faces.affect[:, 0], (np.arange(10) - 5) / 10)
        assert np.allclose(faces.affect[:, 1], 1 - np.arange(10) / 10)


def test_an_actor_of_afew_va_is_in_one_split_only(short_frames: Frames, tmp_path: Path) -> None:
    root = write_afew(tmp_path, short_frames, {"001": "Ann", "002": "Ann", "003": "Ann"})
    assert [len(afew_va.recordings(root, split)) for split in ("train", "valid", "test")] == [
        3 * (split_of("Ann") == split) for split in ("train", "valid", "test")
    ]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "001" / "00003.png").unlink(), r"00003\.png is missing"),
        (lambda root: (root / "001" / "00003.png").write_bytes(b"no"), r"00003\.png is missing or not a picture"),
        (lambda root: (root / "001" / "001.json").write_text("{"), r"001\.json is damaged"),
        (lambda root: (root / "001" / "001.json").write_text('{"frames": {"00000": {"valence": 1}}}'), "is damaged"),
    ],
)
def test_a_damaged_afew_va_says_which_file(afew: Path, tmp_path: Path, damage, message: str) -> None:  # type: ignore[no-untyped-def]
    damage(afew)
    with pytest.raises(CorpusError, match=message):
        load_faces(f"afew-va:{afew}", "train", cache=tmp_path / "cache")


def test_values_beyond_the_scale_of_afew_va_are_refused(afew: Path) -> None:
    path = afew / "001" / "001.json"
    path.write_text(path.read_text().replace('"valence": 4.0', '"valence": 40.0'))
    with pytest.raises(CorpusError, match="not in ±10"):
        afew_va.recordings(afew, "train")


# --- Aff-Wild2 ---------------------------------------------------------------------------------------------------


@pytest.fixture
def aff_wild(tmp_path: Path, short_clip: Path, short_frames: Frames) -> Path:
    """A video, and the crops of two people of another."""
    root = tmp_path / "Aff-Wild2"
    labels = root / "Annotations" / "VA_Estimation_Challenge" / "Validation_Set"
    labels.mkdir(parents=True)
    rows = [f"{v:.4f},{a:.4f}" for v, a in ramp()]
    rows[5] = "-5,-5"
    for name in ("video7", "15-24-1920x1080_left", "15-24-1920x1080_right"):
        (labels / f"{name}.txt").write_text("\n".join(["valence,arousal", *rows]) + "\n")
        if "x" in name:
            folder = root / "cropped_aligned" / name
            folder.mkdir(parents=True)
            for index in (0, 1, 5, 8):  # numbered from 1; the rest had no face
                Image.fromarray(short_frames[index][:112, :112]).save(folder / f"{index + 1:05d}.jpg")
    (root / "batch1").mkdir()
    (root / "batch1" / "video7.mp4").symlink_to(short_clip)
    return root


def test_aff_wild2_is_read_from_crops_where_there_are_some_and_from_videos_else(aff_wild: Path, tmp_path: Path) -> None:
    faces = load_faces(f"aff-wild2:{aff_wild}", "test", cache=tmp_path / "cache")
    from_video = [i for i in range(COUNT) if i != 5]
    truth = np.concatenate([ramp()[[0, 1, 8]], ramp()[[0, 1, 8]], ramp()[from_video]])
    assert np.allclose(faces.affect, truth, atol=1e-4)
    assert np.unique(faces.recording).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "batch1" / "video7.mp4").unlink(), "neither crops nor a video"),
        (
            lambda root: next(root.rglob("video7.txt")).write_text("0.1,0.2\n"),
            "does not begin with the header valence,arousal",
        ),
        (lambda root: next(root.rglob("video7.txt")).write_text("valence,arousal\n0.1\n"), r"video7\.txt, line 2"),
        (lambda root: next(root.rglob("video7.txt")).write_text("valence,arousal\n0.1,3\n"), "not in ±1"),
        (lambda root: next(root.rglob("video7.txt")).write_text("valence,arousal\n"), "has no labels"),
    ],
)
def test_a_damaged_aff_wild2_says_which_file(aff_wild: Path, damage, message: str) -> None:  # type: ignore[no-untyped-def]
    damage(aff_wild)
    with pytest.raises(CorpusError, match=message):
        aff_wild2.recordings(aff_wild, "test")


# --- your own recordings, FER+ and faces96 -----------------------------------------------------------------------

HEADING = "recording,split,time_s,valence,arousal\n"


def test_labels_of_a_manifest_are_interpolated_to_its_frames(short_clip: Path, tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_text(
        HEADING + f"{short_clip},test,0.4,-0.5,0\n{short_clip},test,1.2,0.5,0.2\n{short_clip},test,1.9,0.5,0.2\n"
    )
    faces = load_faces(f"manifest:{tmp_path / 'my.csv'}", "test", cache=tmp_path / "cache")
    assert len(faces) == 38  # frames from 0.40 s to 1.88 s
    assert faces.affect[0].tolist() == pytest.approx([-0.5, 0])
    assert faces.affect[10].tolist() == pytest.approx([0, 0.1], abs=1e-6)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("CLIP,test,0.4,-0.5\n", "line 2: not recording,split"),
        ("CLIP,dev,0.4,-0.5,0\n", "line 2: split dev"),
        ("CLIP,test,0.4,0,0\nCLIP,train,0.5,0,0\n", "line 3: split train"),
        ("CLIP,test,0.4,0,0\nCLIP,test,0.3,0,0\n", "times must increase"),
        ('"CLIP' + "x" * 200_000, "is not a CSV file"),
        ("gone.mp4,test,0.4,0,0\n", r"gone\.mp4 is missing"),
        ("CLIP,train,0.4,0,0\n", "has no recording in split test"),
        ("CLIP,test,0.4,0,1.5\n", "not in ±1"),
    ],
)
def test_a_wrong_manifest_says_where(rows: str, message: str, short_clip: Path, tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_text(HEADING + rows.replace("CLIP", str(short_clip)))
    with pytest.raises(CorpusError, match=message):
        manifest.recordings(tmp_path / "my.csv", "test")


def test_labels_after_the_video_are_an_error(short_clip: Path, tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_text(HEADING + f"{short_clip},test,0.4,0,0\n{short_clip},test,60,0,0\n")
    with pytest.raises(CorpusError, match=r"ends at 1\.96 s, its labels at 60 s"):
        load_faces(f"manifest:{tmp_path / 'my.csv'}", "test", cache=tmp_path / "cache")


def test_a_video_without_faces_gives_one_clear_error(tmp_path: Path) -> None:
    write_video(tmp_path / "grey.mp4", [np.full((96, 128), 90, np.uint8)] * 10)
    (tmp_path / "my.csv").write_text(HEADING + "grey.mp4,test,0,0,0\ngrey.mp4,test,0.3,0,0\n")
    with pytest.raises(CorpusError, match="no face with a label in 1 recordings"):
        load_faces(f"manifest:{tmp_path / 'my.csv'}", "test", cache=tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_ferplus_in_its_public_layout_is_ferplus(hr_faces: Faces, tmp_path: Path) -> None:
    packed = write_ferplus(tmp_path / "npz", hr_faces)
    with np.load(packed / "test.npz") as archive:
        pixels, votes = archive["pixels"], archive["votes"]
    folder = tmp_path / "public" / "FER2013Test"
    folder.mkdir(parents=True)
    rows = []
    for number, (face, counts) in enumerate(zip(pixels, votes, strict=True)):
        Image.fromarray(face).save(folder / f"fer{number:07d}.png")
        rows.append(f'fer{number:07d}.png,"(0, 0, 48, 48)",{",".join(map(str, counts))}')
    (folder / "label.csv").write_text("\n".join(rows) + "\n")
    public, plain = load_faces(tmp_path / "public", "test"), load_faces(packed, "test")
    assert np.array_equal(public.pixels, plain.pixels)
    assert np.array_equal(public.affect, plain.affect)
    (folder / "label.csv").write_text(rows[0] + "\n" + 'fer0000001.png,"(0, 0, 48, 48)",1,2\n')
    with pytest.raises(CorpusError, match=r"label\.csv, line 2"):
        load_faces(tmp_path / "public", "test")


def test_nobody_of_faces96_is_in_two_splits(hr_faces: Faces, tmp_path: Path) -> None:
    identity = np.array([f"person {n // 2}" for n in range(len(hr_faces))])
    np.savez(tmp_path / "faces.npz", pixels=hr_faces, identity=identity)
    parts = [faces96.load(tmp_path / "faces.npz", split) for split in ("train", "valid", "test")]
    assert sum(map(len, parts)) == len(hr_faces)
    people = [set(part.recording.tolist()) for part in parts]
    assert not people[0] & people[1] | people[0] & people[2] | people[1] & people[2]
    np.savez(tmp_path / "small.npz", pixels=shrink(hr_faces, 2), identity=identity)
    with pytest.raises(CorpusError, match="pixels uint8"):
        faces96.load(tmp_path / "small.npz", "train")


def test_a_word_is_a_label_with_the_coordinates_of_its_expression(hr_faces: Faces, tmp_path: Path) -> None:
    identity = np.array([f"person {n}" for n in range(len(hr_faces))])
    words = np.array(["neutral", "happiness", "anger"])[np.arange(len(hr_faces)) % 3]
    np.savez(tmp_path / "faces.npz", pixels=hr_faces, identity=identity, expression=words)
    found = load_labelled(f"faces96:{tmp_path / 'faces.npz'}", "train")
    assert isinstance(found, ferplus.Stills)
    assert {(round(v, 2), round(a, 2)) for v, a in found.affect.tolist()} <= {(0, 0), (0.81, 0.51), (-0.51, 0.59)}
    assert (found.emotion.max(1) == 1).all()
    np.savez(tmp_path / "bare.npz", pixels=hr_faces, identity=identity)
    with pytest.raises(CorpusError, match="has no valence and arousal"):
        load_labelled(f"faces96:{tmp_path / 'bare.npz'}", "train")
    np.savez(tmp_path / "odd.npz", pixels=hr_faces, identity=identity, expression=np.full(len(hr_faces), "bored"))
    with pytest.raises(CorpusError, match="expression 'bored' is not one of neutral, happiness"):
        load_labelled(f"faces96:{tmp_path / 'odd.npz'}", "train")
    np.savez(tmp_path / "few.npz", pixels=hr_faces, identity=identity, expression=words[:-1])
    with pytest.raises(CorpusError, match="expressions for"):
        load_labelled(f"faces96:{tmp_path / 'few.npz'}", "train")


# --- the cache, and what all share -------------------------------------------------------------------------------


def test_faces_are_cut_once_and_again_when_their_source_or_the_framing_changes(
    afew: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(cache, "cut", lambda recording: calls.append(recording.name) or cut(recording))

    def load() -> int:
        before = len(calls)
        load_faces(f"afew-va:{afew}", "train", cache=tmp_path / "cache")
        return len(calls) - before

    assert [load(), load()] == [1, 0]
    Image.new("L", (64, 64)).save(afew / "001" / "00002.png")
    assert [load(), load()] == [1, 0]
    path = afew / "001" / "001.json"
    path.write_text(path.read_text().replace('"valence": 4.0', '"valence": 3.0'))
    assert [load(), load()] == [1, 0]
    monkeypatch.setattr(cache, "FRAMING_VERSION", 99)
    assert [load(), load()] == [1, 0]
    kept = [path.name.rpartition("-")[0] for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    assert kept == ["afew-va-train"]


def test_a_damaged_cache_is_an_error_that_says_what_to_do(afew: Path, tmp_path: Path) -> None:
    load_faces(f"afew-va:{afew}", "train", cache=tmp_path / "cache")
    next((tmp_path / "cache").rglob("faces.npy")).write_bytes(b"")
    with pytest.raises(CorpusError, match="is damaged: delete it"):
        load_faces(f"afew-va:{afew}", "train", cache=tmp_path / "cache")


def test_a_corpus_is_named_by_its_kind_and_place(tmp_path: Path) -> None:
    assert kind_and_place("avec2016:/data/AVEC") == ("avec2016", Path("/data/AVEC"))
    assert kind_and_place("/data/fer") == ("ferplus", Path("/data/fer"))
    assert [corpus_name(c) for c in ("/data/fer", "faces96:a/faces96.npz")] == ["FER+", "faces96"]
    with pytest.raises(UsageError, match="corpus sewa is not one of"):
        kind_and_place("sewa:/data")
    with pytest.raises(CorpusError, match="is missing"):
        load_faces(f"avec2016:{tmp_path / 'gone'}", "train")
    for kind in ("avec2016", "afew-va", "aff-wild2"):
        with pytest.raises(CorpusError, match="is not A"):
            load_faces(f"{kind}:{tmp_path}", "train")


@pytest.mark.parametrize("given_kind", ["", "ferplus:", "faces96:", "avec2016:", "afew-va:", "aff-wild2:"])
def test_a_csv_of_another_kind_is_taken_for_a_manifest(given_kind: str, tmp_path: Path) -> None:
    (tmp_path / "my.csv").write_text(HEADING)
    with pytest.raises(CorpusError, match=rf"did you mean manifest:{tmp_path}/my\.csv\?"):
        load_faces(f"{given_kind}{tmp_path / 'my.csv'}", "test")


def test_a_folder_of_another_kind_is_named_by_what_it_looks_like(
    avec: Path, afew: Path, aff_wild: Path, hr_faces: Faces, tmp_path: Path
) -> None:
    fer = write_ferplus(tmp_path / "fer", hr_faces[:4])
    for folder, kind in ((avec, "avec2016"), (afew, "afew-va"), (aff_wild, "aff-wild2"), (fer, "ferplus")):
        for wrong in {"", "avec2016:", "afew-va:", "manifest:"} - {f"{kind}:", "" if kind == "ferplus" else None}:
            with pytest.raises(CorpusError, match=rf"did you mean {kind}:{folder}\?"):
                load_faces(f"{wrong}{folder}", "test")
    with pytest.raises(CorpusError, match=rf"did you mean ferplus:{fer}\?"):
        load_faces(fer / "test.npz", "test")
    (avec / "recordings_video" / "dev_1.mp4").unlink()
    with pytest.raises(CorpusError, match=r"dev_1\.mp4 is missing"):  # of the right kind, its own error is told
        load_faces(f"avec2016:{avec}", "test")


@pytest.mark.parametrize(
    ("corpus", "message"),
    [("gone.csv", "given as manifest:gone.csv"), ("avec2016", "a corpus is KIND:PATH, of kind ferplus, faces96,"),
     ("manifest:gone.csv", r"^gone\.csv is missing$"), ("n" * 300, "nnn is missing: a corpus is")],
)  # fmt: skip
def test_a_missing_path_without_a_kind_says_how_kinds_are_given(corpus: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        load_faces(corpus, "test")


@given(st.lists(st.floats(0, 1e4), min_size=2, max_size=30, unique=True), st.floats(0, 1e4))
def test_a_label_between_two_near_ones_lies_between_them(times: list[float], frame_s: float) -> None:
    label_s = np.sort(np.array(times))
    values = np.stack([np.sin(label_s), np.cos(label_s)], 1)
    found = at_times(np.array([frame_s]), label_s, values, most_gap_s=100.0)[0]
    before, after = label_s[label_s <= frame_s], label_s[label_s >= frame_s]
    if len(before) and len(after) and after[0] - before[-1] <= 100:
        ends = values[[len(before) - 1, len(label_s) - len(after)]]
        assert (found >= ends.min(0) - 1e-9).all()
        assert (found <= ends.max(0) + 1e-9).all()
    elif np.abs(label_s - frame_s).min() > 0.021:
        assert np.isnan(found).all()


def test_splits_stay_what_they_were() -> None:
    """Whoever trained on a split must find it again."""
    people = ["Ann", "Ben", "Cem", "Dee", "Eve", "Fay", "Gus", "Hal"]
    assert [split_of(person) for person in people] == SPLITS_OF_PEOPLE
    count = [split_of(f"person {n}") for n in range(2000)].count("train")
    assert 1340 < count < 1460
    assert split_of("\udcff") in ("train", "valid", "test")  # an undecodable name
