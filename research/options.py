"""Options that several commands of ``python -m research`` have."""

from pathlib import Path
from typing import Annotated

import typer

Results = Annotated[Path, typer.Option("-o", "--out", help="results as JSON")]
Page = Annotated[Path, typer.Option("-o", "--out", help="the page (Markdown)")]
Plots = Annotated[bool, typer.Option("--plots/--no-plots", help="draw the plots into the results folder")]
