"""The memory layout in which convolutions run fastest."""

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def channels_last(network: Network) -> Network:
    """`network` with channels-last weights: bfloat16 convolutions are fastest so, on CPUs and on GPUs."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
