"""The memory of a server under attack, while a sender goes on: ``python -m benchmarks.link.attack [--seconds 20]``.

`lowbeam serve` and `lowbeam send`, with the clip that ships in a loop, run as processes. Writes
``benchmarks/results/link-attack.json``, and the line on it in ``docs/how-to/server.md``.
"""

import argparse
import os
import random
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from aioquic.quic.connection import QuicConnection

from benchmarks.link.trial import save_results
from lowbeam.demo import ASSETS
from lowbeam.link.quic import Address, sender_connection

PORT = 7557
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "server.md"
MARKS = "<!-- attack -->", "<!-- /attack -->"
SLOW_CLIENTS = 300
BYTE_S = 1.0  # between the bytes of slow clients
Attack = Callable[[float], int]


def _client() -> tuple[QuicConnection, socket.socket]:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.connect(("127.0.0.1", PORT))
    quic = sender_connection(Address("127.0.0.1", PORT), "00" * 32, None, lambda ticket: None)
    quic.connect(("127.0.0.1", PORT), time.monotonic())
    return quic, made


def _pump(quic: QuicConnection, made: socket.socket) -> None:
    """Receive what came, and send what is due."""
    now = time.monotonic()
    with suppress(OSError):
        while True:
            quic.receive_datagram(made.recv(65536), ("127.0.0.1", PORT), now)
    timer = quic.get_timer()
    if timer is not None and timer <= now:
        quic.handle_timer(now)
    for data, _ in quic.datagrams_to_send(now):
        with suppress(OSError):
            made.send(data)


def half_open(until_s: float) -> int:
    """First packets of connections that are never completed, each from another port."""
    count = 0
    while time.monotonic() < until_s:
        quic, made = _client()
        for data, _ in quic.datagrams_to_send(time.monotonic()):
            with suppress(OSError):
                made.send(data)
        made.close()
        count += 1
    return count


def slow_hello(until_s: float) -> int:
    """Connections with a complete handshake, whose hello comes byte by byte and never ends."""
    clients = [(*_client(), [0.0]) for _ in range(SLOW_CLIENTS)]
    while time.monotonic() < until_s:
        for quic, made, due in clients:
            if quic._handshake_complete and time.monotonic() >= due[0]:
                quic.send_stream_data(0, b"\x01")
                due[0] = time.monotonic() + BYTE_S
            _pump(quic, made)
        time.sleep(0.01)
    done = sum(quic._handshake_complete for quic, _, _ in clients)
    for _, made, _ in clients:
        made.close()
    return done


def garbage(until_s: float) -> int:
    """Random datagrams as fast as they can be sent, half of them with a long header of QUIC."""
    chance, count = random.Random(1), 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        while time.monotonic() < until_s:
            data = chance.randbytes(chance.randrange(1, 1400))
            head = bytes([data[0] | 0xC0]) + b"\0\0\0\1" if count % 2 else b""
            with suppress(OSError):
                made.sendto(head + data, ("127.0.0.1", PORT))
            count += 1
    return count


def slow_http(until_s: float) -> int:
    """Requests to the pages whose headers come byte by byte and never end."""
    clients = [socket.create_connection(("127.0.0.1", PORT)) for _ in range(SLOW_CLIENTS)]
    for one in clients:
        one.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    while time.monotonic() < until_s:
        time.sleep(BYTE_S)
        for one in clients:
            with suppress(OSError):
                one.send(b"x")
    for one in clients:
        one.close()
    return len(clients)


def calm(until_s: float) -> int:
    """No attack."""
    time.sleep(max(until_s - time.monotonic(), 0.0))
    return 0


ATTACKS: dict[str, Attack] = {
    "none": calm, "half-open connections": half_open, "slow hellos": slow_hello, "garbage": garbage,
    "slow requests for pages": slow_http, "none, after them": calm,
}  # fmt: skip


def _memory_mib(process: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def _stored(folder: Path) -> int:
    with sqlite3.connect(folder / "store.sqlite", timeout=10) as database:
        return int(database.execute("SELECT count(*) FROM estimates").fetchone()[0])


def measure(name: str, attack: Attack, seconds: float, server: int, folder: Path) -> dict[str, Any]:
    """Memory and stored faces during an attack."""
    counts, before = [], _stored(folder)
    until_s = time.monotonic() + seconds
    thread = threading.Thread(target=lambda: counts.append(attack(until_s)), daemon=True)
    thread.start()
    memory = []
    while thread.is_alive():
        memory.append(_memory_mib(server))
        time.sleep(0.25)
    row = {"attack": name, "count": counts[0] if counts else None, "seconds": seconds,
           "most_memory_mib": round(max(memory), 1), "memory_after_mib": round(memory[-1], 1),
           "descriptors": len(list(Path(f"/proc/{server}/fd").iterdir())),
           "stored_faces": _stored(folder) - before}  # fmt: skip
    print(row, flush=True)
    return row


def write_line(rows: list[dict[str, Any]]) -> None:
    """Write the line on the results into the page."""
    quiet, *others, calm = rows  # at first the sender is still starting
    most = max(row["most_memory_mib"] for row in rows)
    worst = min(row["stored_faces"] for row in others)
    text = f"""Under attack for {quiet["seconds"]:g} seconds each (half-open connections, hellos and requests that come
byte by byte, garbage) the server took at most {most:.0f} MiB (before: {quiet["most_memory_mib"]:.0f}), and stored at
least {worst} faces of a sender (afterwards: {calm["stored_faces"]}): `python -m benchmarks.link.attack`."""
    page = PAGE.read_text()
    before, rest = page.split(MARKS[0])
    PAGE.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{rest.split(MARKS[1])[1]}")


def main() -> None:
    """Attack, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    seconds = parser.parse_args().seconds
    command, processes = [sys.executable, "-m", "lowbeam.cli"], []
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        serve = [*command, "serve", "--data", made, "--port", str(PORT)]
        server = subprocess.Popen(serve, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        processes.append(server)
        try:
            assert server.stdout is not None
            line = next(line for line in server.stdout if line.startswith("Camera:"))
            token, pin = line.partition("LOWBEAM_TOKEN=")[2].split()[0], line.split()[-1]
            send = [*command, "send", str(ASSETS / "clip.mp4"), "--loop", "--to", f"lowbeam://127.0.0.1:{PORT}"]
            processes.append(subprocess.Popen([*send, "--pin", pin], env=os.environ | {"LOWBEAM_TOKEN": token},
                                              stderr=subprocess.DEVNULL))  # fmt: skip
            while not _stored(folder):
                time.sleep(0.5)
            rows = []
            for name, attack in ATTACKS.items():
                rows.append(measure(name, attack, seconds, server.pid, folder))
                time.sleep(0 if attack is calm else 2)
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(30)
    save_results("link-attack", {"slow_clients": SLOW_CLIENTS, "attacks": rows})
    write_line(rows)


if __name__ == "__main__":
    main()
