"""The random numbers of `graphs.negatives` in torch, any of them at once, and coins for rounding.

splitmix64 is a counter: the k-th number of a state is a mix of state + k * golden, so a device computes all numbers of
a batch side by side, bit for bit those that a loop on the CPU draws one after the other. Torch has no unsigned 64-bit
arithmetic: int64 wraps around in the same way, and shifts to the right are masked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prismrec.graphs.negatives import SLOT_STRIDE, random_states
from prismrec.models.m2grl.torch_device import TorchDevice

if TYPE_CHECKING:
    from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)
_LOW_24, _UNIT_24 = 0xFFFFFF, 1.0 / (1 << 24)


def slot_states(stream: tuple[int, ...], n_slots: int, device: TorchDevice) -> Tensor:
    """(n_slots,) int64 states: those of `random_states`, one per slot."""
    states: NDArray[np.int64] = random_states(*stream, n_slots=n_slots)[::SLOT_STRIDE].view(np.int64)
    return device.sent(states)


def advanced(states: Tensor, steps: Tensor | int) -> Tensor:
    """The states after so many numbers were drawn from them."""
    if isinstance(steps, int):
        return states + ((steps * _GOLDEN + (1 << 63)) % (1 << 64) - (1 << 63))
    return states + steps * _GOLDEN


def next_bits(states: Tensor) -> Tensor:
    """int64 whose bits are the next 64 random bits of each state."""
    z = states + _GOLDEN
    z = (z ^ shifted(z, 30)) * _MIX_1
    z = (z ^ shifted(z, 27)) * _MIX_2
    return z ^ shifted(z, 31)


def shifted(bits: Tensor, by: int) -> Tensor:
    """The bits of an int64 moved to the right, zeros coming in."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def below(bits: Tensor, n: Tensor | int) -> Tensor:
    """int64 in 0..n-1 from random bits, n below 2^31; as `negatives.next_below`."""
    return (shifted(bits, 32) * n) >> 32


def unit(bits: Tensor) -> Tensor:
    """float32 in [0, 1) from the highest 24 of random bits; as `negatives.next_unit`."""
    return shifted(bits, 40).float() * _UNIT_24


def low_unit(bits: Tensor) -> Tensor:
    """float32 in [0, 1) from the lowest 24 of random bits: what an alias table decides by."""
    return (bits & _LOW_24).float() * _UNIT_24


__all__ = ["advanced", "below", "low_unit", "next_bits", "shifted", "slot_states", "unit"]
