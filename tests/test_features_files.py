"""The features codec in files, on the command line and over the link."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lowbeam
from lowbeam.codec import OperatingPoint, open_decoder
from lowbeam.codec.compact.feature_networks import GRID, TABLES
from lowbeam.codec.compact.features import (
    MAX_QP,
)
from lowbeam.codec.compact.policy import CompactFixed
from lowbeam.codec.compact.prior import load_tables
from lowbeam.codec.layers import Layers
from lowbeam.container import FaceStreamReader, count_bytes
from lowbeam.errors import LowbeamError, StreamError, UsageError
from lowbeam.estimator import Estimator
from lowbeam.face import NO_PIXELS, Face
from lowbeam.faces import FrameFaces
from lowbeam.pipeline.estimate import estimates_of
from lowbeam.scale import Faces
from tests.failing import said_by
from tests.feature_packets import BOX


def received(path: Path) -> tuple[list[Face], float | None]:
    with FaceStreamReader(path) as reader:
        return list(reader), reader.cut_at_s


@pytest.fixture(scope="module")
def packed(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, lowbeam.Packed]:
    path = tmp_path_factory.mktemp("packed") / "face.mkv"
    return path, lowbeam.pack(clip, path, budget="300bps", allow="features")


def test_three_hundred_bits_a_second_tell_the_clip(packed: tuple[Path, lowbeam.Packed], clip: Path) -> None:
    path, result = packed
    assert result.point.codec == "features"
    assert result.report is not None
    assert result.report.is_reachable
    assert result.report.most_bps <= 300
    counter = count_bytes(path)
    assert len(counter) == result.coded
    assert 8 * counter.rtp / 24 <= 300 * (1 + result.report.latency_s / 24) + 1  # the last span may end after the clip
    trace = lowbeam.read(path)
    assert trace.cut_at_s is None
    assert np.all(np.diff(trace.time_s) > 0)
    assert 24 * 5 < len(trace) <= 24 * 10 + 3
    assert np.all(np.isfinite(np.stack([*trace.columns.values()])))


def test_reading_does_not_depend_on_how_many_are_read_at_once(packed: tuple[Path, lowbeam.Packed]) -> None:
    """A pipe is read face by face, a file in batches."""
    trace = lowbeam.read(packed[0])
    faces, _ = received(packed[0])
    found = [one for frame in estimates_of([FrameFaces(face.time_s, [face]) for face in faces], Estimator(), 1, False)
             for one in frame[1]]  # fmt: skip
    assert np.allclose(np.array(found)[:, 2:6], np.array(list(trace))[:, 2:6], atol=1e-4)


@pytest.mark.parametrize("scale", [1, 4, 16])
def test_quality_scale_and_frame_rate_are_those_asked_for(scale: int, short_clip: Path, tmp_path: Path) -> None:
    sizes = []
    for qp in (0, MAX_QP):
        lowbeam.pack(short_clip, tmp_path / "f.mkv", codec="features", qp=qp, scale=scale, fps=10)
        faces, cut_at_s = received(tmp_path / "f.mkv")
        assert cut_at_s is None
        assert len(faces) == pytest.approx(20, abs=3)
        assert {face.latents.level for face in faces if face.latents is not None} == {qp}
        assert all(face.pixels is NO_PIXELS for face in faces)
        sizes.append(count_bytes(tmp_path / "f.mkv").payload)
    assert sizes[0] > 2 * sizes[1]


def test_with_a_key_face_the_far_side_sees_a_face(short_clip: Path, tmp_path: Path) -> None:
    lowbeam.pack(short_clip, tmp_path / "f.mkv", codec="features", qp=8, latency_s=0.5, key_face=True)
    faces, _ = received(tmp_path / "f.mkv")
    sizes = [face.pixels.shape for face in faces]
    assert sizes[0] == (0, 0)
    assert sizes[-1] == (GRID, GRID)
    assert sizes == sorted(sizes)
    lowbeam.read(tmp_path / "f.mkv", overlay=tmp_path / "o.mp4")
    assert (tmp_path / "o.mp4").stat().st_size > 1000
    plain = lowbeam.read(tmp_path / "f.mkv")
    lowbeam.pack(short_clip, tmp_path / "g.mkv", codec="features", qp=8, latency_s=0.5)
    without = lowbeam.read(tmp_path / "g.mkv")
    assert [one[:6] for one in plain] == [one[:6] for one in without]  # estimates are of the latents


def test_a_key_face_is_within_the_budget(clip: Path, tmp_path: Path) -> None:
    result = lowbeam.pack(clip, tmp_path / "f.mkv", budget="1500bps", allow="features", key_face=True)
    assert result.report is not None
    assert result.report.is_reachable
    assert result.report.most_bps <= 1500
    faces, cut_at_s = received(tmp_path / "f.mkv")
    assert cut_at_s is None
    assert faces[-1].pixels.shape == (GRID, GRID)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--codec features --qp 16", "QP 16 is out of range for features: 0 to 15"),
        ("--codec features --qp -1", "QP -1 is out of range"),
        ("--codec features --scale 5", "scale"),
        ("--codec features --budget 1kbps --qp 3", "either the budget or these"),
        ("--allow estimates --codec features", "--codec features sends features, which --allow leaves out"),
        ("--key-face", "--key-face is for features"),
        ("--key-face --codec hevc --qp 30", "--key-face is for features"),
        ("--key-face --codec estimates", "--key-face is for features"),
        ("--key-face --budget 100bps", "--key-face is for features"),
        ("--key-face --layers estimates,pixels --budget 1kbps", "--key-face is for features"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(options: str, said: str, short_clip: Path, tmp_path: Path) -> None:
    found = said_by("pack", short_clip, "-o", tmp_path / "f.mkv", *options.split())
    assert said in found
    assert "\n" not in found
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("codec", ["hevc", "estimates", None])
def test_a_key_face_over_the_link_is_for_features(codec: str | None, short_clip: Path) -> None:
    from lowbeam.sending import send

    with pytest.raises(UsageError, match="--key-face is for features"):
        send(short_clip, "lowbeam://127.0.0.1:9", token="x" * 40, codec=codec, key_face=True, finish_s=0.1)


def test_a_stream_of_other_networks_is_one_line_and_exit_2(
    packed: tuple[Path, lowbeam.Packed], tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    data, name = packed[0].read_bytes(), load_tables(TABLES).name.encode().hex().encode()
    assert data.count(name) == 1
    (tmp_path / "f.mkv").write_bytes(data.replace(name, b"elsewhere".hex().encode().ljust(len(name), b"0")))
    done = run_cli("read", "f.mkv", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("lowbeam: the features in the stream need the networks elsewhere")
    assert done.stderr.count("\n") == 1


@given(share=st.floats(0, 0.999))
@settings(max_examples=20)
def test_cut_anywhere_what_was_whole_is_read_and_the_end_is_told(
    share: float, packed: tuple[Path, lowbeam.Packed], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = packed[0].read_bytes()
    cut = tmp_path_factory.mktemp("cut") / "cut.mkv"
    cut.write_bytes(data[: int(share * len(data))])
    whole, _ = received(packed[0])
    try:
        faces, cut_at_s = received(cut)
    except StreamError:
        assert share < 0.7  # the header itself is cut
        return
    assert [face.time_s for face in faces] == [face.time_s for face in whole][: len(faces)]
    if len(faces) < len(whole):
        assert cut_at_s == (faces[-1].time_s if faces else 0.0)


@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12))
@settings(max_examples=20)
def test_whatever_the_bytes_nothing_but_our_errors_is_raised(
    places: list[tuple[float, int]], packed: tuple[Path, lowbeam.Packed], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(packed[0].read_bytes())
    for share, value in places:
        data[int(share * (len(data) - 1))] = value
    damaged = tmp_path_factory.mktemp("damaged") / "damaged.mkv"
    damaged.write_bytes(data)
    try:
        faces, _ = received(damaged)
    except LowbeamError:
        return
    assert all(face.latents is None or np.isfinite(face.latents.values).all() for face in faces)


def test_all_faces_have_latents_of_their_own(clip: Path, tmp_path: Path) -> None:
    result = lowbeam.pack(clip, tmp_path / "f.mkv", budget="800bps", allow="features", faces="all", key_face=True)
    assert result.tracks >= 1
    assert result.report is not None
    assert result.report.most_bps <= 800
    assert lowbeam.read(tmp_path / "f.mkv", faces="all").cut_at_s is None


POINT = OperatingPoint("features", 1, 8, 5.0)


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_the_server_stores_every_sample_once(loss: float, hr_faces: Faces, tmp_path: Path) -> None:
    pytest.importorskip("aioquic", reason="aioquic comes with the extra link")
    pytest.importorskip("sqlalchemy", reason="SQLAlchemy comes with the extra serve")
    from tests.link_packets import sent_and_stored

    frames = [
        (number / 5, [Face(number / 5, person, BOX, hr_faces[(number + 20 * person) % 50]) for person in (0, 1)])
        for number in range(50)
    ]
    layers = Layers([CompactFixed(POINT, has_key_face=True)])
    rows, sent = asyncio.run(sent_and_stored(frames, layers, tmp_path, loss))
    assert all(row.is_final for row in rows)
    places = [(row.number, row.place) for row in rows]
    assert len(set(places)) == len(places)
    decoded: list[tuple[float, int]] = []
    for packets in sent:
        decoder = open_decoder(packets[0][0])
        decoded += [(one.time_ms / 1000, one.face or 0) for _, coded in packets for one in decoder.decode(coded)]
    assert len(decoded) >= 100  # with those between
    assert sorted((row.estimate.time_s, row.estimate.face) for row in rows) == sorted(decoded)
    assert np.isfinite([row.estimate.valence for row in rows]).all()
