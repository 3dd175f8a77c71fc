"""How far recommendations reach into the catalogue, found by asking for visitors who are drawn by chance.

Each visitor has clicked one item, drawn as often as it was clicked in training, and is answered by the bundle's own
query settings. What the answers show is compared with what was clicked: a list that shows the same few items to
everybody reaches little, whatever its hit rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prismrec.data.sequences import Sequences
from prismrec.evaluation.lists import gini
from prismrec.retrieval.bundle import Bundle
from prismrec.retrieval.ranking import top_k

LIST_LENGTH = 20
_SCORES_AT_ONCE = 4 * 2**20
"""Scores that are in memory together: 16 MiB, so that the answers of the service keep their cache."""


@dataclass(frozen=True)
class Reach:
    """What the lists of `n_visitors` showed.

    Attributes:
        n_visitors: how many were drawn.
        list_length: items per list.
        n_shown: distinct items in all lists together.
        share: the same as a share of the catalogue.
        growth: (visitors, share of the catalogue that their lists showed), rising.
        gini: inequality of how often items were shown, 0 all alike, towards 1 one item takes all.
        concentration: (share of items, the most shown first, their share of all places in lists).
    """

    n_visitors: int
    list_length: int
    n_shown: int
    share: float
    growth: tuple[tuple[int, float], ...]
    gini: float
    concentration: tuple[tuple[float, float], ...]


def reach_of(bundle: Bundle, n_visitors: int, seed: int, list_length: int = LIST_LENGTH) -> Reach:
    """Draw visitors and count what their lists show; the same bundle and seed, the same answer.

    Costs one exact ranking of the catalogue per distinct item drawn.
    """
    counts = np.asarray(bundle.items.counts, np.float64)
    n_items = len(counts)
    weights = counts if counts.any() else np.ones(n_items)
    drawn = np.random.default_rng(seed).choice(n_items, n_visitors, p=weights / weights.sum())
    clicked, visitor_of = np.unique(drawn, return_inverse=True)
    lists = _lists(bundle, clicked, list_length)
    shown = lists[visitor_of]
    exposure = np.bincount(shown[shown >= 0], minlength=n_items)
    first = np.full(n_items, n_visitors)
    np.minimum.at(
        first, np.where(shown >= 0, shown, 0), np.where(shown >= 0, np.arange(len(shown))[:, None], n_visitors)
    )
    steps = np.unique(np.round(np.geomspace(1, n_visitors, 40)).astype(int))
    return Reach(
        n_visitors=n_visitors,
        list_length=list_length,
        n_shown=int(np.count_nonzero(exposure)),
        share=float(np.count_nonzero(exposure) / n_items),
        growth=tuple((int(step), float((first < step).sum() / n_items)) for step in steps),
        gini=gini(exposure),
        concentration=concentration(exposure),
    )


def concentration(counts: NDArray[np.int64], n_points: int = 60) -> tuple[tuple[float, float], ...]:
    """(share of items, their share of the counts), the largest first, from (0, 0) to (1, 1); closer at the head.

    >>> concentration(np.array([1, 3]))
    ((0.0, 0.0), (0.5, 0.75), (1.0, 1.0))
    """
    n, total = len(counts), int(np.sum(counts))
    if not n or not total:
        return ()
    shares = np.cumsum(np.sort(np.asarray(counts, np.int64))[::-1]) / total
    places = np.unique(np.round(np.geomspace(1, n, n_points)).astype(int))
    return ((0.0, 0.0), *((float(place / n), float(shares[place - 1])) for place in places))


def _lists(bundle: Bundle, clicked: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """(len(clicked), length) int64: what a visitor who clicked this item is shown, padded with -1."""
    scorer, n_items = bundle.recommender(), len(bundle.items)
    lists = np.full((len(clicked), length), -1, np.int64)
    batch = max(1, _SCORES_AT_ONCE // n_items)
    for start in range(0, len(clicked), batch):
        items = clicked[start : start + batch]
        scores = scorer.score(Sequences.from_lists([[item] for item in items]))
        scores[np.arange(len(items)), items] = -np.inf
        for row, of_one in enumerate(scores, start):
            best = top_k(of_one, length)
            lists[row, : len(best)] = best
    return lists


__all__ = ["LIST_LENGTH", "Reach", "concentration", "reach_of"]
