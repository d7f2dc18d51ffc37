"""Pack and read, end to end, on the clip that ships."""

import os
import sys
import threading
from collections.abc import Iterable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet
import pytest
from conftest import write_video
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import lowbeam
from lowbeam import NoFaceError, OutputError, SourceError, StreamError, UsageError
from lowbeam.codec import PIXEL_CODECS, OperatingPoint
from lowbeam.codec.layers import Layers
from lowbeam.codec.policy import Fixed
from lowbeam.container.layout import MAX_TRACKS
from lowbeam.face import Box, Face
from lowbeam.faces import FrameFaces, YunetDetector
from lowbeam.media import Frame, VideoSource
from lowbeam.pipeline import reading
from lowbeam.pipeline.options import Section
from lowbeam.pipeline.outputs import MAX_AWAY, MAX_SPOOLS, AllFacesOutput
from lowbeam.pipeline.sources import AWAY_S, with_absences
from lowbeam.scale import Faces
from lowbeam.trace import EXPRESSION_COLUMNS, load_csv


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


def test_expressions_are_read_where_asked_for_and_pixels_came(
    face_stream: Path, short_clip: Path, tmp_path: Path,
) -> None:  # fmt: skip
    plain, trace = lowbeam.read(face_stream), lowbeam.read(face_stream, out=tmp_path / "t.csv", expressions=True)
    assert not plain.has_expressions
    assert np.array_equal(plain.valence, trace.valence)
    assert np.allclose(sum(trace[name] for name in EXPRESSION_COLUMNS), 1, atol=1e-4)
    assert load_csv(tmp_path / "t.csv").happiness == pytest.approx(trace.happiness, abs=1e-4)
    for _, estimates in lowbeam.stream(face_stream, expressions=True):
        assert estimates[0].expressions is not None
    lowbeam.pack(short_clip, tmp_path / "lean.mkv", codec="estimates")
    lean = lowbeam.read(tmp_path / "lean.mkv", expressions=True)
    assert np.isnan(lean.happiness).all()


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
    for wrong in ({"scale": 5}, {"codec": "gif"}, {"qp": 99}, {"fps": -1}, {"faces": "some"}):
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


def test_a_slow_video_packed_at_a_fixed_point_has_no_false_absences(short_frames: list, tmp_path: Path) -> None:
    source = write_video(tmp_path / "slow.mp4", short_frames[:22], [250 * i for i in range(22)], options={"crf": "20"})
    assert lowbeam.pack(source, tmp_path / "slow.mkv", fps=12.5).coded == 22
    seen = [len(frame.faces) for frame, _ in lowbeam.stream(tmp_path / "slow.mkv")]
    assert seen == [1] * 22


@given(intervals=st.lists(st.sampled_from([0.04, 0.08, 0.2, 1.0]), min_size=9, max_size=30), away_s=st.floats(6, 60))
def test_an_absence_is_told_from_a_low_frame_rate(intervals: list[float], away_s: float) -> None:
    def absences(gaps: list[float], longest_s: float) -> int:
        times = np.cumsum([0.0, *gaps]).tolist()
        frames = [FrameFaces(t, [Face(t, 0, Box(0, 0, 9), np.zeros((6, 6), np.uint8))]) for t in times]
        return sum(not frame.faces for frame in with_absences(frames, longest_s))

    steady = [intervals[0]] * 10
    assert absences(steady, 0.0) == 0
    assert absences([*steady, away_s, *steady], 0.0) == 1
    assert absences(intervals, AWAY_S) == 0  # a budget changes the frame rate
    assert absences([*intervals, away_s], AWAY_S) == 1


def test_encoders_of_faces_that_have_gone_are_let_go_of(hr_faces: Faces, tmp_path: Path) -> None:
    with AllFacesOutput(Layers([Fixed(OperatingPoint("av1", 8))]), tmp_path / "f.mkv", 2.0) as output:
        threads = []
        for index in range(60):  # passers-by, each for one frame, two seconds apart
            face = Face(2.0 * index, index, Box(0, 0, 50), hr_faces[index % 50])
            output.add(FrameFaces(face.time_s, [face], None, (640, 360)))
            threads.append(threading.active_count() + len(list(Path("/proc/self/task").iterdir())))
        output.finish()
    assert output.coded == output.tracks == 60
    assert max(threads) - threads[0] < 40
    assert len(lowbeam.read(tmp_path / "f.mkv", faces="all")) == 60


@pytest.mark.parametrize("codec", PIXEL_CODECS)
def test_a_crowd_that_comes_and_goes_holds_few_encoders_and_loses_no_face(
    codec: str, hr_faces: Faces, tmp_path: Path
) -> None:
    with AllFacesOutput(Layers([Fixed(OperatingPoint(codec, 8))]), tmp_path / "f.mkv", 2.0) as output:
        for index in range(60):  # thirty people, one at a time, twice within three seconds
            face = Face(0.04 * index, index % 30, Box(0, 0, 50), hr_faces[index % 50])
            output.add(FrameFaces(face.time_s, [face], None, (640, 360)))
            assert sum(spool.track.is_open for spool in output._spools.values()) <= MAX_AWAY + 1
        output.finish()
    trace = lowbeam.read(tmp_path / "f.mkv", faces="all")
    assert trace.cut_at_s is None
    assert len(trace) == 60
    assert all(len(trace.of_face(face)) == 2 for face in range(30))


