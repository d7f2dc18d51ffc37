"""The public names of lowbeam, and their types as a user's type checker sees them."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import lowbeam

PUBLIC = {
    "batch", "report", "Outcome",
    "pack", "read", "send", "Sent", "stream", "Reader", "Packed", "Recognizer", "Estimates", "Estimate", "Restorer",
    "Trace", "load_csv", "Box", "Face", "FrameFaces", "shipped_models", "LowbeamError", "UsageError", "SourceError",
    "NoFaceError", "StreamError", "CodecError", "ModelError", "CorpusError", "OutputError", "__version__",
}  # fmt: skip

PROGRAM = """
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import lowbeam
from lowbeam import Estimate, FrameFaces, Recognizer, Restorer, Trace, load_csv

packed = lowbeam.pack("call.mp4", "face.mkv", scale=8, budget=None)
assert_type(packed.rate_bps, float)
trace = lowbeam.read("face.mkv", out="trace.csv", progress=lambda done, total: None)
assert_type(trace, Trace)
assert_type(trace["valence"], NDArray[Any])
assert_type(trace[10.0:20.0], Trace)
for estimate in load_csv("trace.csv"):
    assert_type(estimate.valence_std, float)
for frame, estimates in lowbeam.stream("camera:0"):
    assert_type(frame, FrameFaces)
    assert_type(estimates, list[Estimate])
    for face in frame.faces:
        assert_type(Recognizer()(face.pixels[None]).valence, NDArray[np.float32])
        assert_type(Restorer()(face.pixels[None]), NDArray[np.uint8])
try:
    lowbeam.Reader(model="fast").read("face.mkv", faces="everyone")
except lowbeam.NoFaceError as error:
    assert_type(error, lowbeam.NoFaceError)
lowbeam.no_such_name
"""


def test_all_lists_the_public_names() -> None:
    assert set(lowbeam.__all__) == PUBLIC
    assert set(dir(lowbeam)) >= PUBLIC


def test_every_public_name_can_be_imported() -> None:
    program = f"from lowbeam import *; assert {PUBLIC!r} <= set(globals()), globals()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("value", [lowbeam.Box(1.0, 2.0, 3.0), lowbeam.UsageError("no"), lowbeam.Recognizer])
def test_public_objects_can_be_pickled(value: object) -> None:
    assert type(pickle.loads(pickle.dumps(value))) is type(value)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'lowbeam' has no attribute 'no_such_name'"):
        lowbeam.no_such_name  # noqa: B018
    with pytest.raises(ImportError, match="no_such_name"):
        exec("from lowbeam import no_such_name")


def test_a_user_s_program_is_type_checked_strictly(tmp_path: Path) -> None:
    assert (Path(lowbeam.__file__).parent / "py.typed").is_file()  # PEP 561: checkers use the annotations
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "program.py"]
    checked = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False).stdout
    errors = [line for line in checked.splitlines() if "error:" in line]
    assert len(errors) == 2, checked
    assert 'Argument "faces"' in errors[0]
    assert 'Module has no attribute "no_such_name"' in errors[1]
