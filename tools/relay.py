"""An emulated link: a UDP relay with a limited rate, a delay and losses, for `make live` and tests. It needs no rights.

Losses are those of a Gilbert–Elliott channel (Gilbert 1960, Elliott 1963): in its good state no packet is lost, in its
bad state all are; `burst` is the mean number of packets in the bad state.
"""

import random
import select
import socket
import threading
import time
from collections import deque

QUEUE_S = 2.0  # of packets that wait; of more, packets are dropped
BURST_S = 0.05  # that may be sent at once


class _Direction:
    """The packets of one direction: when each leaves."""

    def __init__(self, relay: "Relay") -> None:
        self._relay = relay
        self._free_s = 0.0  # when the line is free
        self._is_bad = False
        self.waiting: deque[tuple[float, bytes]] = deque()
        self.carried = self.lost = 0

    def put(self, data: bytes, now: float) -> None:
        relay, size = self._relay, 8 * (len(data) + 28)
        self._free_s = max(self._free_s, now - BURST_S)
        if relay.is_cut or self._loses() or self._free_s - now > QUEUE_S + size / relay.bps:
            self.lost += 1
            return
        self._free_s += size / relay.bps
        self.carried += 1
        self.waiting.append((max(now, self._free_s) + relay.delay_s, data))

    def _loses(self) -> bool:
        relay = self._relay
        if relay.loss <= 0:
            return False
        leave = 1 / relay.burst
        enter = leave * relay.loss / (1 - relay.loss)
        self._is_bad = relay.random.random() < (1 - leave if self._is_bad else enter)
        return self._is_bad


class Relay:
    """Relays UDP packets between its own port (`port`) and `target`, in a thread. `bps`, `delay_s`, `loss` (share of
    packets), `burst` and `is_cut` may be changed while it runs. A context manager."""

    def __init__(
        self, target: tuple[str, int], *, bps: float = 4000.0, delay_s: float = 0.05, loss: float = 0.0,
        burst: float = 1.0, seed: int = 0,
    ) -> None:  # fmt: skip
        self.bps, self.delay_s, self.loss, self.burst, self.is_cut = bps, delay_s, loss, burst, False
        self.random = random.Random(seed)
        self._target = target
        self._inside, self._outside = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self._inside.bind(("127.0.0.1", 0))
        self._outside.bind(("127.0.0.1", 0))
        self.port = int(self._inside.getsockname()[1])
        self._sender: tuple[str, int] | None = None
        self.up, self.down = _Direction(self), _Direction(self)
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Relay":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_ending = True
        self._thread.join()
        self._inside.close()
        self._outside.close()

    def _run(self) -> None:
        while not self._is_ending:
            for one in select.select([self._inside, self._outside], [], [], self._wait_s())[0]:
                self._receive(one)
            now = time.monotonic()
            for direction, out in ((self.up, self._outside), (self.down, self._inside)):
                while direction.waiting and direction.waiting[0][0] <= now:
                    self._send(out, direction.waiting.popleft()[1])

    def _wait_s(self) -> float:
        due = [direction.waiting[0][0] for direction in (self.up, self.down) if direction.waiting]
        return min(0.05, max(0.0, min(due, default=1e9) - time.monotonic()))

    def _receive(self, one: socket.socket) -> None:
        try:
            data, address = one.recvfrom(65536)
        except OSError:
            return
        if one is self._inside:
            self._sender = address
            self.up.put(data, time.monotonic())
        elif address == self._target:
            self.down.put(data, time.monotonic())

    def _send(self, out: socket.socket, data: bytes) -> None:
        to = self._target if out is self._outside else self._sender
        if to is not None:
            try:
                out.sendto(data, to)
            except OSError:
                return
