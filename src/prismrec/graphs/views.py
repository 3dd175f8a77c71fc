"""The weighted graph of each view, counted from its sequences, and the edges from items to the nodes of a view.

Two nodes are joined when they stand within `window` steps of each other in a session; the edge's weight is how often
(M2GRL, arXiv 2005.10110, section 3.2: adjacent nodes of a session, so `window` 1). Sequential co-occurrence, the
baseline, is the same count with a wider window.

Cost: time O(clicks x window); memory 20 bytes per click, 12 per node and thread, and 8 per edge. Pairs are never
listed: each node walks over its own occurrences, so the peak does not grow with the window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numba
import numpy as np
import scipy.sparse as sp
from numba import njit, prange
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from prismrec.config import Section
from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError, DataError


class PairSettings(Section):
    """Which neighbours in a sequence make a pair, and what a pair is worth."""

    window: int = Field(default=1, ge=1, le=1000, description="steps between the two nodes of a pair, at most")
    direction: Literal["forward", "symmetric"] = Field(
        default="symmetric", description="forward: only earlier -> later; symmetric: both ways"
    )
    distance_weighting: Literal["flat", "linear", "harmonic"] = Field(
        default="flat", description="weight of a pair d steps apart: 1; (window + 1 - d) / window; 1 / d"
    )
    self_pairs: bool = Field(default=False, description="count a node that meets itself again within the window")

    def step_weights(self) -> NDArray[np.float64]:
        """(window,) float64: the weight of a pair 1, 2, ... steps apart."""
        steps = np.arange(1, self.window + 1)
        if self.distance_weighting == "linear":
            return (self.window + 1 - steps) / self.window
        if self.distance_weighting == "harmonic":
            return 1.0 / steps
        return np.ones(self.window)


@dataclass(frozen=True, eq=False)
class ViewGraph:
    """A weighted adjacency by rows (CSR): the edges of node i are `indptr[i]:indptr[i + 1]`, ordered by target.

    Attributes:
        indptr: (n_nodes + 1,) int64.
        indices: (n_edges,) int32, targets.
        weights: (n_edges,) float32, positive.
        n_targets: how many nodes can be targets: n_nodes within a view, another view's nodes across views.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.float32]
    n_targets: int

    @classmethod
    def from_edges(
        cls, sources: ArrayLike, targets: ArrayLike, weights: ArrayLike, shape: tuple[int, int], symmetric: bool = False
    ) -> ViewGraph:
        """A graph from lists of edges; parallel edges add up. `symmetric` adds each edge's reverse.

        Raises:
            DataError: the lists differ in length, an index is out of `shape`, or a weight is not positive and finite.
        """
        rows, columns = np.asarray(sources, np.int64), np.asarray(targets, np.int64)
        values = np.asarray(weights, np.float64)
        _check_edges(rows, columns, values, shape)
        matrix = sp.csr_array((values, (rows, columns)), shape=shape)
        if symmetric:
            reverse = matrix.T - sp.diags_array(matrix.diagonal())  # a loop is its own reverse: count it once
            matrix = sp.csr_array(matrix + reverse)
        return cls.from_scipy(matrix)

    @classmethod
    def from_scipy(cls, matrix: sp.sparray) -> ViewGraph:
        """A graph from any scipy sparse array, (n_nodes, n_targets); explicit zeros are left out."""
        rows = sp.csr_array(matrix, copy=True)
        rows.sum_duplicates()
        rows.eliminate_zeros()
        return cls(
            rows.indptr.astype(np.int64), rows.indices.astype(np.int32), rows.data.astype(np.float32), rows.shape[1]
        )

    def to_scipy(self) -> sp.csr_array:
        """The (n_nodes, n_targets) float32 CSR array; it shares the weights."""
        return sp.csr_array((self.weights, self.indices, self.indptr), shape=(self.n_nodes, self.n_targets))

    @property
    def n_nodes(self) -> int:
        """How many nodes edges can start from."""
        return len(self.indptr) - 1

    @property
    def n_edges(self) -> int:
        """How many distinct directed edges there are."""
        return len(self.indices)

    def neighbours(self, node: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Targets and weights of one node's edges."""
        edges = slice(self.indptr[node], self.indptr[node + 1])
        return self.indices[edges], self.weights[edges]


def view_graph(data: PreparedData, view: str, settings: PairSettings) -> ViewGraph:
    """The graph of one view ("item" included) from its training sessions.

    Raises:
        ConfigError: there is no such view.
    """
    _check_view(data, view, data.view_names)
    return count_pairs(data.view_sessions(view), len(data.nodes(view)), settings)


def cross_view_graph(data: PreparedData, view: str) -> ViewGraph:
    """Edges from items to their nodes in a side view; the weight is how often the item occurs in training.

    Items never clicked have no edge here; their nodes are in `View.item_nodes`.

    Raises:
        ConfigError: there is no such side view.
    """
    _check_view(data, view, tuple(data.views))
    nodes = data.views[view].item_nodes
    items = np.repeat(np.arange(len(nodes)), nodes.lengths)
    counts = np.asarray(data.items.counts, np.float64)[items]
    seen = counts > 0
    shape = (len(data.items), len(data.views[view].nodes))
    return ViewGraph.from_edges(items[seen], nodes.values[seen], counts[seen], shape)


def count_pairs(sequences: Sequences, n_nodes: int, settings: PairSettings) -> ViewGraph:
    """Count the pairs of nodes within a window of each other.

    Raises:
        DataError: a sequence holds an index outside 0..n_nodes - 1.
    """
    values = np.ascontiguousarray(sequences.values, np.int32)
    offsets = np.ascontiguousarray(sequences.offsets, np.int64)
    if len(values) and not (values.min() >= 0 and values.max() < n_nodes):
        raise DataError(f"sequences must hold indices 0..{n_nodes - 1}, got {values.min()}..{values.max()}")
    node_starts, positions = _occurrences(values, n_nodes)
    rows = np.repeat(np.arange(len(sequences), dtype=np.int64), np.diff(offsets))
    weights = settings.step_weights()
    log = (values, offsets, rows, node_starts, positions)
    how = (weights, settings.direction == "symmetric", settings.self_pairs)

    n_workers = max(1, min(numba.get_num_threads(), n_nodes))
    indptr = np.zeros(n_nodes + 1, np.int64)
    _gather(log, how, n_workers, indptr, np.zeros(0, np.int32), np.zeros(0, np.float32), False)
    np.cumsum(indptr, out=indptr)
    indices = np.empty(indptr[-1], np.int32)
    totals = np.empty(indptr[-1], np.float32)
    _gather(log, how, n_workers, indptr, indices, totals, True)
    return ViewGraph(indptr, indices, totals, n_nodes)


def _check_view(data: PreparedData, view: str, known: tuple[str, ...]) -> None:
    if view not in known:
        raise ConfigError(f"there is no view {view!r} here; known views are {', '.join(known) or '(none)'}")


def _check_edges(
    rows: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.float64], shape: tuple[int, int]
) -> None:
    if not len(rows) == len(columns) == len(values):
        raise DataError(
            f"edges need as many targets and weights as sources: {len(rows)}, {len(columns)}, {len(values)}"
        )
    for name, indices, size in (("source", rows, shape[0]), ("target", columns, shape[1])):
        if len(indices) and not (indices.min() >= 0 and indices.max() < size):
            raise DataError(f"{name} indices must lie in 0..{size - 1}, got {indices.min()}..{indices.max()}")
    wrong = ~(np.isfinite(values) & (values > 0))
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"edge weights must be positive and finite, but edge {place} ({rows[place]} -> {columns[place]}) "
            f"has {values[place]}"
        )


