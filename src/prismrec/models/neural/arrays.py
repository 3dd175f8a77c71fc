"""Parameters as plain arrays and back: what a bundle keeps of a network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def copied(tensor: torch.Tensor) -> NDArray[np.float32]:
    """A copy as float32: training goes on in the tensor."""
    return np.array(tensor.detach().float().cpu().numpy())


def arrays_of(network: nn.Module) -> dict[str, NDArray[np.float32]]:
    """A copy of all parameters and kept buffers, by name."""
    return {name: copied(tensor) for name, tensor in network.state_dict().items()}


def fill(network: nn.Module, arrays: Mapping[str, NDArray]) -> None:
    """Give a network what `arrays_of` took from one like it; the arrays are copied, and may be mapped from disk."""
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in arrays.items()})


__all__ = ["arrays_of", "copied", "fill"]
