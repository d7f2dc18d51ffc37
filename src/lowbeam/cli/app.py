"""The `lowbeam` application: all commands, and the options before them."""

import logging
import sys
from typing import Annotated

import typer
from typer.exceptions import TyperException

import lowbeam
from lowbeam.cli import archive, lab, live, school, street
from lowbeam.errors import UsageError
from lowbeam.media.stopping import stopped_by

app = typer.Typer(
    name="lowbeam", rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Estimate valence and arousal over time from face video sent over a link of a few kbit/s.",
)  # fmt: skip
for part in (street, archive, live, lab, school):
    app.add_typer(part.app)
app.add_typer(school.corpus_app, name="corpus")


def _print_version(asked: bool) -> None:
    if asked:
        print(f"lowbeam {lowbeam.__version__}")
        raise typer.Exit


@app.callback()
def before_all(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", callback=_print_version, is_eager=True)
    ] = False,
    verbose: Annotated[
        int, typer.Option("-v", "--verbose", count=True, help="more log output; -vv for everything", show_default=False)
    ] = 0,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="log errors only")] = False,
) -> None:
    """Options before the command."""
    level = logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(stream=sys.stderr, format="lowbeam: %(message)s", level=logging.WARNING)
    logging.getLogger("lowbeam").setLevel(level)


def run(arguments: list[str]) -> int:
    """Run a command; returns the exit status. Raises `LowbeamError`."""
    try:
        status = typer.main.get_command(app).main(args=arguments or ["--help"], standalone_mode=False)
    except SystemExit as error:  # raised by Typer for a closed pipe
        raise BrokenPipeError from error
    except TyperException as error:
        raise UsageError(getattr(error, "format_message", error.__str__)()) from error
    ended_by = stopped_by()
    return 128 + ended_by if ended_by is not None else int(status or 0)
