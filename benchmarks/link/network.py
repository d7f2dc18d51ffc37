"""Two network namespaces with a veth pair between them: a limited rate in both directions, and losses.

Needs root, iproute2 and nftables. Rates are limited by a relay, packets are lost by nft's ``numgen random``.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CAMERA_IP, SERVER_IP = "10.77.0.1", "10.77.0.2"
CAMERA_MAC, SERVER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
FIRST_BPS = 64_000.0
QUEUE_BYTES = 8000  # of packets that wait; of more, packets are dropped


def _some(percent: float) -> str:
    """nft's condition for this share of the packets."""
    return "" if percent >= 100 else f"numgen random mod 1000 < {round(10 * percent)} "


def _run(*command: str, check: bool = True, given: str | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, input=given)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True)
class Network:
    """The two namespaces: commands in `camera` and `server` see each other at `CAMERA_IP` and `SERVER_IP`."""

    camera: str
    server: str
    folder: Path  # of the relay

    def inside(self, name: str, *command: str) -> list[str]:
        """`command`, to be run in the namespace `name`."""
        return ["ip", "netns", "exec", name, *command]

    def set_rate(self, bps: float) -> None:
        """Limit both directions to `bps` bits per second of IP packets, without their Ethernet headers."""
        (self.folder / "rate").write_text(str(bps))

    def set_loss(self, percent: float) -> None:
        """Lose this share of the packets to the server."""
        rules = "flush ruleset\n"
        if percent:
            drop = f"iif lbs meta l4proto udp {_some(percent)}drop"
            rules += f"table inet loss {{\nchain in {{\ntype filter hook prerouting priority raw;\n{drop}\n}}\n}}\n"
        _run(*self.inside(self.server, "nft", "-f", "-"), given=rules)

    def cut(self, is_cut: bool) -> None:
        """Cut the link, or join it again."""
        _run("ip", "-n", self.camera, "link", "set", "lbc", "down" if is_cut else "up")
        if not is_cut:
            _run("ip", "-n", self.camera, "addr", "replace", f"{CAMERA_IP}/24", "dev", "lbc")
            _know(self.camera, "lbc", SERVER_IP, SERVER_MAC)

    def sent_bytes(self) -> tuple[int, int]:
        """Bytes and packets that left the camera's interface, with Ethernet headers of 14 bytes each."""
        base = "/sys/class/net/lbc/statistics"
        texts = [_run(*self.inside(self.camera, "cat", f"{base}/tx_{what}")) for what in ("bytes", "packets")]
        return int(texts[0]), int(texts[1])


def _know(namespace: str, device: str, address: str, mac: str) -> None:
    """Tell the kernel who has an address, so that nothing but the link's packets leaves the interface."""
    _run("ip", "-n", namespace, "neigh", "replace", address, "lladdr", mac, "dev", device, "nud", "permanent")


@contextmanager
def network() -> Iterator[Network]:
    """Make the namespaces, and remove them in the end."""
    folder = Path(tempfile.mkdtemp())
    made = Network(f"lbcam{os.getpid()}", f"lbsrv{os.getpid()}", folder)
    for name in (made.camera, made.server):
        _run("ip", "netns", "add", name)
    try:
        pair = ["type", "veth", "peer", "name", "lbs", "address", SERVER_MAC, "netns"]
        _run("ip", "link", "add", "lbc", "address", CAMERA_MAC, "netns", made.camera, *pair, made.server)
        for name, device, address in ((made.camera, "lbc", CAMERA_IP), (made.server, "lbs", SERVER_IP)):
            _run(*made.inside(name, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"), check=False)
            _run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", device)
            _run("ip", "-n", name, "link", "set", device, "up")
            _run("ip", "-n", name, "link", "set", "lo", "up")
        _know(made.camera, "lbc", SERVER_IP, SERVER_MAC)
        _know(made.server, "lbs", CAMERA_IP, CAMERA_MAC)
        made.set_rate(FIRST_BPS)
        relay = subprocess.Popen(
            made.inside(made.server, sys.executable, "-m", "benchmarks.link.relay", str(folder)), stdout=subprocess.PIPE
        )
        try:
            assert relay.stdout is not None
            relay.stdout.readline()
            yield made
        finally:
            relay.kill()
            relay.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for name in (made.camera, made.server):
            _run("ip", "netns", "del", name, check=False)
