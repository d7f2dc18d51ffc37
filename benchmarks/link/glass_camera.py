"""A sender that notes when each face was where: ``python -m benchmarks.link.glass_camera`` with a JSON object of
arguments of `lowbeam.sending.send`. Prints a JSON object, in which ``faces`` are rows of `FACE`.

A camera would expose a frame when the player's clock reaches the frame's time:
that is `due`, whatever the program does then. `read` is when the player gives the frame out.
"""

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from lowbeam import sending
from lowbeam.codec import CodedFace
from lowbeam.link import sender
from lowbeam.link.recording_sender import RecordingSender
from lowbeam.media import Frame

FACE = ("number", "time_ms", "bytes", "due_utc", "read_utc", "coded_utc", "sent_utc")


class TimedPlayer(sending._Player):
    """A player that notes when it began, and when it gave out each frame, by the frame's milliseconds."""

    begun_utc = 0.0
    read_utc: dict[int, float] = {}  # noqa: RUF012  (of the one player)

    def __iter__(self) -> Iterator[Frame]:
        TimedPlayer.begun_utc = time.time()
        for frame in super().__iter__():
            self.read_utc[round(1000 * frame.time_s)] = time.time()
            yield frame


class TimedRecording(RecordingSender):
    """A recording that notes when each face was coded, with its milliseconds and bytes, and when it first went out
    live."""

    coded: dict[int, tuple[int, int, float]] = {}  # noqa: RUF012  (of the one recording)
    sent_utc: dict[int, float] = {}  # noqa: RUF012

    def add(self, coded: CodedFace, *args: Any) -> None:
        """Take a coded face."""
        super().add(coded, *args)
        self.coded[self.count - 1] = self._newest_ms, len(coded.data), time.time()

    def datagram(self, most: int) -> tuple[bytes, list[int]]:
        """Faces for the next datagram, which is sent at once."""
        data, numbers = super().datagram(most)
        for number in numbers:
            self.sent_utc.setdefault(number, time.time())
        return data, numbers


def main(arguments: dict[str, Any]) -> None:
    """Send, and print when each face was where."""
    sending._Player = TimedPlayer  # type: ignore[misc]
    sender.RecordingSender = TimedRecording  # type: ignore[misc]
    sent = sending.send(**arguments)
    faces = [
        [
            number, time_ms, size, TimedPlayer.begun_utc + time_ms / 1000, TimedPlayer.read_utc[time_ms], coded_utc,
            TimedRecording.sent_utc.get(number),
        ]
        for number, (time_ms, size, coded_utc) in TimedRecording.coded.items()
    ]  # fmt: skip
    print(json.dumps({
        "faces": faces, "duration_s": sent.duration_s, "wire_bytes": sent.wire_bytes, "is_stored": sent.is_stored,
    }))  # fmt: skip


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
