"""Pack and read, end to end, on the clip that ships."""

import sys
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import write_video
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import lowbeam
from lowbeam import NoFaceError, OutputError, SourceError, StreamError, UsageError
from lowbeam.media import Frame, VideoSource
from lowbeam.pipeline.options import Section


def test_a_face_stream_reads_as_the_face_that_was_packed(short_clip: Path, tmp_path: Path) -> None:
    packed = lowbeam.pack(short_clip, tmp_path / "f.mkv", scale=2, qp=10, fps=25)
    far, near = lowbeam.read(tmp_path / "f.mkv"), lowbeam.read(short_clip)
    assert packed.coded == len(far) == len(near) == 50
    assert packed.duration_s == pytest.approx(2.0)
    assert packed.size_bytes == (tmp_path / "f.mkv").stat().st_size
    assert packed.rate_bps == pytest.approx(packed.size_bytes * 4)
    assert np.corrcoef(far.valence, near.valence)[0, 1] > 0.9


def test_the_default_point_needs_less_than_five_kilobits(clip: Path, tmp_path: Path) -> None:
    packed = lowbeam.pack(clip, tmp_path / "f.mkv")
    assert packed.rate_bps < 5000
    trace = lowbeam.read(tmp_path / "f.mkv")
    assert len(trace) == packed.coded
    assert trace.cut_at_s is None


def kept(times_s: Iterable[float], fps: float) -> list[float]:
    """Which of the frames at `times_s` are kept at `fps`."""

    class Picture:
        def __init__(self, time_s: float) -> None:
            self.time_s = time_s

    return [picture.time_s for picture in Section(fps=fps).of(map(Picture, times_s))]


@pytest.mark.parametrize(
    ("source", "fps", "expected"), [(25, 12.5, 0.5), (30, 12.5, 5 / 12), (25, 5, 0.2), (30, 1, 1 / 30)]
)
def test_fps_thins_frames_evenly(source: float, fps: float, expected: float) -> None:
    times = kept(np.arange(900) / source, fps)
    assert len(times) == pytest.approx(900 * expected, rel=0.01)
    assert np.abs(np.diff(times) - 1 / fps).max() < 0.7 / source


@given(seed=st.integers(0, 999), jitter_ms=st.floats(0, 4), rate=st.sampled_from([24000 / 1001, 25, 30000 / 1001, 30]))
def test_a_source_at_or_below_the_fps_keeps_every_frame(seed: int, jitter_ms: float, rate: float) -> None:
    # Matroska rounds times to a millisecond, and cameras jitter by a few.
    jitter = np.random.default_rng(seed).uniform(-jitter_ms, jitter_ms, 300) / 1000
    times = np.round(np.arange(1, 301) / rate + jitter, 3)
    assert len(kept(times, rate)) == 300
    assert len(kept(times, 2 * rate)) == 300


def test_a_container_s_times_do_not_run_backwards(short_frames: list, tmp_path: Path) -> None:
    images = two_people(short_frames)
    only_one = [np.where(np.arange(900)[None, :, None] < 400, image, 110).astype(np.uint8) for image in images]
    source = write_video(tmp_path / "leaves.mp4", images + only_one * 2, options={"crf": "15"})
    lowbeam.pack(source, tmp_path / "all.mkv", faces="all", fps=25)
    with av.open(str(tmp_path / "all.mkv")) as container:
        assert len(container.streams.video) == 2
        times = [p.pts for p in container.demux() if p.pts is not None and p.size]
    assert times == sorted(times)


