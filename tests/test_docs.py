"""The documentation: it builds, loads nothing from elsewhere, is complete, and its examples do what they show."""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
import typer

import lowbeam
from benchmarks.readme_figures import HEADLINE_SCALES, headline_table
from lowbeam.cli.app import app

ROOT = Path(__file__).parents[1]
LOADED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "preconnect", "dns-prefetch", "manifest"}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NUMBER = re.compile(r"[-+−]?\d+(?:\.\d*)?")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="the site needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)], cwd=ROOT,
        capture_output=True, text=True, timeout=300, check=False, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder


class Loaded(HTMLParser):
    """Addresses of what a browser loads with a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        if tag == "link" and LOADED_LINKS & set(values.get("rel", "").split()):
            self.found.append(values.get("href", ""))
        if tag in {"script", "img", "iframe", "source", "video", "audio", "embed", "input"}:
            self.found += [values[name] for name in ("src", "srcset", "poster") if name in values]
        if tag == "object":
            self.found.append(values.get("data", ""))


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        parser = Loaded()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.found
        assert not [address for address in parser.found if re.match(r"(?:https?:)?//", address)], page
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert not re.search(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//", text), sheet


def test_no_component_asks_another_site(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    assert 'data-md-component="source"' not in text  # Material would fetch stars and forks from GitHub
    assert "google" not in text


def commands_of(command: object, path: str) -> Iterator[str]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from commands_of(below, f"{path} {name}")


def test_every_command_and_public_name_has_its_section(site: Path) -> None:
    cli = (site / "reference" / "cli" / "index.html").read_text(encoding="utf-8")
    for path in commands_of(typer.main.get_command(app), "lowbeam"):
        assert f'id="{path.replace(" ", "-")}"' in cli
    python = (site / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    for name in lowbeam.__all__:
        if name != "__version__":
            assert name in python, name


def test_cards_and_notebook_are_pages(site: Path) -> None:
    for name in ("accurate", "best", "fast", "face-restorer", "features"):
        assert (site / "model-cards" / name / "index.html").is_file()
    assert list((site / "tutorials").glob("notebook-*.png"))


def test_braces_in_tables_reach_the_page(site: Path) -> None:
    written = (ROOT / "docs" / "replication.md").read_text(encoding="utf-8")
    shown = (site / "replication" / "index.html").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S[^|]*\}) \|", written, re.MULTILINE)
    assert rows
    for row in rows:
        assert shown.count(f"<td>{row}</td>") == rows.count(row)


def test_no_block_of_figures_is_empty() -> None:
    for page in PAGES:
        assert not re.search(r"<!-- figures: .* -->\n<!-- end -->", page.read_text(encoding="utf-8")), page


def test_the_readme_is_short_and_has_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    assert "    make demo " in text
    assert "    make test " in text
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / target).exists(), target


def test_headline_figures_are_of_real_and_of_rendered_people() -> None:
    scored = {str(s): {"valence": {"ccc": 0.5}, "arousal": {"ccc": -0.001}} for s in HEADLINE_SCALES}
    speed = {"faces_per_s": {"lowbeam accurate": 6000.0}}
    domains = {"corpora": {name: {"systems": {"accurate": scored}} for name in ("FER+", "faces96")}}
    table = headline_table(speed, {"uncoded": {"accurate": scored}}, domains)
    cells = " | ".join(["0.50 / 0.00"] * len(HEADLINE_SCALES))
    assert f"| lowbeam accurate | real, FER+ | {cells} | 6,000 |" in table
    assert f"| lowbeam accurate | real, faces96 | {cells} |  |" in table
    assert f"| lowbeam accurate | rendered | {cells} |  |" in table


def console() -> ModuleType:
    spec = importlib.util.spec_from_file_location("console", ROOT / "tools" / "docs" / "console.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shape(text: str) -> list[str]:
    """The words of each line, without figures: another processor may differ in the last digit."""
    return [" ".join(NUMBER.sub("0", line).split()) for line in text.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if re.search("^```(console|pycon)$", page.read_text(), re.MULTILINE)],
    ids=lambda page: page.stem,
)  # fmt: skip
def test_examples_do_what_the_page_shows(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "bin").mkdir()
    for name, words in (("python", ""), ("lowbeam", "-m lowbeam.cli ")):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words}"$@"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = page.read_text(encoding="utf-8")
    (tmp_path / "work").mkdir()
    assert shape(console().run_page(text, tmp_path / "work")) == shape(text)
