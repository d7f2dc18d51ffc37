"""The command line: each command is a thin call of the function of the same name."""

import os
import sys
from pathlib import Path

import typer
from typer.exceptions import TyperException

from lowbeam.cli import lab, school, street
from lowbeam.cli.show import say
from lowbeam.errors import LowbeamError

app = typer.Typer(
    name="lowbeam", add_completion=False, rich_markup_mode=None,
    help="Read emotion (valence and arousal over time) from face video that a thin link can carry.",
)  # fmt: skip
for part in (street, lab, school):
    app.add_typer(part.app)
app.add_typer(lab.evaluate, name="evaluate")
app.add_typer(school.corpus_app, name="corpus")
INTERRUPTED = 130  # exit status after Ctrl-C: 128 and the signal's number


def main() -> None:
    """Entry point: every error is one line on standard error and exit status 2."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, Path(os.devnull).open("r+"))  # noqa: SIM115  (for as long as the program runs)
    try:
        status = typer.main.get_command(app).main(args=sys.argv[1:] or ["--help"], standalone_mode=False)
        sys.stdout.flush()
    except LowbeamError as error:
        _fail(str(error))
    except TyperException as error:
        _fail(getattr(error, "format_message", error.__str__)())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in its buffer has nowhere to go
        _fail(f"{error.filename or 'standard output'}: {(error.strerror or str(error)).lower()}")
    else:
        if status == INTERRUPTED:
            say("lowbeam: interrupted; no half file is left")
        sys.exit(status)


def _fail(message: str) -> None:
    say(f"lowbeam: {' '.join(message.split())}")
    sys.exit(2)
