"""Lists that spread: the best candidates re-ranked so that they are good and unlike each other, within quotas.

What the one knob means. Relevance is the place by score, counted in list lengths (1 - place / k), so it is the same
for every data set and every scale of scores. At `level` l, an item that is just like one above it stands where a wholly
unlike item would that has l / (1 - l) list lengths more before it:

    level                      0     0.1    0.2    0.33   0.5    0.67   0.8    1
    list lengths further down  0     1/9    1/4    1/2    1      2      4      scores only break ties

Level 0 is the ranking by score. The first item is always the best by score (that the quotas allow).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prismrec.data.schema import ITEM_VIEW
from prismrec.data.sequences import Sequences
from prismrec.retrieval.answers import ListReport
from prismrec.retrieval.blend import check_views, unit_rows
from prismrec.retrieval.diversity.greedy import dpp, mmr
from prismrec.retrieval.request import Diversity

Rows = NDArray[np.float32]

POOL_PER_ITEM = 4
"""Candidates that are weighed per item of the list, unless the request says how many: what level 0.8 can reach."""


def pool_size(diversity: Diversity, k: int) -> int:
    """How many of the best candidates `rerank` should be given for a list of k."""
    if not diversity.level and not diversity.quotas:
        return k
    return max(k, diversity.pool or POOL_PER_ITEM * k)


def likeness(
    rows: Rows,
    columns: Mapping[str, slice],
    diversity: Diversity,
    views: Sequence[str],
    nodes: Mapping[str, Sequences] | None = None,
) -> Rows:
    """Vectors whose inner product says how alike two candidates are: the weighted mean of the cosines in each view.

        l_ij = sum_v w_v cos(row_i[v], row_j[v]) / sum_v w_v

    A view without vectors compares the nodes themselves: n_ij / sqrt(n_i n_j) for n_ij nodes in common of n_i and n_j.

    Args:
        rows: (m, D) float32: the views of the candidates side by side, as in `matrices.ItemMatrices`.
        columns: view -> its columns in `rows`.
        diversity: its `views` are the weights w; where it has none, all side views weigh alike (the items' own view
            where there is no other).
        views: the views there are.
        nodes: view -> the nodes of each candidate, at least of the views that have no columns.

    Returns:
        (m, d) float32: rows of length 1; shorter where an item has no node in a view, in which it is like nothing.

    Raises:
        ConfigError: a view is weighted that does not exist.
    """
    weights = _weights(diversity, views)
    total = sum(weights.values())
    parts = [
        np.float32(np.sqrt(w / total))
        * (unit_rows(rows[:, columns[v]]) if v in columns else _unit_sets((nodes or {})[v]))
        for v, w in weights.items()
    ]
    return np.ascontiguousarray(np.column_stack(parts)) if parts else np.zeros((len(rows), 1), np.float32)


def _unit_sets(nodes: Sequences) -> Rows:
    """(m, d) float32: rows whose products are cosines between sets of nodes.

    There is a column per node that several candidates have: what one has alone makes it no more like any other.
    """
    owners = np.repeat(np.arange(len(nodes)), nodes.lengths)
    _, slots, n_owners = np.unique(nodes.values, return_inverse=True, return_counts=True)
    sets = np.zeros((len(nodes), len(n_owners)), np.float32)
    sets[owners, slots] = (1 / np.sqrt(np.maximum(nodes.lengths, 1)))[owners]
    return sets[:, n_owners > 1]


def rerank(
    scores: NDArray[np.float32], likeness: Rows, nodes: Mapping[str, Sequences], diversity: Diversity, k: int
) -> NDArray[np.int64]:
    """The candidates that make the list, in its order.

    Args:
        scores: (m,) float32, finite: of the candidates, in any order.
        likeness: (m, d) float32, as `likeness` gives it.
        nodes: view name -> the nodes of each candidate; needed for the views with a quota.
        diversity: level, method and quotas.
        k: how long the list should be.

    Returns:
        (<= k,) int64 places in the pool; fewer only where the quotas leave no more candidates.

    Raises:
        ConfigError: there is a quota on a view that does not exist.
    """
    order = np.argsort(-scores, kind="stable")
    relevance = (1 - np.arange(len(order)) / k).astype(np.float32)
    slots, room = _slots(nodes, diversity.quotas, order)
    build = dpp if diversity.method == "dpp" else mmr
    places = build(
        relevance, likeness[order], np.float32(diversity.level), min(k, len(order)), slots.values, slots.offsets, room
    )
    found: NDArray[np.int64] = order[places]
    return found


def report(scores: NDArray[np.float32], places: NDArray[np.int64], nodes: Mapping[str, Sequences]) -> ListReport:
    """What a list keeps of the relevance, and shows of each view, beside the equally long list by score alone.

    An item whose place by score is p counts 1 / log2(1 + p), as in DCG; places do not depend on the pool.

    Args:
        scores: (m,) float32 of the pool.
        places: of the list, as `rerank` gave them.
        nodes: view name -> the nodes of each candidate.
    """
    order = np.argsort(-scores, kind="stable")
    gain = np.empty(len(scores))
    gain[order] = 1 / np.log2(np.arange(len(scores)) + 2)
    by_score = order[: len(places)]
    kept = float(gain[places].sum() / gain[by_score].sum()) if len(places) else 1.0
    distinct = {view: (_n_distinct(rows, by_score), _n_distinct(rows, places)) for view, rows in nodes.items()}
    return ListReport(kept, distinct)


def _n_distinct(nodes: Sequences, places: NDArray[np.int64]) -> int:
    return len(np.unique(nodes.take(places).values))


def _weights(diversity: Diversity, views: Sequence[str]) -> dict[str, float]:
    """The views with weight in likeness."""
    if diversity.views is None:
        return {view: 1.0 for view in views if view != ITEM_VIEW} or {ITEM_VIEW: 1.0}
    check_views(diversity.views, views, "diversity.views")
    return {view: weight for view, weight in diversity.views.items() if weight}


def _slots(
    nodes: Mapping[str, Sequences], quotas: Mapping[str, int], order: NDArray[np.int64]
) -> tuple[Sequences, NDArray[np.int64]]:
    """The nodes under a quota as numbers: of each candidate in order, and the places each of them has."""
    values, owners, room = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    n_slots = 0
    check_views(quotas, nodes, "diversity.quotas")
    for view, quota in quotas.items():
        rows = nodes[view].take(order)
        distinct, slots = np.unique(rows.values, return_inverse=True)
        values.append(slots + n_slots)
        owners.append(np.repeat(np.arange(len(order)), rows.lengths))
        room.append(np.full(len(distinct), min(quota, len(order)), np.int64))  # any larger one holds nobody back
        n_slots += len(distinct)
    owner = np.concatenate(owners)
    by_owner = np.argsort(owner, kind="stable")
    lengths = np.bincount(owner, minlength=len(order))
    return Sequences.from_lengths(np.concatenate(values)[by_owner], lengths), np.concatenate(room)


__all__ = ["POOL_PER_ITEM", "likeness", "pool_size", "report", "rerank"]
