"""One sender that sends one clip to one receiver over a limited, lossy link, and what became of its faces."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.link.material import LEAD_S, Floats, Material, agreement
from benchmarks.link.network import SERVER_IP, Network, network
from lowbeam.recognize import Memory, Recognizer, shipped_weights

AT_ONCE = int(os.environ.get("LINK_AT_ONCE", "2"))  # trials, on two cores
RESULTS = Path(__file__).parents[1] / "results"
Script = Callable[[Network, threading.Event], list[dict[str, float]]]
"""What happens to the link while a clip plays, from its first frame on; ends when the event is set."""


def run_trial(
    clip: str, kbps: float, loss: float, script: Script | None = None, finish_s: float = 60.0, **options: Any
) -> tuple[dict[str, Any], dict[str, np.ndarray], list[dict[str, float]]]:
    """Send `clip`. Returns what the sender tells, the received faces, and what `script` returned."""
    with tempfile.TemporaryDirectory() as folder, network() as link:
        link.set_rate(1000 * kbps)
        link.set_loss(loss)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        receiver = subprocess.Popen(
            link.inside(link.server, sys.executable, "-m", "benchmarks.link.receive", folder, "127.0.0.1"),
            stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        assert receiver.stdout is not None
        environment |= {"LINK_BACKLOG": str(link.folder / "backlog")}
        given = {
            "source": clip, "to": f"lowbeam://{SERVER_IP}:7443", "token": "benchmark", "finish_s": finish_s,
            "pin": receiver.stdout.readline().strip(), **options,
        }  # fmt: skip
        camera = subprocess.Popen(
            link.inside(link.camera, sys.executable, "-m", "benchmarks.link.camera", json.dumps(given)),
            stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        ended, events = threading.Event(), []
        thread = threading.Thread(target=lambda: events.extend(script(link, ended)) if script else None)
        thread.start()
        told = camera.communicate()[0]
        ended.set()
        thread.join()
        receiver.send_signal(signal.SIGTERM)
        receiver.wait()
        with np.load(Path(folder) / "faces.npz") as kept:
            return json.loads(told), {name: kept[name] for name in kept.files}, events


def at_once(work: Callable[..., dict[str, Any]], points: list[dict[str, Any]], save: Callable[[list], None]) -> None:
    """Call `work` with each of `points`, a few at once, and `save` with all that is known after each."""
    done: dict[int, dict[str, Any]] = {}
    with ProcessPoolExecutor(AT_ONCE, max_tasks_per_child=1) as pool:
        futures = {}
        for index, point in enumerate(points):
            futures[pool.submit(work, **point)] = index
            if index < AT_ONCE:
                time.sleep(1.0)
        for future in as_completed(futures):
            done[futures[future]] = future.result()
            save([done[index] for index in sorted(done)])


def summary(told: dict[str, Any], faces: dict[str, np.ndarray], material: Material) -> dict[str, Any]:
    """The figures of a trial."""
    if not (faces["time_s"] >= LEAD_S).any():  # none in the time that is scored
        return {
            "coded": told["coded"], "held_back": told["held_back"], "stored_share": 0.0, "is_stored": False,
            "wire_kbps": round(_wire_bps(told) / 1000, 3), "states": sorted({one["state"] for one in told["seen"]}),
            "sender_bytes": told["wire_bytes"], "interface_bytes": told["interface_bytes"],
        }  # fmt: skip
    late_s = told["begun_utc"] - told["started_utc"]  # of the player behind the recording's clock
    arrived_s = faces["arrived_s"] - late_s
    final = faces["number"][faces["is_final"]]
    _, first = np.unique(faces["number"], return_index=True)  # rows are in order of arrival
    delays = (arrived_s - faces["time_s"])[first]
    scored = first[faces["time_s"][first] >= LEAD_S]
    live_delays = (arrived_s - faces["time_s"])[scored]
    shown_s, shown, made_s = live_readings(faces, arrived_s)
    end_s, in_the_end, _ = final_readings(faces)
    span_s = material.time_s[-1]
    usual_s = float(np.median(live_delays))
    return {
        "first_face_s": round(float(arrived_s[0]), 2),
        "coded": told["coded"], "held_back": told["held_back"],
        "faces_per_s": round(told["coded"] / told["duration_s"], 2),
        "stored_share": round(len(np.unique(final)) / max(told["coded"], 1), 4),
        "is_stored": told["is_stored"],
        "is_once_in_order": is_once_in_order(faces),
        "face_kbps": round(8 * int(faces["bytes"][first].sum()) / span_s / 1000, 3),
        "wire_kbps": round(_wire_bps(told) / 1000, 3),
        "delay_p50_s": round(usual_s, 2), "delay_p95_s": round(float(np.percentile(live_delays, 95)), 2),
        "longest_delay_s": round(float(delays.max()), 1),
        "live_ccc": agreement(material, shown_s, shown),
        "live_ccc_less_delay": agreement(material, shown_s, shown, late_s=usual_s),
        "live_ccc_own_time": agreement(material, made_s, shown),
        "end_ccc": agreement(material, end_s, in_the_end),
        "finish_s": round(told["taken_s"] - told["duration_s"], 1),
        "sender_bytes": told["wire_bytes"], "interface_bytes": told["interface_bytes"],
        "keys_for_repair": told["repairs"]["keys"], "resent_bytes": told["repairs"]["resent_bytes"],
    }  # fmt: skip


def is_once_in_order(faces: dict[str, np.ndarray]) -> bool:
    """Whether each final face came once, and those of each person in order, as the receiver promises."""
    number, person = faces["number"][faces["is_final"]], faces["face"][faces["is_final"]]
    is_in_order = all((np.diff(number[person == one]) > 0).all() for one in np.unique(person))
    return bool(is_in_order and len(np.unique(number)) == len(number))


def _wire_bps(told: dict[str, Any]) -> float:
    """Bits per second that left the camera's interface after the start, while the clip played."""
    seen = [one for one in told["seen"] if LEAD_S <= one["at_s"] <= told["duration_s"]]
    return 8 * (seen[-1]["interface_bytes"] - seen[0]["interface_bytes"]) / (seen[-1]["at_s"] - seen[0]["at_s"])


