"""How vectors are stored: 32 bits, or 16 with coins for rounding; all arithmetic and all accumulators have 32.

Half the bytes per row is half the memory and nearly half the time of a step. Rounding to the nearest would undo small
steps: bfloat16 keeps 8 bits, so a number moves only by more than 1/512 of itself, and training would stop at rates
that still matter. Numbers are therefore rounded up or down at random, up with the chance that makes the mean right
(stochastic rounding: Gupta et al. 2015, https://arxiv.org/abs/1502.02551). Below 2^-14 float16 has fewer bits and is
rounded to the nearest 6e-8.

A coin is a hash of its place, of the row's accumulator and of the number itself. So nothing has to be remembered:
training that goes on from a checkpoint throws the coins that it would have thrown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from prismrec.models.m2grl.torch_device import TorchDevice

if TYPE_CHECKING:
    from torch import Tensor

Storage = Literal["fp32", "fp16", "bf16"]

BYTES_OF: dict[Storage, int] = {"fp32": 4, "fp16": 2, "bf16": 2}

DROPPED_BITS: dict[Storage, int] = {"fp32": 0, "fp16": 13, "bf16": 16}
"""Bits of a float32's fraction that the type has no room for."""

SMALLEST_NORMAL_HALF = 2.0**-14

_SIGNED = 1 << 32
_MULTIPLY_1, _MULTIPLY_2, _ROW_FACTOR = 0x7FEB352D, 0x846CA68B - _SIGNED, 0x9E3779B1 - _SIGNED


def dtype_of(storage: Storage, device: TorchDevice) -> Any:
    """Torch's type."""
    torch = device.torch
    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[storage]


def storage_of(table: Tensor) -> Storage:
    """How a table is stored."""
    names: dict[str, Storage] = {"torch.float32": "fp32", "torch.float16": "fp16", "torch.bfloat16": "bf16"}
    return names[str(table.dtype)]


def stored(values: Tensor, storage: Storage, device: TorchDevice) -> Tensor:
    """Values as they begin: rounded to the nearest."""
    return values.to(dtype_of(storage, device))


def rounded(values: Tensor, rows: Tensor, memory: Tensor, storage: Storage, device: TorchDevice) -> Tensor:
    """Values rounded at random to what a type of 16 bits can hold.

    Args:
        values: (n, dim) float32, finite.
        rows: (n,) int64 their rows in the table.
        memory: (n,) float32 the accumulators of the rows after the step.
    """
    torch = device.torch
    if storage == "fp32":
        return values
    bits = values.view(torch.int32)
    place = (rows * values.shape[1]).int()[:, None] + device.range(values.shape[1]).int()
    seed = (place * _ROW_FACTOR).bitwise_xor_(memory.contiguous().view(torch.int32)[:, None])
    mask = (1 << DROPPED_BITS[storage]) - 1
    coin = mixed(seed.bitwise_xor_(mixed(bits))).bitwise_and_(mask)
    found = coin.add_(bits).bitwise_and_(~mask).view(torch.float32)
    if storage == "fp16":
        found = torch.where(values.abs() < SMALLEST_NORMAL_HALF, values, found)
    return found.to(dtype_of(storage, device))


def mixed(numbers: Tensor) -> Tensor:
    """int32: a hash of int32 (lowbias32); products wrap around, and shifts to the right bring zeros in."""
    x = (numbers ^ ((numbers >> 16) & 0xFFFF)).mul_(_MULTIPLY_1)
    x = x.bitwise_xor_((x >> 15) & 0x1FFFF).mul_(_MULTIPLY_2)
    return x.bitwise_xor_((x >> 16) & 0xFFFF)


__all__ = [
    "BYTES_OF",
    "DROPPED_BITS",
    "SMALLEST_NORMAL_HALF",
    "Storage",
    "dtype_of",
    "mixed",
    "rounded",
    "storage_of",
    "stored",
]
