"""Jobs for processes, in a module that these can import."""

import os
import signal
import time
from pathlib import Path

from lowbeam.errors import UsageError

SCALE = 1


def begin(scale: int) -> None:
    global SCALE  # noqa: PLW0603  (of this process)
    SCALE = scale


def scaled(job: int) -> int:
    return SCALE * job


def deadly(job: tuple[Path, int]) -> int:
    """Kills its process while the file counts fewer than the given number of attempts."""
    path, survived_at = job
    with path.open("a") as file:
        file.write(".")
    if path.stat().st_size < survived_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return path.stat().st_size


def refusing(job: int) -> int:
    raise UsageError(f"not {job}")


def sleeping(path: Path) -> None:
    path.touch()
    time.sleep(60)


def placed(job: tuple[Path, int]) -> tuple[int, str]:
    """Tells on which machine of a Ray cluster it ran; its beginning is written down. From the fourth job on it waits
    for a file named ``go``."""
    import ray

    folder, number = job
    node: str = ray.get_runtime_context().get_node_id()
    (folder / f"{number} {time.monotonic_ns()} {node}").touch()
    until = time.monotonic() + 60
    while number > 2 and not (folder / "go").exists() and time.monotonic() < until:
        time.sleep(0.05)
    return number, node
