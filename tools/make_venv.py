"""Make a virtual environment with pip in it: ``python3 tools/make_venv.py FOLDER``.

As ``python3 -m venv``, but it works too where Debian's Python comes without ensurepip (its package python3-venv): pip's
wheel is then fetched from PyPI and installs itself.
"""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import venv
from pathlib import Path
from urllib.parse import urljoin

PYPI = "https://pypi.org/pypi/pip/json"


def fetch_pip(folder: Path) -> Path:
    """Download pip's wheel into `folder`, checked against the digest that PyPI states."""
    with urllib.request.urlopen(PYPI, timeout=60) as answer:
        files = json.load(answer)["urls"]
    wheel = next(file for file in files if file["packagetype"] == "bdist_wheel")
    with urllib.request.urlopen(urljoin(PYPI, wheel["url"]), timeout=60) as answer:
        data = answer.read()
    if hashlib.sha256(data).hexdigest() != wheel["digests"]["sha256"]:
        raise OSError("pip's wheel is not what PyPI says that it is")
    path = folder / wheel["filename"]
    path.write_bytes(data)
    return path


def make_venv(folder: Path, with_ensurepip: bool) -> None:
    """Make the environment; nothing is left where that fails."""
    try:
        venv.create(folder, with_pip=with_ensurepip, symlinks=True)
        if not with_ensurepip:
            with tempfile.TemporaryDirectory() as temporary:
                wheel = fetch_pip(Path(temporary))
                python = folder / "bin" / "python"
                subprocess.run([python, wheel / "pip", "install", "--quiet", "--no-index", wheel], check=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036  (whoever runs this may have any)
        sys.exit(f"lowbeam needs Python 3.11 or newer; this is {sys.version.split()[0]}. Try make PYTHON=python3.12 …")
    try:
        make_venv(Path(sys.argv[1]), importlib.util.find_spec("ensurepip") is not None)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"no virtual environment could be made: {error}\nTry: apt install python3-venv")
