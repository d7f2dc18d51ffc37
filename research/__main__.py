"""``python -m research``: measure what the documentation reports, and write its generated pages."""

import typer
from typer.exceptions import TyperException

from lowbeam.cli import main
from lowbeam.errors import UsageError
from research.compact import commands as compact
from research.faces import commands as faces
from research.paper import commands as paper
from research.rate_distortion import commands as rate_distortion
from research.recognizer import commands as recognizer

app = typer.Typer(
    name="python -m research", rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False, help="Measure what the documentation reports, and write its generated pages.",
)  # fmt: skip
for part in (recognizer, rate_distortion, compact, faces, paper):
    app.add_typer(part.app)


def run(arguments: list[str]) -> int:
    """Run a command; returns the exit status. Raises `LowbeamError`."""
    try:
        command = typer.main.get_command(app)
        status = command.main(arguments or ["--help"], prog_name="python -m research", standalone_mode=False)
    except TyperException as error:
        raise UsageError(getattr(error, "format_message", error.__str__)()) from error
    return int(status or 0)


if __name__ == "__main__":
    main(run)
