"""From a camera's frame to the number on the page: ``python -m benchmarks.link.glass REAL_FOLDER``.

`lowbeam serve` with its SQLite store, and Chromium on its page, run in one network namespace; `lowbeam send` plays the
clip in another, over a limited and lossy link. All use the clock of one machine. A number is matched with its face by
the time that the page gives with it. Writes ``benchmarks/results/link-glass.json``.
"""

import argparse
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.link.glass_camera import FACE
from benchmarks.link.material import LEAD_S, real
from benchmarks.link.network import SERVER_IP, Network, network
from benchmarks.link.trial import save_results
from lowbeam.codec.wire import quic_bytes
from lowbeam.link.quic import DEFAULT_PORT

LATENCY_S = 0.2
FREE_KBPS, FREE_BUDGET = 100_000.0, "4kbps"  # of the control
POINTS = [
    {"kbps": 4.0, "loss": 0.0}, {"kbps": 4.0, "loss": 5.0}, {"kbps": 16.0, "loss": 0.0}, {"kbps": 16.0, "loss": 5.0},
    {"kbps": FREE_KBPS, "loss": 0.0, "budget": FREE_BUDGET},
]  # fmt: skip
STORE_EVERY_S = 0.02  # between looks at the store
RECENT = 100  # faces that are looked for in the store
AGE_EVERY_S = 0.05
STAGES = {
    "read": ("due", "read"), "coded": ("read", "coded"), "sent": ("coded", "sent"), "arrived": ("sent", "arrived"),
    "stored": ("arrived", "stored"), "changed": ("arrived", "changed"), "drawn": ("changed", "drawn"),
    "glass_to_page": ("due", "drawn"),
}  # fmt: skip
"""From where to where the time is taken that is named so."""


class Server:
    """`lowbeam serve` in the server's namespace of `link`."""

    def __init__(self, link: Network, folder: Path) -> None:
        command = [sys.executable, "-m", "lowbeam.cli", "serve", "--data", str(folder)]
        self._process = subprocess.Popen(link.inside(link.server, *command), stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        said = ""
        while (found := re.search(r"TOKEN=(\S+) .*--pin (\S+)", said)) is None:
            line = self._process.stdout.readline()
            assert line, "the server did not start"
            said += line
        self.token, self.pin = found[1], found[2]
        setup = re.search(r"http\S+/setup#\S+", said)
        assert setup is not None
        self.setup_url = setup[0]
        self._store = f"file:{folder}/store.sqlite?mode=ro"
        self.stored_utc: dict[int, float] = {}
        self._is_over = threading.Event()
        self._watching = threading.Thread(target=self._watch)
        self._watching.start()

    def _watch(self) -> None:
        with closing(sqlite3.connect(self._store, uri=True, timeout=5)) as database:
            newest = 0
            while not self._is_over.wait(STORE_EVERY_S):
                with suppress(sqlite3.Error):
                    rows = database.execute("SELECT number FROM estimates WHERE number > ?", [newest - RECENT])
                    for (number,) in rows.fetchall():
                        self.stored_utc.setdefault(number, time.time())
                        newest = max(newest, number)

    def arrivals(self) -> tuple[float, dict[int, float]]:
        """When the recording began, and when each face arrived, in Unix time. A face that was first shown and then
        filled in again keeps its first time."""
        with closing(sqlite3.connect(self._store, uri=True, timeout=5)) as database:
            (started_utc,) = database.execute("SELECT started_utc FROM recordings").fetchone()
            return started_utc, dict(database.execute("SELECT number, arrived_utc FROM estimates"))

    def stop(self) -> None:
        """End it."""
        self._is_over.set()
        self._watching.join()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)


