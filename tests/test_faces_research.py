"""Research on the face finder: the rendered conditions, the measurement beside dlib, and the page."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="rendering needs the render extra")

from toy_head import write_toy_head

from lowbeam.corpora.rendered.face_model import load_face_model
from lowbeam.errors import SourceError, UsageError
from lowbeam.face import Box, Grey
from lowbeam.faces import FaceTracker, Sighting, YunetDetector
from research.faces.faces_page import where_better, write_faces_page
from research.faces.staged import CONDITIONS, SIZE, Condition, staged

FINDERS = ("yunet", "dlib")


def needs_dlib() -> None:
    pytest.importorskip("dlib", reason="dlib comes with the bench extra")


@pytest.fixture(scope="module")
def toy_head(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_toy_head(tmp_path_factory.mktemp("head") / "toy.npz")


def first_shot(toy_head: Path, condition: Condition, person: int = 0) -> tuple[Grey, Box]:
    shot = next(staged(load_face_model(toy_head), condition, person, 0.12))
    return shot.picture, shot.box


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_every_condition_is_staged_with_its_box(toy_head: Path, condition: Condition) -> None:
    picture, box = first_shot(toy_head, condition)
    assert picture.shape == SIZE[::-1]
    assert picture.dtype == np.uint8
    assert box.side == pytest.approx(condition.face_px, rel=0.15)
    assert 0 < box.centre[0] < SIZE[0]
    assert 0 < box.centre[1] < SIZE[1]


def test_conditions_change_the_picture_as_they_say(toy_head: Path) -> None:
    by_name = {condition.name: first_shot(toy_head, condition) for condition in CONDITIONS}
    (frontal, box), (dark, _) = by_name["frontal"], by_name["dark: a quarter of the light"]
    assert dark.mean() == pytest.approx(0.25 * frontal.mean(), rel=0.1)
    x, y, side = round(box.x), round(box.y), round(box.side)
    left, _ = by_name["left half hidden"]
    assert np.ptp(left[y : y + side, x : x + side // 2 - 2]) == 0
    assert np.ptp(left[y : y + side, x + side // 2 + 2 : x + side]) > 0
    lower, _ = by_name["lower third hidden"]
    assert np.ptp(lower[y + round(0.7 * side) : y + side, x : x + side]) == 0
    turned = by_name["turned by 45°"][1].centre[0] - box.centre[0]
    assert abs(turned) > 0.2 * side
    other = first_shot(toy_head, Condition("turned", turned_deg=45), person=1)[1].centre[0]
    assert (other - box.centre[0]) * turned < 0


class Scripted:
    """A finder that shows the given boxes, with their ids."""

    def __init__(self, shown: list[list[tuple[int, Box]]]) -> None:
        self._shown = iter(shown)

    def update(self, grey: Grey, time_s: float) -> list[Sighting]:
        return [Sighting(face, box) for face, box in next(self._shown)]


def test_figures_of_known_boxes_are_right() -> None:
    needs_dlib()
    from research.faces.detectors import Takes, observe

    true, grey = Box.around(100, 100, 50), np.zeros((200, 200), np.uint8)
    near, far, wide = Box.around(105, 100, 50), Box.around(180, 20, 30), Box.around(100, 100, 55)
    shown = [[(0, near)], [(0, true)], [(0, near), (1, far)], [], [(2, wide)]]
    takes = Takes()
    observe(Scripted(shown), [(grey, true)] * len(shown), takes)
    scores = takes.scores()
    assert scores["found"] == pytest.approx(4 / 5)
    assert scores["elsewhere"] == pytest.approx(1 / 5)
    assert scores["id_changes"] == 1
    assert scores["centre_off"] == pytest.approx((0.1 + 0 + 0.1 + 0) / 4)
    assert scores["side_off"] == pytest.approx(np.log(1.1) / 4)
    assert len(takes.shaken) == 1
    assert takes.shaken[0] == pytest.approx([0.2, 0, 0])
    assert Takes(frames=3).scores()["centre_off"] is None


def test_the_finder_used_before_still_finds_and_follows(short_frames: list) -> None:
    needs_dlib()
    from PIL import Image

    from research.faces.dlib_peer import DlibTracker

    before, now = DlibTracker(), FaceTracker(YunetDetector())
    for index, frame in enumerate(short_frames[:20]):
        grey = np.asarray(Image.fromarray(frame).convert("L"))
        (theirs,), (ours,) = (tracker.update(grey, index / 25) for tracker in (before, now))
        assert theirs.face == ours.face == 0
        assert theirs.box.overlap(ours.box) > 0.6
    assert not before.update(np.zeros_like(grey), 0.8)


def test_the_measurement_runs_on_tiny_inputs(
    toy_head: Path, short_clip: Path, tmp_path: Path, run_research: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    needs_dlib()
    (tmp_path / "clips" / "real").mkdir(parents=True)
    shutil.copy(short_clip, tmp_path / "clips" / "real" / "talk.mp4")
    out, page = tmp_path / "d.json", tmp_path / "faces.md"
    done = run_research(
        "detectors", toy_head, tmp_path / "clips", "--timed", short_clip, "--people", 1, "--seconds", 0.2, "-o", out
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(out.read_text())
    assert [row["condition"] for row in found["conditions"]] == [condition.name for condition in CONDITIONS]
    assert all(0 <= row[name]["found"] <= 1 for row in found["conditions"] for name in FINDERS)
    (clip,) = found["clips"]
    assert clip["frames"] == 50
    assert all(clip[name]["shown"] == 1 and clip[name]["ids"] == 1 for name in FINDERS)
    assert all(row["valence"] > 0.5 for row in found["agreement"])
    assert all(row["ms"] > 0 for row in found["times"])
    assert {row["what"] for row in found["times"]} == {"detection", "update"}
    assert run_research("faces-page", "--results", out, "-o", page).returncode == 0
    assert "talk.mp4 | 50 | 100.0 / 100.0 | 1 / 1" in page.read_text()


def test_real_faces_are_found_by_both(shared: Path) -> None:
    needs_dlib()
    from research.faces.detectors import measure_times, videos_in

    videos = videos_in(shared / "video")
    assert videos[0].parent == shared / "video"
    assert any(video.parent.name == "real" for video in videos)
    times = {row["finder"]: row["ms"] for row in measure_times(videos[0]) if row["what"] == "update"}
    assert times["yunet"] < times["dlib"]


def test_a_folder_without_videos_is_named(tmp_path: Path) -> None:
    needs_dlib()
    from research.faces.detectors import videos_in

    with pytest.raises(UsageError, match="has no videos"):
        videos_in(tmp_path)


def scored(found: float, jitter: float | None = 0.01) -> dict[str, Any]:
    boxes = dict.fromkeys(("centre_off", "side_off", "centre_jitter", "side_jitter"), jitter)
    return {"found": found, "elsewhere": 0.0, "id_changes": 0, **boxes}


def small_results() -> dict[str, Any]:
    off = {"right": 0.01, "down": -0.02, "larger": 0.0}
    return {
        "people": 1, "seconds": 2.0, "size": [640, 360], "command": "python -m research detectors ../shared/f.npz v",
        "conditions": [
            {"condition": "frontal", "yunet": scored(1.0), "dlib": scored(1.0, 0.02)},
            {"condition": "tilted", "yunet": scored(0.5), "dlib": scored(0.75, None)},
        ],
        "framing": [{"finder": name, **off, **{f"{key}_std": 0.01 for key in off}} for name in FINDERS],
        "clips": [{
            "clip": "a.mp4", "frames": 9,
            **{name: {"shown": 1.0, "ids": 1, "centre_jitter": 0.01, "side_jitter": 0.02} for name in FINDERS},
        }],
        "agreement": [{"finder": name, "faces": 40, "valence": 0.99, "arousal": 0.98} for name in FINDERS],
        "times": [
            {"finder": name, "what": what, "size": "640×360", "ms": ms}
            for name, ms in (("yunet", 2.0), ("dlib", 8.0)) for what in ("detection", "update")
        ],
    }  # fmt: skip


def test_the_page_is_written_from_its_results(tmp_path: Path) -> None:
    results = tmp_path / "detectors.json"
    results.write_text(json.dumps(small_results()))
    text = write_faces_page(results, tmp_path / "faces.md").read_text(encoding="utf-8")
    assert "| frontal | 100.0 / 100.0 | 1.0 / 2.0 |" in text
    assert "| tilted | 50.0 / 75.0 | 1.0 / – |" in text
    assert "- dlib finds more faces: tilted." in text
    assert "| YuNet | detect in a picture | 640×360 | 2.00 | 0.25 |" in text
    assert "    python -m research detectors f.npz v\n" in text
    assert "$" not in text


def test_where_neither_is_better_is_said() -> None:
    rows = [{"condition": "frontal", "yunet": scored(1.0), "dlib": scored(1.0)}]
    assert where_better(rows, "dlib") == "- dlib is clearly better in no condition."


@pytest.mark.parametrize("text", [None, "{", "{}", '{"people": 1}'])
def test_damaged_results_are_refused(text: str | None, tmp_path: Path) -> None:
    results = tmp_path / "detectors.json"
    if text is not None:
        results.write_text(text)
    with pytest.raises(SourceError):
        write_faces_page(results, tmp_path / "faces.md")
    assert not (tmp_path / "faces.md").exists()
