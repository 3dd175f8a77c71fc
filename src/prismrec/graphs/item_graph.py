"""The item graph of MA-GNN: which items follow each other, counted from training histories only.

Each item is joined to the next `steps` items of the same history, in both directions; an edge weighs how often that
happened, and each row is divided by its sum:

    A_ij = c_ij / sum_k c_ik

Ma, Ma, Zhang, Sun, Liu & Coates: Memory Augmented Graph Neural Networks for Sequential Recommendation. AAAI 2020,
section 3.2, https://arxiv.org/abs/1912.11730. An item that nobody had, or that stands alone, has an empty row.

Cost: that of `views.count_pairs`, and one sort of the edges where rows are cut.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prismrec.data.sequences import Sequences
from prismrec.graphs.views import PairSettings, ViewGraph, count_pairs

STEPS = 3
"""How many items after it an item is joined to (the paper)."""


def item_graph(histories: Sequences, n_items: int, *, neighbours: int, steps: int = STEPS) -> ViewGraph:
    """Row-normalised graph of the items that follow each other.

    Args:
        histories: one row per user: item indices in time order, of the training data alone.
        n_items: how many items there are, those that no history holds included.
        neighbours: edges that a row keeps at most, the heaviest first and equal ones by rising index; 0 keeps all.
        steps: how many of the next items each item is joined to.

    Raises:
        DataError: a history holds an index outside 0..n_items - 1.
    """
    counted = count_pairs(histories, n_items, PairSettings(window=steps, direction="symmetric"))
    return _normalised(heaviest(counted, neighbours) if neighbours else counted)


def heaviest(graph: ViewGraph, neighbours: int) -> ViewGraph:
    """The graph with at most so many edges per row: the heaviest, equal ones by rising target."""
    rows = np.repeat(np.arange(graph.n_nodes), np.diff(graph.indptr))
    order = np.lexsort((graph.indices, -graph.weights, rows))  # rows stay together, each from heavy to light
    places = np.arange(graph.n_edges) - graph.indptr[rows]
    kept = np.sort(order[places < neighbours])
    return _of(rows[kept], graph.indices[kept], graph.weights[kept], graph)


def _normalised(graph: ViewGraph) -> ViewGraph:
    rows = np.repeat(np.arange(graph.n_nodes), np.diff(graph.indptr))
    totals = np.bincount(rows, graph.weights, graph.n_nodes)
    return _of(rows, graph.indices, (graph.weights / totals[rows]).astype(np.float32), graph)


def _of(
    rows: NDArray[np.int64], targets: NDArray[np.int32], weights: NDArray[np.float32], like: ViewGraph
) -> ViewGraph:
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=like.n_nodes))]).astype(np.int64)
    return ViewGraph(indptr, targets, weights, like.n_targets)


__all__ = ["STEPS", "heaviest", "item_graph"]
