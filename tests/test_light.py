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
    "torch", "functorch", "torchgen", "torchmetrics", "lightning", "pytorch_lightning", "numba", "llvmlite", "onnx",
    "onnxscript", "onnx_ir", "pandas", "pyarrow", "yaml", "cv2", "ai_edge_litert", "fer", "hypothesis",
)  # fmt: skip

# What each room may import from its own house: floors above lean on floors below, never the other way round.
FLOOR_1 = {"errors", "files", "media", "scale", "trace"}
MAY_IMPORT = {
    "errors": set(), "scale": {"errors"}, "media": {"errors"}, "files": {"errors"},
    "trace": {"errors", "files"},
    "faces": {"errors", "media", "scale"}, "codec": {"errors", "files", "media", "scale", "faces"},
    "recognize": {"errors", "scale"}, "restore": {"errors", "scale"}, "overlay": {"faces", "media", "scale", "trace"},
    "pool": {"errors"},
    "corpora": {"errors", "files", "media", "pool", "scale", "faces"}, "models": {"scale", "recognize", "restore"},
    "train": {"errors", "files", "pool", "scale", "codec", "recognize", "corpora", "models"},
    "evaluate": {
        "errors", "files", "pool", "scale", "faces", "codec", "recognize", "corpora", "models", "train",
    },
    "pipeline": FLOOR_1 | {"faces", "codec", "recognize", "restore", "overlay"},
    "demo": FLOOR_1 | {"faces", "codec", "recognize", "overlay", "pipeline", "evaluate"},
}  # fmt: skip


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
        if room not in ("__init__", "cli"):
            assert imports_of(path) <= MAY_IMPORT[room] | {room}, path


def test_the_street_never_imports_the_school() -> None:
    for room in (
        "errors",
        "scale",
        "media",
        "files",
        "trace",
        "faces",
        "codec",
        "recognize",
        "restore",
        "overlay",
        "pipeline",
    ):
        assert not MAY_IMPORT[room] & {"models", "train", "corpora", "evaluate"}


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
    assert not set(loaded) & {*HEAVY, "matplotlib", "typer", "rich"}
