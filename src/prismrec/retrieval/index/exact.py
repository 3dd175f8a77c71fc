"""Exact inner-product search: one pass over the rows, the k best kept on the way.

    score(i) = sum_j query[j] targets[i, j]        float32, best first, equal scores in the order of their index

A compiled loop multiplies a row with up to four queries while it is in cache and keeps the k best of each in a heap, so
that nothing of the size of the catalogue is written. It runs on the calling thread alone and without the interpreter's
lock: parallel requests are parallel threads. Cost: m rows of D floats for a batch of up to four queries, which for one
query is the time that memory needs to deliver them (`benchmarks/bench_index.py` prints both).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray

_BLOCK = 128  # rows that stay in cache while all queries of a batch pass over them
_NUMBERED = 65_536  # rows whose numbers are written down at a time, where all rows are looked at
_REORDER = {"reassoc", "contract", "nsz"}  # sums may be vectorised; infinities and NaN stay what they are

Best = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Indices (B, k) padded with -1, and their scores padded with minus infinity, best first."""


def best_rows(
    targets: NDArray[np.float32], rows: NDArray[np.int32] | slice, queries: NDArray[np.float32], k: int
) -> Best:
    """The k best of some rows.

    Args:
        targets: (n_items, D) float32 in row order; may be memory-mapped.
        rows: which to look at: (m,) int32, increasing, or all from `rows.start` to `rows.stop`.
        queries: (B, D) float32.
        k: how many, at least 1.

    Returns:
        (B, k) int64 indices and (B, k) float32 scores.
    """
    n_rows = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
    indices, scores = _empty(len(queries), min(k, n_rows))
    for some in _numbered(rows) if isinstance(rows, slice) else [rows]:
        if len(some):
            _scan(targets, some, queries, indices, scores)
    return _sorted(indices, scores, k)


def best_of_all(targets: NDArray[np.float32], queries: NDArray[np.float32], k: int, n_threads: int = 1) -> Best:
    """The k best of all rows; threads share the rows among them, and all queries pass over a row together.

    Args:
        targets: (n_items, D) float32 in row order; may be memory-mapped, and is read once.
        queries: (B, D) float32.
        k: how many, at least 1.
        n_threads: how many; the answer does not depend on it.

    Returns:
        (B, k) int64 indices and (B, k) float32 scores.
    """
    ends = np.linspace(0, len(targets), max(1, n_threads) + 1).astype(np.int64).tolist()
    parts = [slice(start, stop) for start, stop in pairwise(ends)]
    with ThreadPoolExecutor(len(parts)) as pool:
        found = list(pool.map(lambda part: best_rows(targets, part, queries, k), parts))
    indices = np.concatenate([best[0] for best in found], axis=1)
    scores = np.concatenate([best[1] for best in found], axis=1)
    first, values = _sorted(indices, scores, indices.shape[1])
    return first[:, :k], values[:, :k]


def best_candidates(
    targets: NDArray[np.float32], candidates: NDArray[np.int64], queries: NDArray[np.float32], k: int
) -> Best:
    """The k best of each query's own candidates.

    Args:
        targets: (n_items, D) float32 in row order; may be memory-mapped.
        candidates: (B, m) int64, distinct within a row; what is no index of a row (-1, say) is passed over.
        queries: (B, D) float32.
        k: how many, at least 1.

    Returns:
        (B, k) int64 indices and (B, k) float32 scores.
    """
    indices, scores = _empty(len(queries), min(k, candidates.shape[1]))
    if candidates.size:
        _rescore(targets, np.sort(candidates, axis=1), queries, indices, scores)
    return _sorted(indices, scores, k)


def _numbered(rows: slice) -> Iterator[NDArray[np.int32]]:
    """The numbers of all rows, some at a time: those of a large catalogue would be made anew for every request."""
    for start in range(rows.start, rows.stop, _NUMBERED):
        yield np.arange(start, min(start + _NUMBERED, rows.stop), dtype=np.int32)


