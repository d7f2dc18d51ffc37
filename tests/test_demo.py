"""The demo: the main job on the clip that ships."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lowbeam.demo import ASSETS, BUDGETS_KBPS, Demo, demo
from lowbeam.media import VideoSource
from lowbeam.trace import load_csv


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return demo(out=tmp_path_factory.mktemp("demo"))


def test_every_budget_is_kept(done: Demo) -> None:
    assert [result.packed.report.budget.bps for result in done.results if result.packed.report] == [
        16e3,
        4e3,
        1e3,
        100.0,
    ]
    for result, kbps in zip(done.results, BUDGETS_KBPS, strict=True):
        assert result.packed.report is not None
        assert result.packed.report.most_bps <= 1000 * kbps


def test_estimates_agree_with_the_ground_truth(done: Demo) -> None:
    assert done.reference.name == "ground truth"
    assert done.results[0].held_ccc[0] > 0.7
    assert done.results[1].held_ccc[0] > 0.6
    assert done.results[2].smooth_ccc[0] > 0.3
    assert done.results[3].held_ccc[0] > 0.8


def test_what_goes_on_the_wire_is_more_than_the_video_and_less_than_the_file_with_its_headers(done: Demo) -> None:
    for result in done.results:
        packed = result.packed
        headers = 40 * packed.coded
        assert headers < result.wire_bps * packed.duration_s / 8 < packed.size_bytes + headers


def test_everything_lies_in_the_folder(done: Demo) -> None:
    names = {path.name for path in done.folder.iterdir()}
    budgets = ("16kbps", "4kbps", "1kbps", "100bps")
    assert names == {f"{budget}.{kind}" for budget in budgets for kind in ("mkv", "csv", "csv-metadata.json")} | {
        "traces.png", "envelope.png", "overlay.mp4", "index.html"
    }  # fmt: skip
    assert len(load_csv(done.folder / "1kbps.csv")) == done.results[2].packed.coded
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
    assert len([line for line in ran.stdout.splitlines() if "kbit/s" in line and " px QP " in line]) == 3


def test_the_truth_that_ships_is_the_script_s() -> None:
    clip = pytest.importorskip("lowbeam.corpora.rendered.clip", reason="the renderer needs the render extra")
    table = np.loadtxt(ASSETS / "clip.csv", delimiter=",", skiprows=1)
    assert np.allclose(table[:, 1:], clip.truth(table[:, 0]), atol=1e-4)
    assert len(table) == 600
