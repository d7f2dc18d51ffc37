"""What docs/manifest.md says, tried."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import write_video
from numpy.typing import NDArray

from lowbeam.corpora import cache
from lowbeam.corpora.choose import load_faces
from lowbeam.corpora.labelled import LabelledFaces

PAGE = Path(__file__).parents[1] / "docs" / "manifest.md"
HEADING = "recording,split,time_s,valence,arousal"


def thirty_fps(path: Path, frames: list[NDArray[np.uint8]], count: int = 60, first_ms: int = 0) -> Path:
    images = [frames[i % len(frames)] for i in range(count)]
    return write_video(path, images, [first_ms + round(1000 * i / 30) for i in range(count)], options={"crf": "20"})


def faces_of(folder: Path, rows: list[str], split: str = "test") -> LabelledFaces:
    (folder / "my.csv").write_text("\n".join([HEADING, *rows]) + "\n", encoding="utf-8")
    return load_faces(f"manifest:{folder / 'my.csv'}", split, cache=folder / "cache")


def ten_hz(name: str, split: str = "test", count: int = 20) -> list[str]:
    return [f"{name},{split},{i / 10:.1f},{i / 20},{-i / 40}" for i in range(count)]


@pytest.mark.parametrize("first_ms", [0, 500])
def test_labels_at_ten_hertz_meet_frames_at_thirty_fps(
    first_ms: int, short_frames: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    thirty_fps(tmp_path / "a.mp4", short_frames, first_ms=first_ms)
    faces = faces_of(tmp_path, ten_hz("a.mp4"))
    assert len(faces) == 58
    assert faces.time_s is not None
    assert faces.time_s[-1] == pytest.approx(1.9, abs=1e-3)
    assert faces.affect[:4, 0] == pytest.approx(np.array([0, 1 / 60, 2 / 60, 1 / 20]), abs=1e-3)
    assert "gives 58 labelled frames" in PAGE.read_text()


def test_frames_in_gaps_and_beside_nan_have_no_label(short_frames: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    thirty_fps(tmp_path / "a.mp4", short_frames)
    gap = faces_of(tmp_path, ["a.mp4,test,0.4,0,0", "a.mp4,test,1.45,1,1", "a.mp4,test,1.6,1,1"])
    assert gap.time_s is not None
    assert gap.time_s.round(2).tolist() == [0.4, 1.43, 1.47, 1.5, 1.53, 1.57, 1.6]
    hole = faces_of(tmp_path, ["a.mp4,test,0.0,0,0", "a.mp4,test,0.1,nan,nan", "a.mp4,test,0.2,0,0"])
    assert hole.time_s is not None
    assert hole.time_s.round(2).tolist() == [0.0, 0.2]


def test_paths_are_relative_to_the_csv_and_rows_may_be_mixed(
    short_frames: list[NDArray[np.uint8]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "calls").mkdir()
    thirty_fps(tmp_path / "calls" / "ann.mp4", short_frames)
    thirty_fps(tmp_path / "ben.mp4", short_frames)
    monkeypatch.chdir("/")
    one, other = ten_hz("calls/ann.mp4"), ten_hz(str(tmp_path / "ben.mp4"))
    mixed = [row for pair in zip(other, one, strict=True) for row in pair]
    faces = faces_of(tmp_path, mixed + ten_hz("gone.mp4", "train"))  # of another split: it is not looked for
    assert np.bincount(faces.recording).tolist() == [58, 58]
    (about,) = (tmp_path / "cache").rglob("about.json")
    assert json.loads(about.read_text())["recordings"] == [str(tmp_path / "ben.mp4"), "calls/ann.mp4"]


def test_what_is_kept_is_as_the_page_says(
    short_frames: list[NDArray[np.uint8]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thirty_fps(tmp_path / "a.mp4", short_frames, 10)
    rows, cuts = ten_hz("a.mp4", count=4), []
    cut = cache.cut
    monkeypatch.setattr(cache, "cut", lambda recording: cuts.append(recording.name) or cut(recording))
    faces_of(tmp_path, rows)
    (folder,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    assert folder.name.startswith("manifest-test-")
    assert {path.name for path in folder.iterdir()} == {"faces.npy", "labels.npz", "about.json"}
    load_faces(f"manifest:{tmp_path / 'my.csv'}", "test", cache=tmp_path / "cache")
    assert len(cuts) == 1
    monkeypatch.chdir(tmp_path)
    load_faces("manifest:my.csv", "test", cache=tmp_path / "cache")  # written differently
    assert len(cuts) == 2
    os.utime(tmp_path / "a.mp4", (1, 1))
    load_faces("manifest:my.csv", "test", cache=tmp_path / "cache")
    assert len(cuts) == 3


def test_the_example_gives_what_the_page_says(tmp_path: Path) -> None:
    block = PAGE.read_text().partition("## An example")[2].partition("## What is kept")[0]
    lines = [line.strip() for line in block.splitlines() if line.startswith("    ")]
    (tmp_path / "bin").mkdir()
    for name, words in (("python", ""), ("lowbeam", "-m lowbeam.cli ")):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words}"$@"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        ["sh", "-e", "-c", "\n".join(lines)], cwd=tmp_path, env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"`{done.stdout.splitlines()[0]}`" in block
