"""The sender's own count of its bytes against those that leave a real network interface."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not all(map(shutil.which, ("ip", "tc", "nft"))), reason="needs root, iproute2 and nftables"
)


def test_the_sender_counts_the_bytes_of_the_interface_within_two_percent(short_clip: Path, tmp_path: Path) -> None:
    from benchmarks.link.network import SERVER_IP, network
    from benchmarks.link.receive import TOKEN

    try:
        context = network()
        made = context.__enter__()
    except RuntimeError as error:
        pytest.skip(f"no network namespaces here: {error}")
    try:
        made.set_rate(64_000)
        env = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        server = subprocess.Popen(
            made.inside(made.server, sys.executable, "-m", "benchmarks.link.receive", str(tmp_path), "127.0.0.1"),
            stdout=subprocess.PIPE, text=True, env=env, cwd=ROOT,
        )  # fmt: skip
        assert server.stdout is not None
        pin = server.stdout.readline().strip()
        time.sleep(0.3)
        before_bytes, before_packets = made.sent_bytes()
        code = (
            "import sys; from lowbeam.sending import send; print(send(sys.argv[1], sys.argv[2], token=sys.argv[3],"
            " pin=sys.argv[4], fast=True, budget='32kbps', finish_s=20).wire_bytes)"
        )
        command = [sys.executable, "-c", code, str(short_clip), f"lowbeam://{SERVER_IP}:7443", TOKEN, pin]
        done = subprocess.run(
            made.inside(made.camera, *command), capture_output=True, text=True, env=env, check=True, timeout=60
        )  # fmt: skip
        sent_bytes, sent_packets = made.sent_bytes()
        server.terminate()
        server.wait(20)
        server.stdout.close()
    finally:
        context.__exit__(None, None, None)
    counted = int(re.findall(r"\d+", done.stdout)[-1])
    on_wire = sent_bytes - before_bytes - 14 * (sent_packets - before_packets)  # without Ethernet headers
    assert counted > 3000
    assert counted == pytest.approx(on_wire, rel=0.02)
