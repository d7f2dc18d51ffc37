"""Work on a Ray cluster of three machines, which are processes here: results, machines and processes that are lost."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lowbeam.errors import UsageError
from lowbeam.pool import Killed, answered, shared
from tests.pool_jobs import begin, deadly, placed, refusing, scaled

pytest.importorskip("ray", reason="Ray comes with the ray extra")
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray
from ray.cluster_utils import Cluster

NODES = 3


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
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
    assert [result[0] for _, result in shared(placed, [(tmp_path, 7)], None, ray=cluster.address)] == [7]
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


def test_a_machine_that_is_lost_costs_no_attempt_and_a_new_one_is_used(cluster: Cluster, tmp_path: Path) -> None:
    jobs = [(tmp_path, number) for number in range(15)]
    nodes, lost = set(), ""
    results: list[Any] = []
    for _, result in answered(placed, jobs, None, attempts=1, ray=cluster.address):
        assert not isinstance(result, Killed)
        results.append(result)
        nodes.add(result[1])
        if len(results) == 3:
            here = ray.get_runtime_context().get_node_id()
            gone = next(node for node in cluster.worker_nodes if node.node_id != here)
            lost = gone.node_id
            cluster.remove_node(gone, allow_graceful=False)
            cluster.add_node(num_cpus=1)
    assert sorted(number for number, _ in results) == [*range(15)]
    begun = [path.name.split() for path in tmp_path.iterdir()]
    assert lost in {node for _, _, node in begun}
    assert len(begun) > len(jobs), "no job was begun a second time"
    assert len(nodes | {node for _, _, node in begun}) == NODES + 1


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
