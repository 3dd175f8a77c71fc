"""Ripple sets: the triples that a history reaches in a knowledge graph, a fixed number at each hop.

    E^0 = the items of the history      S^k = {(h, r, t) in G : h in E^{k-1}}      E^k = {t : (h, r, t) in S^k}      (2)

Wang et al.: RippleNet. CIKM 2018, https://arxiv.org/abs/1803.03467. Of S^k only M triples are taken, and E^k are their
tails. One is drawn from each of M equal stretches of S^k, so that all are as likely, none comes twice where there are
M, and all parts of E^{k-1} have their share; where there are fewer, all are taken, again and again in turn.

What the source leaves open, or says of entities that only ever are tails ("sink entities"):
- where no entity of E^k has a triple, the ripple ends, and the last hop that had triples stands for those that follow;
- an item of the history without a triple, or no entity at all, stands for itself, by one more relation: "is itself".

Nodes are the entities, and after them the items that are none. Time: O(rows x (seeds + hops x M^2)). Memory: 12 bytes
per triple of the graph, and of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prismrec.data.knowledge.graph import ItemKnowledge
from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.graphs.negatives import derive_seed, next_below


@dataclass(frozen=True, eq=False)
class RippleGraph:
    """Which triples leave each node.

    Attributes:
        offsets: (n_nodes + 1,) int64: the triples with head h are `offsets[h]:offsets[h + 1]` of the two below.
        relations: (n_triples,) int32.
        tails: (n_triples,) int32.
        item_nodes: (n_items,) int64: the node of each item, distinct.
        n_relations: how many relations the graph has; this number itself is "is itself".
    """

    offsets: NDArray[np.int64]
    relations: NDArray[np.int32]
    tails: NDArray[np.int32]
    item_nodes: NDArray[np.int64]
    n_relations: int

    @property
    def n_nodes(self) -> int:
        """Entities, and items that are none."""
        return len(self.offsets) - 1


@dataclass(frozen=True, eq=False)
class RippleSets:
    """Triples that some histories reach: rows, hops, triples of a hop.

    Attributes:
        heads: (n_rows, hops, M) int32 nodes.
        relations: (n_rows, hops, M) int32.
        tails: (n_rows, hops, M) int32 nodes.
        found: (n_rows,) bool: whether the history has an item at all; where not, the triples are all zero.
    """

    heads: NDArray[np.int32]
    relations: NDArray[np.int32]
    tails: NDArray[np.int32]
    found: NDArray[np.bool_]


def item_nodes(knowledge: ItemKnowledge) -> NDArray[np.int64]:
    """(n_items,) int64: the entity of each item; of those that are none, numbers beyond the entities."""
    nodes = knowledge.item_entities.copy()
    lacking = np.flatnonzero(nodes == UNKNOWN)
    nodes[lacking] = knowledge.graph.n_entities + np.arange(len(lacking))
    return nodes


def ripple_graph(knowledge: ItemKnowledge) -> RippleGraph:
    """The triples of a graph in the order of their heads."""
    nodes = item_nodes(knowledge)
    n_nodes = knowledge.graph.n_entities + int((knowledge.item_entities == UNKNOWN).sum())
    heads, relations, tails = knowledge.graph.triples.T
    order = np.argsort(heads, kind="stable")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(heads, minlength=n_nodes))]).astype(np.int64)
    return RippleGraph(
        offsets, np.ascontiguousarray(relations[order]), np.ascontiguousarray(tails[order]), nodes,
        knowledge.graph.n_relations,
    )  # fmt: skip


def ripple_sets(
    graph: RippleGraph, histories: Sequences, n_hops: int, n_triples: int, seeds: NDArray[np.uint64]
) -> RippleSets:
    """The ripple sets of histories.

    Args:
        graph: where they spread.
        histories: rows of item indices; each item of a row counts once.
        n_hops: H.
        n_triples: M.
        seeds: (n_rows,) uint64: what each row draws with; `content_seeds` makes a row's answer its own.
    """
    shape = (len(histories), n_hops, n_triples)
    heads, relations, tails = (np.zeros(shape, np.int32) for _ in range(3))
    start = _distinct(histories)
    nodes = graph.item_nodes[start.values].astype(np.int32)
    edges = (graph.offsets, graph.relations, graph.tails)
    _spread(edges, start.offsets, nodes, graph.n_relations, seeds, heads, relations, tails)
    return RippleSets(heads, relations, tails, start.lengths > 0)


def content_seeds(histories: Sequences) -> NDArray[np.uint64]:
    """(n_rows,) uint64: a seed per row that depends on which items the row has alone, not on order or number."""
    start = _distinct(histories)
    seeds: NDArray[np.uint64] = _folded(start.offsets, start.values)
    return seeds


def _distinct(histories: Sequences) -> Sequences:
    """Each row's items once, ascending."""
    rows = np.repeat(np.arange(len(histories), dtype=np.int64), histories.lengths)
    width = int(histories.values.max()) + 1 if len(histories.values) else 1
    owners, items = np.divmod(np.unique(rows * width + histories.values), width)
    return Sequences.from_lengths(items, np.bincount(owners, minlength=len(histories)))


