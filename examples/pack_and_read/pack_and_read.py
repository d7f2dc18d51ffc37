"""A sender and a receiver, two processes with a pipe between them: ``python pack_and_read.py VIDEO [--budget 3kbps]``.

The sender codes the face within a bit-rate budget. The receiver sees nothing of the video but what arrives through the
pipe, prints each estimate as it comes, and counts the bytes.
"""

import argparse
import os
import subprocess
import sys
import threading
from typing import BinaryIO

import lowbeam


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", help="a video, or camera:0")
    parser.add_argument("--budget", default="3kbps", help="bits per second on the wire (default: %(default)s)")
    arguments = parser.parse_args()

    command = [sys.executable, "-m", "lowbeam.cli", "pack", arguments.video, "-o", "-", "--budget", arguments.budget]
    failure = None
    with subprocess.Popen(command, stdout=subprocess.PIPE) as sender:
        assert sender.stdout is not None
        try:
            receive(sender.stdout)
        except lowbeam.LowbeamError as error:
            failure = f"pack_and_read: {error}"
    sys.exit(sender.returncode or failure)  # a sender that failed has said why


def receive(arriving: BinaryIO) -> None:
    """Print the estimates of the face stream that arrives, and its rate. Raises `lowbeam.LowbeamError`."""
    counted = Counted(arriving)
    time_s = 0.0
    for frame, estimates in lowbeam.stream(counted.path):
        time_s = frame.time_s
        for one in estimates:
            print(
                f"{time_s:6.2f} s   valence {one.valence:+.2f} ± {one.valence_std:.2f}"
                f"   arousal {one.arousal:+.2f} ± {one.arousal_std:.2f}",
                flush=True,
            )
    if time_s:
        print(
            f"{counted.size} bytes in {time_s:.1f} s: {8 * counted.size / time_s / 1000:.2f} kbit/s, container included"
        )


class Counted:
    """Passes a pipe on through another one, whose `path` lowbeam opens, and counts the bytes."""

    def __init__(self, arriving: BinaryIO) -> None:
        self.size = 0
        self._arriving = arriving
        reading, self._writing = os.pipe()
        self.path = f"/dev/fd/{reading}"
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with os.fdopen(self._writing, "wb", buffering=0) as out:
            while data := os.read(self._arriving.fileno(), 65536):
                self.size += len(data)
                out.write(data)


if __name__ == "__main__":
    main()
