"""Result files of sweeps: JSON with one point per line, which keeps differences between versions readable."""

import json
from pathlib import Path
from typing import Any

from lowbeam.errors import SourceError, reason
from lowbeam.evaluate.curve.sweep import RESULTS_VERSION
from lowbeam.files import whole_file


def write_results(results: dict[str, Any], path: Path) -> None:
    """Write what `sweep` returned. Raises `OutputError`."""
    head = {name: value for name, value in results.items() if name != "points"}
    points = ",\n".join(json.dumps(point) for point in results["points"])
    with whole_file(path) as beside:
        beside.write_text(json.dumps(head, indent=1)[:-2] + f',\n "points": [\n{points}\n]\n}}\n')


def read_results(path: Path) -> dict[str, Any]:
    """Read a file of `write_results`. Raises `SourceError` where it is missing, damaged, or of another version."""
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        if results["version"] != RESULTS_VERSION:
            raise SourceError(f"{path} is of version {results['version']}; this lowbeam reads {RESULTS_VERSION}")
        if not results["systems"] or not results["uncoded"] or not results["points"][0]["scores"]:
            raise KeyError("systems")
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        why = reason(error) if isinstance(error, OSError) else "entries are missing or malformed"
        raise SourceError(f"{path} is no result of lowbeam curve: {why}") from error
    return results


def read_sweeps(paths: list[Path]) -> dict[str, Any]:
    """Merge sweeps of the same systems over the same recordings. Raises `SourceError` if a file is damaged, or is of
    other systems or recordings, or if there is none."""
    if not paths:
        raise SourceError("there is no result of lowbeam curve")
    first, *rest = (read_results(path) for path in paths)
    together = first | {"commands": [first["command"]]}
    for path, more in zip(paths[1:], rest, strict=True):
        if any(more[name] != first[name] for name in ("corpus", "split", "recordings", "seconds", "systems")):
            raise SourceError(f"{path} is of other systems or recordings than {paths[0].name}")
        together["points"] = together["points"] + more["points"]
        together["failed"] = together["failed"] + more["failed"]
        together["commands"].append(more["command"])
    return together
