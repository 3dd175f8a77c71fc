"""Sums of gradients by row, and the steps taken with them, in Triton: no gradient of a row that occurs is written down.

Occurrences are sorted by row. A *run* is what stands side by side for one row, and it is added up in registers, in a
fixed order: results repeat bit for bit, where atomic additions would come in any order. So that a row which occurs ten
thousand times does not hold up all others, a run is cut into pieces at every `PIECE` occurrences: one kernel adds up
the pieces, and finishes runs that are one piece; a second one adds up the pieces of longer runs.

A gradient is either written out, or a multiple of an anchor's row (`TargetGradients`): then 4 bytes per occurrence are
read, and the anchors' rows from the cache, since few anchors share many targets.

Bytes per occurrence: 24 in each of the 4 passes of a radix sort, 20 to find it, and 4 to 4 dim for its gradient; per
row that occurs, the row read and written, and its accumulator. Pieces of long runs cost at most 8 dim / PIECE bytes per
occurrence more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from prismrec.models.m2grl.row_gradients import TargetGradients
from prismrec.models.m2grl.row_storage import DROPPED_BITS, SMALLEST_NORMAL_HALF, storage_of

if TYPE_CHECKING:
    from torch import Tensor

PIECE = 64
"""Occurrences that one program adds up."""

_SMALLEST_NORMAL_HALF = tl.constexpr(SMALLEST_NORMAL_HALF)


def learn_rows(
    table: Tensor, memory: Tensor, ids: Tensor, gradient: Tensor | TargetGradients, learning_rate: float
) -> None:
    """One step of row-wise Adagrad of every row in `ids`, with the sum of its gradients, in place.

    Args:
        table: (n_rows, dim) of 32 or 16 bits; the latter are rounded at random as `row_storage.rounded` does.
        memory: (n_rows,) float32 accumulators.
        ids: (n,) int64; a row may occur many times.
        gradient: (n, dim), written out or in short.
    """
    _reduce(table, memory, ids, gradient, learning_rate, learns=True)


def add_rows(sums: Tensor, ids: Tensor, gradient: Tensor | TargetGradients) -> None:
    """Add the gradients of each row in `ids` to that row of (n_rows, dim) float32 `sums`."""
    _reduce(sums, sums, ids, gradient, 0.0, learns=False)


def _reduce(
    table: Tensor, memory: Tensor, ids: Tensor, gradient: Tensor | TargetGradients, rate: float, *, learns: bool
) -> None:
    n, dim = len(ids), table.shape[1]
    if not n:
        return
    keys = ids.int() if len(table) < 1 << 31 else ids  # half the passes of the sort
    in_order, order = torch.sort(keys)
    n_blocks = -(-n // PIECE)
    pieces = torch.empty((2 * n_blocks, dim), dtype=torch.float32, device=table.device)
    block_dim = triton.next_power_of_2(dim)
    block_rows = max(1, min(8, 2048 // block_dim))
    short = isinstance(gradient, TargetGradients)
    values, scales, owner, n_pairs, n_negatives = _operands(gradient, ids)
    storage = storage_of(table)
    shape = (dim, learns, DROPPED_BITS[storage], storage == "fp16", block_dim, block_rows, PIECE)
    num_warps = max(1, min(4, block_dim * block_rows // 512))
    _add_pieces[(n,)](
        table, memory, in_order, order, values, scales, owner, pieces, n, n_pairs, n_negatives, rate,
        short, *shape, num_warps=num_warps,
    )  # fmt: skip
    _add_runs[(n_blocks,)](table, memory, in_order, pieces, n, rate, *shape, num_warps=num_warps)


def _operands(gradient: Tensor | TargetGradients, ids: Tensor) -> tuple[Tensor, Tensor, Tensor, int, int]:
    """Rows, scales, owners of pairs, number of pairs and negatives; whatever tensor stands where none is read."""
    if isinstance(gradient, TargetGradients):
        owner = gradient.anchor_of_pair
        return gradient.sources, gradient.scales, owner, len(owner), max(1, gradient.n_negatives)
    return gradient.contiguous(), ids, ids, 0, 1


@triton.jit
def _mixed(x):  # type: ignore[no-untyped-def]
    """The hash of `row_storage.mixed` in unsigned 32 bits."""
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


@triton.jit
def _finish(  # type: ignore[no-untyped-def]
    table, memory, row, total, columns, rate, DIM, LEARNS, DROPPED, IS_HALF
):
    """Add a row's sum to the row, or take a step with it."""
    within = columns < DIM
    row = row.to(tl.int64)
    places = row * DIM + columns
    before = tl.load(table + places, mask=within, other=0.0).to(tl.float32)
    if LEARNS:
        remembered = tl.load(memory + row) + tl.sum(total * total, axis=0) / DIM
        tl.store(memory + row, remembered)
        after = before - rate * total / tl.sqrt(remembered)
        if DROPPED > 0:
            bits = after.to(tl.uint32, bitcast=True)
            seed = places.to(tl.uint32) * 0x9E3779B1 ^ remembered.to(tl.uint32, bitcast=True)
            coin = _mixed(seed ^ _mixed(bits)) & ((1 << DROPPED) - 1)
            cut = ((bits + coin) >> DROPPED) << DROPPED
            rounded = cut.to(tl.float32, bitcast=True)
            if IS_HALF:
                rounded = tl.where(tl.abs(after) < _SMALLEST_NORMAL_HALF, after, rounded)
            after = rounded
        tl.store(table + places, after.to(table.dtype.element_ty), mask=within)
    else:
        tl.store(table + places, before + total, mask=within)


