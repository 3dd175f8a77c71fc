"""Lists built item by item, each time taking the candidate that gains most: MMR, and greedy MAP of a DPP, with quotas.

With relevance r, likeness s_ij = v_i . v_j of unit vectors (1 with itself), level l and the list S so far:

    MMR   argmax_i  (1 - l) r_i  -  l max(0, max_{j in S} s_ij)
    DPP   argmax_i  (1 - l) r_i  +  l log(d_i^2) / log(1 / e),   d_i^2 = det(L_{S + i}) / det(L_S),  L = (1 - e) s + e I

MMR is Carbonell & Goldstein 1998. The DPP is that of Chen, Zhang & Zhou 2018, "Fast Greedy MAP Inference for
Determinantal Point Process to Improve Recommendation Diversity", https://arxiv.org/abs/1709.05135: d_i^2 is the part of
an item that the list does not span, and their incremental Cholesky factor (algorithm 1) keeps it up to date. Both gains
lie on one scale: what is just like an item before it loses l, what is like none of them loses nothing.

Differs from the paper: e = 0.01 mixed into L bounds log(d^2), so that items with equal vectors can follow each other
when nothing else is left; the weight of relevance is a share, not an exponent; quotas.

Cost: O(k m (d + k)) for DPP and O(k m d) for MMR, m candidates of d dimensions; O(m k) memory.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FLOOR = 0.01
_LOG_FLOOR = float(np.log(_FLOOR))


@njit(cache=True)
def mmr(  # type: ignore[no-untyped-def]
    relevance, vectors, level, k, slots, slot_offsets, room
):
    """Places of at most k candidates, in list order, by maximal marginal relevance.

    Args:
        relevance: (m,) float32; of equal gains the first candidate wins.
        vectors: (m, d) float32 rows of length 1, or shorter: what is missing is like nothing.
        level: 0 = relevance alone, 1 = unlikeness alone.
        k: how many.
        slots, slot_offsets: candidate i takes one place in each of slots[slot_offsets[i]:slot_offsets[i + 1]].
        room: (n_slots,) int64: how many places each slot has; used up.

    Returns:
        (<= k,) int64.
    """
    nearest = np.zeros(len(relevance), np.float32)
    is_open = np.ones(len(relevance), np.bool_)
    chosen = np.empty(k, np.int64)
    for n_chosen in range(k):
        best = -1
        best_gain = -np.inf
        for item in range(len(relevance)):
            if is_open[item]:
                gain = (1 - level) * relevance[item] - level * nearest[item]
                if gain > best_gain and _has_room(item, slots, slot_offsets, room):
                    best, best_gain = item, gain
        if best < 0:
            return chosen[:n_chosen]
        chosen[n_chosen] = best
        is_open[best] = False
        _take_room(best, slots, slot_offsets, room)
        if level > 0:
            for item in range(len(relevance)):
                if is_open[item]:
                    nearest[item] = max(nearest[item], _dot(vectors[item], vectors[best]))
    return chosen


@njit(cache=True)
def dpp(  # type: ignore[no-untyped-def]
    relevance, vectors, level, k, slots, slot_offsets, room
):
    """Places of at most k candidates, in list order, by greedy MAP inference of a DPP; arguments as for `mmr`."""
    left = np.ones(len(relevance), np.float32)  # d^2
    factor = np.empty((len(relevance), k), np.float32)  # rows of the Cholesky factor
    is_open = np.ones(len(relevance), np.bool_)
    chosen = np.empty(k, np.int64)
    for n_chosen in range(k):
        best = -1
        best_gain = -np.inf
        for item in range(len(relevance)):
            if is_open[item]:
                gain = (1 - level) * relevance[item] - level * np.log(left[item]) / _LOG_FLOOR
                if gain > best_gain and _has_room(item, slots, slot_offsets, room):
                    best, best_gain = item, gain
        if best < 0:
            return chosen[:n_chosen]
        chosen[n_chosen] = best
        is_open[best] = False
        _take_room(best, slots, slot_offsets, room)
        if level > 0:
            root = np.sqrt(left[best])
            for item in range(len(relevance)):
                if is_open[item]:
                    shared = (1 - _FLOOR) * _dot(vectors[item], vectors[best])
                    entry = (shared - _dot(factor[item, :n_chosen], factor[best, :n_chosen])) / root
                    factor[item, n_chosen] = entry
                    left[item] = max(left[item] - entry * entry, _FLOOR)
    return chosen


@njit(cache=True, fastmath={"reassoc", "contract"})  # sums in any order, so that they run in vector instructions
def _dot(left, right):  # type: ignore[no-untyped-def]
    total = np.float32(0)
    for place in range(len(left)):
        total += left[place] * right[place]
    return total


@njit(cache=True)
def _has_room(item, slots, slot_offsets, room):  # type: ignore[no-untyped-def]
    full = 0
    for place in range(slot_offsets[item], slot_offsets[item + 1]):
        full += room[slots[place]] <= 0
    return full == 0


@njit(cache=True)
def _take_room(item, slots, slot_offsets, room):  # type: ignore[no-untyped-def]
    for place in range(slot_offsets[item], slot_offsets[item + 1]):
        room[slots[place]] -= 1


__all__ = ["dpp", "mmr"]
