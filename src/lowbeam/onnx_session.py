"""How ONNX models are loaded: quietly, within bounds, and without ONNX Runtime telling its makers.

ONNX Runtime 1.31 and later keep an identity of the device and a database of events under the cache folder, and look up
a host outside, from the first session on. ``ORT_DISABLE_TELEMETRY=1`` in the environment before its import stops all of
that; nothing in lowbeam imports it before this module.
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

TRIAL_LIMIT_S = 10.0  # for one run of a model that does not ship: a slower one is of no use, or never ends

onnxruntime.set_default_logger_severity(4)  # its warnings say nothing that a user could act on


def check_threads(threads: int) -> None:
    """Raise `UsageError` where `threads` is not a number of cores that this machine could have."""
    most = max(64, os.cpu_count() or 1)
    if not 1 <= threads <= most:
        raise UsageError(f"threads must be from 1 to {most}, not {threads}")


class OnnxSession:
    """A model under ONNX Runtime. `about` is the metadata that lowbeam writes into a model under `key`.

    `providers` are names of execution providers, the first that is there being used. Raises `ModelError` with the cause
    where the file cannot be loaded, and `UsageError` for a number of threads that cannot be.
    """

    def __init__(self, path: Path, key: str, threads: int = 1, providers: tuple[str, ...] = ()) -> None:
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
        try:
            self.about: dict[str, Any] = json.loads(self._session.get_modelmeta().custom_metadata_map[key])
        except (KeyError, ValueError) as error:
            raise ModelError(f"{path} is an ONNX model, but not one of lowbeam's: it has no {key} metadata") from error
        self.initial_shapes = {given.name: given.shape for given in self._session.get_overridable_initializers()}

    def run(self, outputs: list[str], inputs: dict[str, Any]) -> list[NDArray[Any]]:
        """The `outputs` by name, for `inputs` by name."""
        found: list[NDArray[Any]] = self._session.run(outputs, inputs)
        return found

    def try_run(self, outputs: list[str], inputs: dict[str, Any]) -> list[NDArray[Any]]:
        """As `run`, of a model that nobody knows: raises `ModelError` where it fails, or is not done within
        `TRIAL_LIMIT_S`."""
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
                raise ModelError(f"{self.path} does not come to an end within {TRIAL_LIMIT_S:.0f} s") from error
            raise ModelError(f"{self.path} cannot be run: {_cause(error)}") from error
        finally:
            timer.cancel()


def _cause(error: Exception) -> str:
    """Why ONNX Runtime refused, without the codes before it."""
    return re.sub(r"^\[onnxruntimeerror\] : \d+ : \w+ : ", "", reason(error))


def check_output(path: Path, what: str, found: NDArray[Any], shape: tuple[int, ...], low: float, high: float) -> None:
    """Raise `ModelError` where `found` is not of `shape`, finite, and from `low` to `high`."""
    if found.shape != shape:
        raise ModelError(f"{path}: {what} has the shape {found.shape}, not {shape}")
    if not np.isfinite(found).all():
        raise ModelError(f"{path}: {what} is not finite")
    if found.size and not low <= float(found.min()) <= float(found.max()) <= high:
        raise ModelError(f"{path}: {what} is out of range: {found.min():.4g} to {found.max():.4g}")


@contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Send what a library prints to standard output to standard error."""
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
