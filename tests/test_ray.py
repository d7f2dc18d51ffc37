"""A Ray cluster of three machines, which are processes here: work of any kind, archives, rendering and sweeps.

All of it is in one file, since clusters that are started at the same time on one machine disturb each other.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

import lowbeam
from lowbeam.errors import UsageError
from lowbeam.pool import Killed, answered, shared
from tests.pool_jobs import begin, deadly, placed, refusing, scaled

pytest.importorskip("pyarrow", reason="datasets need the batch extra")
pytest.importorskip("ray", reason="Ray comes with the ray extra")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
from ray.cluster_utils import Cluster
from toy_head import write_toy_head

NODES, RECORDINGS = 3, 8
Run = Callable[..., "subprocess.CompletedProcess[str]"]
QUICK_TO_NOTICE = {  # that a machine is lost
    "health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": QUICK_TO_NOTICE}
    found = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(NODES - 1):
        found.add_node(num_cpus=1)
    yield found
    found.shutdown()


class FromHere:
    """A job that the processes of the cluster cannot import."""

    def __call__(self, job: int) -> int:
        return job


def test_each_job_has_its_result(cluster: Cluster) -> None:
    assert dict(shared(scaled, range(20), None, begin, 3, ray=cluster.address)) == {job: 3 * job for job in range(20)}


def test_one_job_ends_though_more_workers_have_started(cluster: Cluster, tmp_path: Path) -> None:
    began = time.monotonic()
    assert [result[0] for _, result in shared(placed, [(tmp_path, 1)], None, ray=cluster.address)] == [1]
    assert time.monotonic() - began < 20


def test_a_job_whose_process_is_killed_is_tried_again(cluster: Cluster, tmp_path: Path) -> None:
    jobs = [(tmp_path / f"{n}", survived_at) for n, survived_at in enumerate((1, 3, 99, 2))]
    results = {path.name: result for (path, _), result in answered(deadly, jobs, None, attempts=3, ray=cluster.address)}
    assert results == {"0": 1, "1": 3, "2": Killed("its process ended"), "3": 2}
    assert (tmp_path / "2").stat().st_size == 3


def test_an_error_is_raised_here(cluster: Cluster) -> None:
    with pytest.raises(UsageError, match="not 0"):
        list(shared(refusing, range(5), 1, ray=cluster.address))


def test_a_process_that_cannot_start_is_one_clear_line(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"cannot start \(.*No module named .*same lowbeam") as found:
        list(shared(FromHere(), range(5), None, ray=cluster.address))
    assert "\n" not in str(found.value)


def test_a_machine_that_is_lost_costs_no_attempt_and_the_others_go_on(cluster: Cluster, tmp_path: Path) -> None:
    lost: list[str] = []

    def lose_a_machine_at_work() -> None:
        while not lost:
            time.sleep(0.05)
            waiting = {
                node for number, _, node in [path.name.split() for path in tmp_path.glob("* * *")] if int(number) > 2
            }
            here = cluster.head_node.node_id  # which the driver speaks to
            for node in [node for node in cluster.worker_nodes if node.node_id in waiting - {here}]:
                lost.append(node.node_id)
                cluster.remove_node(node, allow_graceful=False)
                time.sleep(5)  # its processes notice after a second or two, and end
                (tmp_path / "go").touch()
                return

    watch = Thread(target=lose_a_machine_at_work, daemon=True)
    watch.start()
    jobs = [(tmp_path, number) for number in range(15)]
    results = [result for _, result in answered(placed, jobs, None, attempts=1, ray=cluster.address)]
    watch.join(timeout=30)
    cluster.add_node(num_cpus=1)
    assert not any(isinstance(result, Killed) for result in results)
    assert sorted(number for number, _ in results) == [*range(15)]
    begun = [path.name.split() for path in tmp_path.iterdir() if path.name != "go"]
    assert lost[0] in {node for _, _, node in begun}
    assert len(begun) > len(jobs), "no job was begun a second time"


def test_a_cluster_that_is_not_there_is_one_clear_line() -> None:
    with pytest.raises(UsageError, match=r"^the Ray cluster 127\.0\.0\.1:9 cannot be reached: [^\n]*$"):
        list(shared(scaled, range(2), 1, ray="127.0.0.1:9"))


def test_an_address_without_a_port_is_one_clear_line() -> None:
    with pytest.raises(UsageError, match=r"has no port: name it as HOST:6379"):
        list(shared(scaled, range(2), 1, ray="10.0.0.1"))


PROGRAM = """
from lowbeam.pool import shared
print(sorted(result for _, result in shared(abs, range(-3, 0), None, ray="local")))
"""


def test_a_cluster_of_this_machine_leaves_no_file_at_home_and_reports_to_nobody(tmp_path: Path) -> None:
    environment = os.environ | {"HOME": str(tmp_path)}
    environment.pop("RAY_USAGE_STATS_ENABLED", None)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert done.stdout == "[1, 2, 3]\n", done.stderr
    assert not list(tmp_path.iterdir())


# --- archives, people and sweeps


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
