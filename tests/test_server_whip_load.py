"""WHIP under load: what waits stays bounded when decoding, estimation or the store falls behind."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from aiortc import RTCRtpReceiver
from aiortc.codecs.vpx import Vp8Decoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from lowbeam.errors import OutputError
from lowbeam.recognize import Recognizer
from lowbeam.server import recorder, whip_session
from lowbeam.server.recorder import Recorder
from lowbeam.server.store import Row, Store
from lowbeam.server.whip_decoding import MAX_WAITING, EncodedFrames, bound_decoding, is_key
from lowbeam.server.workers import Result, Workers
from lowbeam.trace import Estimate
from tests.server_whip import publishing, until, whip_server

VP8 = RTCRtpCodecParameters(mimeType="video/VP8", clockRate=90000, payloadType=96)
KEY, DELTA = JitterFrame(b"\x10", 0), JitterFrame(b"\x11", 0)


class SlowWorkers(Workers):
    """Workers that take a second for each frame."""

    async def run(self, stream: int, work: Callable[[Recognizer], Result]) -> Result:
        def slowly(recognizer: Recognizer) -> Result:
            time.sleep(1.0)
            return work(recognizer)

        return await super().run(stream, slowly)


def test_slow_decoding_and_estimation_leave_memory_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receivers: list[tuple[RTCRtpReceiver, EncodedFrames]] = []

    def bounded(receiver: RTCRtpReceiver) -> EncodedFrames:
        receivers.append((receiver, bound_decoding(receiver)))
        return receivers[-1][1]

    def decode(self: Vp8Decoder, frame: JitterFrame) -> list[Any]:
        time.sleep(0.1)  # the clip has a frame every 0.04 s
        return fast(self, frame)

    fast = Vp8Decoder.decode
    monkeypatch.setattr(Vp8Decoder, "decode", decode)
    monkeypatch.setattr(whip_session, "bound_decoding", bounded)
    workers = SlowWorkers(count=1)

    async def run() -> None:
        async with whip_server(tmp_path, workers, with_pages=True) as to, publishing(to):
            ((receiver, encoded),) = receivers
            queues, memory = [], []

            def is_enough() -> bool:
                queues.append((encoded.qsize(), receiver.track._queue.qsize()))  # type: ignore[attr-defined]
                memory.append(resident_mb())
                return encoded.dropped > 3 * MAX_WAITING and to.estimates > 0

            await until(is_enough)
            assert max(length for length, _ in queues) == MAX_WAITING
            assert max(length for _, length in queues) <= 2
            assert max(memory[len(memory) // 3 :]) - memory[len(memory) // 3] < 30
            before, decoded = to.estimates, encoded.dropped
            await until(lambda: to.estimates > before)  # it goes on from a key frame
            assert encoded.dropped >= decoded
            metrics = (await to.client.get("/metrics")).text
            (dropped,) = [line for line in metrics.splitlines() if line.startswith("lowbeam_dropped_total")]
            assert 'reason="frame"' in dropped
            assert float(dropped.split()[1]) > 3 * MAX_WAITING

    try:
        asyncio.run(run())
    finally:
        workers.close()


def test_frames_that_wait_are_dropped_up_to_a_key_frame() -> None:
    asked: list[float] = []
    frames = EncodedFrames(lambda: asked.append(time.monotonic()))
    for frame in [KEY, *[DELTA] * (MAX_WAITING - 1)]:
        frames.put((VP8, frame))
    assert (frames.qsize(), frames.dropped, asked) == (MAX_WAITING, 0, [])
    for _ in range(3):
        frames.put((VP8, DELTA))
    assert (frames.qsize(), frames.dropped, len(asked)) == (0, MAX_WAITING + 3, 1)
    frames.put((VP8, KEY))
    frames.put((VP8, DELTA))
    assert [frames.get_nowait(), frames.get_nowait()] == [(VP8, KEY), (VP8, DELTA)]


def test_the_end_is_behind_no_frame() -> None:
    frames = EncodedFrames(lambda: None)
    frames.put((VP8, KEY))
    frames.put(None)
    assert frames.get_nowait() is None
    assert frames.qsize() == 0


@pytest.mark.parametrize(("codec", "name"), [("libvpx", "VP8"), ("libx264", "H264")])
def test_key_frames_are_known(codec: str, name: str) -> None:
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 64, 48, "yuv420p", 25  # type: ignore[assignment]
    noise = np.random.default_rng(0).integers(0, 255, (6, 48, 64, 3), np.uint8)
    frames = [VideoFrame.from_ndarray(image, format="rgb24") for image in noise]
    packets = [packet for frame in [*frames, None] for packet in encoder.encode(frame)]
    assert [is_key(name, bytes(packet)) for packet in packets] == [packet.is_keyframe for packet in packets]
    assert {packet.is_keyframe for packet in packets} == {True, False}
    assert not is_key(name, b"")


def test_rows_that_the_store_refuses_are_stored_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:  # fmt: skip
    async def run() -> None:
        store = await Store.open(f"sqlite:///{tmp_path}/store.db")
        sender, _ = await store.accounts.add_sender("ward")
        recording = await store.recordings.begin(sender.id, b"key", "whip", "ward", 1000.0)
        kept, append = Recorder(store.recordings, recording.id), store.recordings.append

        async def fail(*_: object, **__: object) -> None:
            raise OutputError("the disk is full")

        monkeypatch.setattr(store.recordings, "append", fail)
        for number in range(5):
            kept.add(row(number))
            assert not await kept.save()
        assert (kept.waiting, kept.lost) == (3, 2)
        kept.add(row(5, valence=float("nan")))
        assert (kept.waiting, kept.lost) == (3, 3)
        monkeypatch.setattr(store.recordings, "append", append)
        await kept.end(1010.0)
        assert kept.waiting == 0
        stored = await store.recordings.get(recording.id)
        assert stored is not None
        assert (stored.stored, stored.ended_utc) == (5, 1010.0)
        assert len(await store.recordings.history(sender.id, 0, 2000)) == 3
        await store.close()

    monkeypatch.setattr(recorder, "MAX_ROWS", 3)
    with caplog.at_level(logging.ERROR, "lowbeam.server.recorder"):
        asyncio.run(run())
    assert [record.message.endswith("the disk is full") for record in caplog.records] == [True, False]


def test_a_recording_ends_although_its_last_rows_cannot_be_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    async def run() -> None:
        store = await Store.open(f"sqlite:///{tmp_path}/store.db")
        sender, _ = await store.accounts.add_sender("ward")
        recording = await store.recordings.begin(sender.id, b"key", "whip", "ward", 1000.0)

        async def fail(*_: object, **__: object) -> None:
            raise OutputError("the disk is full")

        monkeypatch.setattr(store.recordings, "append", fail)
        kept = Recorder(store.recordings, recording.id)
        kept.add(row(0))
        await kept.end(1010.0)
        ended = await store.recordings.get(recording.id)
        assert ended is not None
        assert ended.ended_utc == 1010.0
        await store.close()

    monkeypatch.setattr(recorder, "STORE_S", 0.01)
    asyncio.run(run())


def row(number: int, valence: float = 0.1) -> Row:
    estimate = Estimate(float(number), 0, valence, 0.0, 0.1, 0.1, 0.0, 0.0, 96.0)
    return Row(number, estimate, 1000.0 + number, is_final=True)


def resident_mb() -> float:
    """Memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
