"""What the commands say of themselves."""

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from lowbeam.cli import lab, school
from lowbeam.cli.app import app
from lowbeam.corpora.choose import RECORDINGS, STILLS
from lowbeam.corpora.kinds import KINDS, RECORDING_KINDS, STILL_KINDS

TAKE_ANY = {"table", "replicate", "train"}
TAKE_RECORDINGS = {"budgets", "curve"}


def commands(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command below `command`, groups too, by the words that call it."""
    yield path, command
    for name, part in getattr(command, "commands", {}).items():
        yield from commands(part, f"{path} {name}".strip())


COMMANDS = dict(commands(typer.main.get_command(app)))


def shown(path: str, columns: int = 80) -> str:
    """The help of a command, as a terminal of so many columns shows it."""
    return CliRunner().invoke(app, [*path.split(), "--help"], env={"COLUMNS": str(columns)}).output


@pytest.mark.parametrize("path", sorted(TAKE_ANY | TAKE_RECORDINGS))
def test_a_command_that_takes_a_corpus_lists_all_kinds(path: str) -> None:
    text = "".join(shown(path).split())  # a line may break within a kind's name
    for kinds, takers in ((KINDS, TAKE_ANY), (RECORDING_KINDS, TAKE_RECORDINGS)):
        assert path not in takers or f"ofkind{','.join(kinds[:-1])}or{kinds[-1]}" in text


def test_each_kind_that_is_listed_can_be_opened() -> None:
    assert (tuple(STILLS), tuple(RECORDINGS)) == (STILL_KINDS, RECORDING_KINDS)


def test_no_other_command_takes_a_corpus() -> None:
    about = {path for path in COMMANDS if "KIND:PATH" in shown(path)}
    assert about == TAKE_ANY | TAKE_RECORDINGS


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_no_description_of_an_option_is_cut(path: str) -> None:
    text = "".join(shown(path).split())
    for option in COMMANDS[path].params:
        assert "".join((option.help or "").split()) in text, option.name


@pytest.mark.parametrize("module", [lab, school])
def test_lists_of_commands_give_whole_descriptions(module: Any) -> None:
    parts = [part for part in vars(module).values() if isinstance(part, typer.Typer)]
    callbacks = [command.callback for part in parts for command in part.registered_commands]
    its_own = {inspect.cleandoc(callback.__doc__ or "") for callback in callbacks if callback is not None}
    found = {path: command for path, command in COMMANDS.items() if command.callback and command.help in its_own}
    assert len(found) >= 2
    for path, command in found.items():
        listed = shown(path.rpartition(" ")[0])
        assert all(len(line) <= 80 for line in listed.splitlines())
        assert "".join(command.help.split()) in "".join(listed.split())


def test_help_names_no_path_of_its_makers() -> None:
    assert not [path for path in COMMANDS if "../shared" in shown(path)]
