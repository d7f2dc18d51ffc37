"""Workers that are actors of a Ray cluster, one for each of its cores.

Ray (Moritz et al. 2018, OSDI) places the actors, tells when one was lost, and moves jobs and results. lowbeam must be
installed on each machine of the cluster. No usage statistics are sent, and no dashboard is started.
"""

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lowbeam.errors import OutputError, UsageError, reason
from lowbeam.pool.staff import Job, Killed, Lost, Staff, Work, Worker

LOCAL, AUTO = "local", "auto"
REACH_S = 10.0  # that a cluster may take to accept a connection
MOST_LOST = 50  # actors that may be lost as they start, one after the other
LOOK_S = 2.0  # after which it is looked again how many cores the cluster has
KILLED = "worker process has died"  # in Ray's account of an actor that was not lost with its machine
CANNOT_START = "creation task"  # in that of one that failed as it began


class Actors(Staff[Job]):
    """Workers on the cluster at `address`, ``auto`` or ``local``. Raises `UsageError` if Ray is missing or the cluster
    cannot be reached."""

    def __init__(self, work: Work[Job], address: str) -> None:
        self._ray = _connected(address)
        self._work, self._place = work, Path.cwd()
        self._starting: dict[Any, Any] = {}  # actors, by the reference that is there when they have started
        self._lost_in_a_row = 0
        self._is_awaited = False  # a job waits for an actor to start
        self._actor = self._ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Actor)

    def most(self, wanted: int | None) -> int:
        """One for each core of the cluster at this moment, `wanted` at most; one if it has none yet or lost them."""
        try:
            room = int(self._ray.cluster_resources().get("CPU", 0))
        except Exception as error:
            raise _lost(error) from error
        return max(1, room if wanted is None else min(room, wanted))

    def hire(self, room: int) -> "_Remote[Job] | None":
        """An actor that has started; `room` others are on their way, and those beyond are called off, since the cluster
        may have lost the cores that they wait for."""
        while self._starting:
            started, _ = self._ray.wait([*self._starting], timeout=0)
            if not started:
                break
            actor = self._starting.pop(started[0])
            try:
                self._ray.get(started[0])
            except self._ray.exceptions.RayActorError as error:
                if CANNOT_START in str(error):
                    last = str(error).strip().splitlines()[-1].strip()
                    raise UsageError(
                        f"a process of the cluster cannot start ({last}); is the same lowbeam on each machine?"
                    ) from error
                self._lost_in_a_row += 1
                if self._lost_in_a_row > MOST_LOST:
                    raise OutputError("the processes of the Ray cluster end as they begin; see its logs") from error
                continue
            except Exception as error:
                raise _lost(error) from error
            self._lost_in_a_row = 0
            return _Remote(self._ray, actor)
        while len(self._starting) > room:
            self._ray.kill(self._starting.popitem()[1])
        while len(self._starting) < room:
            actor = self._actor.remote(self._work, self._place)
            self._starting[actor.start.remote()] = actor
        self._is_awaited = True
        return None

    def ready(self, busy: Sequence[Worker[Job]]) -> list[Worker[Job]]:
        """Those that have a result or were lost; waits for one, or for a new actor if a job waits for it, for `LOOK_S`
        at most."""
        by_answer = {worker.answer: worker for worker in busy if isinstance(worker, _Remote)}
        awaited = [*by_answer, *(self._starting if self._is_awaited else ())]
        self._is_awaited = False
        try:
            self._ray.wait(awaited, num_returns=1, timeout=LOOK_S)
            found, _ = self._ray.wait([*by_answer], num_returns=len(by_answer), timeout=0) if by_answer else ([], [])
        except Exception as error:
            raise _lost(error) from error
        return [by_answer[answer] for answer in found]

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        for actor in self._starting.values():
            with suppress(Exception):
                self._ray.kill(actor)
        self._ray.shutdown()


class _Remote(Worker[Job]):
    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self.answer: Any = None

    def _begin(self, job: Job) -> None:
        self.answer = self._actor.do.remote(job)

    def take(self) -> Any:
        try:
            is_done, found = self._ray.get(self.answer)
        except self._ray.exceptions.RayActorError as error:
            self.end()
            is_killed = isinstance(error, self._ray.exceptions.ActorDiedError) and KILLED in str(error)
            return Killed("its process ended") if is_killed else Lost()
        except self._ray.exceptions.OutOfMemoryError:
            self.end()
            return Killed("out of memory")
        except Exception as error:
            raise _lost(error) from error
        if not is_done:
            raise found
        return found

    def end(self) -> None:
        with suppress(Exception):  # it has ended, or its machine
            self._ray.kill(self._actor)


class _Actor:
    """What runs on the cluster."""

    def __init__(self, work: Work[Any], place: Path) -> None:
        self._work, self._has_begun = work, False
        with suppress(OSError):  # relative paths, where the machines share a disk
            os.chdir(place)

    def start(self) -> None:
        """Answered as soon as the actor has started."""

    def do(self, job: Any) -> tuple[bool, Any]:
        """Whether the job was done, and its result or the error."""
        try:
            if not self._has_begun and self._work.begin is not None:
                self._work.begin(*self._work.given)
            self._has_begun = True
            return True, self._work.do(job)
        except Exception as error:
            return False, error


def _connected(address: str) -> Any:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before the import: Ray would report to its makers
    if address == LOCAL:  # the cluster's password, which Ray would otherwise write into a file of the user
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        import ray
    except ImportError as error:
        raise UsageError("--ray needs Ray: pip install 'lowbeam[ray]'") from error
    _check_reachable(address)
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address, include_dashboard=False if address == LOCAL else None, log_to_driver=False,
            logging_level=logging.ERROR,
        )  # fmt: skip
    except Exception as error:
        raise UsageError(f"the Ray cluster {address} cannot be reached: {reason(error)}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # that of Ray would exit without cleaning up
    return ray


def _check_reachable(address: str) -> None:
    """Raise `UsageError` if nobody listens at the address; Ray itself would try for minutes."""
    if address in (LOCAL, AUTO):
        return
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdecimal():
        raise UsageError(f"the Ray cluster {address} has no port: name it as HOST:6379, or auto or local")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except (OSError, OverflowError) as error:
        raise UsageError(f"the Ray cluster {address} cannot be reached: {reason(error)}") from error


def _lost(error: Exception) -> OutputError:
    return OutputError(f"the Ray cluster was lost ({reason(error)}); run the command again to continue")
