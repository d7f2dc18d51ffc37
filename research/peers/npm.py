"""Recognizers from npm whose weights come with them, each in a Node process of its own: `face-api` and `human`, both of
Vladimir Mandic, in WebAssembly with SIMD on one thread."""

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lowbeam.corpora.ferplus import CIRCUMPLEX, EMOTIONS
from lowbeam.errors import ModelError
from lowbeam.evaluate.fer_peer import FER_CLASSES
from lowbeam.scale import Faces

HERE = Path(__file__).parent
NPM_PEERS = ("face-api", "human")
PATIENCE_S = 5.0  # for a process to end


class NpmPeer:
    """Reads faces one at a time; its probabilities become valence and arousal as those of `fer` do. A context manager:
    it ends its process. Raises `ModelError` where the peer is not installed or does not run."""

    def __init__(self, name: str, command: list[str] | None = None) -> None:
        node = shutil.which("node")
        if command is None and (node is None or not (HERE / "node_modules").is_dir()):
            raise ModelError(f"{name} is not installed: make bench installs it where there are Node and npm")
        self._name = name
        self._affect = CIRCUMPLEX[[EMOTIONS.index(emotion) for emotion in FER_CLASSES]]
        self._process = subprocess.Popen(
            command or [str(node), str(HERE / "server.mjs"), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            self(np.zeros((1, 12, 12), np.uint8))  # is it there?
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> "NpmPeer":
        return self

    def __exit__(self, *raised: Any) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.communicate(timeout=PATIENCE_S)  # closes what it reads, at which it ends
        except (subprocess.TimeoutExpired, OSError):
            self._process.kill()
            self._process.wait()

    def __call__(self, faces: Faces) -> NDArray[np.float32]:
        """Valence and arousal of `faces`, uint8 (n, d, d): float32 (n, 2). Raises `ModelError`."""
        return self.expressions(faces) @ self._affect

    def expressions(self, faces: Faces) -> NDArray[np.float32]:
        """Probabilities of `faces`, uint8 (n, d, d): float32 (n, 7) in the order of `FER_CLASSES`. Raises
        `ModelError`."""
        return self._ask(faces)[1]

    def seconds(self, faces: Faces) -> float:
        """Seconds that all `faces` take, one after the other, without the way to the process and back."""
        return self._ask(faces)[0]

    def _ask(self, faces: Faces) -> tuple[float, NDArray[np.float32]]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(struct.pack("<2I", len(faces), faces.shape[1]) + faces.tobytes())
            stdin.flush()
            answer = stdout.read(8 + 28 * len(faces))
        except OSError as error:
            raise ModelError(f"the peer {self._name} has ended") from error
        if len(answer) < 8 + 28 * len(faces):
            raise ModelError(f"the peer {self._name} has ended")
        return struct.unpack("<d", answer[:8])[0], np.frombuffer(answer, np.float32, offset=8).reshape(-1, 7)
