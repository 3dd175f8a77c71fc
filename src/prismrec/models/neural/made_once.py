"""What is made of a whole network, once for each state of its parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import torch
from torch import nn

Made = TypeVar("Made")


class MadeOnce(Generic[Made]):
    """A value made of a network's parameters without gradients, and kept until they change.

    A validation asks a model for its encoder and for its table: both come of one propagation.
    """

    def __init__(self, network: nn.Module, make: Callable[[], Made]) -> None:
        """Bind the network, and how the value is made."""
        self._network = network
        self._make = make
        self._state: tuple[int, ...] = ()
        self._made: Made | None = None

    def get(self) -> Made:
        """The value for the parameters as they are now."""
        state = tuple(parameter._version for parameter in self._network.parameters())  # counts changes in place
        if self._made is None or self._state != state:
            with torch.inference_mode():
                self._made = self._make()
            self._state = state
        return self._made


__all__ = ["MadeOnce"]
