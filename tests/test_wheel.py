"""What the wheel and the source distribution hold."""

import ast
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from conftest import ROOT

pytest.importorskip("hatchling", reason="hatchling comes with the dev extra")

SOURCE = ROOT / "src" / "lowbeam"
BESIDE_SOURCE = {"research", "benchmarks", "tests", "tools", "examples", "docs"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a wheel and a source distribution of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def in_wheel(built: Path) -> set[str]:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def in_sdist(built: Path) -> set[str]:
    """Paths below the archive's own folder."""
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        return {PurePosixPath(*PurePosixPath(name).parts[1:]).as_posix() for name in archive.getnames()}


def test_the_wheel_holds_the_package_and_nothing_else(in_wheel: set[str]) -> None:
    package = {name for name in in_wheel if not name.split("/")[0].endswith(".dist-info")}
    files = {path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert package == {f"lowbeam/{path.relative_to(SOURCE).as_posix()}" for path in files}


def test_the_wheel_holds_all_that_is_read_at_run_time(in_wheel: set[str]) -> None:
    assert {"lowbeam/py.typed", "lowbeam/codec/operating_table.json"} <= in_wheel
    for folder, suffixes in (
        ("train", (".yaml",)),
        ("weights", (".onnx", ".json", ".md")),
        ("assets", (".mp4", ".html")),
    ):
        files = [path for path in (SOURCE / folder).rglob("*") if path.suffix in suffixes]
        assert {path.suffix for path in files} == set(suffixes)
        assert {f"lowbeam/{path.relative_to(SOURCE).as_posix()}" for path in files} <= in_wheel


def test_the_wheel_holds_no_page_writers_and_no_markdown_but_model_cards(in_wheel: set[str]) -> None:
    named = [
        name for name in in_wheel if any(word in Path(name).stem for word in ("page", "section", "template", "study"))
    ]
    assert named == []
    assert {name.split("/")[1] for name in in_wheel if name.startswith("lowbeam/") and name.endswith(".md")} == {
        "weights"
    }


def test_the_package_imports_nothing_that_is_not_in_the_wheel() -> None:
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            assert not {name.split(".")[0] for name in names} & BESIDE_SOURCE, path


def test_the_source_distribution_holds_what_is_beside_the_package(in_sdist: set[str]) -> None:
    for name in (
        "src/lowbeam/__init__.py", "research/__main__.py", "research/scripts/people.sh", "benchmarks/run.py",
        "docs/replication.md", "docs/replication/reduced.json", "tests/test_wheel.py", "Makefile", "README.md",
    ):  # fmt: skip
        assert name in in_sdist
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert {"research", "examples", "docs", "mkdocs.yml"} <= set(
        project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    )
