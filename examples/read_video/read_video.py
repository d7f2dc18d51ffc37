"""Read a video, print a summary of its trace, and draw it: ``python read_video.py VIDEO [-o FOLDER]``."""

import argparse
from pathlib import Path

import numpy as np

import lowbeam


def summary(trace: lowbeam.Trace) -> str:
    """Mean, range and mean standard deviation of valence and arousal."""
    lines = [f"{'':8} {'mean':>6} {'min':>6} {'max':>6} {'std of an estimate':>19}"]
    for name in ("valence", "arousal"):
        values, std = trace[name], trace[f"{name}_std"]
        cells = f"{values.mean():+6.2f} {values.min():+6.2f} {values.max():+6.2f} {std.mean():19.2f}"
        lines.append(f"{name:8} {cells}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path, help="any video that FFmpeg opens")
    parser.add_argument("-o", "--out", type=Path, default=Path(), help="folder for trace.csv and trace.png")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)

    trace = lowbeam.read(arguments.video, out=arguments.out / "trace.csv", plot=arguments.out / "trace.png", fps=5)
    print(trace)
    print(summary(trace))
    happiest = int(np.argmax(trace["valence"]))
    print(f"highest valence at {trace['time_s'][happiest]:.1f} s")


if __name__ == "__main__":
    main()