@njit(cache=True)
def _folded(offsets: NDArray[np.int64], values: NDArray[np.int32]) -> NDArray[np.uint64]:
    seeds = np.zeros(offsets.shape[0] - 1, np.uint64)
    for row in range(seeds.shape[0]):
        for place in range(offsets[row], offsets[row + 1]):
            seeds[row] = derive_seed(seeds[row], values[place])
    return seeds


@njit(cache=True)
def _spread(
    edges: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]],
    seed_offsets: NDArray[np.int64],
    seed_nodes: NDArray[np.int32],
    itself: int,
    seeds: NDArray[np.uint64],
    heads: NDArray[np.int32],
    relations: NDArray[np.int32],
    tails: NDArray[np.int32],
) -> None:
    """Fill the three arrays (n_rows, hops, M)."""
    n_hops, n_triples = heads.shape[1], heads.shape[2]
    state = np.empty(1, np.uint64)
    for row in range(heads.shape[0]):
        state[0] = seeds[row]
        front = seed_nodes[seed_offsets[row] : seed_offsets[row + 1]]
        for hop in range(n_hops):
            place = (heads[row, hop], relations[row, hop], tails[row, hop])
            if _draw_hop(edges, front, itself if hop == 0 else -1, state, place) == 0:
                if hop == 0:
                    break  # an empty history
                heads[row, hop:] = heads[row, hop - 1]
                relations[row, hop:] = relations[row, hop - 1]
                tails[row, hop:] = tails[row, hop - 1]
                break
            if hop + 1 < n_hops:
                front = _each_once(tails[row, hop], n_triples)


@njit(cache=True)
def _draw_hop(
    edges: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]],
    front: NDArray[np.int32],
    itself: int,
    state: NDArray[np.uint64],
    place: tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]],
) -> int:
    """Draw M of the triples that leave a front; how many there are. With `itself` >= 0 a node without one has that."""
    offsets, graph_relations, graph_tails = edges
    heads, relations, tails = place
    least = 1 if itself >= 0 else 0
    total = 0
    for node in front:
        total += max(least, offsets[node + 1] - offsets[node])
    if total == 0:
        return 0
    wanted = _wanted(total, heads.shape[0], state)
    first = np.argmin(wanted)  # from there they rise, all the way round
    number, begins, wide = 0, 0, max(least, offsets[front[0] + 1] - offsets[front[0]])
    for turn in range(wanted.shape[0]):
        slot = (first + turn) % wanted.shape[0]
        while wanted[slot] >= begins + wide:
            begins += wide
            number += 1
            wide = max(least, offsets[front[number] + 1] - offsets[front[number]])
        node = front[number]
        heads[slot] = node
        if offsets[node] == offsets[node + 1]:
            relations[slot], tails[slot] = itself, node
        else:
            edge = offsets[node] + wanted[slot] - begins
            relations[slot], tails[slot] = graph_relations[edge], graph_tails[edge]
    return total


@njit(cache=True)
def _wanted(total: int, n: int, state: NDArray[np.uint64]) -> NDArray[np.int64]:
    """(n,) of the numbers 0..total - 1: one of each of n stretches, which are turned by a random number.

    Stretches differ in length by one; turning them makes all numbers as likely. Of fewer numbers each is taken in turn.
    """
    wanted = np.empty(n, np.int64)
    shift = next_below(state, 0, total) if total > n else 0
    for slot in range(n):
        low, high = slot * total // n, (slot + 1) * total // n
        wanted[slot] = (low + shift + (next_below(state, 0, high - low) if high - low > 1 else 0)) % total
    return wanted


@njit(cache=True)
def _each_once(nodes: NDArray[np.int32], n: int) -> NDArray[np.int32]:
    """The distinct nodes, in the order in which they first come; n is small."""
    kept = np.empty(n, np.int32)
    n_kept = 0
    for node in nodes:
        known = False
        for place in range(n_kept):
            if kept[place] == node:
                known = True
                break
        if not known:
            kept[n_kept] = node
            n_kept += 1
    return kept[:n_kept]


__all__ = ["RippleGraph", "RippleSets", "content_seeds", "item_nodes", "ripple_graph", "ripple_sets"]
