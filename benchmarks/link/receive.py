"""A receiver that keeps every face with the time at which it came: ``python -m benchmarks.link.receive FOLDER``.

Prints the fingerprint of its certificate when it listens. On SIGTERM it writes ``faces.npz`` to the folder.
"""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import numpy as np

from benchmarks.link.network import SERVER_IP
from lowbeam.estimator import Estimator
from lowbeam.face import Face
from lowbeam.link.incoming import Accepted, ReceivedFace
from lowbeam.link.messages import Hello
from lowbeam.link.quic import fingerprint, own_certificate
from lowbeam.link.receiver import Receiver
from lowbeam.recognize import Memory

TOKEN = "benchmark"


async def _authorize(hello: Hello, address: str) -> Accepted | str:
    return Accepted(hello.name) if hello.token == TOKEN else "unknown token"


async def receive(folder: Path, host: str) -> None:
    """Receive until SIGTERM."""
    certificate, key = own_certificate(folder, host)
    rows: list[tuple[float, float, int, int, int, bool, bool]] = []
    pixels: list[np.ndarray] = []
    told: list[tuple[float, float]] = []
    async with Receiver(certificate, key, authorize=_authorize, host=host) as receiver:
        print(fingerprint(certificate), flush=True)
        task = asyncio.create_task(_take(receiver, rows, pixels, told))
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        await ended.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    names = ("time_s", "arrived_s", "number", "face", "bytes", "is_final", "is_live")
    columns = {name: np.array([row[index] for row in rows]) for index, name in enumerate(names)}
    side = np.array([len(one) for one in pixels])
    joined = np.concatenate([np.empty(0, np.uint8), *(one.ravel() for one in pixels)])
    affect = np.array(told).reshape(-1, 2)
    np.savez(folder / "faces.npz", **columns, side=side, pixels=joined, affect=affect)


class _Told:
    """Estimates of samples without pixels, as they came; final ones with a memory of their own."""

    def __init__(self) -> None:
        self._estimator = Estimator()
        self._memories: dict[tuple[int, bool], Memory | None] = {}

    def __call__(self, face: Face, is_final: bool) -> tuple[float, float]:
        """Valence and arousal; nan of a face with pixels, which is estimated afterwards."""
        if face.estimate is None and face.latents is None:
            return float("nan"), float("nan")
        key = face.id, is_final
        memory = self._memories.get(key)
        if memory is not None and memory.time_s >= face.time_s:
            found = self._estimator.each([face])
        else:
            found, self._memories[key] = self._estimator.follow([face], memory)
        return float(found.valence[0]), float(found.arousal[0])


async def _take(receiver: Receiver, rows: list, pixels: list, told: list) -> None:
    estimate = _Told()
    async for item in receiver:
        for face in item.decoded.faces if isinstance(item, ReceivedFace) else ():
            assert isinstance(item, ReceivedFace)
            arrived_s = item.arrived_utc - item.recording.started_utc
            number, size = item.decoded.number, len(item.decoded.record.data)
            rows.append((face.time_s, arrived_s, number, face.id, size, item.decoded.is_final, item.is_live))
            pixels.append(face.pixels)
            told.append(estimate(face, item.decoded.is_final))


if __name__ == "__main__":
    asyncio.run(receive(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else SERVER_IP))
