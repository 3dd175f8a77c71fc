"""From scores of the whole catalogue to the ranks of the truths and the list that would be shown.

Ties are broken against the truth: an item that scores the same as a truth is ranked before it. (With the opposite
rule, sparse scores, which are mostly zero, put every truth they know nothing of in first place: 0.165 instead of
0.021 HR@10 in one measured case.) Scores that are not finite are an error, since NaN compares false with everything
and would rank first.

Cost: one pass over each row of scores, O(n_items log |T|) with |T| truths, plus the selection of the k best; no copy
of the scores is made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from prismrec.data.sequences import Sequences
from prismrec.errors import TrainingError
from prismrec.evaluation.lists import Lists
from prismrec.evaluation.metrics import MISSED, TruthRanks

_ALL_FINITE = -1
_NO_ITEM = -1


@dataclass(frozen=True, eq=False)
class Ranking:
    """A ranked batch.

    Attributes:
        truths: the rank of every truth.
        lists: (n_queries, k) int32: the best k items, best first; equal scores by rising index; -1 where none is left.
        n_seen_truths: truths that were excluded because the history holds them: they are missed.
    """

    truths: TruthRanks
    lists: Lists
    n_seen_truths: int


def rank(scores: NDArray, excluded: Sequences, truths: Sequences, k: int, numbers: NDArray[np.int64]) -> Ranking:
    """Rank the whole catalogue for each query.

    For truth t of a query with truths T, candidates being all items that are not excluded:
    rank(t) = 1 + #{non-truths with score >= s_t} + #{truths with a higher score, or an equal one and earlier in T}.

    Args:
        scores: (n_queries, n_items) float32 or float64, higher is better; overwritten at excluded items.
        excluded: one row per query: items not to rank (those already seen); empty rows exclude nothing.
        truths: one row per query: its distinct truths; -1 stands for one outside the catalogue, which is missed.
        k: length of the lists.
        numbers: (n_queries,) what to call each query in a message.

    Raises:
        TrainingError: a score is not finite; names the query and the item index.
    """
    scores = np.require(scores, requirements=["C", "W"])
    n_queries = len(scores)
    ranks = np.empty(len(truths.values), np.int64)
    lists = np.full((n_queries, k), _NO_ITEM, np.int32)
    n_candidates, n_seen, first_bad = (np.empty(n_queries, np.int64) for _ in range(3))
    _rank_rows(
        scores, excluded.values, excluded.offsets, truths.values, truths.offsets,
        ranks, lists, n_candidates, n_seen, first_bad,
    )  # fmt: skip
    if (first_bad != _ALL_FINITE).any():
        row = int(np.argmax(first_bad != _ALL_FINITE))
        item = int(first_bad[row])
        raise TrainingError(
            f"query {numbers[row]} scores item index {item} as {scores[row, item]}, but scores must be finite: "
            "the model diverged or divides by zero (a smaller learning rate may help)"
        )
    found = TruthRanks(ranks, truths.lengths, n_candidates).total(ranks < MISSED).astype(np.int64)
    return Ranking(TruthRanks(ranks, truths.lengths, n_candidates - found), lists, int(n_seen.sum()))


@njit(cache=True, parallel=True)
def _rank_rows(  # type: ignore[no-untyped-def]
    scores, excluded, excluded_offsets, truths, truth_offsets, ranks, lists, n_candidates, n_seen, first_bad
):
    for row in prange(len(scores)):
        first_bad[row] = _first_not_finite(scores[row])
        if first_bad[row] != _ALL_FINITE:
            continue
        seen = excluded[excluded_offsets[row] : excluded_offsets[row + 1]]
        n_candidates[row] = len(scores[row]) - _exclude(scores[row], seen)
        start, stop = truth_offsets[row], truth_offsets[row + 1]
        n_seen[row] = _rank_truths(scores[row], truths[start:stop], ranks[start:stop])
        _select_best(scores[row], lists[row])


@njit(cache=True)
def _first_not_finite(scores):  # type: ignore[no-untyped-def]
    for item in range(len(scores)):
        if not np.isfinite(scores[item]):
            return item
    return _ALL_FINITE


@njit(cache=True)
def _exclude(scores, items):  # type: ignore[no-untyped-def]
    """Score these items -inf, below every candidate; return how many different ones there are."""
    n_excluded = 0
    for item in items:
        if scores[item] != -np.inf:
            scores[item] = -np.inf
            n_excluded += 1
    return n_excluded


@njit(cache=True)
def _rank_truths(scores, truths, ranks):  # type: ignore[no-untyped-def]
    """Write the ranks, rising, missed ones last; return how many truths are excluded items."""
    reachable = np.empty(len(truths), scores.dtype)
    n_found, n_seen = 0, 0
    for truth in truths:
        if truth < 0:
            continue
        if scores[truth] == -np.inf:
            n_seen += 1
        else:
            reachable[n_found] = -scores[truth]
            n_found += 1
    falling = np.sort(reachable[:n_found])  # negated: the best truth is first

    # passes[j]: items that reach the (j+1)-th best truth but not the j-th; summed up, all that score >= it.
    passes = np.zeros(n_found + 1, np.int64)
    for score in scores:
        passes[np.searchsorted(falling, -score, side="left")] += 1
    at_least, tied_until = 0, 0
    for place in range(n_found):
        at_least += passes[place]
        while tied_until < n_found and falling[tied_until] <= falling[place]:
            tied_until += 1
        # Of the items that score at least as much, `tied_until` are truths; those placed before this one count too.
        ranks[place] = at_least - tied_until + place + 1
    ranks[n_found:] = MISSED
    return n_seen


@njit(cache=True)
def _select_best(scores, best):  # type: ignore[no-untyped-def]
    """Fill `best` by insertion: rare once it is full, since a newcomer must beat the worst of it."""
    n_best = 0
    for item in range(len(scores)):
        score = scores[item]
        if score == -np.inf or (n_best == len(best) and score <= scores[best[n_best - 1]]):
            continue
        place = n_best if n_best < len(best) else n_best - 1
        while place > 0 and scores[best[place - 1]] < score:
            best[place] = best[place - 1]
            place -= 1
        best[place] = item
        n_best = min(n_best + 1, len(best))


__all__ = ["Ranking", "rank"]
