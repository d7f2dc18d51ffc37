"""How long a row takes: from a frame that goes into ``pack -`` in real time to its row from ``read -`` behind a pipe.

Writes ``benchmarks/results/latency.json``.
"""

import json
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from lowbeam.demo import ASSETS
from lowbeam.evaluate.processor import processor

RESULTS = Path(__file__).parent / "results" / "latency.json"
SOURCE_FPS = 25
SECONDS = 12
WARM_UP_S = 4.0  # for both programs to be loaded
CLI = [sys.executable, "-m", "lowbeam.cli"]


def latencies(fps: float, container: str) -> list[float]:
    """Seconds from frame to row, for each row, at `fps` coded frames a second, of a live video in `container`."""
    with av.open(str(ASSETS / "clip.mp4")) as clip:
        frames = [f.to_ndarray(format="rgb24") for f in clip.decode(video=0)][: SECONDS * SOURCE_FPS]
    pack = subprocess.Popen([*CLI, "-q", "pack", "-", "-o", "-", "--fps", str(fps)], stdin=-1, stdout=-1)
    read = subprocess.Popen([*CLI, "-q", "read", "-"], stdin=pack.stdout, stdout=-1, text=True)
    rows: list[tuple[float, float]] = []

    def listen() -> None:
        assert read.stdout is not None
        for line in read.stdout:
            if line[0].isdigit():
                rows.append((float(line.split(",")[0]), time.perf_counter()))

    listener = threading.Thread(target=listen)
    listener.start()
    time.sleep(WARM_UP_S)
    sent = _send(frames, pack, container)
    listener.join()
    return [arrived - sent[round(time_s * SOURCE_FPS)] for time_s, arrived in rows]


class _Unbuffered:
    def __init__(self, process: subprocess.Popen) -> None:
        assert process.stdin is not None
        self._file = process.stdin

    def write(self, data: bytes) -> int:
        self._file.write(data)
        self._file.flush()
        return len(data)

    def end(self) -> None:
        self._file.close()


def _send(frames: list[np.ndarray], pack: subprocess.Popen, container: str) -> list[float]:
    """Send frames in real time; when each was sent."""
    target, sent = _Unbuffered(pack), []
    options = {"cluster_time_limit": "0", "max_interleave_delta": "1"} if container == "matroska" else {}
    live = av.open(target, "w", format=container, container_options=options, buffer_size=1316)
    stream = live.add_stream("libx264", rate=SOURCE_FPS, options={"tune": "zerolatency", "preset": "ultrafast"})
    stream.height, stream.width = frames[0].shape[:2]
    stream.pix_fmt = "yuv420p"
    begun = time.perf_counter()
    for index, pixels in enumerate(frames):
        time.sleep(max(0.0, begun + index / SOURCE_FPS - time.perf_counter()))
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = index, Fraction(1, SOURCE_FPS)
        live.mux(stream.encode(frame))
        sent.append(time.perf_counter())
    live.mux(stream.encode())
    live.close()
    target.end()
    return sent


def main() -> None:
    """Measure, print and write."""
    found = []
    for container in ("matroska", "mpegts"):
        for fps in (12.5, 5, 1):
            waits = latencies(fps, container)
            figures = {"first": waits[0], "median": float(np.median(waits)), "p95": float(np.percentile(waits, 95))}
            found.append({"container": container, "fps": fps, "rows": len(waits)} | {
                name: round(value, 3) for name, value in figures.items()
            })  # fmt: skip
            print(found[-1])
    about = {"unit": "seconds from frame in to row out", "cpu": processor(), "command": "benchmarks.latency"}
    RESULTS.write_text(json.dumps(about | {"results": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
