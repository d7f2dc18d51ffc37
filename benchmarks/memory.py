"""Peak memory of `pack` and `read` for the clip, and for one ten times as long."""

import subprocess
import sys
import tempfile
from pathlib import Path

import av

from lowbeam.demo import ASSETS

TIMES = 10
# Linux's own high-water mark of this process; getrusage's begins with that of the process that started it.
MEASURE = """
import sys, lowbeam
getattr(lowbeam, sys.argv[1])(*sys.argv[2:])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def repeated(source: Path, times: int, out: Path) -> Path:
    """`source` played `times` times over, without encoding again."""
    with av.open(str(out), "w") as target:
        shift = 0
        stream = None
        for _ in range(times):
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                stream = stream or target.add_stream_from_template(video)
                last = shift
                for packet in container.demux(video):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    last = max(last, packet.pts + (packet.duration or 0))
                    packet.stream = stream
                    target.mux(packet)
                shift = last
    return out


def peak_mib(command: str, *arguments: Path) -> float:
    """Peak resident memory in MiB of one call in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, command, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1]) / 1024


def memory() -> dict[str, dict[str, float]]:
    """MiB at the peak of `pack`, of `read` of its face stream, and of `read` of the video; and the ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = {"once": ASSETS / "clip.mp4", f"{TIMES} times": repeated(ASSETS / "clip.mp4", TIMES, folder / "x.mp4")}
        peaks: dict[str, dict[str, float]] = {"pack": {}, "read a face stream": {}, "read a video": {}}
        for length, clip in clips.items():
            peaks["pack"][length] = peak_mib("pack", clip, folder / "f.mkv")
            peaks["read a face stream"][length] = peak_mib("read", folder / "f.mkv")
            peaks["read a video"][length] = peak_mib("read", clip)
    for row in peaks.values():
        row["ratio"] = row[f"{TIMES} times"] / row["once"]
    return peaks
