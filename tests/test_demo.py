"""The demo: the main job on the clip that ships."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lowbeam.demo import ASSETS, POINTS, Demo, demo
from lowbeam.media import VideoSource
from lowbeam.trace import load_csv


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return demo(out=tmp_path_factory.mktemp("demo"))


def test_the_lowest_rate_is_under_five_kilobits_a_second(done: Demo) -> None:
    rates = [result.packed.rate_bps for result in done.results]
    assert len(rates) == len(POINTS) == 3
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 5000


def test_estimates_agree_with_the_ground_truth(done: Demo) -> None:
    assert done.reference.name == "ground truth"
    assert done.results[0].ccc[0] > 0.5
    assert all(result.ccc[0] > 0.3 for result in done.results)


def test_what_goes_on_the_wire_is_more_than_the_video_and_less_than_the_file_with_its_headers(done: Demo) -> None:
    for result in done.results:
        packed = result.packed
        headers = 40 * packed.coded
        assert headers < result.wire_bps * packed.duration_s / 8 < packed.size_bytes + headers


def test_everything_lies_in_the_folder(done: Demo) -> None:
    names = {path.name for path in done.folder.iterdir()}
    assert names == {f"point-{i}.{kind}" for i in (1, 2, 3) for kind in ("mkv", "csv", "csv-metadata.json")} | {
        "traces.png", "envelope.png", "overlay.mp4", "index.html"
    }  # fmt: skip
    assert len(load_csv(done.folder / "point-3.csv")) == done.results[-1].packed.coded
    with VideoSource(done.folder / "overlay.mp4") as video:
        assert sum(1 for _ in video) == 600


def test_the_page_needs_nothing_but_itself(done: Demo) -> None:
    page = done.page.read_text()
    assert page.count("data:image/png;base64,") == 2
    assert page.count("data:video/mp4;base64,") == 1
    assert not re.search(r"(?:src|href)=\"(?!data:)", page)
    assert "$" not in re.sub(r"base64,[^\"]*", "", page)
    for result in done.results:
        assert f"{result.packed.rate_bps / 1000:.2f}" in page


def test_a_video_of_ones_own_is_compared_with_its_uncompressed_face(
    short_clip: Path, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    ran = run_cli("demo", "--video", short_clip, "-o", tmp_path / "out")
    assert ran.returncode == 0
    assert "CCC is measured against the uncompressed face" in ran.stdout
    assert len([line for line in ran.stdout.splitlines() if line.startswith("hevc")]) == 3


def test_the_truth_that_ships_is_the_script_s() -> None:
    clip = pytest.importorskip("lowbeam.corpora.rendered.clip", reason="the renderer needs the render extra")
    table = np.loadtxt(ASSETS / "clip.csv", delimiter=",", skiprows=1)
    assert np.allclose(table[:, 1:], clip.truth(table[:, 0]), atol=1e-4)
    assert len(table) == 600
