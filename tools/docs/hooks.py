"""MkDocs hook: adds the pages that are made at build time, and mends links that leave ``docs``.

Made at build time: the command-line reference, the Python reference, the model cards, the changelog, the contributor's
guide and the notebook. A relative link to a file of the repository that is not part of the site becomes a link to the
repository's page of that file, so that the same Markdown works in both places.
"""

import os.path
import posixpath
import re
from pathlib import Path
from typing import Any

from cli_reference import cli_reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from notebook_page import notebook_page
from python_reference import python_reference

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "src" / "lowbeam" / "weights"
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")

# Repository path of each page that is copied from outside docs, by its place in the site.
COPIED = {
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "model-cards/accurate.md": "src/lowbeam/weights/accurate.md",
    "model-cards/best.md": "src/lowbeam/weights/best.md",
    "model-cards/fast.md": "src/lowbeam/weights/fast.md",
    "model-cards/face-restorer.md": "src/lowbeam/weights/restorers/face-restorer.md",
    "model-cards/features.md": "src/lowbeam/weights/features/features.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made at build time."""
    pages: dict[str, str | bytes] = {at: (ROOT / origin).read_text("utf-8") for at, origin in COPIED.items()}
    pages["reference/cli.md"] = cli_reference()
    pages["reference/python.md"] = python_reference()
    pages |= notebook_page(NOTEBOOK, "tutorials/notebook.md")
    for uri, content in pages.items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links to files of the repository at their page in the site, or else at the repository's website."""
    uri = page.file.src_uri
    folder = posixpath.dirname(COPIED.get(uri, posixpath.join("docs", uri)))
    return LINK.sub(lambda found: _mended(found, folder, uri, config, files), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Remove the two colons that introduce a literal block in a docstring."""
    return html.replace("<p>::</p>", "")


def _mended(found: re.Match[str], folder: str, uri: str, config: MkDocsConfig, files: Files) -> str:
    opening, target, anchor, closing = found[1], found[2], found[3] or "", found[4]
    if ":" in target or target.startswith("/"):
        return found[0]
    path = posixpath.normpath(posixpath.join(folder, target))
    at = next((page for page, origin in COPIED.items() if origin == path), path.removeprefix("docs/"))
    if files.get_file_from_path(at) is not None and (at != path or path in COPIED):
        return f"{opening}{posixpath.relpath(at, posixpath.dirname(uri) or '.')}{anchor}{closing}"
    if os.path.exists(ROOT / path):  # noqa: PTH110
        kind = "tree" if (ROOT / path).is_dir() else "blob"
        return f"{opening}{config.extra['repository']}/{kind}/main/{path}{anchor}{closing}"
    return found[0]  # MkDocs reports it