def test_a_crowd_that_stays_in_view_keeps_its_tracks(hr_faces: Faces, tmp_path: Path) -> None:
    people = range(MAX_SPOOLS + 3)
    with AllFacesOutput(Layers([Fixed(OperatingPoint("avc", 16))]), tmp_path / "f.mkv", 2.0) as output:
        for index in range(3):
            faces = [Face(0.1 * index, n, Box(0, 0, 200 - n), hr_faces[n % 50]) for n in people]
            output.add(FrameFaces(0.1 * index, faces, None, (640, 360)))
        output.finish()
    assert output.coded == 3 * output.tracks == 3 * MAX_TRACKS
    assert output.left_out == len(people) - MAX_TRACKS


def test_a_fifo_takes_a_trace_as_csv(face_stream: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    received: list[str] = []
    listener = threading.Thread(target=lambda: received.append((tmp_path / "fifo").read_text()))
    listener.start()
    lowbeam.read(face_stream, out=tmp_path / "fifo")
    listener.join(30)
    assert received[0].count("\n") == 51


def test_a_whole_stream_of_several_tracks_is_not_cut(short_frames: list, tmp_path: Path) -> None:
    source = write_video(tmp_path / "two.mp4", two_people(short_frames), options={"crf": "15"})
    for codec in PIXEL_CODECS:
        lowbeam.pack(source, tmp_path / "all.mkv", faces="all", codec=codec, fps=25)
        for faces in ("all", "primary"):
            assert lowbeam.read(tmp_path / "all.mkv", faces=faces).cut_at_s is None  # type: ignore[arg-type]


def test_a_reader_reads_many_sources_and_loads_once(
    short_clip: Path, face_stream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    monkeypatch.setattr(reading, "YunetDetector", lambda threads: (loaded.append(threads), YunetDetector(threads))[1])
    reader = lowbeam.Reader("fast")
    traces = [reader.read(source) for source in (short_clip, face_stream, short_clip)]
    assert loaded == [1]
    assert traces[0] == traces[2]
    assert traces[1] == lowbeam.read(face_stream, model="fast")


def test_a_section_of_a_source_is_read_with_the_source_s_times(short_clip: Path, face_stream: Path) -> None:
    for source in (short_clip, face_stream):
        trace = lowbeam.read(source, start_s=0.5, duration_s=1.0, fps=5)
        assert trace.time_s.tolist() == pytest.approx([0.52, 0.72, 0.92, 1.12, 1.32], abs=0.03)
    for wrong in ({"start_s": -1.0}, {"duration_s": 0.0}, {"fps": 0.0}, {"fps": 1000.0}):
        with pytest.raises(UsageError, match="out of range"):
            lowbeam.read(short_clip, **wrong)


def test_all_outputs_of_a_file_are_written_or_none(face_stream: Path, tmp_path: Path) -> None:
    trace = lowbeam.read(
        face_stream, out=tmp_path / "t.parquet", plot=tmp_path / "p.svg", overlay=tmp_path / "o.mp4"
    )  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"t.parquet", "p.svg", "o.mp4"}
    table = pyarrow.parquet.read_table(tmp_path / "t.parquet")
    assert table["valence"].to_pylist() == trace.valence.tolist()
    assert b"accurate" in pyarrow.parquet.read_metadata(tmp_path / "t.parquet").metadata[b"lowbeam"]
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(OutputError):
        lowbeam.read(face_stream, out=tmp_path / "t.csv", overlay=tmp_path / "none" / "o.mp4")
    assert not list(tmp_path.iterdir())


def test_a_face_stream_is_not_named_as_another_container(short_clip: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is Matroska; name it \.mkv"):
        lowbeam.pack(short_clip, tmp_path / "x.mp4")


def test_a_fifo_is_an_output_like_another(short_clip: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append((tmp_path / "fifo").read_bytes()))
    reader.start()
    packed = lowbeam.pack(short_clip, tmp_path / "fifo")
    reader.join(30)
    assert packed.size_bytes == len(received[0]) > 500


def test_a_face_stream_at_a_url_is_read_as_one(face_stream: Path, short_clip: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = partial(Quiet, directory=str(face_stream.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = lowbeam.read(f"http://127.0.0.1:{server.server_port}/{face_stream.name}")
        server.shutdown()
    expected = lowbeam.read(face_stream)
    assert found.cut_at_s is None
    assert np.allclose(found.valence, expected.valence, atol=5e-4)
    assert (found.side == expected.side).all()
