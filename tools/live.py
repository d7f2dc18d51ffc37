"""`make live`: a server, and a sender that plays the shipped clip over an emulated link of 4 kbit/s with 5 % loss."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tools.relay import Relay

BPS, LOSS, BURST = 4000.0, 0.05, 2.0
CLIP = Path(__file__).parents[1] / "src" / "lowbeam" / "assets" / "clip.mp4"
PORT = 7443


def main() -> None:
    """Run until Ctrl-C."""
    command = [sys.executable, "-m", "lowbeam.cli"]
    with tempfile.TemporaryDirectory(prefix="lowbeam-live-") as folder:
        serve = [*command, "serve", "--data", folder, "--port", str(PORT)]
        server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(3)]
        if not all(lines):
            sys.exit(server.wait())
        token, _, rest = lines[2].partition("LOWBEAM_TOKEN=")[2].partition(" ")
        pin = rest.split()[-1]
        with Relay(("127.0.0.1", PORT), bps=BPS, loss=LOSS, burst=BURST) as relay:
            to = f"lowbeam://127.0.0.1:{relay.port}"
            send = [*command, "send", str(CLIP), "--loop", "--to", to, "--pin", pin, "--name", "The shipped clip"]
            sender = subprocess.Popen(send, env=os.environ | {"LOWBEAM_TOKEN": token})
            print(
                f"{lines[0]}{lines[1]}Open the second address in a browser, and make an admin. Ctrl-C ends it.",
                flush=True,
            )
            print(f"The clip plays over an emulated link of {BPS / 1000:g} kbit/s with {LOSS:.0%} loss.", flush=True)
            _wait(server, sender)


def _wait(*processes: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Wait until one ends or a signal comes, then end all."""
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    try:
        while all(one.poll() is None for one in processes):
            time.sleep(0.2)
    except KeyboardInterrupt:
        pass
    for one in reversed(processes):
        one.send_signal(signal.SIGINT)
        one.wait()


if __name__ == "__main__":
    main()
