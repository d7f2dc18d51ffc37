"""The scripts and the notebook in examples/, run on the clip that ships."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lowbeam

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_read_video_writes_a_trace_and_a_plot_and_prints_a_summary(short_clip: Path, tmp_path: Path) -> None:
    done = run("read_video", short_clip, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert len(lowbeam.load_csv(tmp_path / "out" / "trace.csv")) == 10  # two seconds at five a second
    assert (tmp_path / "out" / "trace.png").stat().st_size > 1000
    assert re.search(r"^valence +[+-]", done.stdout, re.MULTILINE)


def test_pack_and_read_keeps_its_budget_between_two_processes(clip: Path) -> None:
    done = run("pack_and_read", clip, "--budget", "3kbps")
    assert done.returncode == 0, done.stderr
    *estimates, last = done.stdout.splitlines()
    assert len(estimates) > 20
    assert all(re.fullmatch(r" *[\d.]+ s +valence \S+ ± \S+ +arousal \S+ ± \S+", line) for line in estimates)
    found = re.search(r"([\d.]+) kbit/s", last)
    assert found is not None
    assert 1 < float(found[1]) < 3


def test_pack_and_read_leaves_the_error_to_the_sender() -> None:
    done = run("pack_and_read", "nothing.mp4")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "nothing.mp4 cannot be opened" in done.stderr


def test_live_window_prints_a_running_mean_with_its_deviation(short_clip: Path) -> None:
    done = run("live_window", short_clip)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 10
    assert all(re.fullmatch(r" *[\d.]+ s +valence [+-][\d.]+ ± [\d.]+", line) for line in done.stdout.splitlines())


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    notebook = nbformat.read(EXAMPLES / "notebook.ipynb", as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=180, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    printed = "".join(out.get("text", "") for cell in notebook.cells for out in cell.get("outputs", []))
    assert re.search(r"^16kbps +valence +0\.9", printed, re.MULTILINE)


def test_the_notebook_names_no_folder_of_its_author() -> None:
    text = (EXAMPLES / "notebook.ipynb").read_text(encoding="utf-8")
    outputs = json.dumps([cell.get("outputs") for cell in json.loads(text)["cells"]])
    assert not re.search(r"/(?:home|root|tmp|work)/", outputs)
    assert len(text) < 500_000


def test_every_example_has_its_section() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for entry in EXAMPLES.iterdir():
        if entry.name not in {"README.md", "__pycache__"}:
            assert f"## {entry.name}" in text
