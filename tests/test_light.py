"""The street stays light, and its floors in order."""

import ast
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import lowbeam

SOURCE = Path(lowbeam.__file__).parent
HEAVY = (
    "torch", "functorch", "torchgen", "torchmetrics", "numba", "llvmlite", "onnx",
    "onnxscript", "onnx_ir", "pandas", "pyarrow", "yaml", "cv2", "ai_edge_litert", "fer", "hypothesis",
)  # fmt: skip

# The floors of the house, from the ground up. A room imports from its own file or folder, and from the rooms named:
# those of the floors below, and on the ground and the second floor of each other, but never in a circle.
GROUND = {"errors", "scale", "face", "metrics", "files", "media", "trace", "pool", "progress"}
SECOND = {
    "faces", "codec", "container", "onnx_session", "recognize", "latent_reader", "estimator", "restore", "mirror",
}  # fmt: skip
THIRD = {"sinks", "corpora", "models"}
MAY_IMPORT: dict[str, set[str]] = {
    # 1, the ground
    "errors": set(), "face": set(), "metrics": set(), "progress": set(), "pool": {"errors"}, "scale": {"errors"},
    "files": {"errors"}, "media": {"errors", "face"}, "trace": {"errors", "face", "files"},
    # 2
    "faces": GROUND | {"onnx_session"}, "codec": GROUND | {"onnx_session"}, "container": GROUND | {"codec"},
    "onnx_session": GROUND,
    "recognize": GROUND | {"onnx_session"}, "restore": GROUND | {"onnx_session"},
    "latent_reader": GROUND | {"codec", "onnx_session", "recognize"},
    "estimator": GROUND | {"latent_reader", "recognize"}, "mirror": GROUND | {"codec", "recognize"},
    # 3
    "sinks": GROUND | SECOND, "corpora": GROUND | SECOND, "models": GROUND | SECOND,
    # 4
    "link": GROUND | SECOND, "pipeline": GROUND | SECOND | {"sinks"}, "train": GROUND | SECOND | {"corpora", "models"},
    "evaluate": GROUND | SECOND | {"corpora", "models", "train"},
    # 5
    "demo": GROUND | SECOND | {"sinks", "pipeline"}, "sending": GROUND | SECOND | {"link", "pipeline"},
    "archive": GROUND | SECOND | {"pipeline"},
    # 6
    "server": GROUND | SECOND | {"link", "pipeline", "sinks"},
    # 7
    "cli": GROUND | SECOND | THIRD | {"archive", "pipeline", "train", "evaluate", "demo", "sending", "server"},
}  # fmt: skip
WINGS = {"models", "train", "corpora", "evaluate"}  # the school and the lab


def imports_of(path: Path) -> set[str]:
    """Rooms of lowbeam that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        found |= {name.split(".")[1] for name in names if name.startswith("lowbeam.")}
    return found


def test_arrows_run_down_only() -> None:
    for path in SOURCE.rglob("*.py"):
        room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if room != "__init__":
            assert imports_of(path) <= MAY_IMPORT[room] | {room}, path


def test_no_two_rooms_import_each_other() -> None:
    found: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        found.setdefault(room, set()).update(imports_of(path) - {room})
    for room in set(found) - {"__init__"}:
        reached, waiting = set(), [room]
        while waiting:
            above = found.get(waiting.pop(), set()) - reached
            reached |= above
            waiting += above
        assert room not in reached, room


def test_the_street_never_imports_the_wings() -> None:
    for room in set(MAY_IMPORT) - WINGS - {"cli"}:
        assert not MAY_IMPORT[room] & WINGS


def test_the_main_job_runs_in_an_environment_without_pytorch(short_clip: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "venv")}))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        package = entry.name.split("-")[0].split(".")[0].lower()
        if package not in HEAVY and not entry.name.startswith(("_virtualenv", "distutils-precedence")):
            (site / entry.name).symlink_to(entry)
    absent = subprocess.run([python, "-c", "import torch"], capture_output=True, text=True, check=False)
    assert "No module named 'torch'" in absent.stderr

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(python), "-m", "lowbeam.cli", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)

    assert run("pack", short_clip, "-o", "f.mkv").returncode == 0
    assert run("read", "f.mkv", "-o", "t.csv", "--plot", "t.png", "--overlay", "o.mp4").returncode == 0
    assert run("demo", "--video", short_clip).returncode == 0
    for command in ("models", "info", "table --help", "train --help"):
        assert run(*command.split()).returncode == 0
    train = run("train", "one-for-all", "--corpus", ".", "-o", "run")
    assert (train.returncode, train.stderr.count("\n")) == (2, 1)
    assert "pip install 'lowbeam[train]'" in train.stderr
    assert "pip install 'lowbeam[tables]'" in run("read", "f.mkv", "-o", "t.parquet").stderr


def test_importing_lowbeam_is_quick_to_the_point() -> None:
    program = "import sys, lowbeam; print(*sorted(m for m in sys.modules if '.' not in m))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not set(loaded) & {*HEAVY, "matplotlib", "typer", "rich", "av", "onnxruntime", "numpy"}
