"""Result files: JSON with the command that wrote it, and how pages show that command."""

import json
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lowbeam.cli.show import progress_bar
from lowbeam.files import make_folder, whole_file

LEADING_OUT = re.compile(r"(?:(?:\.\./)+|(?<=[\s:])/)(?:[\w.-]+/)*")  # folders of a path that leads out of the checkout
# Commands as result files name them that were measured before 2026-11-24, and as they are called now.
RENAMED = (
    (re.compile(r"^lowbeam evaluate "), "python -m research "),
    (
        re.compile(r"^python -m lowbeam\.evaluate\.paper\.handover_study (\S+) (\S+) (\S+)$"),
        r"python -m research handover \1 \2 -o \3",
    ),
)


def command_line() -> str:
    """The command that is running, to be stored with its results."""
    return shlex.join(["python", "-m", "research", *sys.argv[1:]])


def shown_command(command: str) -> str:
    """A stored command as pages show it: under its present name, and of a path that leads out of the checkout only the
    last part."""
    for pattern, present in RENAMED:
        command = pattern.sub(present, command)
    return LEADING_OUT.sub("", command)


def write_json(path: Path, results: dict[str, Any]) -> None:
    """Write `results` as an indented JSON file. Raises `OutputError`."""
    with whole_file(path) as beside:
        beside.write_text(json.dumps(results, indent=1) + "\n")


def measure_into(path: Path, measure: Callable[..., dict[str, Any]], unit: str) -> dict[str, Any]:
    """Call ``measure(progress=...)`` with a progress bar that counts `unit` (a plural), write its results and the
    running command to `path`, and return the results."""
    with progress_bar("measuring", unit) as progress:
        results = measure(progress=progress)
    write_json(path, results | {"command": command_line()})
    return results


def write_page(page: Path, text: str) -> Path:
    """Write the Markdown `text` to `page`, and return its path. Raises `OutputError`."""
    make_folder(page.parent)
    with whole_file(page) as beside:
        beside.write_text(text, encoding="utf-8")
    return page
