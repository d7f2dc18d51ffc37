"""A notebook as a page of the site: its text, its code, and the outputs that are stored in it."""

import base64
import json
import posixpath
from pathlib import Path
from typing import Any


def notebook_page(notebook: Path, uri: str) -> dict[str, str | bytes]:
    """Files of the site by their place: the page at `uri`, in Markdown, and its pictures beside it."""
    files: dict[str, str | bytes] = {}
    parts = []
    for number, cell in enumerate(json.loads(notebook.read_text("utf-8"))["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        printed = "".join("".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream")
        if printed:
            parts.append(f"```text\n{printed.rstrip()}\n```")
        for output in cell["outputs"]:
            picture = f"{posixpath.splitext(uri)[0]}-{number}.png"
            text, data = _output(output)
            if data is not None:
                files[picture] = data
                parts.append(f"![output of the cell above]({posixpath.basename(picture)})")
            elif text:
                parts.append(f"```text\n{text.rstrip()}\n```")
    return files | {uri: "\n\n".join(parts) + "\n"}


def _output(output: dict[str, Any]) -> tuple[str, bytes | None]:
    data = output.get("data", {})
    if "image/png" in data:
        return "", base64.b64decode("".join(data["image/png"]))
    return "".join(data.get("text/plain", "")), None
