"""What is published: wheel and sdist install into clean environments, and run there."""

import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
URLS = {"Homepage", "Documentation", "Source", "Changelog", "Issues"}
pytestmark = pytest.mark.slow


def run(*command: object, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that is built from it."""
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    return folder


def test_the_metadata_have_the_project_urls(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    urls = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL", []))
    assert set(urls) == URLS
    assert all(url.startswith("https://") for url in urls.values())
    assert metadata["License-Expression"] == "Apache-2.0 AND MIT"


@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"], ids=["wheel", "sdist"])
def test_it_installs_into_a_clean_environment_and_reads_the_clip(built: Path, kind: str, tmp_path: Path) -> None:
    (package,) = built.glob(kind)
    run(sys.executable, ROOT / "tools" / "make_venv.py", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "--quiet", "--constraint", ROOT / "constraints.txt", package, cwd=tmp_path)

    command = tmp_path / "venv" / "bin" / "lowbeam"
    version = run(command, "--version", cwd=tmp_path).split()[1]
    assert version in package.name
    assert "accurate, best, fast" in run(command, "info", cwd=tmp_path)
    clip = run(python, "-c", "from lowbeam.demo import ASSETS; print(ASSETS / 'clip.mp4')", cwd=tmp_path).strip()
    assert clip.startswith(str(tmp_path))
    rows = run(command, "read", clip, "--duration", "1", cwd=tmp_path).splitlines()
    assert len(rows) == 26  # the header, and a row for each frame of a second
    shown = run(*pip, "show", "--verbose", "lowbeam", cwd=tmp_path)
    assert all(f"  {name}, https://" in shown for name in URLS)