@njit(cache=True)
def _occurrences(values: NDArray[np.int32], n_nodes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each node stands in the log: a counting sort of the positions by their node."""
    starts = np.zeros(n_nodes + 1, np.int64)
    for value in values:
        starts[value + 1] += 1
    for node in range(n_nodes):
        starts[node + 1] += starts[node]
    free = starts[:-1].copy()
    positions = np.empty(values.shape[0], np.int64)
    for position in range(values.shape[0]):
        node = values[position]
        positions[free[node]] = position
        free[node] += 1
    return starts, positions


@njit(cache=True, parallel=True)
def _gather(log, how, n_workers, indptr, indices, weights, fill):  # type: ignore[no-untyped-def]
    """Sum the pairs of each node: first only how many targets it has (into indptr[node + 1]), then which, and weights.

    Nodes go to the workers in turn, since a vocabulary is ordered by falling count. The sum of a node does not depend
    on the worker, so the graph is the same with any number of threads.
    """
    n_nodes = indptr.shape[0] - 1
    for worker in prange(n_workers):
        total = np.zeros(n_nodes, np.float64)
        touched = np.empty(n_nodes, np.int32)
        for node in range(worker, n_nodes, n_workers):
            n_touched = _sum_pairs(node, log, how, total, touched)
            if fill:
                begin = indptr[node]
                found = np.sort(touched[:n_touched])
                for i in range(n_touched):
                    indices[begin + i] = found[i]
                    weights[begin + i] = total[found[i]]
            else:
                indptr[node + 1] = n_touched
            for i in range(n_touched):
                total[touched[i]] = 0.0


@njit(cache=True)
def _sum_pairs(node, log, how, total, touched):  # type: ignore[no-untyped-def]
    """Add the pairs of one node into `total`; list the targets in `touched`; return how many there are."""
    values, offsets, rows, node_starts, positions = log
    step_weights, symmetric, self_pairs = how
    n_touched = 0
    for occurrence in range(node_starts[node], node_starts[node + 1]):
        position = positions[occurrence]
        begin, end = offsets[rows[position]], offsets[rows[position] + 1]
        first = max(begin, position - step_weights.shape[0]) if symmetric else position + 1
        for other in range(first, min(end, position + step_weights.shape[0] + 1)):
            target = values[other]
            if other == position or (target == node and (other < position or not self_pairs)):
                continue
            if total[target] == 0.0:
                touched[n_touched] = target
                n_touched += 1
            total[target] += step_weights[abs(other - position) - 1]
    return n_touched


__all__ = ["PairSettings", "ViewGraph", "count_pairs", "cross_view_graph", "view_graph"]
