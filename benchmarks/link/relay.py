"""A thin link: passes UDP packets one after the other at a limited rate, in both directions.

``python -m benchmarks.link.relay FOLDER``, inside the server's namespace: packets to `SERVER_IP` go on to the receiver
on loopback. A packet arrives when its last bit has passed. (In the kernel, tbf lets the bytes of a whole packet
pass at once after a pause, seconds at such rates, and htb lets the packet after a large one wait instead of that.) The
file ``rate`` in FOLDER holds the rate in bits per second, and may change; ``backlog`` gets the bytes that wait.
"""

import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from benchmarks.link.network import QUEUE_BYTES, SERVER_IP
from lowbeam.link.quic import DEFAULT_PORT

IP_UDP = 28
LOOK_S = 0.1  # between looks at the rate


class Direction:
    """One direction of the link; `send` puts a packet out."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self._send, self._queue, self._passed_s = send, deque[bytes](), time.monotonic()
        self._left_bits = 0.0  # of the first packet
        self.backlog = 0

    def put(self, data: bytes, bps: float) -> None:
        """A packet enters; it is dropped if too much waits."""
        self.advance(bps)
        if self.backlog + len(data) + IP_UDP > QUEUE_BYTES:
            return
        self.backlog += len(data) + IP_UDP
        if not self._queue:
            self._left_bits = 8 * (len(data) + IP_UDP)
        self._queue.append(data)

    def advance(self, bps: float) -> float:
        """Send what has passed; returns the seconds until the next packet has."""
        now = time.monotonic()
        bits, self._passed_s = (now - self._passed_s) * bps, now
        while self._queue and bits >= self._left_bits:
            bits -= self._left_bits
            data = self._queue.popleft()
            self.backlog -= len(data) + IP_UDP
            with suppress(OSError):
                self._send(data)
            self._left_bits = 8 * (len(self._queue[0]) + IP_UDP) if self._queue else 0.0
        self._left_bits = max(0.0, self._left_bits - bits)
        return self._left_bits / bps if self._queue else LOOK_S


def relay(folder: Path) -> None:
    """Run until the process is ended."""
    outer, inner = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    outer.bind((SERVER_IP, DEFAULT_PORT))
    inner.connect(("127.0.0.1", DEFAULT_PORT))
    camera = [("", 0)]
    up, down = Direction(inner.send), Direction(lambda data: outer.sendto(data, camera[0]))
    bps, looked_s = float((folder / "rate").read_text()), 0.0
    with selectors.DefaultSelector() as selector:
        for one in (outer, inner):
            one.setblocking(False)
            selector.register(one, selectors.EVENT_READ)
        print("ready", flush=True)
        while True:
            wait_s = min(up.advance(bps), down.advance(bps), LOOK_S)
            selector.select(max(wait_s, 0.001))
            if time.monotonic() - looked_s > LOOK_S:
                looked_s = time.monotonic()
                with suppress(ValueError):  # it is being written
                    bps = float((folder / "rate").read_text())
                (folder / "backlog").write_text(str(up.backlog))
            with suppress(OSError):
                while True:
                    data, camera[0] = outer.recvfrom(65536)
                    up.put(data, bps)
            with suppress(OSError):
                while True:
                    down.put(inner.recv(65536), bps)


if __name__ == "__main__":
    relay(Path(sys.argv[1]))
