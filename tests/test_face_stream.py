"""The face stream: whole, cut, hostile, and through a pipe."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lowbeam
from lowbeam.codec.cues import BOX_TOLERANCE
from lowbeam.container import FaceStreamReader
from lowbeam.container.layout import is_face_stream
from lowbeam.errors import LowbeamError, StreamError
from lowbeam.face import Face
from lowbeam.media import VideoSource

relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def received(path: Path, primary_only: bool = False) -> tuple[list[Face], float | None]:
    with FaceStreamReader(path, primary_only) as reader:
        return list(reader), reader.cut_at_s


def test_says_what_the_far_side_needs_in_standard_tags(face_stream: Path) -> None:
    with av.open(str(face_stream)) as container:
        assert container.metadata["LOWBEAM"] == "1"
        assert container.metadata["LOWBEAM_SOURCE"] == "640x360"
        (video,) = container.streams.video
        (cues,) = container.streams.subtitles
        assert (video.width, video.height) == (24, 24)
        assert (video.metadata["LOWBEAM_SCALE"], video.metadata["LOWBEAM_PADDING"]) == ("8", "12")
        assert video.codec_context.extradata
        assert cues.codec_context is not None


def test_plays_as_any_video(face_stream: Path) -> None:
    with VideoSource(face_stream) as video:
        frames = list(video)
    assert len(frames) == 50
    assert frames[0].grey.std() > 10


def test_boxes_arrive_within_their_tolerance(face_stream: Path, short_clip: Path) -> None:
    exact = lowbeam.read(short_clip)
    faces, cut_at_s = received(face_stream)
    assert cut_at_s is None
    assert [f.time_s for f in faces] == pytest.approx(exact.time_s, abs=5e-4)
    for face, x, y, side in zip(faces, exact.x, exact.y, exact.side, strict=True):
        assert abs(face.box.x - x) <= 1.5 * BOX_TOLERANCE * side + 1
        assert abs(face.box.y - y) <= 1.5 * BOX_TOLERANCE * side + 1
        assert abs(face.box.side - side) <= BOX_TOLERANCE * side + 1


@relaxed
@given(share=st.floats(0, 0.999))
def test_cut_anywhere_what_was_whole_is_read_and_the_end_is_told(
    share: float, face_stream: Path, tmp_path: Path
) -> None:
    data = face_stream.read_bytes()
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(data[: int(share * len(data))])
    whole, _ = received(face_stream)
    try:
        faces, cut_at_s = received(cut)
    except StreamError:
        assert share < 0.5  # the header itself is cut
        return
    assert [(f.time_s, f.pixels.tobytes()) for f in faces] == [(f.time_s, f.pixels.tobytes()) for f in whole][
        : len(faces)
    ]
    if len(faces) < len(whole):
        assert cut_at_s == (faces[-1].time_s if faces else 0.0)


@relaxed
@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12))
def test_whatever_the_bytes_nothing_but_our_errors_is_raised(
    places: list[tuple[float, int]], face_stream: Path, tmp_path: Path
) -> None:
    data = bytearray(face_stream.read_bytes())
    for share, value in places:
        data[int(share * (len(data) - 1))] = value
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(data)
    try:
        faces, _ = received(damaged)
    except LowbeamError:
        return
    assert all(face.pixels.shape[0] <= 96 and np.isfinite(face.time_s) for face in faces)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"640x360", b"999999x", "source size"), (b"640x360", b"0x00360", "source size"),
        (b"640x360", b"6e2x360", "source size"),
    ],
)  # fmt: skip
def test_hostile_sizes_are_refused(old: bytes, new: bytes, reason: str, face_stream: Path, tmp_path: Path) -> None:
    hostile = tmp_path / "hostile.mkv"
    data = face_stream.read_bytes()
    assert old in data
    hostile.write_bytes(data.replace(old, new))
    with pytest.raises(StreamError, match=reason):
        received(hostile)


def remuxed(face_stream: Path, out: Path, tags: dict[str, str], track_tags: dict[str, str], width: int = 24) -> Path:
    """A face stream with other tags, and frames of another size."""
    with av.open(str(face_stream)) as source, av.open(str(out), "w", format="matroska") as target:
        cues = target.add_mux_stream("subrip")
        video = target.add_stream("libx264", rate=25)
        video.width = video.height = width
        video.pix_fmt = "gray"
        target.metadata.update(source.metadata | tags)
        video.metadata.update(source.streams.video[0].metadata | track_tags)
        cue = av.Packet(b"0 1 2 100")
        cue.stream, cue.pts, cue.dts, cue.duration = cues, 0, 0, 1
        target.mux(cue)
        for i in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((width, width), np.uint8), format="gray")
            frame.pts = i
            target.mux(video.encode(frame))
        target.mux(video.encode())
    return out


@pytest.mark.parametrize(
    ("tags", "track_tags", "reason"),
    [
        ({"LOWBEAM": "4"}, {}, "has LOWBEAM=4; this version reads 1, 2, 3"),
        ({"LOWBEAM_FRAMING": "9"}, {}, "has LOWBEAM_FRAMING=9"),
        ({}, {"LOWBEAM_SCALE": "5"}, "invalid scale or padding"),
        ({}, {"LOWBEAM_SCALE": "1000000000000"}, "invalid scale or padding"),
        ({}, {"LOWBEAM_SCALE": "-8"}, "invalid scale or padding"),
        ({}, {"LOWBEAM_PADDING": "65536"}, "invalid scale or padding"),
        ({}, {"LOWBEAM_PADDING": "0"}, "frames of 24×24 at scale 8"),
    ],
)
def test_hostile_tags_are_refused(
    tags: dict[str, str], track_tags: dict[str, str], reason: str, face_stream: Path, tmp_path: Path
) -> None:
    with pytest.raises(StreamError, match=reason):
        received(remuxed(face_stream, tmp_path / "h.mkv", tags, track_tags))


def test_only_the_four_codecs_are_decoded(face_stream: Path, tmp_path: Path) -> None:
    data = face_stream.read_bytes()
    assert b"V_MPEGH/ISO/HEVC" in data
    for other in (b"V_FOOBAR/ISO/XYZ", b"V_UNCOMPRESSED\0\0"):
        (tmp_path / "other.mkv").write_bytes(data.replace(b"V_MPEGH/ISO/HEVC", other))
        with pytest.raises(StreamError, match="has a codec that face streams do not use"):
            received(tmp_path / "other.mkv")


def test_frames_too_large_for_a_face_are_never_allocated(face_stream: Path, tmp_path: Path) -> None:
    hostile = remuxed(face_stream, tmp_path / "large.mkv", {}, {}, width=4096)
    program = f"import lowbeam; lowbeam.read({str(hostile)!r})"
    limit = 2_500_000_000  # bytes of address space; importing ONNX Runtime and dlib takes most of it
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )  # fmt: skip
    assert "StreamError" in done.stderr
    assert "MemoryError" not in done.stderr


def test_another_matroska_is_not_a_face_stream(short_frames: list, tmp_path: Path, face_stream: Path) -> None:
    from conftest import write_video

    other = write_video(tmp_path / "other.mkv", short_frames[:2])
    assert not is_face_stream(other)
    assert not is_face_stream(tmp_path / "none")
    assert is_face_stream(face_stream)
    with pytest.raises(StreamError, match="is not a face stream"):
        received(other)


def test_reads_from_a_pipe_as_from_a_file(face_stream: Path) -> None:
    command = [sys.executable, "-m", "lowbeam.cli", "read", "-"]
    with subprocess.Popen(["cat", str(face_stream)], stdout=subprocess.PIPE) as cat:
        piped = subprocess.run(command, stdin=cat.stdout, capture_output=True, text=True, timeout=60, check=True)
    from_file = subprocess.run([*command[:-1], str(face_stream)], capture_output=True, text=True, check=True)
    values = [np.genfromtxt(done.stdout.splitlines(), delimiter=",", skip_header=1) for done in (piped, from_file)]
    assert values[0].shape == (50, 9)
    assert np.allclose(*values, atol=5e-4)  # live faces are read one at a time, and networks round by the batch


def test_a_stream_that_follows_on_a_pipe_and_breaks_off_in_its_header_takes_nothing_away(
    face_stream: Path, tmp_path: Path
) -> None:
    data, out = face_stream.read_bytes(), tmp_path / "t.json"
    command = [sys.executable, "-m", "lowbeam.cli", "read", "-", "-o", str(out)]
    done = subprocess.run(command, input=data + data[:300], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert b"standard input was cut: the trace ends at 1.960 s" in done.stderr
    assert len(json.loads(out.read_text())["columns"]["time_s"]) == 50
