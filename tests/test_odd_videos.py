"""Videos and pictures that are out of the ordinary: without times, mirrored, hostile in what they declare."""

import math
import socket
import struct
import threading
import time
import zlib
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import write_video
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lowbeam.errors import SourceError
from lowbeam.media import Frame, VideoSource, open_video, video
from lowbeam.media.clock import PresentationClock
from lowbeam.media.sps import reference_frames


def frames_of(path: Path) -> list[Frame]:
    with open_video(path) as source:
        return list(source)


def pattern() -> np.ndarray:
    """A picture that is brightest at its upper left."""
    image = np.full((64, 96), 60, np.uint8)
    image[:16, :24] = 220
    return image


def brightest(frame: Frame) -> tuple[bool, bool]:
    """Whether the brightest quarter of a frame is below, and right."""
    height, width = frame.grey.shape
    means = [
        [frame.grey[y : y + height // 2, x : x + width // 2].mean() for x in (0, width // 2)]
        for y in (0, height // 2)
    ]  # fmt: skip
    below, right = np.unravel_index(np.argmax(means), (2, 2))
    return bool(below), bool(right)


MATRICES = {  # of a point (x, y), y downwards, to (a x + c y, b x + d y): a, b, c, d; where upper left then lies
    "upright": ((1, 0, 0, 1), (False, False)), "mirrored": ((-1, 0, 0, 1), (False, True)),
    "upside down": ((-1, 0, 0, -1), (True, True)), "flipped": ((1, 0, 0, -1), (True, False)),
    "a quarter right": ((0, 1, -1, 0), (False, True)), "a quarter left": ((0, -1, 1, 0), (True, False)),
    "transposed": ((0, 1, 1, 0), (False, False)), "transposed, turned": ((0, -1, -1, 0), (True, True)),
}  # fmt: skip


def with_matrix(path: Path, out: Path, matrix: tuple[int, int, int, int]) -> Path:
    """The MP4 at `path` with another display matrix in its track header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix begins 40 bytes into the box
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    out.write_bytes(data)
    return out


@pytest.mark.parametrize("name", MATRICES)
def test_the_whole_display_matrix_is_followed(name: str, tmp_path: Path) -> None:
    matrix, expected = MATRICES[name]
    source = write_video(tmp_path / "a.mp4", [pattern()] * 3, pix_fmt="gray")
    frame = frames_of(with_matrix(source, tmp_path / "b.mp4", matrix))[0]
    assert brightest(frame) == expected
    assert frame.size == ((96, 64) if matrix[0] else (64, 96)) == frame.grey.shape[::-1]


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (1, 1, 1, 1)])
def test_a_singular_display_matrix_is_an_error(matrix: tuple[int, int, int, int], tmp_path: Path) -> None:
    source = write_video(tmp_path / "a.mp4", [pattern()] * 3, pix_fmt="gray")
    with pytest.raises(SourceError, match="display matrix"):
        frames_of(with_matrix(source, tmp_path / "b.mp4", matrix))


@pytest.mark.parametrize(("orientation", "expected"), [(1, (False, False)), (2, (False, True)), (4, (True, False)),
                                                       (6, (False, True)), (7, (True, True))])  # fmt: skip
def test_pictures_are_turned_and_mirrored_as_exif_says(
    orientation: int, expected: tuple[bool, bool], tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pattern()).save(tmp_path / "a.jpg", exif=exif)
    (frame,) = frames_of(tmp_path / "a.jpg")
    assert brightest(frame) == expected


def test_an_animated_webp_is_read_with_its_times(tmp_path: Path) -> None:
    images = [Image.fromarray(np.full((48, 64), 40 * i, np.uint8)) for i in range(4)]
    images[0].save(tmp_path / "a.webp", save_all=True, append_images=images[1:], duration=[50, 100, 30, 20])
    frames = frames_of(tmp_path / "a.webp")
    assert [round(1000 * frame.time_s) for frame in frames] == [0, 50, 150, 180]
    assert [round(float(frame.grey.mean()), -1) for frame in frames] == [0, 40, 80, 120]


def test_frames_without_times_come_at_the_frame_rate(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = [np.full((48, 64), 2 * i, np.uint8) for i in range(60)]
    raw = write_video(tmp_path / "raw.h264", images, pix_fmt="gray")
    avi = write_video(tmp_path / "b.avi", images, options={"qp": "10", "bf": "2", "b_strategy": "0"})
    for path in (raw, avi):
        times = [frame.time_s for frame in frames_of(path)]
        assert times == pytest.approx([i / 25 for i in range(60)], abs=1e-6)
    assert "raw.h264 has no timestamps" in caplog.text


def test_times_go_on_where_a_clock_is_set_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = [np.full((48, 64), 2 * i, np.uint8) for i in range(50)]
    part = write_video(tmp_path / "a.ts", images).read_bytes()
    (tmp_path / "two.ts").write_bytes(part * 2)
    times = np.array([frame.time_s for frame in frames_of(tmp_path / "two.ts")])
    assert len(times) == 100
    assert np.diff(times) == pytest.approx(0.04, abs=0.005)
    assert "sets its clock back at 1.96 s" in caplog.text


@given(st.lists(st.one_of(st.none(), st.integers(-(10**9), 10**9)), min_size=1, max_size=40))
def test_times_never_step_back(stamps: list[int | None]) -> None:
    clock, last = PresentationClock("a", 0.04), -math.inf
    for stamp in stamps:
        try:
            time_s = clock.time_of(stamp, Fraction(1, 1000))
        except SourceError:
            return
        assert time_s >= max(last, 0.0)
        last = time_s


def test_a_last_frame_that_lasts_is_not_a_cut(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", [np.full((48, 64), 90, np.uint8)] * 10)
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for packet in packets:
            packet.duration = 3000 if packet is packets[-1] else 40
            packet.stream = stream
            target.mux(packet)
    assert len(frames_of(tmp_path / "b.mkv")) == 10


@pytest.mark.parametrize("name", ["a.m3u8", "a.txt", "a.mp4"])
def test_a_list_of_other_files_opens_none_of_them(name: str, clip: Path, tmp_path: Path) -> None:
    for text in (f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{clip}\n#EXT-X-ENDLIST\n",
                 f"ffconcat version 1.0\nfile {clip}\n"):  # fmt: skip
        (tmp_path / name).write_text(text)
        with pytest.raises(SourceError, match=r"a list that names other files|cannot be opened"):
            frames_of(tmp_path / name)


def test_what_a_picture_declares_is_bounded_before_it_is_allocated(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16_000, 16_000, 8, 0, 0, 0, 0))
    (tmp_path / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")))
    with pytest.raises(SourceError, match=r"megapixels|too many pixels"):
        frames_of(tmp_path / "large.png")
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "a.gif")
    data = bytearray((tmp_path / "a.gif").read_bytes())
    data[6:10] = struct.pack("<HH", 16_000, 16_000)  # of the logical screen
    (tmp_path / "large.gif").write_bytes(data)
    with pytest.raises(SourceError, match=r"megapixels|cannot be opened|damaged"):
        frames_of(tmp_path / "large.gif")


@pytest.mark.parametrize("refs", [1, 4, 16])
def test_reference_frames_are_read_from_the_stream(refs: int, tmp_path: Path) -> None:
    options = {"qp": "20", "refs": str(refs), "x264-params": f"ref={refs}:bframes=0"}
    for name, pix_fmt in (("a.mp4", "yuv420p"), ("a.h264", "gray")):
        path = write_video(tmp_path / name, [np.zeros((64, 64), np.uint8)] * 20, options=options, pix_fmt=pix_fmt)
        with av.open(str(path)) as container:
            assert reference_frames(container.streams.video[0].codec_context) == refs


def test_a_live_url_that_breaks_off_is_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "RETRY_EVERY_S", 0.05)
    monkeypatch.setattr(video, "RETRY_S", 3.0)
    images = [np.full((48, 64), 2 * i, np.uint8) for i in range(75)]
    data = write_video(tmp_path / "a.ts", images).read_bytes()
    asked = []

    class Breaking(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if len(asked) > 2:
                self.send_error(404)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            time.sleep(0.5)
            self.connection.close()  # with a reset, as a link that breaks off

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Breaking) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with VideoSource(f"http://127.0.0.1:{server.server_port}/live") as source:
            times = [frame.time_s for frame in source]
        server.shutdown()
    assert len(asked) > 2
    assert 140 <= len(times) <= 150
    assert (np.diff(times) > 0).all()
    assert source.cut_at_s == times[-1]
