"""What a cluster that loses machines leaves: ``python -m benchmarks.archive_cluster FOLDER [--times 20]``.

A Ray cluster of three machines, which are processes of this one, reads the folder's recordings with ``lowbeam batch``.
At random times either a machine other than the driver's is killed and a new one added, or the driver is killed and
started again. In the end the dataset is compared, byte for byte, with that of an undisturbed run by processes. Then
recordings of about a minute are read by two actors and by two processes, in turn. Writes
``benchmarks/results/archive-cluster.json``.
"""

import argparse
import hashlib
import itertools
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lowbeam.evaluate.processor import processor
from lowbeam.media import VIDEO_SUFFIXES

RESULT = Path(__file__).parent / "results" / "archive-cluster.json"
NODES, SEED, ROUNDS = 3, 20, 3
EARLIEST_S, LATEST_S = 2.0, 9.0  # after the start of a driver at which something is killed
NOTICED_S = 3.0  # after which the cluster has noticed that a machine is lost, and no driver begins on it
QUICK_TO_NOTICE = {
    "health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}  # fmt: skip
STUCK_S = 120.0
BATCH = [sys.executable, "-m", "lowbeam.cli", "batch"]


def _digest(out: Path) -> str:
    """A hash of all files of a dataset."""
    found = hashlib.sha256()
    for path in sorted(out.rglob("*")):
        if path.is_file():
            found.update(str(path.relative_to(out)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _copies(folder: Path, count: int, to: Path) -> Path:
    videos = sorted(path for path in folder.iterdir() if path.suffix in VIDEO_SUFFIXES)
    to.mkdir()
    for number, video in enumerate(itertools.islice(itertools.cycle(videos), count)):
        shutil.copy(video, to / f"{number:04}{video.suffix}")
    return to


def _disturbed(cluster: Any, source: Path, out: Path, chance: random.Random) -> dict[str, int]:
    """Read an archive while machines and drivers are killed; returns how often each was."""
    killed = {"machines": 0, "drivers": 0}
    while True:
        driver = subprocess.Popen(
            [*BATCH, source, "-o", out, "--ray", cluster.address],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        until_s = time.monotonic() + STUCK_S
        while driver.poll() is None:
            if time.monotonic() > until_s:  # it lost the machine that it spoke to, which is this one as well
                driver.kill()
                killed["drivers"] += 1
            try:
                driver.wait(chance.uniform(EARLIEST_S, LATEST_S))
            except subprocess.TimeoutExpired:
                if chance.random() < 0.5:
                    driver.kill()
                    driver.wait()
                    killed["drivers"] += 1
                else:
                    gone = chance.choice(sorted(cluster.worker_nodes, key=lambda node: node.node_id))
                    cluster.remove_node(gone, allow_graceful=False)
                    cluster.add_node(num_cpus=1)
                    killed["machines"] += 1
        if driver.returncode in (0, 3):
            return killed
        time.sleep(NOTICED_S)


def measure_kills(folder: Path, times: int, recordings: int) -> dict[str, Any]:
    """Disturbed runs against an undisturbed one."""
    from ray.cluster_utils import Cluster

    chance = random.Random(SEED)
    runs = []
    with tempfile.TemporaryDirectory() as place:
        source = _copies(folder, recordings, Path(place) / "recordings")
        subprocess.run([*BATCH, source, "-o", Path(place) / "whole"], stdout=subprocess.DEVNULL, check=True)
        wanted = _digest(Path(place) / "whole")
        for number in range(times):
            head = {"num_cpus": 1, "include_dashboard": False, "_system_config": QUICK_TO_NOTICE}
            cluster = Cluster(initialize_head=True, head_node_args=head)
            for _ in range(NODES - 1):
                cluster.add_node(num_cpus=1)
            out = Path(place) / f"run {number}"
            killed = _disturbed(cluster, source, out, chance)
            runs.append({"killed": killed, "same": _digest(out) == wanted})
            print(runs[-1], flush=True)
            cluster.shutdown()
    return {
        "recordings": recordings, "machines": NODES, "runs": runs, "all_same": all(run["same"] for run in runs),
    }  # fmt: skip


def measure_overhead(folder: Path, recordings: int) -> dict[str, Any]:
    """Two processes of this machine against two actors of a local cluster, and what its start takes."""
    ways = {"processes": ["--workers", "2"], "ray": ["--workers", "2", "--ray", "local"]}
    took: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as place:
        source = _copies(folder, recordings, Path(place) / "recordings")
        one = _copies(folder, 1, Path(place) / "one")
        for turn in range(ROUNDS):
            for name, options in ways.items():
                for what, of in (("", source), (" of one", one)):
                    began = time.perf_counter()
                    out = Path(place) / f"{name}{what} {turn}"
                    subprocess.run([*BATCH, of, "-o", out, *options], stdout=subprocess.DEVNULL, check=True)
                    took.setdefault(name + what, []).append(time.perf_counter() - began)
    seconds = {name: statistics.median(found) for name, found in took.items()}
    start = {name: seconds[f"{name} of one"] for name in ways}
    return {
        "recordings": recordings, "rounds": ROUNDS,
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
        "ray_to_processes": round(seconds["ray"] / seconds["processes"], 3),
        "ray_to_processes_without_start": round(
            (seconds["ray"] - start["ray"]) / (seconds["processes"] - start["processes"]), 3
        ),
    }  # fmt: skip


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="recordings of about a minute each")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--recordings", type=int, default=12)
    arguments = parser.parse_args()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    overhead = measure_overhead(arguments.folder, arguments.recordings)
    print(json.dumps(overhead, indent=1), flush=True)
    found = {
        "command": f"python -m benchmarks.archive_cluster FOLDER --times {arguments.times}",
        "processor": processor(),
        "overhead": overhead, "kills": measure_kills(arguments.folder, arguments.times, arguments.recordings),
    }  # fmt: skip
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
