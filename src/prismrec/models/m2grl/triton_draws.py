"""The negatives of a batch in one Triton kernel: each drawn from its place alone, nothing in between written down.

The same numbers as `DeviceSampler` computes with torch's operations, bit for bit; those read and write each 64-bit
number some twenty times, this kernel writes 4 bytes per negative and reads its slot of the alias table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from prismrec.graphs.negatives import AliasTable
from prismrec.models.m2grl.torch_device import TorchDevice

if TYPE_CHECKING:
    from torch import Tensor

BLOCK = 1024
"""Negatives that one program draws."""


def draw_negatives(states: Tensor, n_anchors: int, n_negatives: int, noise: AliasTable, device: TorchDevice) -> Tensor:
    """(n_anchors, n_negatives) int32 from an alias table.

    Args:
        states: (n_chunks,) int64: the anchors are cut into as many chunks of equal length, whose numbers they begin.
    """
    drawn = device.empty(n_anchors, n_negatives, dtype=device.torch.int32)
    n = n_anchors * n_negatives
    if n:
        _draw[(triton.cdiv(n, BLOCK),)](
            states, noise.probability, noise.alias, drawn, n, n_anchors, len(states), len(noise.alias),
            n_negatives, BLOCK,
        )  # fmt: skip
    return drawn


@triton.jit(do_not_specialize=["n", "n_anchors", "n_chunks", "n_nodes"])
def _draw(  # type: ignore[no-untyped-def]
    states, probability, alias, drawn, n, n_anchors, n_chunks, n_nodes, N_NEGATIVES: tl.constexpr, BLOCK: tl.constexpr
):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    there = place < n
    anchor = place // N_NEGATIVES
    chunk = (
        (anchor + 1) * n_chunks - 1
    ) // n_anchors  # the last one that begins, at n_anchors * chunk // n_chunks, by now
    chunk = tl.where(there, chunk, 0)
    number = place - (n_anchors * chunk // n_chunks) * N_NEGATIVES
    z = tl.load(states + chunk, mask=there, other=0).to(tl.uint64, bitcast=True)
    z += (number + 1).to(tl.uint64) * 0x9E3779B97F4A7C15
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB
    z = z ^ (z >> 31)
    node = (((z >> 32) * n_nodes.to(tl.uint64)) >> 32).to(tl.int64)
    unit = (z & 0xFFFFFF).to(tl.int32).to(tl.float32) * (1.0 / (1 << 24))
    stays = unit < tl.load(probability + node, mask=there, other=0.0)
    other = tl.load(alias + node, mask=there, other=0)
    tl.store(drawn + place, tl.where(stays, node.to(tl.int32), other), mask=there)


__all__ = ["BLOCK", "draw_negatives"]
