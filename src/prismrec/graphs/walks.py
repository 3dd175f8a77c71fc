"""Random walks over a view graph, biased as in node2vec: sequences for users who have a graph and no logs.

Grover & Leskovec, "node2vec: Scalable Feature Learning for Networks" (KDD 2016), section 3.2.2. A walk that came from
node t and stands on v goes on to x with probability proportional to

    w(v, x) * alpha(t, x),    alpha = 1/p if x = t;  1 if t -> x is an edge;  1/q otherwise.

`p` below 1 makes the walk turn back, `q` above 1 keeps it near. With p = q = 1 only the weights count (DeepWalk).

A step draws x from the alias table of v and accepts it with alpha / max(1/p, 1, 1/q): rejection, so that no table per
pair of nodes is needed. A draw costs O(1) and, unless p = q = 1, a binary search in the edges of t; a step takes
max alpha / mean alpha draws on average. Memory: 8 bytes per edge, and 4 per step of all walks (the result).

*Differs from the paper:* there each edge has its own alias table; the probabilities are the same. In a directed graph
the distance d(t, x) = 1 is read along the edge t -> x. A walk ends early at a node without edges.

Deterministic: walk i draws from its own random state, derived from (seed, i), whatever the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from pydantic import Field

from prismrec.config import Section
from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.graphs.negatives import AliasTable, build_alias_rows, derive_seed, draw_place, next_unit, random_states
from prismrec.graphs.views import ViewGraph


class WalkSettings(Section):
    """How many walks, how long, and where they lean."""

    walks_per_node: int = Field(default=10, ge=1, description="walks that start at each node with an edge")
    walk_length: int = Field(
        default=40, ge=2, description="nodes in a walk, at most; fewer where a node has no edge to follow"
    )
    p: float = Field(default=1.0, ge=0.01, le=100, description="return parameter: small turns back often")
    q: float = Field(default=1.0, ge=0.01, le=100, description="in-out parameter: small walks far, large stays near")
    seed: int = Field(default=1, ge=0, description="same seed, same walks")


def random_walks(graph: ViewGraph, settings: WalkSettings) -> Sequences:
    """Walk from every node that has an edge; all first walks come first, in node order, then all second ones.

    Returns:
        walks_per_node x (nodes with an edge) rows of 2..walk_length node indices.

    Raises:
        DataError: the graph leads to another view, or has no edge.
    """
    if graph.n_targets != graph.n_nodes:
        raise DataError(
            f"walks need a graph within one view, but {graph.n_nodes} nodes lead to {graph.n_targets} others"
        )
    if graph.n_edges == 0:
        raise DataError(f"walks need edges: the graph of {graph.n_nodes} nodes has none")
    starts = np.tile(np.flatnonzero(np.diff(graph.indptr)).astype(np.int32), settings.walks_per_node)
    walks = np.empty((len(starts), settings.walk_length), np.int32)
    lengths = np.empty(len(starts), np.int64)
    states = np.full(len(starts), random_states(settings.seed)[0])
    tables = build_alias_rows(graph.weights, graph.indptr)
    bias = (1.0 / settings.p, 1.0 / settings.q)
    _walk_all(graph.indptr, graph.indices, tables, bias, starts, states, walks, lengths)
    if (lengths == settings.walk_length).all():
        return Sequences.from_lengths(walks.reshape(-1), lengths)
    return Sequences.from_lengths(walks[np.arange(settings.walk_length) < lengths[:, None]], lengths)


@njit(cache=True, parallel=True)
def _walk_all(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    tables: AliasTable,
    bias: tuple[float, float],
    starts: NDArray[np.int32],
    states: NDArray[np.uint64],
    walks: NDArray[np.int32],
    lengths: NDArray[np.int64],
) -> None:
    for walk in prange(starts.shape[0]):
        states[walk] = derive_seed(states[walk], walk)
        walks[walk, 0] = starts[walk]
        previous, length = np.int64(-1), 1
        while length < walks.shape[1]:
            here = np.int64(walks[walk, length - 1])
            if indptr[here] == indptr[here + 1]:
                break
            walks[walk, length] = _step(indptr, indices, tables, bias, previous, here, states, walk)
            previous = here
            length += 1
        lengths[walk] = length


@njit(cache=True)
def _step(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    tables: AliasTable,
    bias: tuple[float, float],
    previous: int,
    here: int,
    states: NDArray[np.uint64],
    slot: int,
) -> int:
    """The next node after `here`; `previous` is -1 on the first step, which only the weights decide."""
    begin, end = indptr[here], indptr[here + 1]
    turn_back, go_far = bias
    free = previous < 0 or (turn_back == 1.0 and go_far == 1.0) or end - begin == 1
    highest = max(turn_back, 1.0, go_far)
    while True:
        node = indices[draw_place(states, slot, begin, end, tables.probability, tables.alias)]
        if free:
            return int(node)
        if node == previous:
            alpha = turn_back
        elif _has_edge(indptr, indices, previous, node):
            alpha = 1.0
        else:
            alpha = go_far
        if next_unit(states, slot) * highest < alpha:
            return int(node)


@njit(cache=True)
def _has_edge(indptr: NDArray[np.int64], indices: NDArray[np.int32], source: int, target: int) -> bool:
    """Binary search in the edges of `source`, which are ordered by target."""
    low, high = indptr[source], indptr[source + 1]
    while low < high:
        middle = (low + high) // 2
        if indices[middle] < target:
            low = middle + 1
        else:
            high = middle
    return bool(low < indptr[source + 1] and indices[low] == target)


__all__ = ["WalkSettings", "random_walks"]
