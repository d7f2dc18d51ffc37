"""A sender that tells how it went: ``python -m benchmarks.link.camera`` with a JSON object of arguments of
`lowbeam.sending.send`. Prints a JSON object: the fields of `Sent` and what the link did every half second.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from lowbeam import sending
from lowbeam.link.recording_sender import Repair
from lowbeam.link.sender import Sender

EVERY_S = 0.5
STATISTICS = Path("/sys/class/net/lbc/statistics")


class WatchedSender(Sender):
    """A sender whose link is looked at every `EVERY_S`. `begun_utc` is when the first frame was played."""

    last: "WatchedSender"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        WatchedSender.last = self
        self.begun_utc: float | None = None
        self.seen: list[dict[str, Any]] = []
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def budget_bps(self) -> float:
        """Asked before each frame."""
        if self.begun_utc is None:
            self.begun_utc = time.time()
        return super().budget_bps

    @property
    def started_utc(self) -> float:
        """When the recording began, by which its times are counted."""
        return self._recording.recording.started_ms / 1000

    @property
    def repairs(self) -> dict[str, int]:
        """Key faces and bytes for repair."""
        return {"keys": self._recording.keys_for_repair, "resent_bytes": self._recording.resent_bytes}

    def _watch(self) -> None:
        while not self._is_ending:
            core, bandwidth = self.core, self.core.estimate()
            self.seen.append(
                {
                    "at_s": round(time.time() - self.started_utc, 2), "state": core.state.value,
                    "estimate_bps": round(bandwidth.bps), "budget_bps": round(core.budget_bps),
                    "rate_bps": round(core.rate_bps(time.monotonic())), "queue_s": round(bandwidth.queue_s, 2),
                    "backlog_bytes": backlog_bytes(), "interface_bytes": interface_bytes(),
                    "wire_bytes": core.wire_bytes, "behind": core.behind,
                    "loss": round(bandwidth.loss, 3), "point": core.point,
                }
            )  # fmt: skip
            time.sleep(EVERY_S)


def interface_bytes() -> int:
    """Bytes that left the interface, without Ethernet headers."""
    size, packets = (int((STATISTICS / f"tx_{what}").read_text()) for what in ("bytes", "packets"))
    return size - 14 * packets


def backlog_bytes() -> int:
    """Bytes that wait for the limited link."""
    text = Path(os.environ["LINK_BACKLOG"]).read_text()
    return int(text or 0)


def main(arguments: dict[str, Any]) -> None:
    """Send, and print how it went."""
    sending.Sender = WatchedSender  # type: ignore[misc]
    arguments["repair"] = Repair(arguments.get("repair", "cheapest"))
    before, begun_s = interface_bytes(), time.time()
    sent = sending.send(**arguments)
    taken_s = time.time() - begun_s
    watched = WatchedSender.last
    time.sleep(2.0)  # until the queue is empty
    cpu = time.process_time()
    print(
        json.dumps(
            {
                "coded": sent.coded, "duration_s": sent.duration_s, "wire_bytes": sent.wire_bytes,
                "is_stored": sent.is_stored, "held_back": sent.held_back, "taken_s": taken_s, "cpu_s": cpu,
                "interface_bytes": interface_bytes() - before, "started_utc": watched.started_utc,
                "begun_utc": watched.begun_utc, "repairs": watched.repairs, "seen": watched.seen,
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