def _empty(n_queries: int, k: int) -> Best:
    return np.full((n_queries, k), -1, np.int64), np.full((n_queries, k), -np.inf, np.float32)


def _sorted(indices: NDArray[np.int64], scores: NDArray[np.float32], k: int) -> Best:
    """Heaps to lists, best first, padded to k columns."""
    order = np.lexsort((indices, -scores), axis=-1)
    best = _empty(len(indices), k)
    best[0][:, : indices.shape[1]] = np.take_along_axis(indices, order, axis=1)
    best[1][:, : indices.shape[1]] = np.take_along_axis(scores, order, axis=1)
    return best


@njit(cache=True, nogil=True, fastmath=_REORDER)
def _scan(targets, rows, queries, indices, scores):  # type: ignore[no-untyped-def]
    n_grouped = len(queries) - len(queries) % 4
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        for b in range(0, n_grouped, 4):
            _scan_four(targets, block, queries[b : b + 4], indices[b : b + 4], scores[b : b + 4])
        for b in range(n_grouped, len(queries)):
            for i in block:
                score = _product(targets[i], queries[b])
                if score > scores[b, 0]:
                    _replace_worst(indices[b], scores[b], i, score)


@njit(cache=True, nogil=True, fastmath=_REORDER)
def _scan_four(targets, rows, queries, indices, scores):  # type: ignore[no-untyped-def]
    """Four queries share each number that is loaded: about 1.6 times as fast as one after the other."""
    q0, q1, q2, q3 = queries[0], queries[1], queries[2], queries[3]
    for i in rows:
        target = targets[i]
        s0 = s1 = s2 = s3 = np.float32(0)
        for j in range(len(q0)):
            x = target[j]
            s0 += x * q0[j]
            s1 += x * q1[j]
            s2 += x * q2[j]
            s3 += x * q3[j]
        if s0 > scores[0, 0]:
            _replace_worst(indices[0], scores[0], i, s0)
        if s1 > scores[1, 0]:
            _replace_worst(indices[1], scores[1], i, s1)
        if s2 > scores[2, 0]:
            _replace_worst(indices[2], scores[2], i, s2)
        if s3 > scores[3, 0]:
            _replace_worst(indices[3], scores[3], i, s3)


@njit(cache=True, nogil=True, fastmath=_REORDER)
def _rescore(targets, candidates, queries, indices, scores):  # type: ignore[no-untyped-def]
    for b in range(len(queries)):
        for i in candidates[b]:
            if 0 <= i < len(targets):
                score = _product(targets[i], queries[b])
                if score > scores[b, 0]:
                    _replace_worst(indices[b], scores[b], i, score)


@njit(cache=True, nogil=True, fastmath=_REORDER, inline="always")
def _product(target, query):  # type: ignore[no-untyped-def]
    score = np.float32(0)
    for j in range(len(query)):
        score += target[j] * query[j]
    return score


@njit(cache=True, nogil=True)
def _replace_worst(indices, scores, index, score):  # type: ignore[no-untyped-def]
    """Replace the root of a heap whose root is the worst: the lowest score, and of equal ones the last index."""
    k = len(scores)
    place = 0
    while True:
        child = 2 * place + 1
        if child >= k:
            break
        if child + 1 < k and _worse(scores, indices, child + 1, child):
            child += 1
        if scores[child] > score or (scores[child] == score and indices[child] < index):
            break
        scores[place], indices[place] = scores[child], indices[child]
        place = child
    scores[place], indices[place] = score, index


@njit(cache=True, nogil=True)
def _worse(scores, indices, a, b):  # type: ignore[no-untyped-def]
    return scores[a] < scores[b] or (scores[a] == scores[b] and indices[a] > indices[b])


__all__ = ["Best", "best_candidates", "best_of_all", "best_rows"]
