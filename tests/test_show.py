"""What the commands show: progress and tables."""

import ast
import io
import sys
import time
from pathlib import Path

import pytest

from lowbeam.cli import lab, school
from lowbeam.cli.show import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("gap_s", "rate"), [(0.02, " points/s"), (1.1, " points/min")])
def test_progress_counts_what_is_done(gap_s: float, rate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with progress_bar("measuring", "points") as progress:
        for done in range(1, 4):
            progress(done, 4)
            time.sleep(gap_s)
    assert rate in terminal.getvalue()
    assert "frames" not in terminal.getvalue()


@pytest.mark.parametrize("module", [lab, school])
def test_each_bar_of_lab_and_school_says_what_it_counts(module: object) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(Path(module.__file__).read_text()))  # type: ignore[attr-defined]
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "progress_bar"
    ]
    assert calls
    assert all(len(call.args) == 2 for call in calls)
