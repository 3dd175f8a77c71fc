"""What recommended lists are like, whoever the truth was: novelty, diversity per view, coverage and concentration.

Lists come as (n_lists, length) int32 item indices, best first, padded with -1 at the end where fewer items could be
shown. Novelty and diversity are values per list, so that they get intervals like every other metric; coverage and
Gini belong to all lists together.

References: Zhou et al. 2010 (self-information), Ziegler et al. 2005 (intra-list diversity).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.evaluation.metrics import Values

Lists = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Catalogue:
    """What is known of the items that are ranked.

    Attributes:
        counts: (n_items,) int64: interactions of each item in training.
        views: item -> its nodes, one row per item, by view name; diversity is told per view.
    """

    counts: NDArray[np.int64]
    views: Mapping[str, Sequences] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, nodes in self.views.items():
            if len(nodes) != len(self.counts):
                raise DataError(f"view {name!r} has nodes for {len(nodes)} items, but {len(self.counts)} are ranked")

    @property
    def n_items(self) -> int:
        """How many items are ranked."""
        return len(self.counts)


def list_values(lists: Lists, catalogue: Catalogue, ks: Sequence[int]) -> dict[str, Values]:
    """Novelty, and per view diversity and number of distinct nodes, of each list cut at each k.

    Returns:
        "novelty@10", "category_diversity@10", "category_distinct@10", ...: each (n_lists,) float64.
    """
    values = dict(zip((f"novelty@{k}" for k in ks), novelty(lists, catalogue.counts, ks), strict=True))
    for view, nodes in catalogue.views.items():
        diversity, distinct = view_spread(lists, nodes, ks)
        for column, k in enumerate(ks):
            values[f"{view}_diversity@{k}"] = diversity[:, column]
            values[f"{view}_distinct@{k}"] = distinct[:, column]
    return values


def novelty(lists: Lists, counts: NDArray[np.int64], ks: Sequence[int]) -> list[Values]:
    """Mean self-information -log2(count_i / sum of counts) of the items of a list cut at each k, in bits.

    An item that never occurred counts as if it had once: its surprise is large, not infinite.
    """
    bits = np.log2(max(int(counts.sum()), 1)) - np.log2(np.maximum(counts, 1))
    shown = lists >= 0
    totals = np.cumsum(np.where(shown, bits[lists], 0.0), axis=1)
    lengths = np.maximum(np.cumsum(shown, axis=1), 1)
    ends = [min(k, lists.shape[1]) - 1 for k in ks]
    return [totals[:, end] / lengths[:, end] for end in ends]


def view_spread(lists: Lists, nodes: Sequences, ks: Sequence[int]) -> tuple[NDArray, NDArray]:
    """How far a list spreads over the nodes of a view.

    Args:
        lists: (n_lists, length) int32 item indices.
        nodes: one row per item: its nodes, without repeats.
        ks: where to cut the lists, rising.

    Returns:
        diversity: (n_lists, len(ks)) float64: mean over all pairs of the list of 1 - |A & B| / |A | B|, the Jaccard
            distance of their nodes; for single-valued views the share of pairs that differ. An item without nodes
            shares nothing: distance 1. A list of one item has diversity 0.
        distinct: (n_lists, len(ks)) float64: number of different nodes in the list.
    """
    cuts = np.minimum(np.asarray(ks, np.int64), lists.shape[1])
    diversity = np.zeros((len(lists), len(ks)))
    distinct = np.zeros((len(lists), len(ks)))
    _spread(lists, nodes.values, nodes.offsets, cuts, diversity, distinct)
    return diversity, distinct


def exposures(lists: Lists, n_items: int, ks: Sequence[int]) -> NDArray[np.int64]:
    """(len(ks), n_items) int64: how often each item is in a list cut at k."""
    cut = (lists[:, :k] for k in ks)
    return np.stack([np.bincount(part[part >= 0], minlength=n_items) for part in cut])


def gini(exposure: NDArray[np.int64]) -> float:
    """Inequality of how often each item was shown: 0 if all equally, towards 1 if a single item takes all.

    G = sum_i (2 i - n - 1) x_i / (n sum_i x_i), x rising, i from 1 to n. 0 where nothing was shown.

    >>> gini(np.array([0, 0, 0, 8]))
    0.75
    """
    n, shown = len(exposure), int(exposure.sum())
    if shown == 0:
        return 0.0
    return float((2 * np.arange(1, n + 1) - n - 1) @ np.sort(exposure) / (n * shown))


def coverage(exposure: NDArray[np.int64]) -> float:
    """Share of the catalogue that was shown at least once.

    >>> coverage(np.array([0, 1, 5, 0]))
    0.5
    """
    return float(np.count_nonzero(exposure) / len(exposure)) if len(exposure) else 0.0


@njit(cache=True, parallel=True)
def _spread(lists, values, offsets, cuts, diversity, distinct):  # type: ignore[no-untyped-def]
    for row in prange(len(lists)):
        _spread_of_one(lists[row], values, offsets, cuts, diversity[row], distinct[row])


@njit(cache=True)
def _spread_of_one(items, values, offsets, cuts, diversity, distinct):  # type: ignore[no-untyped-def]
    """Grow the list item by item: each newcomer adds its distances to those before it, and its new nodes."""
    distance, n_pairs, n_nodes = 0.0, 0, 0
    cut = 0
    for place in range(len(items) + 1):
        while cut < len(cuts) and cuts[cut] == place:
            diversity[cut] = distance / n_pairs if n_pairs else 0.0
            distinct[cut] = n_nodes
            cut += 1
        if place == len(items) or items[place] < 0:
            continue
        own = values[offsets[items[place]] : offsets[items[place] + 1]]
        for earlier in range(place):
            other = values[offsets[items[earlier]] : offsets[items[earlier] + 1]]
            shared = _n_shared(own, other)
            either = len(own) + len(other) - shared
            distance += 1.0 - shared / either if either else 1.0
            n_pairs += 1
        for node in own:
            n_nodes += _is_new(node, items[:place], values, offsets)


@njit(cache=True)
def _n_shared(left, right):  # type: ignore[no-untyped-def]
    shared = 0
    for node in left:
        for other in right:
            shared += node == other
    return shared


@njit(cache=True)
def _is_new(node, items, values, offsets):  # type: ignore[no-untyped-def]
    for item in items:
        for other in values[offsets[item] : offsets[item + 1]]:
            if other == node:
                return False
    return True


__all__ = [
    "Catalogue",
    "Lists",
    "coverage",
    "exposures",
    "gini",
    "list_values",
    "novelty",
    "view_spread",
]
