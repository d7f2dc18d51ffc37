"""A running mean of valence over the last five seconds, printed as it comes: ``python live_window.py SOURCE``.

The mean is weighted by the inverse variance of each estimate. Estimates that follow each other have errors in common,
so the standard deviation of the mean is not divided by the square root of their number: what is printed is that of a
typical estimate in the window, an upper bound for that of the mean.
"""

import argparse
from collections import deque
from typing import NamedTuple

import numpy as np

import lowbeam

WINDOW_S = 5.0


class Mean(NamedTuple):
    """Mean valence of a window and its standard deviation."""

    valence: float
    std: float


def mean_of(window: deque[lowbeam.Estimate]) -> Mean:
    """The mean valence of a window, weighted by inverse variance."""
    valence = np.array([estimate.valence for estimate in window])
    weights = 1 / np.array([estimate.valence_std for estimate in window]) ** 2
    return Mean(float(np.average(valence, weights=weights)), float(1 / np.sqrt(weights.mean())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="camera:0, an rtsp or http URL, a video or a face stream")
    parser.add_argument("--fps", type=float, default=5.0, help="frames a second that are read (default: %(default)s)")
    arguments = parser.parse_args()

    window: deque[lowbeam.Estimate] = deque()
    for _, estimates in lowbeam.stream(arguments.source, fps=arguments.fps):
        window.extend(estimates)
        while window and window[0].time_s <= window[-1].time_s - WINDOW_S:
            window.popleft()
        if estimates:
            mean = mean_of(window)
            print(f"{window[-1].time_s:7.2f} s   valence {mean.valence:+.2f} ± {mean.std:.2f}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except lowbeam.LowbeamError as error:
        raise SystemExit(f"live_window: {error}") from None
