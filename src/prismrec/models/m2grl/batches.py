"""From sequences to batches: which anchor meets which contexts, and which negatives.

A batch is plain arrays, so that every implementation of the step gets the very same examples. Drawing one costs far
less than learning from it: 4 bytes per index against 4 x dim bytes per row.

Random numbers come from (seed, epoch, step, task) and are dealt out by fixed-size chunk, never by thread: the same
batch on one core and on many.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from prismrec.data.sequences import Sequences
from prismrec.graphs.negatives import (
    SLOT_STRIDE,
    AliasTable,
    GroupTable,
    after,
    draw,
    draw_hard,
    next_below,
    next_unit,
    random_states,
)
from prismrec.models.m2grl.config import M2GRLConfig

ROWS_PER_CHUNK = 64

DRAWS_PER_MIXED = 3
"""Random numbers set aside for each negative where some are hard: whether it is, which group, which member. Not all of
them need all three, but only so does each know its own without those before it (`device_sampler`)."""


class SkipGramBatch(NamedTuple):
    """Anchors, the contexts of each, and negatives shared by an anchor's contexts.

    Attributes:
        anchors: (n_anchors,) int32 rows of the source table.
        context_offsets: (n_anchors + 1,) int64: anchor i has `contexts[context_offsets[i]:context_offsets[i + 1]]`.
        contexts: (n_pairs,) int32 rows of the target table.
        negatives: (n_anchors, n_negatives) int32 rows of the target table.
    """

    anchors: NDArray[np.int32]
    context_offsets: NDArray[np.int64]
    contexts: NDArray[np.int32]
    negatives: NDArray[np.int32]

    @property
    def n_pairs(self) -> int:
        """Positive pairs."""
        return len(self.contexts)


def draw_intra_batch(
    sessions: Sequences,
    rows: NDArray[np.int64],
    config: M2GRLConfig,
    noise: AliasTable,
    stream: tuple[int, ...],
    groups: GroupTable | None = None,
) -> SkipGramBatch:
    """The skip-gram examples of some sessions of one view (intra-view task).

    Args:
        sessions: all sessions of the view.
        rows: which of them, in which order.
        noise: the distribution of the negatives.
        stream: what the random numbers come from, e.g. (seed, epoch, step, task).
        groups: where hard negatives come from; needed where `config.hard_negatives` > 0.
    """
    n_chunks = -(-len(rows) // ROWS_PER_CHUNK)
    states = random_states(*stream, n_slots=max(1, n_chunks))
    forward = config.context == "forward"
    n_anchors, n_pairs = _count_pairs(sessions.offsets, rows, config.window, forward, states.copy())
    anchor_starts = np.concatenate([[0], np.cumsum(n_anchors)])
    pair_starts = np.concatenate([[0], np.cumsum(n_pairs)])
    batch = SkipGramBatch(
        np.empty(anchor_starts[-1], np.int32),
        np.empty(anchor_starts[-1] + 1, np.int64),
        np.empty(pair_starts[-1], np.int32),
        np.empty((anchor_starts[-1], config.negatives), np.int32),
    )
    batch.context_offsets[-1] = pair_starts[-1]
    _fill_pairs(
        sessions.values, sessions.offsets, rows, config.window, forward,
        states, anchor_starts, pair_starts, batch.anchors, batch.context_offsets, batch.contexts,
    )  # fmt: skip
    if groups is not None and config.hard_negatives > 0:
        _fill_mixed_negatives(batch.anchors, batch.negatives, states, noise, groups, np.float32(config.hard_negatives))
    else:
        _fill_negatives(batch.negatives, states, noise.probability, noise.alias)
    return batch


def draw_inter_batch(
    items: NDArray[np.int32],
    nodes: NDArray[np.int32],
    n_negatives: int,
    noise: AliasTable,
    stream: tuple[int, ...],
) -> SkipGramBatch:
    """Examples of some item-node edges (inter-view task): anchor i is `items[i]`, its one context `nodes[i]`."""
    n_chunks = max(1, -(-len(items) // ROWS_PER_CHUNK))
    negatives = np.empty((len(items), n_negatives), np.int32)
    _fill_negatives(negatives, random_states(*stream, n_slots=n_chunks), noise.probability, noise.alias)
    return SkipGramBatch(items, np.arange(len(items) + 1, dtype=np.int64), nodes, negatives)


@njit(inline="always")
def _reach(window: int, states: NDArray[np.uint64], slot: int) -> int:
    """How far an anchor looks: 1..window, each as likely, as in word2vec."""
    further: int = next_below(states, slot, window)
    return 1 + further


@njit(parallel=True, cache=True, nogil=True)
def _count_pairs(offsets, rows, window, forward, states):  # type: ignore[no-untyped-def]
    """Anchors with a context, and pairs, per chunk of rows."""
    n_chunks = (rows.shape[0] + ROWS_PER_CHUNK - 1) // ROWS_PER_CHUNK
    n_anchors = np.zeros(n_chunks, np.int64)
    n_pairs = np.zeros(n_chunks, np.int64)
    for chunk in prange(n_chunks):
        for i in range(chunk * ROWS_PER_CHUNK, min(rows.shape[0], (chunk + 1) * ROWS_PER_CHUNK)):
            begin, end = offsets[rows[i]], offsets[rows[i] + 1]
            for place in range(begin, end):
                reach = _reach(window, states, chunk * SLOT_STRIDE)
                first = place + 1 if forward else max(begin, place - reach)
                n = min(end, place + reach + 1) - first - (0 if forward else 1)
                n_anchors[chunk] += n > 0
                n_pairs[chunk] += n
    return n_anchors, n_pairs


@njit(parallel=True, cache=True, nogil=True)
def _fill_pairs(  # type: ignore[no-untyped-def]
    values,
    offsets,
    rows,
    window,
    forward,
    states,
    anchor_starts,
    pair_starts,
    anchors,
    context_offsets,
    contexts,
):
    """The same walk as `_count_pairs`, from the same states, writing what it meets."""
    n_chunks = anchor_starts.shape[0] - 1
    for chunk in prange(n_chunks):
        anchor, pair = anchor_starts[chunk], pair_starts[chunk]
        for i in range(chunk * ROWS_PER_CHUNK, min(rows.shape[0], (chunk + 1) * ROWS_PER_CHUNK)):
            begin, end = offsets[rows[i]], offsets[rows[i] + 1]
            for place in range(begin, end):
                reach = _reach(window, states, chunk * SLOT_STRIDE)
                first = place + 1 if forward else max(begin, place - reach)
                start = pair
                for other in range(first, min(end, place + reach + 1)):
                    if other != place:
                        contexts[pair] = values[other]
                        pair += 1
                if pair > start:
                    anchors[anchor] = values[place]
                    context_offsets[anchor] = start
                    anchor += 1


@njit(parallel=True, cache=True, nogil=True)
def _fill_negatives(negatives, states, probability, alias):  # type: ignore[no-untyped-def]
    n_chunks = states.shape[0] // SLOT_STRIDE
    n = negatives.shape[0]
    for chunk in prange(n_chunks):
        slot = chunk * SLOT_STRIDE
        for i in range(n * chunk // n_chunks, n * (chunk + 1) // n_chunks):
            for k in range(negatives.shape[1]):
                negatives[i, k] = draw(states, slot, probability, alias)


@njit(parallel=True, cache=True, nogil=True)
def _fill_mixed_negatives(anchors, negatives, states, noise, groups, hard_share):  # type: ignore[no-untyped-def]
    n_chunks = states.shape[0] // SLOT_STRIDE
    n = negatives.shape[0]
    for chunk in prange(n_chunks):
        slot = chunk * SLOT_STRIDE
        for i in range(n * chunk // n_chunks, n * (chunk + 1) // n_chunks):
            for k in range(negatives.shape[1]):
                before = states[slot]
                if next_unit(states, slot) < hard_share:
                    negatives[i, k] = draw_hard(states, slot, anchors[i], groups, noise)
                else:
                    negatives[i, k] = draw(states, slot, noise.probability, noise.alias)
                states[slot] = after(before, DRAWS_PER_MIXED)


__all__ = ["SkipGramBatch", "draw_inter_batch", "draw_intra_batch"]
