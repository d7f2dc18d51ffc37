"""Decoding from the middle of a file gives the frames, and the times, of decoding from its start."""

from pathlib import Path

import numpy as np
import pytest

from lowbeam.media import VideoSource
from tests.conftest import write_video

FRAMES, START_S = 300, 6.5


def images() -> list[np.ndarray]:
    noise = np.random.default_rng(3).integers(0, 255, (64, 96), np.uint8)
    return [np.roll(noise, (n, 2 * n), (0, 1)) for n in range(FRAMES)]


def frames(path: Path, start_s: float) -> list[tuple[float, bytes]]:
    with VideoSource(path, start_s) as video:
        return [(frame.time_s, frame.grey.tobytes()) for frame in video]


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"bf": "3", "g": "50"}), ("open.mp4", "libx264", {"bf": "3", "g": "50", "flags": "-cgop"}),
        ("a.mkv", "libx265", {"x265-params": "keyint=60:bframes=4:open-gop=1:log-level=none"}),
        ("a.webm", "libvpx-vp9", {"g": "60", "deadline": "realtime", "cpu-used": "8"}),
        ("late.mp4", "libx264", {"bf": "3", "g": "50"}), ("one.mp4", "libx264", {"g": "1000"}),
    ],
)  # fmt: skip
def test_frames_from_the_middle_are_those_of_the_whole(
    name: str, codec: str, options: dict[str, str], tmp_path: Path
) -> None:
    begin_ms = 3000 if name == "late.mp4" else 0  # a file whose first frame is not at its time 0
    path = write_video(tmp_path / name, images(), [begin_ms + 40 * n for n in range(FRAMES)], codec, options=options)
    whole, part = frames(path, 0), frames(path, START_S)
    assert [one for one in part if one[0] >= START_S] == [one for one in whole if one[0] >= START_S]
    if name != "one.mp4":
        assert len(part) < FRAMES / 2 + 60  # the rest was not decoded


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.ts", "libx264"), ("a.h264", "libx264")])
def test_other_formats_are_decoded_from_their_start(name: str, codec: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, images(), codec=codec, options={"g": "25"})
    assert frames(path, START_S) == frames(path, 0)


def test_a_start_beyond_the_end_is_no_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", images()[:50])
    found, whole = frames(path, 100), frames(path, 0)
    assert found == whole[len(whole) - len(found) :]
