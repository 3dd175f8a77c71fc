"""Which nodes short random walks visit most: the neighbourhoods and the hard negatives of PinSage.

From every node of the graph of users and items, `n_walks` walks of `length` steps, each to a uniformly drawn neighbour.
A node counts as often as the walks step on it, the start itself not. Ying et al., 2018, section 3.2,
https://arxiv.org/abs/1806.01973: what is visited often is important, and keeping the most visited alone bounds memory.

Time: O(n_nodes n_walks length), once. Memory: 8 bytes for each of `n_kept` nodes of a node, and one walk's visits per
thread. Node i draws from its own random state, derived from (seed, i), whatever the number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from prismrec.graphs.negatives import derive_seed, next_below, random_states
from prismrec.models.collaborative.adjacency import UserItemGraph

_NODE_BITS = 32
_ANY = -1


@dataclass(frozen=True)
class Walks:
    """How nodes are visited.

    Attributes:
        n_walks: walks from each node.
        length: steps of each.
        seed: same seed, same walks.
    """

    n_walks: int
    length: int
    seed: int


@dataclass(frozen=True, eq=False)
class Visited:
    """The most visited nodes of each start, most visits first, equal ones by rising number.

    Attributes:
        nodes: (n_starts, n_kept) int32; where fewer were visited, the rest is the start itself.
        counts: (n_starts, n_kept) int32: visits; 0 where there is no node.
    """

    nodes: NDArray[np.int32]
    counts: NDArray[np.int32]

    @property
    def weights(self) -> NDArray[np.float32]:
        """(n_starts, n_kept) float32: the share of each node in the visits of all that were kept."""
        totals = np.maximum(self.counts.sum(1, keepdims=True), 1)
        shares: NDArray[np.float32] = np.divide(self.counts, totals, dtype=np.float32)
        return shares


def important_neighbours(graph: UserItemGraph, walks: Walks, n_kept: int) -> Visited:
    """The nodes that walks from each node visit most, users and items alike."""
    return _ranked(graph, walks, graph.n_nodes, n_kept, (0, _ANY))


def related_items(graph: UserItemGraph, walks: Walks, n_kept: int, n_skipped: int) -> Visited:
    """Items that walks from each user visit and that the user never had, without the `n_skipped` most visited.

    The nodes are item indices, as everywhere; where there are fewer than `n_kept`, the rest has count 0.
    """
    visited = _ranked(graph, walks, graph.n_users, n_kept, (n_skipped, graph.n_users))
    return Visited(np.maximum(visited.nodes - graph.n_users, 0), visited.counts)


def _ranked(graph: UserItemGraph, walks: Walks, n_starts: int, n_kept: int, part: tuple[int, int]) -> Visited:
    nodes = np.repeat(np.arange(n_starts, dtype=np.int32)[:, None], n_kept, axis=1)
    counts = np.zeros((n_starts, n_kept), np.int32)
    states = np.full(n_starts, random_states(walks.seed)[0])
    _rank_visits(graph.indptr, graph.neighbours, (walks.n_walks, walks.length), part, states, nodes, counts)
    return Visited(nodes, counts)


@njit(cache=True, parallel=True)
def _rank_visits(  # type: ignore[no-untyped-def]
    indptr, neighbours, walks, part, states, nodes, counts
):
    """Fill `nodes` and `counts`; `part` is how many to skip, and which nodes count: all, or new ones from there on."""
    n_skipped, new_from = part
    for number in prange(len(nodes)):
        start = np.int64(number)
        if indptr[start] == indptr[start + 1]:
            continue
        states[start] = derive_seed(states[start], start)
        visits = _visits(indptr, neighbours, walks, start, states)
        own = neighbours[indptr[start] : indptr[start + 1]]
        ranked = _by_count(visits, start, own, new_from)
        for place in range(min(len(ranked) - n_skipped, nodes.shape[1])):
            key = ranked[len(ranked) - 1 - n_skipped - place]
            counts[start, place] = key >> _NODE_BITS
            nodes[start, place] = _node_of(key)


@njit(cache=True)
def _visits(indptr, neighbours, walks, start, states):  # type: ignore[no-untyped-def]
    """(n_walks * length,) the nodes stepped on, in rising order."""
    n_walks, length = walks
    visits = np.empty(n_walks * length, np.int32)
    for walk in range(n_walks):
        here = start
        for step in range(length):  # a neighbour has a neighbour: no walk ends early
            degree = indptr[here + 1] - indptr[here]
            here = np.int64(neighbours[indptr[here] + next_below(states, start, degree)])
            visits[walk * length + step] = here
    visits.sort()
    return visits


@njit(cache=True)
def _by_count(visits, start, own, new_from):  # type: ignore[no-untyped-def]
    """Keys of the distinct nodes that count, rising: visits in the high bits, the node, negated, in the low ones."""
    keys = np.empty(len(visits), np.int64)
    n_keys, begin = 0, 0
    while begin < len(visits):
        node, end = visits[begin], begin + 1
        while end < len(visits) and visits[end] == node:
            end += 1
        if node != start and (new_from < 0 or (node >= new_from and not _holds(own, node))):
            keys[n_keys] = (np.int64(end - begin) << _NODE_BITS) | (np.int64(2**_NODE_BITS - 1) - node)
            n_keys += 1
        begin = end
    ranked = keys[:n_keys]
    ranked.sort()
    return ranked


@njit(inline="always")
def _node_of(key):  # type: ignore[no-untyped-def]
    return np.int32(np.int64(2**_NODE_BITS - 1) - (key & np.int64(2**_NODE_BITS - 1)))


@njit(inline="always")
def _holds(rising, value):  # type: ignore[no-untyped-def]
    place = np.searchsorted(rising, value)
    return place < len(rising) and rising[place] == value


__all__ = ["Visited", "Walks", "important_neighbours", "related_items"]
