"""Frames in and out: exact times, every pixel format, clear refusals."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import write_video
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lowbeam.errors import SourceError, UsageError
from lowbeam.media import Frame, VideoSink, VideoSource

RAMP: NDArray[np.uint8] = np.tile(np.arange(0, 256, 2, dtype=np.uint8), (96, 1))  # 96 rows of 0, 2, … 254


def frames_of(path: Path) -> list[Frame]:
    with VideoSource(path) as video:
        return list(video)


@settings(max_examples=15, deadline=None)
@given(gaps=st.lists(st.integers(1, 900), min_size=1, max_size=12))
def test_variable_frame_rate_keeps_exact_times(gaps: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    times_ms = np.cumsum([0, *gaps]).tolist()
    path = write_video(tmp_path_factory.mktemp("vfr") / "v.mkv", [RAMP] * len(times_ms), times_ms)
    assert [round(f.time_s * 1000) for f in frames_of(path)] == times_ms


def test_b_frames_and_the_edit_list_that_they_bring_come_in_order_from_zero(tmp_path: Path) -> None:
    images = [np.roll(RAMP, 3 * i, axis=1) for i in range(25)]
    path = write_video(tmp_path / "b.mp4", images, options={"bf": "3", "b_strategy": "0", "qp": "10"})
    with av.open(str(path)) as container:
        assert any(p.dts is not None and p.dts < 0 for p in container.demux(video=0) if p.size)
    frames = frames_of(path)
    assert [f.time_s for f in frames] == pytest.approx([0.04 * i for i in range(25)], abs=1e-4)
    assert all(np.abs(f.grey.astype(int) - image).mean() < 3 for f, image in zip(frames, images, strict=True))


def test_times_count_from_the_first_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "late.mkv", [RAMP] * 3, [5000, 5040, 5100])
    assert [f.time_s for f in frames_of(path)] == pytest.approx([0, 0.04, 0.1])


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "color_range"),
    [
        ("libx264", "yuv420p", 1), ("libx264", "yuv420p", 2), ("libx264", "gray", 2), ("libx264", "yuv444p", 1),
        ("libx265", "yuv420p10le", 1), ("libx265", "gray10le", 1), ("mjpeg", "yuvj420p", 2), ("ffv1", "gray16le", 0),
    ],
)  # fmt: skip
def test_every_pixel_format_gives_the_same_full_range_grey(
    tmp_path: Path, codec: str, pix_fmt: str, color_range: int
) -> None:
    options = {"x265-params": "qp=8:bframes=0:log-level=none"} if codec == "libx265" else {"qp": "5", "q": "2"}
    if codec == "ffv1":
        options = {}
    path = write_video(tmp_path / "f.mkv", [RAMP] * 2, None, codec, pix_fmt, options, color_range)
    grey = frames_of(path)[0].grey
    assert grey.dtype == np.uint8
    assert np.abs(grey.astype(int) - RAMP).mean() < 2.5
    assert np.abs(grey.astype(int) - RAMP).max() < 12


def turned(path: Path, matrix: tuple[int, ...]) -> Path:
    """Write a display matrix into an MP4's track header, as phones do."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    data[place : place + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("a", "b", "c", "d", "turns"), [(0, 1, -1, 0, 3), (-1, 0, 0, -1, 2), (0, -1, 1, 0, 1), (1, 0, 0, 1, 0)]
)
def test_rotation_metadata_turns_the_frame_upright(tmp_path: Path, a: int, b: int, c: int, d: int, turns: int) -> None:
    image = RAMP.copy()
    image[:20] = 0  # so that up differs from down
    one = 1 << 16
    path = write_video(tmp_path / "r.mp4", [image])
    frame = frames_of(turned(path, (a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)))[0]
    expected = np.rot90(image, turns)
    assert frame.grey.shape == expected.shape
    assert frame.size == (expected.shape[1], expected.shape[0])
    assert np.abs(frame.grey.astype(int) - expected).mean() < 4


def test_pixels_that_are_not_square_are_made_so(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "wide.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(8, 5)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(RAMP, format="gray").reformat(format="yuv420p")))
        container.mux(stream.encode())
    frame = frames_of(tmp_path / "wide.mkv")[0]
    assert frame.grey.shape == (96, 205)
    assert frame.size == (205, 96)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (97, 131), (2, 999)])
def test_odd_sizes_are_read_whole(tmp_path: Path, shape: tuple[int, int]) -> None:
    image = np.full(shape, 200, np.uint8)
    path = write_video(tmp_path / "odd.mkv", [image], codec="ffv1", pix_fmt="gray", options={})
    assert frames_of(path)[0].grey.shape == shape


def test_8k_is_read(tmp_path: Path) -> None:
    image = np.zeros((4320, 7680), np.uint8)
    path = write_video(tmp_path / "8k.mkv", [image], codec="mjpeg", pix_fmt="yuvj420p", options={}, color_range=2)
    assert frames_of(path)[0].grey.shape == (4320, 7680)


def test_decoding_is_lazy(clip: Path) -> None:
    with VideoSource(clip) as video:
        frames = iter(video)
        assert [next(frames).time_s for _ in range(3)] == pytest.approx([0, 0.04, 0.08])


def test_what_cannot_be_opened_says_why(tmp_path: Path, clip: Path) -> None:
    empty, words, cut = tmp_path / "empty.mp4", tmp_path / "words.txt", tmp_path / "cut.mp4"
    empty.touch()
    words.write_text("not a video\n" * 100)
    cut.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    reasons = {
        tmp_path / "none.mp4": "no such file", empty: "is empty", words: "is a text",
        cut: "is truncated", tmp_path: "is a folder",
    }  # fmt: skip
    for path, reason in reasons.items():
        with pytest.raises(SourceError, match=reason) as caught:
            frames_of(path)
        assert str(path) in str(caught.value)


def test_a_matroska_that_stops_half_way_is_truncated_too(short_frames: list, tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", short_frames * 3)
    assert len(frames_of(path)) == 150
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match="is truncated: at least its last"):
        frames_of(path)


def test_a_time_that_cannot_be_is_damage(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", [RAMP] * 2, [0, 10**11])
    with pytest.raises(SourceError, match="states a time of"):
        frames_of(path)


def test_sound_without_video_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(SourceError, match="sound but no video"):
        frames_of(path)


def test_a_camera_that_is_not_there_says_so() -> None:
    with pytest.raises(SourceError, match="camera:97 cannot be opened"):
        VideoSource("camera:97")
    with pytest.raises(UsageError, match="is not a camera"):
        VideoSource("camera:front")


def test_a_url_that_refuses_says_so() -> None:
    with pytest.raises(SourceError, match="refused"):
        VideoSource("http://127.0.0.1:9/none.mp4")


def test_what_the_sink_writes_the_source_reads_back(tmp_path: Path) -> None:
    images = [np.full((61, 83, 3), 10 * i, np.uint8) for i in range(10)]
    times = [0.0, 0.04, 0.1, 0.11, 0.3, 0.5, 0.51, 0.52, 1.0, 2.0]
    with VideoSink(tmp_path / "o.mp4", 25) as sink:
        for image, time_s in zip(images, times, strict=True):
            sink.write(image, time_s)
    frames = frames_of(tmp_path / "o.mp4")
    assert [f.time_s for f in frames] == pytest.approx(times, abs=1e-3)
    assert frames[0].rgb.shape == (60, 82, 3)
    assert all(abs(float(f.rgb.mean()) - 10 * i) < 4 for i, f in enumerate(frames))
