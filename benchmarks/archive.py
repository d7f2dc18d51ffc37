"""How fast an archive is read: ``python -m benchmarks.archive REAL RENDERED [--recordings N] [--rounds N]``.

Of each of two folders of recordings, the first `CLIP_S` seconds of each are copied until there are N. In one run, in
turn: ``lowbeam batch`` with two processes and with one, a shell loop of ``lowbeam read``, and a loop of `fer` as it
reads videos (`benchmarks.fer_video`). Then a second run, which finds everything read; where the time of one process
goes; and the memory of a driver that lists 10,000 files. Writes ``benchmarks/results/archive.json``.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av

from lowbeam.estimator import Estimator
from lowbeam.evaluate.processor import processor
from lowbeam.faces import YunetDetector
from lowbeam.media import VIDEO_SUFFIXES, VideoSource
from lowbeam.pipeline.estimate import estimates_of
from lowbeam.pipeline.options import Section
from lowbeam.pipeline.sources import open_faces

RESULT = Path(__file__).parent / "results" / "archive.json"
CLIP_S, LISTED, STAGED = 10.0, 10_000, 7
FER = 14  # recordings that `fer` reads, since it is slow; two of each of the seven real ones
MEASURED = """
import resource, lowbeam
for outcome in lowbeam.batch({source!r}, {out!r}): pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _command(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "lowbeam.cli", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def _loop(source: Path, out: Path) -> None:
    """A shell loop: a process for each recording."""
    out.mkdir()
    for video in sorted(source.iterdir()):
        _command("read", video, "-o", out / f"{video.name}.parquet")


def _fer(source: Path, out: Path) -> None:
    """A process of `fer` for each of the first `FER` recordings."""
    out.mkdir()
    for video in sorted(source.iterdir())[:FER]:
        subprocess.run([sys.executable, "-m", "benchmarks.fer_video", video, out / f"{video.name}.csv"], check=True)


def _batch(workers: int) -> Callable[[Path, Path], None]:
    return lambda source, out: _command("batch", source, "-o", out, "--workers", workers)


def _seconds(way: Callable[[Path, Path], None], source: Path, out: Path) -> float:
    began = time.perf_counter()
    way(source, out)
    return time.perf_counter() - began


def _driver(folder: Path) -> tuple[float, float]:
    """Most memory in MiB of a process that hands out `LISTED` links to one small file, which is no video, and the
    seconds that all of it takes."""
    (folder / "small").write_bytes(bytes(100))
    (folder / "many").mkdir()
    for number in range(LISTED):
        (folder / "many" / f"{number}.mp4").symlink_to(folder / "small")
    program = MEASURED.format(source=str(folder / "many"), out=str(folder / "of-many"))
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return int(done.stdout) / 1024, time.perf_counter() - began


def _clips(folder: Path, count: int, to: Path) -> Path:
    """The beginnings of the folder's videos, as they are coded, in turn until there are `count`."""
    videos = sorted(path for path in folder.iterdir() if path.suffix in VIDEO_SUFFIXES)
    to.mkdir()
    for number, video in enumerate(itertools.islice(itertools.cycle(videos), count)):
        with av.open(str(video)) as source, av.open(str(to / f"{number:04}.mp4"), "w") as clip:
            track = source.streams.video[0]
            copied = clip.add_stream_from_template(track)
            for packet in source.demux(track):
                if packet.dts is not None and packet.dts * packet.time_base < CLIP_S:
                    packet.stream = copied
                    clip.mux(packet)
    return to


def _stages(source: Path) -> dict[str, float]:
    """Shares of the time of one process that go into decoding, into finding faces, and into the network in batches of
    32; and how much longer the network takes in batches of 8, as where a recording has no more faces."""
    took = {"decoding": 0.0, "faces": 0.0, "network": 0.0, "network in batches of 8": 0.0}
    detector, estimator = YunetDetector(1), Estimator()
    for video in sorted(source.iterdir())[:STAGED]:
        began = time.perf_counter()
        for frame in VideoSource(video):
            _ = frame.grey
        decoded = time.perf_counter()
        with open_faces(video, lambda: detector, "primary", Section()) as opened:
            frames = list(opened)
        found = time.perf_counter()
        list(estimates_of(frames, estimator, 32, keep_frames=False))
        estimated = time.perf_counter()
        list(estimates_of(frames, estimator, 8, keep_frames=False))
        took["decoding"] += decoded - began
        took["faces"] += (found - decoded) - (decoded - began)
        took["network"] += estimated - found
        took["network in batches of 8"] += time.perf_counter() - estimated
    total = sum(took[name] for name in ("decoding", "faces", "network"))
    return {name: round(value / total, 3) for name, value in took.items()}


def measure(folder: Path, count: int, rounds: int) -> dict[str, Any]:
    """The speeds for one folder."""
    ways = {"2 processes": _batch(2), "1 process": _batch(1), "shell loop": _loop, "fer": _fer}
    took: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as place:
        source = _clips(folder, count, Path(place) / "recordings")
        for turn in range(rounds):
            for name, way in ways.items():
                took[name].append(_seconds(way, source, Path(place) / f"{name} {turn}"))
        again = _seconds(ways["2 processes"], source, Path(place) / "2 processes 0")
        known = subprocess.run(
            [sys.executable, "-c", "import pandas, sys; print(pandas.read_parquet(sys.argv[1]).duration_s.sum())",
             str(Path(place) / "2 processes 0" / "recordings.parquet")],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        stages = _stages(source)
    seconds = {name: statistics.median(found) for name, found in took.items()}
    seconds["fer"] *= count / min(count, FER)
    total_s = float(known.stdout)
    return {
        "recordings": count, "duration_s": round(total_s, 1), "rounds": rounds,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "recordings_per_h": {name: round(3600 * count / value) for name, value in seconds.items()},
        "times_real_time": {name: round(total_s / value, 1) for name, value in seconds.items()},
        "two_to_one": round(seconds["1 process"] / seconds["2 processes"], 3),
        "two_to_loop": round(seconds["shell loop"] / seconds["2 processes"], 3),
        "two_to_fer": round(seconds["fer"] / seconds["2 processes"], 3), "again_s": round(again, 2), "stages": stages,
    }  # fmt: skip


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("real", type=Path)
    parser.add_argument("rendered", type=Path)
    parser.add_argument("--recordings", type=int, default=100, help="of each folder")
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        memory, listed_s = _driver(Path(place))
    found: dict[str, Any] = {
        "command": "python -m benchmarks.archive", "processor": processor(),
        "driver_mib_of_10000": round(memory, 1), "driver_s_of_10000": round(listed_s, 1),
    }  # fmt: skip
    for name in ("real", "rendered"):
        found[name] = measure(getattr(arguments, name), arguments.recordings, arguments.rounds)
        print(name, json.dumps(found[name], indent=1), flush=True)
    RESULT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
