"""Bounds what waits for aiortc's decoder.

aiortc decodes each video in a thread of its own and queues encoded frames before it without a limit: if decoding is
slower than the video, memory and delay grow for as long as that lasts. Nothing public limits this, so the queue is
replaced before reception starts. Dropping single frames would leave the decoder with wrong references. When too many
wait, all are dropped, the sender is asked for a key frame, and decoding goes on from there.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

MAX_WAITING = 24  # encoded frames: less than a second of video, and 20 MB (512 packets each) at worst
ASK_S = 1.0  # seconds between two requests for a key frame, at least
VP8, H264 = "vp8", "h264"
IDR = 5  # NAL unit of a key frame (H.264, table 7-1)

_PREFIX = "_RTCRtpReceiver__"

Encoded = tuple[RTCRtpCodecParameters, JitterFrame]


class EncodedFrames(queue.Queue["Encoded | None"]):
    """Encoded frames before a decoder, `MAX_WAITING` at most; None ends the decoder. `dropped` counts those that were
    never decoded; `ask_key` requests a key frame."""

    def __init__(self, ask_key: Callable[[], None]) -> None:
        super().__init__()
        self._ask_key = ask_key
        self._asked_s = -ASK_S
        self._lacks_key = False
        self.dropped = 0

    def put(self, item: Encoded | None, block: bool = True, timeout: float | None = None) -> None:
        """Add a frame, or None, behind which no frame has to be decoded any more. Never blocks."""
        if item is None:
            self._drop_all()
            super().put(None)
            return
        if self.qsize() >= MAX_WAITING:
            self._drop_all()
            self._lacks_key = True
        if self._lacks_key and not is_key(item[0].name, item[1].data):
            self.dropped += 1
            if time.monotonic() - self._asked_s >= ASK_S:
                self._asked_s = time.monotonic()
                self._ask_key()
            return
        self._lacks_key = False
        super().put(item)

    def _drop_all(self) -> None:
        try:
            while True:
                self.get_nowait()
                self.dropped += 1
        except queue.Empty:
            return


def bound_decoding(receiver: RTCRtpReceiver) -> EncodedFrames:
    """Limit what waits for the decoder of `receiver`, which has not started yet. Raises `AttributeError` if this aiortc
    has no such queue."""
    error: threading.Event = getattr(receiver, _PREFIX + "decoder_error")
    getattr(receiver, _PREFIX + "decoder_queue")
    frames = EncodedFrames(error.set)  # aiortc asks for a key frame after an error
    setattr(receiver, _PREFIX + "decoder_queue", frames)
    return frames


def packets_of(receiver: RTCRtpReceiver) -> tuple[int, int]:
    """The packets of the video that were sent and that arrived. The public statistics hold one stream only: that of
    retransmissions, once there are any."""
    streams: dict[int, Any] = getattr(receiver, _PREFIX + "remote_streams")
    video = next(iter(streams.values()), None)  # the first that was heard
    return (video.packets_expected, video.packets_received) if video else (0, 0)


def is_key(codec: str, data: bytes) -> bool:
    """Whether an encoded frame can be decoded without those before it; for codecs other than VP8 and H.264, True."""
    if codec.lower() == VP8:
        return bool(data) and not data[0] & 1  # RFC 6386, 9.1
    if codec.lower() == H264:
        return any(unit and unit[0] & 31 == IDR for unit in data.split(b"\0\0\1")[1:])
    return True
