"""A network of the paper's experiment as an ONNX file with the interface of the shipped models."""

import json
import math
from pathlib import Path

from lowbeam.errors import UsageError
from lowbeam.files import whole_file
from lowbeam.models.export import export_cnn_d
from lowbeam.models.paper import cnn_d_of
from lowbeam.train.checkpoint import NETWORK, UNREADABLE, load_checkpoint
from lowbeam.train.paper.recipe import load_system


def export_job(job: str | Path, out: str | Path) -> None:
    """Write the recognizer of a finished job of `lowbeam replicate`, by its folder, to the ONNX file `out`.

    Raises `UsageError` if the folder holds no finished recognizer, or `OutputError`.
    """
    folder = Path(job)
    try:
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        is_read_restored = load_system(result["system"]).reads == "restored"
        std = math.sqrt(result["valid_loss"])  # of both together: the loss is their mean squared error
        network = cnn_d_of(load_checkpoint(folder / NETWORK)["weights"])
    except UNREADABLE as error:
        raise UsageError(f"{folder} is not the folder of a finished recognizer of lowbeam replicate") from error
    if is_read_restored:
        raise UsageError(f"{folder} holds a recognizer of restored faces, which cannot be exported without its SR-FCN")
    with whole_file(out) as beside:
        export_cnn_d(network, (std, std), beside)