def trial(clip: str, kbps: float, loss: float, lead_s: float = LEAD_S, **options: Any) -> dict[str, Any]:
    """One recording; `options` are of `lowbeam.sending.send`."""
    with tempfile.TemporaryDirectory() as folder, network() as link:
        link.set_rate(1000 * kbps)
        link.set_loss(loss)
        server = Server(link, Path(folder))
        try:
            browser = subprocess.Popen(
                link.inside(link.server, sys.executable, "-m", "benchmarks.link.glass_page", server.setup_url),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert browser.stdout is not None
            assert browser.stdout.readline(), "the browser did not start"
            given = {
                "source": clip, "to": f"lowbeam://{SERVER_IP}:{DEFAULT_PORT}", "token": server.token,
                "pin": server.pin, "latency_s": LATENCY_S, **options,
            }  # fmt: skip
            command = [sys.executable, "-m", "benchmarks.link.glass_camera", json.dumps(given)]
            camera = subprocess.run(link.inside(link.camera, *command), stdout=subprocess.PIPE, text=True, check=True)
            load = os.getloadavg()[0]
            shown = json.loads(browser.communicate(input="")[0])
            started_utc, arrived_utc = server.arrivals()
        finally:
            server.stop()
    told = json.loads(camera.stdout)
    faces = [dict(zip(FACE, row, strict=True)) for row in told["faces"]]
    on_page = {round(1000 * (time_utc - started_utc)): moments for time_utc, *moments in shown}
    for face in faces:
        face["arrived_utc"] = arrived_utc.get(face["number"])
        face["stored_utc"] = server.stored_utc.get(face["number"])
        face["changed_utc"], face["drawn_utc"] = on_page.get(face["time_ms"], (None, None))
    return {
        "kbps": kbps, "loss_percent": loss, **options,
        "wire_kbps": round(8 * told["wire_bytes"] / told["duration_s"] / 1000, 2), "load": round(load, 2),
        **summary([face for face in faces if face["time_ms"] >= 1000 * lead_s], 1000 * kbps),
    }  # fmt: skip


def summary(faces: list[dict[str, Any]], bps: float) -> dict[str, Any]:
    """The figures of the `faces` of a trial over a link of `bps`, in seconds, p50 and p95. The times of the stages are
    those of the faces that were shown; `own_packet` is what the bits of a face take that travels alone."""
    shown = [face for face in faces if face["drawn_utc"] is not None]
    times = {}
    for name, (since, until) in STAGES.items():
        taken = [face[f"{until}_utc"] - face[f"{since}_utc"] for face in shown if face[f"{until}_utc"] is not None]
        times[name] = _percentiles(taken)
    times["own_packet"] = _percentiles([8 * float(quic_bytes(np.array([face["bytes"]]))) / bps for face in shown])
    return {
        "faces": len(faces), "faces_per_s": round(len(faces) * 1000 / (faces[-1]["time_ms"] - faces[0]["time_ms"]), 2),
        "face_bytes": _percentiles([face["bytes"] for face in faces]),
        "never_sent_live": sum(face["sent_utc"] is None for face in faces),
        "shown": len(shown), "seconds": times, "age": _percentiles(ages_s(shown)),
    }  # fmt: skip


def ages_s(shown: list[dict[str, Any]]) -> list[float]:
    """How long before its frame was that the page's number is of, asked every `AGE_EVERY_S`."""
    drawn = np.array([face["drawn_utc"] for face in shown])
    newest_due = np.maximum.accumulate([face["due_utc"] for face in shown])
    at = np.arange(drawn[0], drawn[-1], AGE_EVERY_S)
    found: list[float] = (at - newest_due[np.searchsorted(drawn, at, side="right") - 1]).tolist()
    return found


def _percentiles(values: list[float]) -> list[float] | None:
    return [round(float(one), 3) for one in np.percentile(values, [50, 95])] if values else None


def main() -> None:
    """Measure, and write the results after each recording."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    clip, rows = str(real(given.folder).path), []
    for point in POINTS:
        rows.append(trial(clip, **point))  # type: ignore[arg-type]  # of mixed types
        save_results("link-glass", {"latency_s": LATENCY_S, "trials": rows})
        print(json.dumps(rows[-1]), flush=True)


if __name__ == "__main__":
    main()
