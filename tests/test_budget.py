"""A budget: how it is written, what it counts, and that it is kept over any ten seconds, with real encoders."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lowbeam
from lowbeam.codec import CODECS, OperatingPoint
from lowbeam.codec.budget import WINDOW_S, Budget, parse_budget
from lowbeam.codec.operating_point import FrameRateLimiter
from lowbeam.codec.operating_table import Entry, ladder, operating_table
from lowbeam.codec.rate_control import RateControl
from lowbeam.codec.trip import code, code_stills, decode
from lowbeam.codec.wire import FACE_HEADER, IP_TCP, IP_UDP_RTP, TLS_RECORD, rtp_bytes, tls_bytes
from lowbeam.container import FaceStreamReader
from lowbeam.errors import UsageError
from lowbeam.face import Box, Face
from lowbeam.faces import FaceTracker, FrameFaces
from lowbeam.pipeline.outputs import PrimaryOutput
from lowbeam.scale import Faces, shrink


@pytest.mark.parametrize(
    ("text", "bps"), [("3kbps", 3000), ("800 bit/s", 800), ("0.5Mbps", 5e5), ("1e3bps", 1000), (" 2 kbit/s ", 2000)]
)
def test_a_budget_is_a_number_and_a_unit(text: str, bps: float) -> None:
    assert parse_budget(text) == Budget(bps, "wire")


@pytest.mark.parametrize(
    ("text", "said"),
    [("0kbps", "greater than 0"), ("-3kbps", "greater than 0"), ("3", "unit"), ("3kB/s", "unit kb/s"),
     ("kbps", "not a number"), ("", "not a number"), ("1.2.3kbps", "not a number"), ("1e400bps", "greater than 0")],
)  # fmt: skip
def test_what_is_no_budget_is_named(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_budget(text)


def test_what_a_budget_counts_is_named() -> None:
    assert parse_budget("3kbps", "payload").weigh(100, 12) == 100
    assert parse_budget("3kbps", "wire").weigh(100, 12) == 112 + IP_UDP_RTP
    with pytest.raises(UsageError, match="budget of water"):
        parse_budget("3kbps", "water")


def test_every_packet_of_rtp_pays_its_headers() -> None:
    assert rtp_bytes(np.array([100, 20])) == 120 + 2 * IP_UDP_RTP
    assert rtp_bytes(np.array([3000])) == 3000 + 3 * (IP_UDP_RTP + 3)
    assert rtp_bytes(np.array([], np.int64)) == 0


def test_a_second_of_faces_shares_the_headers_of_tls() -> None:
    sizes = np.array([20, 20, 20])
    together = 60 + 3 * FACE_HEADER + TLS_RECORD + IP_TCP
    assert tls_bytes(np.array([0.0, 0.4, 0.96]), sizes) == together
    assert tls_bytes(np.array([0.0, 1.0, 2.0]), sizes) == together + 2 * (TLS_RECORD + IP_TCP)
    assert tls_bytes(np.array([]), np.array([], np.int64)) == 0


@given(sizes=st.lists(st.integers(1, 5000), min_size=1, max_size=50), fps=st.sampled_from([1.0, 5.0, 25.0]))
def test_the_wire_costs_more_than_the_faces(sizes: list[int], fps: float) -> None:
    time_s = np.arange(len(sizes)) / fps
    assert rtp_bytes(np.array(sizes)) >= sum(sizes) + len(sizes) * IP_UDP_RTP
    assert tls_bytes(time_s, np.array(sizes)) > sum(sizes)


@given(fps=st.floats(0.5, 60), source=st.floats(5, 60))
def test_a_pacer_keeps_to_its_rate_and_takes_what_there_is(fps: float, source: float) -> None:
    times = np.arange(round(20 * source)) / source
    pacer = FrameRateLimiter(fps)
    taken = [t for t in times if pacer.takes(t)]
    assert taken[0] == 0
    assert 0.8 * min(fps, source) * 20 - 2 <= len(taken) <= 1.02 * fps * 20 + 2


@pytest.mark.parametrize("codec", CODECS)
def test_a_run_comes_back_as_the_far_side_sees_it(codec: str, hr_faces: Faces) -> None:
    for scale in (1, 8):
        lr = shrink(hr_faces, scale)
        run = code(OperatingPoint(codec, scale, 20, 25), lr, [40 * i for i in range(len(lr))])
        assert len(run.faces) == len(lr)
        assert run.faces[0].is_key
        found = decode(run)
        assert found.shape == lr.shape
        assert np.abs(found.astype(int) - lr).mean() < 4
        stills = code_stills(codec, scale, 20, lr[:5])
        assert np.abs(stills.astype(int) - lr[:5]).mean() < 4


def rung(codec: str, scale: int, qp: int, fps: float, wire_bps: float, ccc: float) -> Entry:
    return Entry(OperatingPoint(codec, scale, qp, fps), wire_bps, wire_bps / 2, ccc)


def rungs(codec: str) -> list[Entry]:
    """A ladder on which each step changes scale, QP and frame rate; its rates are about right for the clip."""
    qps = (62, 57, 50, 42, 34) if codec in ("av1", "vp9") else (47, 42, 37, 32, 27)
    steps = zip((12, 8, 4, 2, 1), qps, (1, 2.5, 5, 12.5, 25), (500, 1200, 2600, 8000, 30_000), range(1, 6), strict=True)
    return [rung(codec, scale, qp, fps, wire_bps, 0.1 * n) for scale, qp, fps, wire_bps, n in steps]


def pack_faces(control: RateControl, path: Path, faces: Faces, fps: float) -> int:
    """Write `faces` at `fps` a second as `control` says; how many were sent."""
    with PrimaryOutput(control, path, 2.0) as output:
        for index, pixels in enumerate(faces):
            if control.wants(index / fps):
                face = Face(index / fps, 1, Box(10 + index % 7, 20, 100), pixels)
                output.add(FrameFaces(face.time_s, [face], None, (640, 360)))
        output.finish()
    return output.coded


@pytest.fixture(scope="module")
def restless(hr_faces: Faces) -> Faces:
    """A minute of faces at 10 a second: still, then covered in noise, then still again."""
    rng = np.random.default_rng(0)
    faces = np.concatenate([hr_faces] * 12)[:600]
    noise = rng.integers(0, 256, faces[250:400].shape, dtype=np.uint8)
    faces[250:400] = faces[250:400] // 2 + noise // 2
    return faces


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("bps", [900, 3000, 9000])
def test_no_ten_seconds_hold_more_than_the_budget(codec: str, bps: float, restless: Faces, tmp_path: Path) -> None:
    budget = Budget(bps, "wire")
    sent: list[tuple[float, int]] = []

    class Listening(RateControl):
        def admits(self, time_s: float, face_bytes: int, cue_bytes: int, is_key: bool) -> bool:
            admitted = super().admits(time_s, face_bytes, cue_bytes, is_key)
            if admitted:
                sent.append((time_s, budget.weigh(face_bytes, cue_bytes)))
            return admitted

    control = Listening(budget, rungs(codec))
    coded = pack_faces(control, tmp_path / "b.mkv", restless, 10)
    times, sizes = np.array(sent).T
    for start in times:
        assert sizes[(times >= start) & (times < start + WINDOW_S)].sum() <= budget.window_bytes
    assert control.report.most_bps <= budget.bps
    with FaceStreamReader(tmp_path / "b.mkv") as reader:
        faces = list(reader)
    assert reader.cut_at_s is None
    assert len(faces) == coded == len(sent)
    if bps == 9000:
        assert len({len(face.pixels) for face in faces}) > 1  # it moved along the ladder, in the same track
    for face in faces:
        if not 24 <= face.time_s < 40:
            true = shrink(restless[round(face.time_s * 10)][None], 96 // len(face.pixels))[0]
            assert np.abs(face.pixels.astype(int) - true).mean() < 30


def test_a_stream_whose_faces_change_their_size_is_read_in_order(restless: Faces, tmp_path: Path) -> None:
    coded = pack_faces(RateControl(Budget(9000), rungs("hevc")), tmp_path / "b.mkv", restless, 10)
    trace = lowbeam.read(tmp_path / "b.mkv")
    assert len(trace) == coded
    assert (np.diff(trace.time_s) > 0).all()


def test_a_calm_picture_is_sent_finer_than_a_restless_one(restless: Faces, tmp_path: Path) -> None:
    control = RateControl(Budget(9000), rungs("hevc"))
    pack_faces(control, tmp_path / "b.mkv", restless, 10)
    scale_at = {t: point.scale for t, point in control.report.chosen}
    calm = [scale for t, scale in scale_at.items() if t < 25]
    storm = [scale for t, scale in scale_at.items() if 25 <= t < 42]
    assert min(storm) >= min(calm)
    assert max(storm) > min(calm)


def test_below_the_leanest_point_that_point_is_sent(hr_faces: Faces, tmp_path: Path) -> None:
    control = RateControl(Budget(100), rungs("hevc"))
    assert pack_faces(control, tmp_path / "b.mkv", np.concatenate([hr_faces] * 4), 10) == 20
    assert not control.report.is_reachable
    assert control.point == rungs("hevc")[0].point


@given(
    sizes=st.lists(st.tuples(st.floats(0.02, 1.5), st.integers(1, 900)), min_size=1, max_size=120),
    bps=st.floats(500, 20_000),
)
def test_rate_control_never_lets_a_window_overflow(sizes: list[tuple[float, int]], bps: float) -> None:
    budget = Budget(max(bps, 500.0))
    control = RateControl(budget, rungs("hevc"))
    sent, now = [], 0.0
    for gap, size in sizes:
        now += gap
        if control.wants(now) and control.admits(now, size, 0, False):
            sent.append((now, budget.weigh(size, 0)))
    for start, _ in sent:
        assert sum(size for t, size in sent if start <= t < start + WINDOW_S) <= budget.window_bytes + 1e-6


def test_the_table_that_ships_has_a_ladder_that_rises() -> None:
    assert len(operating_table()) >= 8
    for counts in ("wire", "payload"):
        steps = ladder(counts, 3000)  # type: ignore[arg-type]
        assert len({entry.point.codec for entry in steps}) == 1
        assert [e.ccc for e in steps] == sorted(e.ccc for e in steps)
        assert steps[0].rate_bps(counts) < 1000  # type: ignore[arg-type]


@pytest.mark.parametrize("bps", [700, 1000, 2000, 5000, 20_000])
def test_the_ladder_is_of_the_codec_that_reads_best_within_the_budget(bps: float) -> None:
    def best(rungs: list[Entry]) -> float:
        return max(entry.ccc for entry in rungs if entry.wire_bps <= bps)

    within = {entry.point.codec for entry in operating_table() if entry.wire_bps <= bps}
    assert best(ladder("wire", bps)) == max(best(ladder("wire", bps, codec)) for codec in within)
    assert ladder("wire", bps, "vp9") == [] or "vp9" in {entry.point.codec for entry in operating_table()}


def test_nothing_is_starved_by_a_face_that_was_too_large_once() -> None:
    control = RateControl(Budget(3000), rungs("hevc"))
    assert control.wants(0.0)
    assert not control.admits(0.0, 4000, 0, True)
    sent = sum(
        control.wants(now) and control.admits(now, 80, 0, False) for now in np.arange(0.2, 60, 0.2).tolist()
    )  # fmt: skip
    assert sent > 100


def test_time_in_which_nobody_was_there_is_no_thrift() -> None:
    control = RateControl(Budget(3000), rungs("hevc"))
    before = control.entry
    for now in np.arange(0, 30.0, 1.0).tolist():
        control.wants(now)  # and nobody is there
    assert control.wants(30.0)
    assert control.admits(30.0, 260, 0, True)
    for now in np.arange(31.0, 36.0, 1.0).tolist():
        assert control.wants(now)
        assert control.admits(now, 140, 0, False)
    assert control.wants(90.0)  # away for nearly a minute
    assert control.entry == before
    assert all(entry.payload_bps < entry.wire_bps for entry in operating_table())


def test_faces_are_looked_for_only_in_frames_that_are_coded(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = []
    update = FaceTracker.update
    monkeypatch.setattr(FaceTracker, "update", lambda *given: (searched.append(given[2]), update(*given))[1])
    packed = lowbeam.pack(clip, tmp_path / "b.mkv", budget="1kbps")
    assert packed.coded <= len(searched) <= 1.2 * packed.coded + 2
    searched.clear()
    assert lowbeam.pack(clip, tmp_path / "f.mkv", fps=5).coded == len(searched) == 120


def test_pack_with_a_budget_says_what_it_chose_and_what_to_expect(
    short_clip: Path, tmp_path: Path, run_cli: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = run_cli("pack", short_clip, "-o", tmp_path / "b.mkv", "--budget", "4kbps")
    assert done.returncode == 0
    assert "4 kbit/s on the wire: at most" in done.stderr
    assert "from 0.0 s: " in done.stderr
    assert "expected CCC" in done.stderr
    assert len(lowbeam.read(tmp_path / "b.mkv")) > 3
    lean = run_cli("pack", short_clip, "-o", tmp_path / "c.mkv", "--budget", "20bps")
    assert lean.returncode == 0
    assert "below the lowest rate of the operating table; the nearest" in lean.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--budget", "0kbps"), "greater than 0"), (("--budget", "3furlongs"), "unit furlongs"),
     (("--budget", "3kbps", "--qp", "30"), "a budget chooses"), (("--budget", "3kbps", "--faces", "all"), "primary"),
     (("--budget", "3kbps", "--codec", "mpeg2"), "mpeg2"),
     (("--budget", "3kbps", "--budget-of", "air"), "budget of air"), (("--budget-of", "payload"), "requires --budget")],
)  # fmt: skip
def test_a_budget_that_cannot_be_is_one_line(
    options: tuple[str, ...], said: str, short_clip: Path, tmp_path: Path,
    run_cli: Callable[..., subprocess.CompletedProcess[str]],
) -> None:  # fmt: skip
    done = run_cli("pack", short_clip, "-o", tmp_path / "b.mkv", *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert not (tmp_path / "b.mkv").exists()
