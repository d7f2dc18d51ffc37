"""Face streams of estimates: packed from a video, read, cut, hostile, through a pipe, and by the command line."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import write_video
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lowbeam
from lowbeam.cli import app as cli
from lowbeam.codec import CodedFace, PlacedFace
from lowbeam.codec.budget import Budget
from lowbeam.codec.compact.coder import EstimatesCoder
from lowbeam.codec.compact.policy import CompactBudget, CompactFixed
from lowbeam.codec.wire import rtp_bytes
from lowbeam.container import FaceStreamReader, FaceStreamWriter, count_bytes
from lowbeam.errors import LowbeamError, SourceError, StreamError, UsageError
from lowbeam.face import Face
from lowbeam.files import Pipe
from lowbeam.metrics import ccc
from tests.compact_source import POINT, decoded, feeling, regular, sent_packets, write_stream
from tests.failing import said_by

WAIT_S = 30.0
relaxed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def received(path: Path, primary_only: bool = False) -> tuple[list[Face], float | None]:
    with FaceStreamReader(path, primary_only) as reader:
        return list(reader), reader.cut_at_s


def key(face: Face) -> tuple[object, ...]:
    return face.time_s, face.id, face.box, face.estimate


@pytest.fixture(scope="module")
def packed(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, lowbeam.Packed]:
    path = tmp_path_factory.mktemp("packed") / "face.mkv"
    return path, lowbeam.pack(clip, path, budget="100bps")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds of one person, in packets of a second."""
    return write_stream(
        tmp_path_factory.mktemp("stream") / "face.mkv", sent_packets(regular(10, 20), CompactFixed(POINT))
    )


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds of two people, each in a track, the second from 5 s on; packets of 2 s."""
    found = sent_packets(
        regular(10, 20), CompactFixed(POINT, 2.0), lambda time_s: [0] if time_s < 5.3 else [0, 1], tracks=2
    )
    return write_stream(tmp_path_factory.mktemp("crowd") / "face.mkv", found)


# --- packing a video


def test_a_hundred_bits_a_second_tell_the_clip(packed: tuple[Path, lowbeam.Packed], clip: Path) -> None:
    path, result = packed
    assert result.point.codec == "estimates"
    assert result.report is not None
    assert result.report.is_reachable
    assert result.report.most_bps <= 100
    trace, exact = lowbeam.read(path), lowbeam.read(clip)
    assert trace.cut_at_s is None
    assert np.all(np.diff(trace.time_s) > 0)
    assert np.all(trace.valence_std > 0)
    assert np.all(trace.arousal_std > 0)
    assert trace.time_s[0] == 0
    assert trace.time_s[-1] == pytest.approx(exact.time_s[-1], abs=0.15)
    for name in ("valence", "arousal"):
        assert ccc(np.interp(exact.time_s, trace.time_s, trace[name]), exact[name]) > 0.75
    assert np.abs(trace.x - np.interp(trace.time_s, exact.time_s, exact.x)).max() < 0.3 * exact.side.mean()


def test_what_is_on_the_wire_is_within_the_budget(packed: tuple[Path, lowbeam.Packed]) -> None:
    counter = count_bytes(packed[0])
    assert len(counter) == packed[1].coded
    assert rtp_bytes(counter.sizes) * 8 / 24 <= 100 * (1 + 5 / 24) + 1  # the last span may end after the clip
    assert counter.payload < 0.5 * rtp_bytes(counter.sizes)  # most are headers


def test_a_lively_person_keeps_nearly_all(tmp_path: Path) -> None:
    found = {}
    for bps in (150, 500):
        tracks = sent_packets(regular(10, 40), CompactBudget(Budget(bps), POINT))
        trace = lowbeam.read(write_stream(tmp_path / f"{bps}.mkv", tracks))
        truth = np.array([feeling(time_s, 0)[:2] for time_s in trace.time_s])
        found[bps] = min(ccc(trace.valence, truth[:, 0]), ccc(trace.arousal, truth[:, 1]))
    assert found[150] > 0.85
    assert 0.96 < found[500] < 1


def test_deviations_cover_what_coding_adds(tmp_path: Path) -> None:
    trace = lowbeam.read(
        write_stream(tmp_path / "f.mkv", sent_packets(regular(10, 40), CompactBudget(Budget(120), POINT)))
    )
    error = trace.valence - np.array([feeling(time_s, 0).valence for time_s in trace.time_s])
    assert np.mean(np.abs(error) < 2 * trace.valence_std) > 0.9
    assert np.sqrt(np.mean(error**2)) < trace.valence_std.mean()


@pytest.mark.parametrize(("qp", "most"), [(0, 0.03), (14, 0.6)])
def test_quality_is_a_quantisation_parameter(qp: int, most: float, short_clip: Path, tmp_path: Path) -> None:
    lowbeam.pack(short_clip, tmp_path / "f.mkv", codec="estimates", qp=qp, fps=25)
    trace, exact = lowbeam.read(tmp_path / "f.mkv"), lowbeam.read(short_clip)
    assert len(trace) == 50
    assert np.abs(trace.valence - exact.valence).max() < most
    assert np.abs(trace.arousal - exact.arousal).max() < most


@pytest.mark.parametrize(("scale", "fps", "rows"), [(1, 5.0, 10), (4, 10.0, 20), (16, 1.0, 2)])
def test_scale_and_frame_rate_are_those_asked_for(
    scale: int, fps: float, rows: int, short_clip: Path, tmp_path: Path
) -> None:
    lowbeam.pack(short_clip, tmp_path / "f.mkv", codec="estimates", scale=scale, fps=fps)
    with FaceStreamReader(tmp_path / "f.mkv") as reader:
        assert abs(len(list(reader)) - rows) <= 3
        assert reader.cut_at_s is None


def test_the_source_is_the_estimates_of_small_faces_if_asked_for(short_clip: Path, tmp_path: Path) -> None:
    found = []
    for scale in (1, 16):
        lowbeam.pack(short_clip, tmp_path / "f.mkv", codec="estimates", scale=scale, qp=0)
        found.append(lowbeam.read(tmp_path / "f.mkv"))
    assert found[1].valence_std.mean() > found[0].valence_std.mean()  # of 6 px there is less to tell


def test_a_video_without_faces_is_no_stream(tmp_path: Path) -> None:
    write_video(tmp_path / "empty.mp4", [np.full((120, 160), 90, np.uint8)] * 30)
    with pytest.raises(LowbeamError, match="shows no face"):
        lowbeam.pack(tmp_path / "empty.mp4", tmp_path / "f.mkv", budget="100bps")
    assert not (tmp_path / "f.mkv").exists()


# --- reading


def test_the_file_says_what_it_has(stream: Path) -> None:
    with av.open(str(stream)) as container:
        assert container.metadata["LOWBEAM"] == "3"
        assert not container.streams.video
        assert [one.metadata.get("LOWBEAM_CODEC") for one in container.streams] == [None, "estimates 01"]


def test_samples_come_as_they_were_sent(stream: Path) -> None:
    faces, cut_at_s = received(stream)
    assert cut_at_s is None
    assert [(one.time_s, one.estimate) for one in faces] == [
        (one.time_ms / 1000, one.estimate) for one in decoded(packets())
    ]
    assert {face.box.x for face in faces} == {faces[0].box.x}
    assert faces[0].box.centre == pytest.approx((50, 50), abs=4)


def test_samples_of_several_people_come_in_order_of_time(crowd: Path) -> None:
    faces, cut_at_s = received(crowd)
    assert cut_at_s is None
    assert {face.id for face in faces} == {0, 1}
    assert all(b.time_s >= a.time_s for a, b in pairwise(faces))
    assert sum(face.id == 0 for face in faces) == 200
    assert abs(sum(face.id == 1 for face in faces) - 147) <= 1
    assert {face.id for face in received(crowd, primary_only=True)[0]} == {0}
    together = lowbeam.read(crowd, faces="all")
    assert sorted(together.faces()) == [0, 1]
    for person in (0, 1):
        one = together.of_face(person)
        truth = [feeling(time_s, person).valence for time_s in one.time_s]
        assert ccc(one.valence, truth) > 0.95


@relaxed
@given(share=st.floats(0, 0.999))
def test_cut_anywhere_what_was_whole_is_read_and_the_end_is_told(share: float, stream: Path, tmp_path: Path) -> None:
    data = stream.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: int(share * len(data))])
    whole, _ = received(stream)
    try:
        faces, cut_at_s = received(cut)
    except StreamError:
        assert share < 0.7  # the header itself is cut
        return
    assert [*map(key, faces)] == [*map(key, whole)][: len(faces)]
    if len(faces) < len(whole):
        assert cut_at_s == (faces[-1].time_s if faces else 0.0)


@relaxed
@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12))
def test_whatever_the_bytes_nothing_but_our_errors_is_raised(
    places: list[tuple[float, int]], crowd: Path, tmp_path: Path
) -> None:
    data = bytearray(crowd.read_bytes())
    for share, value in places:
        data[int(share * (len(data) - 1))] = value
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(data)
    try:
        faces, _ = received(damaged)
    except LowbeamError:
        return
    assert all(np.isfinite([face.time_s, face.box.x, face.box.side]).all() for face in faces)


def packets() -> list[CodedFace]:
    (found,) = sent_packets(regular(10, 20), CompactFixed(POINT))
    return found


@pytest.mark.parametrize("data", [b"\xff" * 12, b"\0", b"\x12" * 40_000])
def test_samples_before_a_damaged_packet_are_read(data: bytes, stream: Path, tmp_path: Path) -> None:
    sent = packets()
    sent[7] = CodedFace(data, sent[7].time_ms, True)
    faces, cut_at_s = received(write_stream(tmp_path / "f.mkv", [sent]))
    whole, _ = received(stream)
    assert [*map(key, faces[:70])] == [*map(key, whole[:70])]
    assert all(b.time_s > a.time_s for a, b in pairwise(faces))
    assert cut_at_s is not None or len(faces) > 70


def test_samples_of_all_people_before_a_damaged_packet_are_read(tmp_path: Path) -> None:
    tracks = sent_packets(regular(10, 20), CompactFixed(POINT, 5.0), lambda time_s: [0, 1], tracks=2)
    tracks[1][2] = CodedFace(b"\xff" * 12, tracks[1][2].time_ms, True)
    faces, cut_at_s = received(write_stream(tmp_path / "f.mkv", tracks))
    assert cut_at_s is not None
    assert [sum(face.id == person and face.time_s < 10 for face in faces) for person in (0, 1)] == [100, 100]
    assert cut_at_s >= 14.5  # the packet of the first person that begins with the damaged one was whole


def patched(stream: Path, out: Path, old: bytes, new: bytes) -> Path:
    data = stream.read_bytes()
    assert data.count(old) == 1
    assert len(old) == len(new)
    out.write_bytes(data.replace(old, new))
    return out


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (b"estimatez 01", "packets of codec estimatez, which this version does not know"),
        (b"features  01", "need the networks of another lowbeam; this lowbeam has features-"),
        (b"hevc      01", "packets of codec hevc, which this version does not know"),
        (b"estimates 02", "another version"),
        (b"estimates   ", "another version"),
        (b"estimates 0x", "invalid configuration of estimates"),
        (b"\x1b[31mred  01", "which this version does not know"),
    ],
)
def test_a_codec_that_is_not_known_is_named_in_one_line(new: bytes, said: str, stream: Path, tmp_path: Path) -> None:
    with pytest.raises(StreamError, match=said) as raised:
        received(patched(stream, tmp_path / "f.mkv", b"estimates 01", new))
    assert str(raised.value).isprintable()


def test_a_plot_and_all_formats_are_written(stream: Path, tmp_path: Path) -> None:
    for name in ("t.csv", "t.jsonl", "t.json"):
        trace = lowbeam.read(stream, out=tmp_path / name, plot=tmp_path / "p.png")
        assert (tmp_path / name).stat().st_size > 1000
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert len(lowbeam.read(stream, resample_fps=25.0)) > 2 * len(trace)
    assert len(lowbeam.read(stream, start_s=5, duration_s=5)) == 50
    assert len(lowbeam.read(stream, fps=2)) == pytest.approx(40, abs=2)


def test_an_overlay_shows_where_the_face_is(stream: Path, tmp_path: Path) -> None:
    lowbeam.read(stream, overlay=tmp_path / "o.mp4", duration_s=2)
    with av.open(str(tmp_path / "o.mp4")) as container:
        pictures = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(pictures) >= 19
    assert pictures[0].max() > 150


def test_what_cannot_be_restored_is_said(stream: Path, tmp_path: Path) -> None:
    with pytest.raises((UsageError, SourceError), match="--restore"):
        lowbeam.read(stream, overlay=tmp_path / "o.mp4", restore=True)
    assert not (tmp_path / "o.mp4").exists()


def test_a_failed_overlay_leaves_no_file(stream: Path, tmp_path: Path) -> None:
    with pytest.raises(LowbeamError):
        lowbeam.read(stream, overlay=tmp_path / "o.mp4", restore=True)
    assert not [*tmp_path.iterdir()]


# --- pipes


def test_each_packet_is_written_to_a_pipe_when_the_next_one_comes() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as out, os.fdopen(writing, "wb", buffering=0) as into:
        os.set_blocking(reading, False)
        with FaceStreamWriter(Pipe(into), (640, 360), latency_s=0.0) as writer:
            track = writer.add_track(EstimatesCoder(1, 6).header, POINT)
            found = []
            for packet in packets()[:8]:
                track.write(PlacedFace(packet))
                found.append(len(out.read(10_000) or b""))
    assert all(size > 0 for size in found[1:])


def test_rows_of_a_pipe_come_packet_by_packet(stream: Path, tmp_path: Path) -> None:
    """The reader's side: half of a stream gives the rows of its packets, though the pipe stays open."""
    data = stream.read_bytes()
    half = data[: int(len(data) * 0.6)]
    (tmp_path / "half.mkv").write_bytes(half)
    whole = len(received(tmp_path / "half.mkv")[0])
    assert 20 < whole < 190
    process = subprocess.Popen(
        [sys.executable, "-m", "lowbeam.cli", "read", "-", "-o", "t.csv"], stdin=subprocess.PIPE, cwd=tmp_path,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdin is not None
        process.stdin.write(half)
        process.stdin.flush()
        until, rows = time.monotonic() + WAIT_S, 0
        while rows < whole - 10:
            assert time.monotonic() < until, rows
            time.sleep(0.05)
            rows = (tmp_path / "t.csv").read_text().count("\n") - 1 if (tmp_path / "t.csv").exists() else 0
    finally:
        process.kill()
        process.communicate()


def test_a_stream_through_pipes_is_that_of_a_file(short_clip: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m lowbeam.cli"
    done = subprocess.run(
        f"{command} pack {short_clip} -o - --codec estimates --qp 6 | {command} read - -o t.csv",
        shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lowbeam.pack(short_clip, tmp_path / "f.mkv", codec="estimates", qp=6)
    lowbeam.read(tmp_path / "f.mkv", out=tmp_path / "u.csv")
    assert (tmp_path / "t.csv").read_text() == (tmp_path / "u.csv").read_text()


# --- the command line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--codec estimates --qp 15", "QP 15 is out of range for estimates: 0 to 14"),
        ("--codec estimates --qp -1", "QP -1 is out of range"),
        ("--codec estimates --scale 5", "scale"),
        ("--codec estimates --fps 0", "fps 0 is out of range"),
        ("--codec estimate", "codec estimate is not one of"),
        ("--allow pixel", "--allow pixel is not a list of pixels, features, estimates"),
        ("--allow pixels --codec estimates", "--codec estimates sends estimates, which --allow leaves out"),
        ("--allow estimates --codec hevc", "--codec hevc sends pixels, which --allow leaves out"),
        ("--codec estimates --budget 100bps --qp 3", "either the budget or these"),
        ("--codec estimates --latency 61", "latency 61 is out of range"),
        ("--codec estimates --latency -1", "latency -1 is out of range"),
        ("--budget 0.5bps", "at least 1 bps"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(options: str, said: str, short_clip: Path, tmp_path: Path) -> None:
    found = said_by("pack", short_clip, "-o", tmp_path / "f.mkv", *options.split())
    assert said in found
    assert "\n" not in found
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "options", ["--allow estimates --scale 4", "--allow estimates --fps 5", "--allow pixels --qp 6"]
)
def test_what_is_not_allowed_is_not_sent(options: str, short_clip: Path, tmp_path: Path) -> None:
    codec = ["--codec", "estimates"] if "pixels" in options else []
    assert "--allow" in said_by("pack", short_clip, "-o", tmp_path / "f.mkv", *codec, *options.split())


def test_no_latency_is_allowed(short_clip: Path, tmp_path: Path) -> None:
    packed = lowbeam.pack(short_clip, tmp_path / "f.mkv", codec="estimates", qp=6, latency_s=0)
    assert packed.coded == len({face.time_s for face in received(tmp_path / "f.mkv")[0]})  # a packet for each sample


def test_a_budget_of_the_link_is_reported(short_clip: Path, tmp_path: Path) -> None:
    options = ["--budget", "100bps", "--budget-of", "link"]
    assert cli.run(["pack", str(short_clip), "-o", str(tmp_path / "f.mkv"), *options]) == 0


def test_what_was_chosen_is_said(
    short_clip: Path, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_cli("pack", short_clip, "-o", tmp_path / "f.mkv", "--budget", "100bps")
    assert done.returncode == 0, done.stderr
    for part in ("estimates, 10 samples/s", "0.1 kbit/s on the wire", "expected CCC"):
        assert part in done.stderr
    failed = run_cli("pack", short_clip, "-o", tmp_path / "g.mkv", "--codec", "estimates", "--qp", "15")
    assert failed.returncode == 2
    assert failed.stderr.count("\n") == 1
    assert failed.stderr.startswith("lowbeam: QP 15")


def test_all_faces_share_a_budget(short_clip: Path, tmp_path: Path) -> None:
    result = lowbeam.pack(short_clip, tmp_path / "f.mkv", budget="200bps", faces="all")
    assert result.report is not None
    assert result.report.most_bps <= 200
    assert result.tracks >= 1
    assert lowbeam.read(tmp_path / "f.mkv", faces="all").cut_at_s is None
