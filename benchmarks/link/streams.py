"""How many streams a core of a server carries: ``python -m benchmarks.link.streams REAL_FOLDER [--counts …]``.

`lowbeam serve`, with its SQLite store, is kept to core 0; all senders, in one process, to core 1. They send faces that
were coded before, over real sockets. Writes ``benchmarks/results/link-streams.json``.
"""

import argparse
import bisect
import json
import os
import re
import selectors
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.link.material import real
from benchmarks.link.trial import RESULTS, save_results
from lowbeam.codec import CodedFace, TrackHeader
from lowbeam.codec.cues import BoxCue
from lowbeam.codec.operating_point import OperatingPoint
from lowbeam.codec.policy import Fixed
from lowbeam.codec.track_encoder import TrackEncoder
from lowbeam.faces import FaceTracker, YunetDetector
from lowbeam.link.quic import parse_address, parse_pin
from lowbeam.link.recording_sender import RecordingSender
from lowbeam.link.sender_connection import SendingOptions
from lowbeam.link.sending_core import SendingCore, State
from lowbeam.link.spool import Spool
from lowbeam.media import open_video, opened
from lowbeam.pipeline.sources import find_faces

POINT = OperatingPoint("hevc", 3, 27, 5.0)
FACES_S = 30.0  # of the clip that every sender repeats
LATENCY_S = 0.0
SETTLE_S, MEASURE_S = 6.0, 12.0
MOST_AGE_S = 1.0
FULL = 0.97  # of a core
PORT = 7555
Coded = list[tuple[CodedFace, TrackHeader, BoxCue]]


def coded_faces(clip: Path) -> Coded:
    """The faces of one person at the start of `clip`, coded at `POINT`."""
    policy, tracker, found = Fixed(POINT), FaceTracker(YunetDetector()), []
    encoder = TrackEncoder(policy, is_config_in_band=False)
    with open_video(opened(str(clip))) as video:
        for frame in video:
            if frame.time_s > FACES_S:
                break
            for face in find_faces(frame, tracker, "primary").faces if policy.looks_at(frame.time_s) else ():
                found += [(one.coded, encoder.coded_header, BoxCue(1, face.box)) for one in encoder.encode(face)]
    encoder.flush()
    return found


