"""The skip-gram step of `torch_step` as one Triton kernel: one pass over the rows, nothing of them written down.

One program per anchor: its row is read once, the rows of its contexts and negatives are read where they lie (in the
whole table, or in rows that were fetched), and what is left is the gradient by the anchor's row and one number per
target: the gradient by target t is that multiple of its anchor's row (`TargetGradients`), so no (A, K, dim) tensor
exists. Sums within an anchor run in a fixed order: results repeat bit for bit.

Bytes per anchor with m contexts, K negatives and rows of B bytes: (1 + m + K) B read; 4 dim + 4 (m + K + 1) written,
and 4 dim once more for a copy of the anchor's row, which `triton_rows` multiplies. `docs/gpu.md` adds up a whole step.

Tables may hold 16-bit numbers; all arithmetic has 32 bits. Dimensions are padded to the next power of two within the
registers, never in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl

from prismrec.models.m2grl.device_batches import Part
from prismrec.models.m2grl.row_gradients import RowGradients, Rows, TargetGradients, anchor_of_pair
from prismrec.models.m2grl.torch_device import TorchDevice

if TYPE_CHECKING:
    from torch import Tensor

MOST_NUMBERS_AT_ONCE = 4096
"""Of the rows that a program holds in registers at a time: 32 per thread with 4 warps."""


def skip_gram(
    source: Rows, target: Rows, logit_offsets: Tensor | None, part: Part, weight: float, device: TorchDevice
) -> RowGradients:
    """Loss and gradients of a part; the arguments are those of `torch_step.skip_gram`."""
    n_anchors, dim = len(part.anchors), source.table.shape[1]
    gradient, sources = device.empty(n_anchors, dim), device.empty(n_anchors, dim)
    losses, scales = device.empty(n_anchors), device.empty(len(part.targets))
    if n_anchors:
        block_dim = triton.next_power_of_2(dim)
        block_rows = max(1, min(16, MOST_NUMBERS_AT_ONCE // block_dim))
        _skip_gram[(n_anchors,)](
            source.table, part.anchors, target.table, part.targets, part.offsets,
            part.targets if logit_offsets is None else logit_offsets,
            gradient, sources, scales, losses, float(weight), part.n_pairs,
            dim, part.n_negatives, source.ids is None, target.ids is None, logit_offsets is not None,
            block_dim, block_rows, num_warps=max(1, min(8, block_dim * block_rows // 1024)),
        )  # fmt: skip
    targets = TargetGradients(scales, sources, anchor_of_pair(part), part.n_negatives)
    return RowGradients(losses.double().sum(), gradient, targets)


@triton.jit
def _softplus(x):  # type: ignore[no-untyped-def]
    """log(1 + exp(x)) without overflow."""
    return tl.maximum(x, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(x)))


@triton.jit
def _sigmoid(x):  # type: ignore[no-untyped-def]
    return 1.0 / (1.0 + tl.exp(-x))


@triton.jit
def _scored(  # type: ignore[no-untyped-def]
    u, target, targets, logit_offsets, places, there, columns, dim, TARGET_IS_FETCHED, HAS_OFFSETS
):
    """Rows of targets at some places, (rows, columns), their ids and logits (rows,)."""
    ids = tl.load(targets + places, mask=there, other=0)
    rows = places.to(tl.int64) if TARGET_IS_FETCHED else ids
    within = there[:, None] & (columns < dim)[None, :]
    v = tl.load(target + rows[:, None] * dim + columns[None, :], mask=within, other=0.0).to(tl.float32)
    logits = tl.sum(v * u[None, :], axis=1)
    if HAS_OFFSETS:
        logits += tl.load(logit_offsets + ids, mask=there, other=0.0)
    return v, ids, logits


@triton.jit(do_not_specialize=["n_pairs"])
def _skip_gram(  # type: ignore[no-untyped-def]
    source, anchors, target, targets, offsets, logit_offsets, gradient, sources, scales, losses, weight, n_pairs,
    DIM: tl.constexpr, N_NEGATIVES: tl.constexpr, SOURCE_IS_FETCHED: tl.constexpr, TARGET_IS_FETCHED: tl.constexpr,
    HAS_OFFSETS: tl.constexpr, BLOCK_DIM: tl.constexpr, BLOCK_ROWS: tl.constexpr,
):  # fmt: skip
    anchor = tl.program_id(0)
    columns = tl.arange(0, BLOCK_DIM)
    lines = tl.arange(0, BLOCK_ROWS)
    row = anchor.to(tl.int64) if SOURCE_IS_FETCHED else tl.load(anchors + anchor)
    u = tl.load(source + row * DIM + columns, mask=columns < DIM, other=0.0).to(tl.float32)
    first = tl.load(offsets + anchor)
    end = tl.load(offsets + anchor + 1)
    du = tl.zeros((BLOCK_DIM,), tl.float32)
    loss = 0.0
    for begin in range(first, end, BLOCK_ROWS):
        places = begin + lines
        there = places < end
        v, ids, logits = _scored(
            u, target, targets, logit_offsets, places, there, columns, DIM, TARGET_IS_FETCHED, HAS_OFFSETS
        )
        loss += tl.sum(tl.where(there, _softplus(-logits), 0.0))
        pull = tl.where(there, -weight * _sigmoid(-logits), 0.0)
        du += tl.sum(pull[:, None] * v, axis=0)
        tl.store(scales + places, pull, mask=there)
    n_contexts = (end - first).to(tl.float32)
    negatives = n_pairs + anchor.to(tl.int64) * N_NEGATIVES
    for begin in range(0, N_NEGATIVES, BLOCK_ROWS):
        places = negatives + begin + lines
        there = begin + lines < N_NEGATIVES
        v, ids, logits = _scored(
            u, target, targets, logit_offsets, places, there, columns, DIM, TARGET_IS_FETCHED, HAS_OFFSETS
        )
        counts = tl.where(there, n_contexts, 0.0)
        for context in range(first, end):  # a negative that is one of the contexts does not count
            counts = tl.where(ids == tl.load(targets + context), 0.0, counts)
        loss += tl.sum(counts * _softplus(logits))
        push = weight * counts * _sigmoid(logits)
        du += tl.sum(push[:, None] * v, axis=0)
        tl.store(scales + places, push, mask=there)
    out = anchor.to(tl.int64) * DIM + columns
    tl.store(gradient + out, du, mask=columns < DIM)
    tl.store(sources + out, u, mask=columns < DIM)
    tl.store(losses + anchor, loss)


__all__ = ["skip_gram"]
