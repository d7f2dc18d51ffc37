"""Run the examples of a page: ``python tools/docs/console.py docs/tutorials/*.md`` writes their output into the page.

Examples are the fenced blocks ``console`` (lines that begin with ``$ `` are commands, the rest is what they print) and
``pycon`` (``>>> ``, as in Python's own documentation). Those of a page run in order, in one new folder that holds
``clip.mp4`` and ``clip.csv``, the clip that ships and its true valence and arousal, and ``call.mp4``, the clip again.
"""

import code
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"^(?P<fence>```(?P<kind>console|pycon)\n)(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "src" / "lowbeam" / "assets"
TIMEOUT_S = 300


def run_page(text: str, folder: Path) -> str:
    """The Markdown `text`, with the output of each example replaced by what it prints now in `folder`."""
    for name, copy in (("clip.mp4", "clip.mp4"), ("clip.csv", "clip.csv"), ("clip.mp4", "call.mp4")):
        shutil.copy(ASSETS / name, folder / copy)
    shell, python = Shell(folder), Python(folder)

    def again(found: re.Match[str]) -> str:
        runner = shell if found["kind"] == "console" else python
        return f"{found['fence']}{runner.run(found['body'])}```"

    return BLOCK.sub(again, text)


class Shell:
    """Runs the commands of ``console`` blocks with Bash, each in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, body: str) -> str:
        """The block with its output as it is now. Raises `subprocess.CalledProcessError` where a command fails."""
        parts = []
        for command in re.findall(r"^\$ ((?:.*\\\n)*.*)$", body, re.MULTILINE):
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command], cwd=self._folder, text=True, check=True, timeout=TIMEOUT_S,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"COLUMNS": "100"},
            )  # fmt: skip
            parts.append(f"$ {command}\n{done.stdout}")
        return "".join(parts)


class Python:
    """Runs the statements of ``pycon`` blocks in one interpreter."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._console = code.InteractiveConsole()

    def run(self, body: str) -> str:
        """The block with its output as it is now. Raises `RuntimeError` where a statement fails."""
        statements = re.findall(r"^>>> .*\n(?:\.\.\. .*\n)*", body, re.MULTILINE)
        printed = io.StringIO()
        with contextlib.chdir(self._folder), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            for statement in statements:
                printed.write(statement)
                source = "\n".join(line[4:] for line in statement.splitlines())
                self._console.runsource(f"{source}\n", symbol="single")
        if "Traceback" in printed.getvalue() and "Traceback" not in body:
            raise RuntimeError(printed.getvalue())
        return printed.getvalue()


def main(pages: list[str]) -> None:
    """Write the output of the examples into each page."""
    for page in pages:
        with tempfile.TemporaryDirectory() as folder:
            text = run_page(Path(page).read_text("utf-8"), Path(folder))
        Path(page).write_text(text, "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
