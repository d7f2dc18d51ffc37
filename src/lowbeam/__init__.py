"""lowbeam estimates valence and arousal over time from face video sent over a link of a few kbit/s.

>>> import lowbeam
>>> lowbeam.pack("call.mp4", "face.mkv", scale=8)
>>> trace = lowbeam.read("face.mkv")
>>> trace.to_pandas()

The public names are listed in ``__init__.pyi``, and each is imported when it is first used: ``import lowbeam`` stays
fast, and the command line can handle Ctrl-C from its start.
"""

__version__ = "0.1.0"

with open(f"{__path__[0]}/__init__.pyi", encoding="utf-8") as _stub:  # noqa: PTH123  (pathlib is slow to import)
    # The module of each public name, from lines of the form: from .MODULE import NAME as NAME
    _MODULES = {line.split()[3]: __name__ + line.split()[1] for line in _stub if line.startswith("from .")}
__all__ = ["__version__", *sorted(_MODULES)]  # noqa: PLE0604  (ruff cannot evaluate it)


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(_MODULES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