@triton.jit(do_not_specialize=["n", "n_pairs", "n_negatives"])
def _add_pieces(  # type: ignore[no-untyped-def]
    table, memory, in_order, order, values, scales, owner, pieces, n, n_pairs, n_negatives, rate,
    SHORT: tl.constexpr, DIM: tl.constexpr, LEARNS: tl.constexpr, DROPPED: tl.constexpr, IS_HALF: tl.constexpr,
    BLOCK_DIM: tl.constexpr, BLOCK_ROWS: tl.constexpr, PIECE: tl.constexpr,
):  # fmt: skip
    """One program per occurrence; those that do not begin a piece have nothing to do."""
    place = tl.program_id(0)
    row = tl.load(in_order + place)
    starts_run = tl.load(in_order + place - 1, mask=place > 0, other=-1) != row
    if starts_run | (place % PIECE == 0):
        columns = tl.arange(0, BLOCK_DIM)
        block_end = tl.minimum((place // PIECE + 1) * PIECE, n)
        total = tl.zeros((BLOCK_DIM,), tl.float32)
        begin = place
        going_on = begin < block_end
        while going_on:
            lines = begin + tl.arange(0, BLOCK_ROWS)
            there = lines < block_end
            there = there & (tl.load(in_order + lines, mask=there, other=-1) == row)
            occurrence = tl.load(order + lines, mask=there, other=0)
            within = there[:, None] & (columns < DIM)[None, :]
            if SHORT:
                is_pair = occurrence < n_pairs
                of_pair = tl.load(owner + occurrence, mask=there & is_pair, other=0)
                place_of = tl.where(is_pair, of_pair, (occurrence - n_pairs) // n_negatives)
                scale = tl.load(scales + occurrence, mask=there, other=0.0)
                rows = tl.load(values + place_of[:, None] * DIM + columns[None, :], mask=within, other=0.0)
                total += tl.sum(scale[:, None] * rows, axis=0)
            else:
                rows = tl.load(values + occurrence[:, None] * DIM + columns[None, :], mask=within, other=0.0)
                total += tl.sum(rows.to(tl.float32), axis=0)
            begin += BLOCK_ROWS
            going_on = (tl.sum(there.to(tl.int32)) == BLOCK_ROWS) & (begin < block_end)
        ends_run = tl.load(in_order + block_end, mask=block_end < n, other=-1) != row
        if starts_run & ends_run:
            _finish(table, memory, row, total, columns, rate, DIM, LEARNS, DROPPED, IS_HALF)
        else:  # first of its block: slot 0; last of it and not the first: slot 1
            slot = 2 * (place // PIECE) + tl.where(place % PIECE == 0, 0, 1)
            tl.store(pieces + slot.to(tl.int64) * DIM + columns, total, mask=columns < DIM)


@triton.jit(do_not_specialize=["n"])
def _add_runs(  # type: ignore[no-untyped-def]
    table, memory, in_order, pieces, n, rate,
    DIM: tl.constexpr, LEARNS: tl.constexpr, DROPPED: tl.constexpr, IS_HALF: tl.constexpr,
    BLOCK_DIM: tl.constexpr, BLOCK_ROWS: tl.constexpr, PIECE: tl.constexpr,
):  # fmt: skip
    """One program per block of occurrences: finishes the run that leaves the block, if that began in it."""
    block = tl.program_id(0)
    end = (block + 1) * PIECE
    if end < n:
        row = tl.load(in_order + end)
        fills_block = tl.load(in_order + block * PIECE) == row
        came_before = tl.load(in_order + block * PIECE - 1, mask=block > 0, other=-1) == row
        if (tl.load(in_order + end - 1) == row) & (came_before == 0):
            columns = tl.arange(0, BLOCK_DIM)
            slot = 2 * block + tl.where(fills_block, 0, 1)
            total = tl.load(pieces + slot.to(tl.int64) * DIM + columns, mask=columns < DIM, other=0.0)
            begin = block + 1
            going_on = begin > block
            while going_on:
                lines = begin + tl.arange(0, BLOCK_ROWS)
                there = lines * PIECE < n
                there = there & (tl.load(in_order + lines.to(tl.int64) * PIECE, mask=there, other=-1) == row)
                within = there[:, None] & (columns < DIM)[None, :]
                slots = 2 * lines.to(tl.int64)[:, None] * DIM + columns[None, :]
                total += tl.sum(tl.load(pieces + slots, mask=within, other=0.0), axis=0)
                begin += BLOCK_ROWS
                going_on = tl.sum(there.to(tl.int32)) == BLOCK_ROWS
            _finish(table, memory, row, total, columns, rate, DIM, LEARNS, DROPPED, IS_HALF)


__all__ = ["PIECE", "add_rows", "learn_rows"]
