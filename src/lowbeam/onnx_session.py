"""Loads ONNX models under ONNX Runtime: without console output, with checked inputs, and without telemetry.

From its first session on, ONNX Runtime 1.31 and later stores a device identity and a database of events under the cache
folder and looks up an external host. ``ORT_DISABLE_TELEMETRY=1`` in the environment before its import prevents this;
no module of lowbeam imports it before this one.
"""

import json
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from lowbeam.errors import ModelError, UsageError, reason

WEIGHTS = Path(__file__).parent / "weights"  # what ships
TRIAL_LIMIT_S = 10.0  # for one trial run of a user's model: a slower one is unusable, or never ends

onnxruntime.set_default_logger_severity(4)  # a user cannot act on its warnings


def check_threads(threads: int) -> None:
    """Raise `UsageError` unless `threads` is from 1 to the number of cores (at least 64)."""
    most = max(64, os.cpu_count() or 1)
    if not 1 <= threads <= most:
        raise UsageError(f"threads must be from 1 to {most}, not {threads}")


class OnnxSession:
    """A model under ONNX Runtime. `about` is the metadata that lowbeam stores in a model under `key`, empty for a model
    of others (`key` None); `initial_shapes` maps the inputs that have a default to their shapes.

    `providers` are names of execution providers in order of preference, before the CPU. Raises `ModelError` with the
    cause if the file cannot be loaded, `UsageError` if `threads` is out of range.
    """

    def __init__(self, path: Path, key: str | None, threads: int = 1, providers: tuple[str, ...] = ()) -> None:
        check_threads(threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        there = onnxruntime.get_available_providers()
        chosen = [name for name in (*providers, "CPUExecutionProvider") if name in there]
        self.path = path
        try:
            with _quiet_stdout():
                self._session = onnxruntime.InferenceSession(str(path), options, providers=chosen)
        except Exception as error:  # ONNX Runtime's own exceptions share no base but this one
            raise ModelError(f"{path} is not an ONNX model that can be loaded: {_cause(error)}") from error
        self.about: dict[str, Any] = {} if key is None else self._read_metadata(key)
        self.initial_shapes = {given.name: given.shape for given in self._session.get_overridable_initializers()}

    def _read_metadata(self, key: str) -> dict[str, Any]:
        try:
            about: dict[str, Any] = json.loads(self._session.get_modelmeta().custom_metadata_map[key])
        except (KeyError, ValueError) as error:
            raise ModelError(
                f"{self.path} is an ONNX model, but not one of lowbeam's: it has no {key} metadata"
            ) from error
        return about

    def run(self, outputs: list[str], inputs: dict[str, Any]) -> list[NDArray[Any]]:
        """The named `outputs` for the named `inputs`."""
        found: list[NDArray[Any]] = self._session.run(outputs, inputs)
        return found

    def try_run(self, outputs: list[str], inputs: dict[str, Any]) -> list[NDArray[Any]]:
        """Like `run`, for an untested model: raises `ModelError` if it fails or takes longer than `TRIAL_LIMIT_S`."""
        options = onnxruntime.RunOptions()
        timer = threading.Timer(TRIAL_LIMIT_S, lambda: setattr(options, "terminate", True))
        timer.daemon = True
        timer.start()
        try:
            with _quiet_stdout():
                found: list[NDArray[Any]] = self._session.run(outputs, inputs, options)
                return found
        except Exception as error:
            if options.terminate:
                raise ModelError(f"{self.path} does not finish a trial run within {TRIAL_LIMIT_S:.0f} s") from error
            raise ModelError(f"{self.path} cannot be run: {_cause(error)}") from error
        finally:
            timer.cancel()


def _cause(error: Exception) -> str:
    """The reason that ONNX Runtime gives, without the codes before it."""
    return re.sub(r"^\[onnxruntimeerror\] : \d+ : \w+ : ", "", reason(error))


def check_output(path: Path, what: str, found: NDArray[Any], shape: tuple[int, ...], low: float, high: float) -> None:
    """Raise `ModelError` unless `found` has the given `shape` and is finite and within `low` to `high`."""
    if found.shape != shape:
        raise ModelError(f"{path}: {what} has the shape {found.shape}, not {shape}")
    if not np.isfinite(found).all():
        raise ModelError(f"{path}: {what} is not finite")
    if found.size and not low <= float(found.min()) <= float(found.max()) <= high:
        raise ModelError(f"{path}: {what} is out of range: {found.min():.4g} to {found.max():.4g}")


@contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Redirect standard output to standard error, for libraries that print."""
    try:
        sys.stdout.flush()
        kept = os.dup(1)
    except (OSError, ValueError, AttributeError):  # closed
        yield
        return
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
