"""The operating point and the codecs, with real encoders."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lowbeam.codec import (
    CODECS,
    PIXEL_CODECS,
    CodedFace,
    OperatingPoint,
    TrackHeader,
    available_codecs,
    open_decoder,
    open_encoder,
)
from lowbeam.codec.cues import BoxCue
from lowbeam.codec.track_encoder import PlacedFace
from lowbeam.codec.trip import code, trip
from lowbeam.container import FaceStreamReader, FaceStreamWriter
from lowbeam.errors import CodecError, StreamError, UsageError
from lowbeam.face import Box
from lowbeam.scale import SCALES, Faces, shrink

LEAN = {"hevc": 42, "avc": 42, "av1": 55, "vp9": 55}
TIMES_MS = [0, 40, 81, 200, 203, 1000, 5000, 5040]


def coded(faces: Faces, point: OperatingPoint, times_ms: list[int]) -> tuple[TrackHeader, list[CodedFace]]:
    encoder = open_encoder(point)
    out = [c for face, t in zip(faces, times_ms, strict=True) for c in encoder.encode(face, t)]
    return encoder.header, out + encoder.flush()


def through(faces: Faces, point: OperatingPoint, path: Path, times_ms: list[int]) -> tuple[list[int], Faces, int]:
    """Times, faces as received, and payload bytes, after a trip through a face stream."""
    header, packets = coded(faces, point, times_ms)
    with FaceStreamWriter(path, (640, 360)) as writer:
        track = writer.add_track(header, point)
        for index, packet in enumerate(packets):
            track.write(PlacedFace(packet, () if index else (BoxCue(0, Box(1, 2, 100)),)))
    with FaceStreamReader(path) as reader:
        received = list(reader)
    assert reader.cut_at_s is None
    return (
        [round(f.time_s * 1000) for f in received],
        np.stack([f.pixels for f in received]),
        sum(len(p.data) for p in packets),
    )


def error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.abs(a.astype(int) - b).mean())


@pytest.mark.parametrize("codec", PIXEL_CODECS)
@pytest.mark.parametrize("scale", SCALES)
def test_every_codec_carries_every_scale_with_exact_times(
    codec: str, scale: int, hr_faces: Faces, tmp_path: Path
) -> None:
    faces = shrink(hr_faces[: len(TIMES_MS)], scale)
    times, received, _ = through(faces, OperatingPoint(codec, scale, qp=10), tmp_path / "s.mkv", TIMES_MS)
    assert times == TIMES_MS
    assert received.shape == faces.shape
    assert error(received, faces) < 2.5  # at a low QP what comes out is what went in, to the edge and full in range


@pytest.mark.parametrize("codec", PIXEL_CODECS)
def test_a_higher_qp_costs_fewer_bytes_and_more_error(codec: str, hr_faces: Faces, tmp_path: Path) -> None:
    faces, times = shrink(hr_faces, 2), [40 * i for i in range(len(hr_faces))]
    _, fine, fine_bytes = through(faces, OperatingPoint(codec, 2, 10), tmp_path / "a.mkv", times)
    _, lean, lean_bytes = through(faces, OperatingPoint(codec, 2, LEAN[codec]), tmp_path / "b.mkv", times)
    assert lean_bytes < 0.3 * fine_bytes
    assert error(lean, faces) > 2 * error(fine, faces)


@pytest.mark.parametrize("codec", PIXEL_CODECS)
@pytest.mark.parametrize("scale", SCALES)
def test_the_same_faces_give_the_same_bytes(codec: str, scale: int, hr_faces: Faces) -> None:
    # libx265 fails this where a frame is exactly one coding tree unit, and then the decoder drifts from the encoder.
    faces, times = shrink(hr_faces, scale), [80 * i for i in range(len(hr_faces))]
    once, again = (coded(faces, OperatingPoint(codec, scale), times)[1] for _ in range(2))
    assert once == again


@pytest.mark.parametrize("codec", PIXEL_CODECS)
def test_packets_leave_in_order_without_delay_beyond_a_few_frames(codec: str, hr_faces: Faces) -> None:
    encoder = open_encoder(OperatingPoint(codec, 8))
    sent: list[int] = []
    for i, face in enumerate(shrink(hr_faces, 8)):
        sent += [c.time_ms for c in encoder.encode(face, 40 * i)]
        assert i - len(sent) < 8
    sent += [c.time_ms for c in encoder.flush()]
    assert sent == [40 * i for i in range(len(hr_faces))]


def test_no_codec_spends_bytes_on_its_own_name(hr_faces: Faces) -> None:
    for codec in PIXEL_CODECS:
        _, packets = coded(shrink(hr_faces[:2], 16), OperatingPoint(codec, 16, 40), [0, 80])
        assert len(packets[0].data) < 150, codec


def test_only_hevc_pads_and_only_faces_that_it_would_refuse() -> None:
    padding = {
        codec: [open_encoder(OperatingPoint(codec, s)).header.padding for s in (1, 6, 8, 16)] for codec in PIXEL_CODECS
    }
    assert padding == {"hevc": [0, 8, 12, 18], "avc": [0] * 4, "av1": [0] * 4, "vp9": [0] * 4}


def test_pyav_s_wheel_brings_every_codec() -> None:
    assert available_codecs() == dict.fromkeys(CODECS, True)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"codec": "mpeg2"}, "codec mpeg2 is not one of hevc, avc, av1, vp9"), ({"scale": 5}, "scale 5"),
        ({"qp": -1}, "QP -1 is out of range for hevc: 0 to 51"), ({"qp": 52}, "0 to 51"),
        ({"codec": "vp9", "qp": 64}, "0 to 63"), ({"fps": 0}, "fps 0 is out of range"), ({"fps": 500}, "up to 120"),
        ({"fps": float("nan")}, "fps nan"),
    ],
)  # fmt: skip
def test_an_operating_point_out_of_range_is_refused(wrong: dict, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        OperatingPoint(**wrong)


def test_a_face_of_another_size_is_refused(hr_faces: Faces) -> None:
    with pytest.raises(CodecError, match="the encoder is for 32×32"):
        open_encoder(OperatingPoint()).encode(hr_faces[0], 0)


def test_damaged_packets_raise_stream_errors_or_decode_to_faces(hr_faces: Faces) -> None:
    rng = np.random.default_rng(0)
    run = code(OperatingPoint("hevc", 8, 32), shrink(hr_faces, 8), [80 * i for i in range(len(hr_faces))])
    decoder, seen = open_decoder(run.header), 0
    for face in run.faces:
        damaged = bytearray(face.data)
        for place in rng.integers(0, len(damaged), 4):
            damaged[place] ^= 0xFF
        try:
            assert all(one.pixels.shape == (12, 12) for one in decoder.decode(replace(face, data=bytes(damaged))))
        except StreamError:
            seen += 1
    assert seen > 0


@pytest.mark.parametrize("codec", PIXEL_CODECS)
def test_a_trip_without_loss_delivers_what_is_due_and_with_loss_less(codec: str, hr_faces: Faces) -> None:
    time_s, point = np.arange(len(hr_faces)) / 25, OperatingPoint(codec, 4, 30, 12.5)
    whole = trip(point, hr_faces, time_s)
    assert whole.rows.tolist() == list(range(0, 50, 2))
    assert whole.faces.shape == (25, 24, 24)
    lossy = trip(point, hr_faces, time_s, lost={3, 4, 5})
    assert len(lossy.rows) <= 22
    assert set(lossy.rows.tolist()) <= set(whole.rows.tolist()) - {6, 8, 10}
    assert np.array_equal(lossy.faces[:3], whole.faces[:3])
    assert lossy.time_s.tolist() == (lossy.rows / 25).tolist()


def test_an_encoder_that_has_ended_refuses_faces_and_holds_no_threads(hr_faces: Faces) -> None:
    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir())) if Path("/proc/self/task").is_dir() else 0

    before = threads()
    encoders = [open_encoder(OperatingPoint("av1", 8)) for _ in range(5)]
    for encoder in encoders:
        assert len(encoder.encode(shrink(hr_faces[:1], 8)[0], 0) + encoder.flush()) == 1
        assert encoder.flush() == []
    assert threads() == before
    with pytest.raises(CodecError, match="has ended"):
        encoders[0].encode(shrink(hr_faces[:1], 8)[0], 40)


@pytest.mark.parametrize("codec", PIXEL_CODECS)
def test_encoders_are_silent(codec: str) -> None:
    program = (
        "import numpy as np; from lowbeam.codec import *;"
        f"e = open_encoder(OperatingPoint({codec!r}, 8));"
        "[e.encode(np.full((12, 12), i, np.uint8), 40 * i) for i in range(30)]; e.flush()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, env=os.environ, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
