"""Result files: JSON with the command that wrote it, and how pages show that command."""

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lowbeam.cli.show import progress_bar
from lowbeam.errors import SourceError, reason
from lowbeam.files import make_folder, whole_file
from lowbeam.recognize import DEFAULT_MODEL, shipped_weights

LEADING_OUT = re.compile(r"(?:(?:\.\./)+|(?<=[\s:])/)(?:[\w.-]+/)*")  # folders of a path that leads out of the checkout
# Commands as result files name them that were measured before 2026-11-24, and as they are called now.
RENAMED = (
    (re.compile(r"^lowbeam evaluate "), "python -m research "),
    (
        re.compile(r"^python -m lowbeam\.evaluate\.paper\.handover_study (\S+) (\S+) (\S+)$"),
        r"python -m research handover \1 \2 -o \3",
    ),
)

UNTOLD = {"accurate": "fad6b88b7c14"}  # weights of the results that do not tell them, which are of before 2026-11-29


def command_line() -> str:
    """The command that is running, to be stored with its results."""
    return shlex.join(["python", "-m", "research", *sys.argv[1:]])


def origin() -> dict[str, Any]:
    """The command that is running and the weights that ship, to be stored with its results."""
    return {"command": command_line(), "weights": shipped_weights()}


def earlier_weights(results: Iterable[Path]) -> str:
    """A paragraph that names those of the result files `results` that were measured with other weights of the default
    model than those that ship, after an empty line; empty where there are none. Raises `SourceError`."""
    ships = shipped_weights()[DEFAULT_MODEL]
    earlier = [f"`{path.name}`" for path in results if _weights(path).get(DEFAULT_MODEL) != ships]
    if not earlier:
        return ""
    return (
        f"\n**Weights.** `{DEFAULT_MODEL}` has been trained anew since these were measured, with the weights that "
        f"shipped before: {', '.join(earlier)}.\n"
    )


def _weights(path: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(path.read_text(encoding="utf-8")).get("weights", UNTOLD)
    except (OSError, ValueError, AttributeError) as error:
        raise SourceError(f"{path} cannot be read: {reason(error)}") from error
    return found


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
    """Call ``measure(progress=...)`` with a progress bar that counts `unit` (a plural), write its results and their
    `origin` to `path`, and return the results."""
    with progress_bar("measuring", unit) as progress:
        results = measure(progress=progress)
    write_json(path, results | origin())
    return results


def write_page(page: Path, text: str) -> Path:
    """Write the Markdown `text` to `page`, and return its path. Raises `OutputError`."""
    make_folder(page.parent)
    with whole_file(page) as beside:
        beside.write_text(text, encoding="utf-8")
    return page
