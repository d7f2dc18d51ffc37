"""The scripts in ``research/scripts``: they parse, and name the variable that is missing."""

import os
import subprocess
from pathlib import Path

import pytest
from conftest import ROOT

SCRIPTS = sorted((ROOT / "research" / "scripts").glob("*.sh"))
DATA = ("FERPLUS", "PEOPLE", "REAL", "FACE_MODEL", "FACES96")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_parses(script: Path) -> None:
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


@pytest.mark.parametrize("script", [path for path in SCRIPTS if path.stem != "common"], ids=lambda path: path.stem)
def test_a_script_without_data_names_the_variable_to_set(script: Path, tmp_path: Path) -> None:
    env = {name: value for name, value in os.environ.items() if name not in DATA}
    done = subprocess.run([script], capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{script.name}: set " in done.stderr
    assert not list(tmp_path.iterdir())
