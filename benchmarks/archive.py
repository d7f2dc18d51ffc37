"""How fast an archive is read: ``python -m benchmarks.archive FOLDER [--recordings N]``.

The recordings of the folder are copied until there are N. In one run: ``lowbeam batch`` with two processes and with
one, and a shell loop of ``lowbeam read``, each three times in turn; a second run, which finds everything read; and the
memory of a driver that lists 10,000 files. Writes ``benchmarks/results/archive.json``.
"""

import argparse
import itertools
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lowbeam.media import VIDEO_SUFFIXES

RESULT = Path(__file__).parent / "results" / "archive.json"
ROUNDS, LISTED = 3, 10_000
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


def _batch(workers: int) -> Callable[[Path, Path], None]:
    return lambda source, out: _command("batch", source, "-o", out, "--workers", workers)


def _seconds(way: Callable[[Path, Path], None], source: Path, out: Path) -> float:
    began = time.perf_counter()
    way(source, out)
    return time.perf_counter() - began


def _driver_mib(folder: Path) -> float:
    """Most memory of a process that lists `LISTED` links to one small file, in MiB."""
    (folder / "small").write_bytes(bytes(100))
    (folder / "many").mkdir()
    for number in range(LISTED):
        (folder / "many" / f"{number}.mp4").symlink_to(folder / "small")
    program = MEASURED.format(source=str(folder / "many"), out=str(folder / "of-many"))
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return int(done.stdout) / 1024


def measure(folder: Path, count: int) -> dict[str, Any]:
    """All figures."""
    videos = sorted(path for path in folder.iterdir() if path.suffix in VIDEO_SUFFIXES)
    ways = {"2 processes": _batch(2), "1 process": _batch(1), "shell loop": _loop}
    took: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as place:
        source = Path(place) / "recordings"
        source.mkdir()
        for number, video in enumerate(itertools.islice(itertools.cycle(videos), count)):
            shutil.copy(video, source / f"{number:04}{video.suffix}")
        for turn in range(ROUNDS):
            for name, way in ways.items():
                took[name].append(_seconds(way, source, Path(place) / f"{name} {turn}"))
        again = _seconds(ways["2 processes"], source, Path(place) / "2 processes 0")
        known = subprocess.run(
            [sys.executable, "-c", "import pandas, sys; print(pandas.read_parquet(sys.argv[1]).duration_s.sum())",
             str(Path(place) / "2 processes 0" / "recordings.parquet")],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        memory = _driver_mib(Path(place))
    seconds = {name: statistics.median(found) for name, found in took.items()}
    total_s = float(known.stdout)
    return {
        "command": "python -m benchmarks.archive", "processor": platform.processor() or platform.machine(),
        "recordings": count, "duration_s": round(total_s, 1), "rounds": ROUNDS,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "recordings_per_h": {name: round(3600 * count / value) for name, value in seconds.items()},
        "times_real_time": {name: round(total_s / value, 1) for name, value in seconds.items()},
        "two_to_one": round(seconds["1 process"] / seconds["2 processes"], 3),
        "two_to_loop": round(seconds["shell loop"] / seconds["2 processes"], 3),
        "again_s": round(again, 2), "driver_mib_of_10000": round(memory, 1),
    }  # fmt: skip


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--recordings", type=int, default=24)
    arguments = parser.parse_args()
    found = measure(arguments.folder, arguments.recordings)
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
