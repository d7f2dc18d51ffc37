"""Tables of Markdown."""

from typing import Any


def table(heads: list[str], rows: list[list[Any]]) -> str:
    lines = [heads, ["---:"] * len(heads), *rows]
    return "\n".join("| " + " | ".join("-" if cell is None else str(cell) for cell in line) + " |" for line in lines)


def ccc_text(value: float) -> str:
    return f"{value:.3f}"