class Stream:
    """One sender."""

    def __init__(self, options: SendingOptions, faces: Coded, offset_s: float) -> None:
        self._faces, self._offset_s = faces, offset_s
        spool = Spool()
        self.recording = RecordingSender(spool, spool.begin("stream"), is_live=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        peer = options.address.host, options.address.port
        self.socket.connect(peer)
        self.core = SendingCore(options, peer, spool, self.recording, time.monotonic())
        self.started_utc = self.recording.recording.started_ms / 1000
        self._index, self._next_s = 0, 0.0
        self.made_utc: list[float] = []
        self.due_s = 0.0
        self.skipped = 0

    def step(self, now: float) -> None:
        """Make a face if one is due, and send what is due."""
        if self.core.state is State.LIVE and now >= self._next_s:
            self._next_s = (self._next_s or now + self._offset_s) + 1 / POINT.fps
            if now > self._next_s + 1.0:
                self._next_s = now
            self._make()
        for data in self.core.poll(now):
            with suppress(OSError):
                self.socket.send(data)
        self.due_s = min(self.core.next_time(now), self._next_s or now + 1.0)

    def _make(self) -> None:
        if not self.core.may_code:
            self.skipped += 1
            return
        if self.core.take_key_request():
            self._index = 0
        coded, header, box = self._faces[self._index]
        self._index = (self._index + 1) % len(self._faces)
        utc = time.time()
        time_ms = round(1000 * (utc - self.started_utc))
        moved = box if coded.is_key else None
        self.recording.add(CodedFace(coded.data, time_ms, coded.is_key), 1, header, moved, self.core.is_live())
        self.made_utc.append(utc)

    def receive(self, now: float) -> None:
        """Take what came."""
        while True:
            try:
                data = self.socket.recv(65536)
            except OSError:
                break
            self.core.receive(data, now)
        self.due_s = now


def run(streams: list[Stream], selector: selectors.BaseSelector, until_s: float) -> None:
    """Run all streams until `until_s`."""
    while (now := time.monotonic()) < until_s:
        for stream in streams:
            if stream.due_s <= now:
                stream.step(now)
        wait_s = max(0.0, min(stream.due_s for stream in streams) - time.monotonic())
        for key, _ in selector.select(min(wait_s, 0.05)):
            key.data.receive(time.monotonic())


class Server:
    """`lowbeam serve` in `folder`, kept to core 0."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "lowbeam.cli", "serve", "--data", str(folder), "--port", str(PORT)]
        self._process = subprocess.Popen(
            ["taskset", "-c", "0", *command], stdout=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        assert self._process.stdout is not None
        found = None
        while found is None:
            line = self._process.stdout.readline()
            assert line, "the server did not start"
            found = re.search(r"TOKEN=(\S+) .*--to (\S+) --pin (\S+)", line)
        self.options = SendingOptions(parse_address(found[2]), found[1], parse_pin(found[3]), LATENCY_S)
        self.folder = folder

    def cpu_s(self) -> float:
        """CPU seconds so far."""
        parts = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> float:
        """Resident memory."""
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self._process.pid}/status").read_text())
        assert found is not None
        return round(int(found[1]) / 1024, 1)

    def descriptors(self) -> int:
        """Open file descriptors."""
        return len([*Path(f"/proc/{self._process.pid}/fd").iterdir()])

    def stored(self) -> dict[bytes, int]:
        """The number of faces that are stored of each recording."""
        with sqlite3.connect(f"file:{self.folder}/store.sqlite?mode=ro", uri=True, timeout=5) as database:
            return {bytes(key): stored for key, stored in database.execute("SELECT key, stored FROM recordings")}

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)


def ages_s(streams: list[Stream], server: Server) -> list[float]:
    """For each stream, seconds since the oldest face was made that is not stored yet; 0 if all are."""
    stored, now = server.stored(), time.time()
    found = []
    for stream in streams:
        count = stored.get(stream.recording.recording.key, 0)
        found.append(now - stream.made_utc[count] if count < len(stream.made_utc) else 0.0)
    return found


def measure(streams: list[Stream], selector: selectors.BaseSelector, server: Server, seconds: float) -> dict[str, Any]:
    """Run for `seconds` and measure."""
    before = server.cpu_s(), time.process_time(), time.monotonic(), sum(server.stored().values())
    ages, skipped = [], sum(stream.skipped for stream in streams)
    while time.monotonic() < before[2] + seconds:
        run(streams, selector, time.monotonic() + 1.0)
        ages += ages_s(streams, server)
    taken_s = time.monotonic() - before[2]
    made_since = time.time() - taken_s
    made = sum(len(one.made_utc) - bisect.bisect(one.made_utc, made_since) for one in streams)
    server_s = server.cpu_s() - before[0]
    return {
        "streams": len(streams), "live": sum(one.core.state is State.LIVE for one in streams),
        "made_faces_per_s": round(made / taken_s, 1),
        "stored_faces_per_s": round((sum(server.stored().values()) - before[3]) / taken_s, 1),
        "skipped_per_s": round((sum(one.skipped for one in streams) - skipped) / taken_s, 1),
        "server_core_share": round(server_s / taken_s, 3),
        "senders_core_share": round((time.process_time() - before[1]) / taken_s, 3),
        "cpu_ms_per_stream_second": round(1000 * server_s / taken_s / len(streams), 2),
        "unstored_age_p50_s": round(float(np.percentile(ages, 50)), 2),
        "unstored_age_p95_s": round(float(np.percentile(ages, 95)), 2),
        "memory_mib": server.memory_mib(), "descriptors": server.descriptors(),
    }  # fmt: skip


def main() -> None:
    """Measure, and write the results after each count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--counts", type=int, nargs="+", default=[50, 100, 120, 140, 160])
    parser.add_argument(
        "--hold", type=float, default=180.0, help="seconds for which as many streams as `--held` are held"
    )
    parser.add_argument("--held", type=int, default=50)
    parser.add_argument("--held-only", action="store_true", help="leave the counts as they are")
    given = parser.parse_args()
    faces = coded_faces(real(given.folder).path)
    os.sched_setaffinity(0, {1})
    results: dict[str, Any] = {"point": str(POINT), "counts": [], "held": []}
    if given.held_only:
        results |= json.loads((RESULTS / "link-streams.json").read_text())
    else:
        _count(faces, given.counts, results)
    if given.hold:
        results["held"] = []
        _hold(faces, given.held, given.hold, results)


def _count(faces: Coded, counts: Sequence[int], results: dict[str, Any]) -> None:
    """Measure more and more streams, until the server or the senders need a core."""
    with tempfile.TemporaryDirectory() as folder, selectors.DefaultSelector() as selector:
        server = Server(Path(folder))
        streams: list[Stream] = []
        for count in counts:
            _add(streams, count, selector, server, faces)
            run(streams, selector, time.monotonic() + SETTLE_S)
            found = measure(streams, selector, server, MEASURE_S)
            results["counts"].append(found)
            save_results("link-streams", results)
            print(found, flush=True)
            is_full = found["server_core_share"] > FULL or found["senders_core_share"] > FULL
            if found["unstored_age_p95_s"] > MOST_AGE_S or is_full:
                break
        server.stop()


def _add(streams: list[Stream], count: int, selector: selectors.BaseSelector, server: Server, faces: Coded) -> None:
    while len(streams) < count:
        stream = Stream(server.options, faces, len(streams) % 20 / 20 / POINT.fps)
        selector.register(stream.socket, selectors.EVENT_READ, stream)
        streams.append(stream)
        run(streams, selector, time.monotonic() + 0.1)


def _hold(faces: Coded, count: int, seconds: float, results: dict[str, Any]) -> None:
    """Whether memory and descriptors stay the same for long."""
    with tempfile.TemporaryDirectory() as folder, selectors.DefaultSelector() as selector:
        server, streams = Server(Path(folder)), []  # type: ignore[var-annotated]
        _add(streams, count, selector, server, faces)
        run(streams, selector, time.monotonic() + SETTLE_S)
        begun_s, every_s = time.monotonic(), max(MEASURE_S, seconds / 60)
        while time.monotonic() < begun_s + seconds:
            found = measure(streams, selector, server, every_s)
            results["held"].append({"minutes": round((time.monotonic() - begun_s) / 60, 1)} | found)
            save_results("link-streams", results)
            print(results["held"][-1], flush=True)
        server.stop()


if __name__ == "__main__":
    main()
