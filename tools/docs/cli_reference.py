"""The command-line reference, written from the Typer app: a section for each command, with all that its help has."""

from typing import Any

import typer

from lowbeam.cli.app import app

HEAD = """# Command line

This page is generated from the commands themselves: each section holds what `lowbeam COMMAND --help` prints. The exit
status is 0, 2 after an error, 3 if `batch` could not read all, 130 after Ctrl-C and 143 after SIGTERM: see
[errors and exit codes](../how-to/errors.md).
"""


def cli_reference() -> str:
    """The page, in Markdown."""
    command = typer.main.get_command(app)
    return HEAD + "\n".join(_sections(command, None, "lowbeam"))


def _sections(command: Any, parent: Any, path: str) -> list[str]:
    """The section of a command, and those of the commands beneath it."""
    context = command.make_context(path.rpartition(" ")[2], [], parent=parent, resilient_parsing=True)
    lines = [f"\n## {path}\n", _plain(command.help or ""), ""]
    usage = " ".join(command.collect_usage_pieces(context))
    lines += ["```text", f"{path} {usage}", "```", ""]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.get_params(context) if p.param_type_name == "option"]
    if arguments:
        lines += ["| argument | what it is |", "| --- | --- |"]
        lines += [f"| `{p.get_usage_pieces(context)[0]}` | {_cell(p.help or '')} |" for p in arguments]
        lines.append("")
    if options:
        lines += ["| option | what it does |", "| --- | --- |"]
        lines += [_option_row(p, context) for p in options if not p.hidden]
        lines.append("")
    if command.epilog:
        example = command.epilog.removeprefix("Example: ")
        lines += ["```sh", example, "```", ""]
    for name, below in getattr(command, "commands", {}).items():
        lines += _sections(below, context, f"{path} {name}")
    return lines


def _option_row(option: Any, context: Any) -> str:
    names, text = option.get_help_record(context)
    return f"| `{names}` | {_cell(text)} |"


def _cell(text: str) -> str:
    """A cell of a table; brackets make no links."""
    for mark, shown in (("|", "\\|"), ("<", "&lt;"), ("[", "&#91;")):
        text = text.replace(mark, shown)
    return _plain(text)


def _plain(text: str) -> str:
    return " ".join(text.split())
