"""``lowbeam batch --ray``: an archive read by a cluster of three machines, which are processes here; one is lost."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lowbeam

pytest.importorskip("pyarrow", reason="datasets need the batch extra")
pytest.importorskip("ray", reason="Ray comes with the ray extra")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
from ray.cluster_utils import Cluster
from toy_head import write_toy_head

RECORDINGS = 8
QUICK_TO_NOTICE = {  # that a machine is lost
    "health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}  # fmt: skip
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    found = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "_system_config": QUICK_TO_NOTICE},
    )
    for _ in range(2):
        found.add_node(num_cpus=1)
    yield found
    found.shutdown()


@pytest.fixture(scope="module")
def videos(short_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(RECORDINGS):
        shutil.copy(short_clip, folder / f"{number}.mp4")
    (folder / "bad.mp4").write_text("no video")
    return folder


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_the_dataset_is_that_of_processes_though_a_machine_is_lost(
    cluster: Cluster, videos: Path, tmp_path: Path
) -> None:
    states = []
    for outcome in lowbeam.batch(videos, tmp_path / "cluster", ray=cluster.address):
        states.append(outcome.state)
        if len(states) == 2:
            here = ray.get_runtime_context().get_node_id()
            gone = next(node for node in cluster.worker_nodes if node.node_id != here)
            cluster.remove_node(gone, allow_graceful=False)
    time.sleep(3)  # until the cluster has noticed: a driver would begin on the lost machine
    assert sorted(states) == ["failed", *["read"] * RECORDINGS]
    list(lowbeam.batch(videos, tmp_path / "processes", workers=2))
    assert files(tmp_path / "cluster") == files(tmp_path / "processes")


def test_the_command_takes_an_address(cluster: Cluster, videos: Path, run_cli: Run, tmp_path: Path) -> None:
    done = run_cli("batch", videos / "0.mp4", "-o", tmp_path / "traces", "--ray", cluster.address)
    assert done.returncode == 0, done.stderr
    assert "1 read" in done.stdout
    done = run_cli("batch", videos / "0.mp4", "-o", tmp_path / "new", "--ray", "127.0.0.1:9")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "127.0.0.1:9 cannot be reached" in done.stderr


def test_people_are_rendered_the_same_on_a_cluster(cluster: Cluster, tmp_path: Path) -> None:
    pytest.importorskip("numba", reason="rendering needs the render extra")
    from lowbeam.corpora.rendered.write import Settings, render_corpus

    head = write_toy_head(tmp_path / "head.npz")
    few = Settings(subjects=3, minutes=1 / 60, fps=10, size=96, seed=3)
    there = render_corpus(tmp_path / "cluster", head, few, ray=cluster.address)
    assert there == render_corpus(tmp_path / "processes", head, few, workers=2)


def test_a_sweep_is_the_same_on_a_cluster(cluster: Cluster, sweep_corpus: str, tmp_path: Path) -> None:
    from lowbeam.evaluate.curve.grid import Grid
    from lowbeam.evaluate.curve.sweep import sweep
    from lowbeam.evaluate.curve.systems import parse_systems

    grid, systems = Grid(("avc",), (8,), (32,), (5.0,)), parse_systems("fast")
    there = sweep(sweep_corpus, grid, systems, cache=tmp_path / "one", ray=cluster.address)
    assert there["points"]
    assert there == sweep(sweep_corpus, grid, systems, cache=tmp_path / "two", workers=2)
