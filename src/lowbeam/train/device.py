"""Where networks are trained."""

import torch

from lowbeam.errors import UsageError


def choose_device(name: str | None) -> torch.device:
    """``cpu`` or ``cuda`` by name; None: a GPU where there is one. Raises `UsageError`."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise UsageError(f"device {name} is not one of cpu, cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available; leave out --device, or choose cpu")
    return torch.device(name)
