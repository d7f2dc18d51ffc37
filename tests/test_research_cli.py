"""``python -m research``: its help, and how it reports mistakes."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from lowbeam import SourceError
from lowbeam.recognize import DEFAULT_MODEL, shipped_weights
from research.__main__ import app
from research.result_files import UNTOLD, earlier_weights, shown_command

COMMANDS = sorted(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
RunResearch = Callable[..., subprocess.CompletedProcess[str]]


def test_pages_name_the_results_of_earlier_weights(tmp_path: Path) -> None:
    ships, paths = shipped_weights(), [tmp_path / f"{name}.json" for name in ("now", "then", "untold")]
    for path, weights in zip(paths, (ships, ships | {DEFAULT_MODEL: "0" * 12}, None), strict=True):
        path.write_text(json.dumps({"rows": []} | ({} if weights is None else {"weights": weights})))
    assert earlier_weights(paths[:1]) == ""
    said = earlier_weights(paths)
    assert "`then.json`" in said
    assert "`now.json`" not in said
    assert ("`untold.json`" in said) == (UNTOLD[DEFAULT_MODEL] != ships[DEFAULT_MODEL])
    paths[1].write_text("[]")
    with pytest.raises(SourceError, match=r"then\.json cannot be read"):
        earlier_weights(paths)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, run_research: RunResearch) -> None:
    done = run_research(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Example: python -m research" in " ".join(done.stdout.split())
    assert "../" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("paper-page", "--results", "gone", "-o", "page.md"), "holds no results"),
        (("curve-page", "--results", "gone", "-o", "page.md"), "holds no result of lowbeam curve"),
        (("operating-table", "gone.json", "-o", "t.json"), "gone.json is no result"),
        (("stills", "--corpus", "sewa:x", "-o", "s.json"), "corpus sewa is not one of"),
        (("stills", "-o", "s.json"), "--corpus"),
        (("nothing",), "nothing"),
    ],
)
def test_mistakes_are_one_line(
    arguments: tuple[str, ...], message: str, run_research: RunResearch, tmp_path: Path
) -> None:
    pytest.importorskip("plotly", reason="the pages need the curve extra")
    pytest.importorskip("pydantic", reason="the pages need the train extra")
    done = run_research(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


def test_commands_are_shown_without_folders_outside_the_checkout() -> None:
    stored = "lowbeam replicate x --corpus ferplus:/data/a-b/ferplus --faces ../../faces.npz -o runs/paper"
    assert shown_command(stored) == "lowbeam replicate x --corpus ferplus:ferplus --faces faces.npz -o runs/paper"


def test_a_stored_command_is_shown_by_its_present_name() -> None:
    assert (
        shown_command("lowbeam evaluate stills --corpus f -o s.json")
        == "python -m research stills --corpus f -o s.json"
    )
    before = "python -m lowbeam.evaluate.paper.handover_study ferplus:F runs/h d/h.json"
    assert shown_command(before) == "python -m research handover ferplus:F runs/h -o d/h.json"
