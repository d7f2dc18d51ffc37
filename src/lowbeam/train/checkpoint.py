"""The two files that training writes: ``last.pt``, from which a stopped stage resumes, and ``network.pt``, a finished
network.

Both hold only tensors and plain values and are loaded with ``weights_only=True``: a checkpoint cannot execute code.
"""

import io
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from lowbeam.files import whole_file

CHECKPOINT_FORMAT = 1
LAST, NETWORK = "last.pt", "network.pt"  # in the folder of a stage or run
UNREADABLE = (OSError, EOFError, RuntimeError, LookupError, AttributeError, TypeError, ValueError, UnpicklingError)

Weights = dict[str, Tensor]


def save_checkpoint(path: Path, **content: Any) -> None:
    """Write `content` to `path`, replacing the file only when it is complete. Raises `OutputError`."""
    buffer = io.BytesIO()  # written by torch, a full disk would be a RuntimeError
    torch.save({"format": CHECKPOINT_FORMAT, **content}, buffer)
    with whole_file(path) as beside:
        beside.write_bytes(buffer.getbuffer())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a file of `save_checkpoint`. Raises one of `UNREADABLE` where it is missing, damaged, or of
    another format."""
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if content["format"] != CHECKPOINT_FORMAT:
        raise ValueError(f"checkpoint format {content['format']} is not {CHECKPOINT_FORMAT}")
    return content


def cpu_weights(network: nn.Module) -> Weights:
    """A copy of the weights on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