def live_readings(faces: dict[str, np.ndarray], arrived_s: Floats) -> tuple[Floats, Floats, Floats]:
    """What is shown while faces arrive: the estimate of the newest face so far, with memory in order of arrival: since
    when, the estimates (n, 2), and the times of their faces."""
    recognizer, side, newest_s = Recognizer(), faces["side"], -np.inf
    ends = np.cumsum(side.astype(np.int64) ** 2)
    memories: dict[int, Memory | None] = {}
    shown_s, shown, made_s = [], [], []
    for row, time_s in enumerate(faces["time_s"].tolist()):
        if time_s <= newest_s:
            continue
        newest_s, person = time_s, int(faces["face"][row])
        pixels = _pixels(faces, ends, row)
        found, memories[person] = recognizer.follow(pixels[None], [time_s], memories.get(person))
        shown_s.append(float(arrived_s[row]))
        made_s.append(time_s)
        shown.append((float(found.valence[0]), float(found.arousal[0])))
    return np.array(shown_s), np.array(shown), np.array(made_s)


def final_readings(faces: dict[str, np.ndarray]) -> tuple[Floats, Floats, Floats]:
    """The estimates of all faces that are final, by their own times."""
    rows = np.flatnonzero(faces["is_final"])
    only = {name: faces[name][rows] for name in ("time_s", "face", "side")}
    ends = np.cumsum(faces["side"].astype(np.int64) ** 2)
    only["pixels"] = np.concatenate([_pixels(faces, ends, row).ravel() for row in rows])
    return live_readings(only, only["time_s"])


def _pixels(faces: dict[str, np.ndarray], ends: np.ndarray, row: int) -> np.ndarray:
    side = int(faces["side"][row])
    pixels: np.ndarray = faces["pixels"][ends[row] - side * side : ends[row]].reshape(side, side)
    return pixels


def save_results(name: str, content: dict[str, Any]) -> None:
    """Write ``benchmarks/results/NAME.json``."""
    content = content | {"weights": shipped_weights()}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