def two_people(short_frames: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    images = []
    for frame in short_frames[:20]:
        image = np.full((360, 900, 3), 110, np.uint8)
        image[:, :400] = frame[:, 110:510]
        image[100:260, 600:780] = frame[::2, 130:490:2][:160, :180]
        images.append(image)
    return images


def test_all_faces_get_a_track_each_the_primary_first(short_frames: list, tmp_path: Path) -> None:
    source = write_video(tmp_path / "two.mp4", two_people(short_frames), options={"crf": "15"})
    packed = lowbeam.pack(source, tmp_path / "all.mkv", faces="all", scale=3, fps=25)
    assert packed.tracks == 2
    both, primary = lowbeam.read(tmp_path / "all.mkv", faces="all"), lowbeam.read(tmp_path / "all.mkv")
    assert len(both) == packed.coded == 40
    assert len(primary) == 20
    assert set(primary.face) == {both.faces()[0]}
    assert primary.side.min() > both.of_face(both.faces()[1]).side.max()
    assert (np.diff(both.time_s) >= 0).all()
    assert len(lowbeam.read(source, faces="all")) == 40


def test_a_face_that_comes_and_goes_leaves_gaps(short_frames: list, tmp_path: Path) -> None:
    wall = np.full((360, 640, 3), 110, np.uint8)
    images = [wall] * 10 + short_frames[:15] + [wall] * 20 + short_frames[15:30] + [wall] * 10
    source = write_video(tmp_path / "gaps.mp4", images, options={"crf": "20"})
    lowbeam.pack(source, tmp_path / "gaps.mkv", fps=25)
    for trace in (lowbeam.read(source), lowbeam.read(tmp_path / "gaps.mkv")):
        assert trace.time_s.min() >= 0.36
        assert not ((trace.time_s > 1.05) & (trace.time_s < 1.76)).any()
        assert ((trace.time_s > 1.76) & (trace.time_s < 2.4)).sum() >= 6
        assert set(trace.face) == {0}


def test_overlays_show_what_was_read(short_clip: Path, face_stream: Path, tmp_path: Path) -> None:
    for source in (short_clip, face_stream):
        lowbeam.read(source, overlay=tmp_path / "o.mp4")
        with VideoSource(tmp_path / "o.mp4") as video:
            frames: list[Frame] = list(video)
        assert len(frames) == 50
        assert frames[0].size == (640, 456)
        assert frames[25].grey[150:250, 250:400].std() > 10  # a face, not the empty canvas


def test_a_video_without_a_face_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    wall = [np.full((120, 160), 90, np.uint8)] * 5
    source = write_video(tmp_path / "wall.mp4", wall)
    with pytest.raises(NoFaceError, match=r"wall.mp4 shows no face"):
        lowbeam.pack(source, tmp_path / "f.mkv")
    with pytest.raises(NoFaceError):
        lowbeam.pack(source, tmp_path / "f.mkv", faces="all")
    with pytest.raises(NoFaceError):
        lowbeam.read(source, overlay=tmp_path / "o.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["wall.mp4"]


@pytest.mark.parametrize("shape", [(1, 1), (3, 2001), (241, 321)])
def test_odd_frames_end_in_no_face_not_in_a_crash(shape: tuple[int, int], tmp_path: Path) -> None:
    source = write_video(tmp_path / "odd.mkv", [np.zeros(shape, np.uint8)] * 2, None, "ffv1", "gray", {"level": "3"})
    with pytest.raises(NoFaceError):
        lowbeam.read(source)


def test_a_truncated_video_is_an_error_and_an_old_output_stays(clip: Path, tmp_path: Path) -> None:
    cut, out = tmp_path / "cut.mp4", tmp_path / "f.mkv"
    cut.write_bytes(clip.read_bytes()[:200_000])
    out.write_text("from an earlier run")
    with pytest.raises(SourceError, match="is truncated"):
        lowbeam.pack(cut, out)
    assert out.read_text() == "from an earlier run"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut.mp4", "f.mkv"]


def test_a_stream_cut_before_its_first_face_says_so(face_stream: Path, tmp_path: Path) -> None:
    data = face_stream.read_bytes()
    header = data.index(b"\x1f\x43\xb6\x75")  # Matroska's mark of the first cluster
    (tmp_path / "cut.mkv").write_bytes(data[: header + 20])
    with pytest.raises(StreamError, match=r"is cut before its first face|cannot be opened as a face stream"):
        lowbeam.read(tmp_path / "cut.mkv")


def test_a_cut_stream_is_read_to_where_it_ends(face_stream: Path, tmp_path: Path) -> None:
    data = face_stream.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) * 2 // 3])
    trace = lowbeam.read(tmp_path / "cut.mkv")
    assert 5 < len(trace) < 50
    assert trace.cut_at_s == pytest.approx(trace.time_s[-1])


def test_wrong_arguments_are_refused_before_any_work(clip: Path, tmp_path: Path) -> None:
    for wrong in ({"scale": 5}, {"codec": "gif"}, {"qp": 99}, {"fps": -1}, {"faces": "some"}, {"detector": "mtcnn"}):
        with pytest.raises(UsageError):
            lowbeam.pack(clip, tmp_path / "f.mkv", **wrong)  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="cannot be written"):
        lowbeam.pack(clip, tmp_path / "none" / "f.mkv")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="limits on file sizes are a Unix matter")
@pytest.mark.parametrize("faces", ["primary", "all"])
def test_a_full_disk_is_one_line_and_leaves_nothing(faces: str, short_clip: Path, tmp_path: Path) -> None:
    import resource
    import subprocess

    out = tmp_path / "f.mkv"
    done = subprocess.run(
        [sys.executable, "-m", "lowbeam.cli", "pack", short_clip, "-o", out, "--scale=1", "--qp=5", "--faces", faces],
        capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("lowbeam: ")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_every_shared_clip_goes_through(shared: Path, tmp_path: Path) -> None:
    for source in sorted(path for path in (shared / "video").iterdir() if path.is_file()):
        if source.name == "no_face.mp4":
            with pytest.raises(NoFaceError):
                lowbeam.pack(source, tmp_path / "f.mkv")
            continue
        packed = lowbeam.pack(source, tmp_path / "f.mkv")
        trace = lowbeam.read(tmp_path / "f.mkv")
        assert len(trace) == packed.coded > 0
