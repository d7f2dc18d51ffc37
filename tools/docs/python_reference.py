"""The Python reference: every public name of the package, described by its docstring through mkdocstrings."""

import inspect

import lowbeam

HEAD = """# Python

Everything below is imported from `lowbeam`: `lowbeam.read`, `lowbeam.Trace`. The descriptions are the docstrings of
the installed version. Times are seconds from the source's first frame, rates are bits per second, boxes are pixels of
the source, and valence and arousal are in [-1, 1].
"""
FIRST = ("pack", "read", "stream", "Reader", "Recognizer", "Restorer", "Trace", "Estimate", "Estimates")
FUNCTIONS, ERRORS, OTHERS = "Functions and classes for a task", "Errors", "Types that they use"


def python_reference() -> str:
    """The page, in Markdown with mkdocstrings' blocks."""
    names = [name for name in lowbeam.__all__ if not name.startswith("__")]
    errors = [
        name for name in names if isinstance(value := getattr(lowbeam, name), type) and issubclass(value, Exception)
    ]
    first = [name for name in FIRST if name in names]
    others = [name for name in names if name not in {*first, *errors}]
    parts = [HEAD]
    for heading, members in ((FUNCTIONS, first), (OTHERS, others)):
        parts.append(f"\n## {heading}\n")
        parts += [_entry(name) for name in members]
    parts.append(
        f"\n## {ERRORS}\n\n::: lowbeam.errors\n    options:\n      members: []\n      show_root_heading: false\n"
    )
    return "\n".join(parts)


def _entry(name: str) -> str:
    value = inspect.unwrap(getattr(lowbeam, name))
    path = f"{value.__module__}.{value.__qualname__}"
    return f"::: {path}\n    options:\n      heading: lowbeam.{name}\n      toc_label: {name}\n"
