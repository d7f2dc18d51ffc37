"""Nothing leaves the machine that the user did not send, and no file is written that was not asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Runs a command of lowbeam while a thread looks at every descriptor of the process for sockets.
WATCHED = """
import os, sys, threading, time
seen, ended = set(), threading.Event()

def watch():
    while not ended.is_set():
        for fd in os.listdir("/proc/self/fd"):
            try:
                link = os.readlink(f"/proc/self/fd/{fd}")
            except OSError:
                continue
            if link.startswith("socket:"):
                seen.add(link)
        time.sleep(0.001)

before = {os.readlink(f"/proc/self/fd/{fd}") for fd in ("0", "1", "2")}
watcher = threading.Thread(target=watch)
watcher.start()
try:
    exec(sys.argv.pop(1))
    time.sleep(float(os.environ.get("LINGER_S", "0.5")))  # for what a library does behind our back
finally:
    ended.set()
    watcher.join()
    print("sockets:", len(seen - before), file=sys.stderr)
"""
MAIN = "from lowbeam.cli.app import run; run(sys.argv[1:])"
ASK = "import socket; kept = socket.socket(); time.sleep(0.3); kept.close()"


def watched(program: str, home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    places = {name: str(home / name.lower()) for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= places | {"HOME": str(home), "TMPDIR": str(home)}
    return subprocess.run(
        [sys.executable, "-c", WATCHED, program, *map(str, arguments)], capture_output=True, text=True, timeout=120,
        check=True, env=environment, stdin=subprocess.DEVNULL, cwd=home,
    )  # fmt: skip


pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="sockets are looked for in Linux's /proc")


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("options", [(), ("--budget", "100bps"), ("--codec", "features", "--qp", "8", "--key-face")])
def test_packing_and_reading_open_no_socket_and_write_only_what_was_asked_for(
    options: tuple[str, ...], short_clip: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    packed = watched(MAIN, home, "pack", short_clip, "-o", tmp_path / "f.mkv", *options)
    read = watched(MAIN, home, "read", tmp_path / "f.mkv", "-o", tmp_path / "t.csv", "--model", "fast")
    assert "sockets: 0" in packed.stderr
    assert "sockets: 0" in read.stderr
    assert files_in(home) == set()
    assert files_in(tmp_path) == {"f.mkv", "t.csv", "t.csv-metadata.json"}


def test_the_watcher_notices_a_socket(tmp_path: Path) -> None:
    assert "sockets: 0" not in watched(ASK, tmp_path).stderr


def test_onnx_runtime_is_told_to_be_quiet_before_it_is_imported() -> None:
    program = (
        "import sys, os\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'onnxruntime':\n"
        "            print('quiet:', os.environ.get('ORT_DISABLE_TELEMETRY'))\n"
        "sys.meta_path.insert(0, Finder())\n"
        "import importlib, pkgutil, lowbeam\n"
        "for found in pkgutil.walk_packages(lowbeam.__path__, 'lowbeam.'):\n"
        "    if not found.name.endswith(('__main__', 'migrations.env')):\n"
        "        try:\n            importlib.import_module(found.name)\n"
        "        except ImportError:\n            pass\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    assert set(done.stdout.split("\n")) - {""} == {"quiet: 1"}
