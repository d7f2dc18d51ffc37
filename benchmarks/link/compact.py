"""What a live link keeps of estimates and features: ``python -m benchmarks.link.compact FOLDER``.

The folder has recordings of real people. Writes ``benchmarks/results/link-compact.json``.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.link.material import LEAD_S, Material, agreement, real
from benchmarks.link.trial import at_once, run_trial, save_results

CODECS = ("estimates", "features")
PAIRS = ((1.0, 0.0), (1.0, 5.0), (2.0, 5.0), (4.0, 20.0))  # kbit/s that the link carries, loss in percent


def point(material: Material, codec: str, kbps: float, loss: float) -> dict[str, Any]:
    """The figures of a codec at one rate and loss."""
    told, faces, _ = run_trial(str(material.path), kbps, loss, codec=codec)
    late_s = told["begun_utc"] - told["started_utc"]  # of the player behind the recording's clock
    arrived_s = faces["arrived_s"] - late_s
    final = faces["is_final"]
    order = np.argsort(faces["time_s"][final], kind="stable")
    newest = _newest(faces["time_s"])
    _, first = np.unique(faces["number"], return_index=True)  # of each packet, whose first sample waited longest
    scored = first[faces["time_s"][first] >= LEAD_S]
    seen = [one for one in told["seen"] if LEAD_S <= one["at_s"] <= told["duration_s"]]
    wire = 8 * (seen[-1]["interface_bytes"] - seen[0]["interface_bytes"]) / (seen[-1]["at_s"] - seen[0]["at_s"])
    return {
        "codec": codec, "kbps": kbps, "loss_percent": loss, "packets": len(np.unique(faces["number"][final])),
        "is_stored": told["is_stored"], "first_s": round(float(arrived_s[0]), 2), "wire_kbps": round(wire / 1000, 3),
        "delay_p50_s": round(float(np.median((arrived_s - faces["time_s"])[scored])), 2),
        "live_ccc": agreement(material, arrived_s[newest], faces["affect"][newest]),
        "end_ccc": agreement(material, faces["time_s"][final][order], faces["affect"][final][order]),
    }  # fmt: skip


def _newest(time_s: np.ndarray) -> np.ndarray:
    """Rows, in order of arrival, whose sample is newer than all before."""
    before = np.concatenate([[-np.inf], np.maximum.accumulate(time_s)[:-1]])
    return np.flatnonzero(time_s > before)


def main() -> None:
    """Measure all points, and write the results after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    material = real(parser.parse_args().folder)
    points = [
        {"material": material, "codec": codec, "kbps": kbps, "loss": loss} for kbps, loss in PAIRS for codec in CODECS
    ]
    at_once(point, points, lambda found: save_results("link-compact", {"real": found}))


if __name__ == "__main__":
    main()
