"""What RippleNet attended to, as walks that a person can follow: *film -> director -> film*.

A triple (h, r, t) of the first hop is a walk by itself, from an item of the history. One of hop k begins where a triple
of hop k - 1 ended: of those that ended there the one with most attention goes before it, down to the first hop. Its
weight is its own share of attention, a_k p_i. Then, for the reader:
- a walk that comes back to where it was is told without its last step;
- where one more triple leads from its end to the candidate, it is told with it.
Walks that are then the same are told once, with their weights summed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prismrec.graphs.ripples import RippleGraph, RippleSets
from prismrec.models.contract import KnowledgePath

Walk = tuple[tuple[int, ...], tuple[int, ...]]
"""Nodes, and the relations between them."""


def explained_paths(
    graph: RippleGraph, ripples: RippleSets, shares: NDArray[np.float32], candidate: int, n_paths: int
) -> tuple[KnowledgePath, ...]:
    """The walks with most attention, the strongest first; items that stand for themselves have none.

    Args:
        graph: where the ripples spread.
        ripples: of one history.
        shares: (hops, M): a_k p_i.
        candidate: index of the item that was asked for.
        n_paths: how many at most.
    """
    target = int(graph.item_nodes[candidate])
    weights: dict[Walk, float] = {}
    before: dict[int, Walk] = {}  # by where they end: the strongest of the hop before
    walks: dict[int, Walk] = {}
    for hop in range(len(shares)):
        if not (hop and _ended(ripples, hop)):
            before, walks = walks, {}
        for place in np.argsort(-shares[hop], kind="stable").tolist():
            head, relation, tail = (int(p[0, hop, place]) for p in (ripples.heads, ripples.relations, ripples.tails))
            if relation == graph.n_relations:
                continue
            start = before.get(
                head, ((head,), ())
            )  # of the first hop, or what stands for itself in it, nothing is before
            walk = (*start[0], tail), (*start[1], relation)
            walks.setdefault(tail, walk)
            told = _with_candidate(graph, _without_return(walk), target)
            weights[told] = weights.get(told, 0.0) + float(shares[hop, place])
    strongest = sorted(weights.items(), key=lambda entry: -entry[1])[:n_paths]
    return tuple(KnowledgePath(nodes, relations, weight) for (nodes, relations), weight in strongest)


def _ended(ripples: RippleSets, hop: int) -> bool:
    """Whether the hop before stands for this one, which had no triples."""
    return all((part[0, hop] == part[0, hop - 1]).all() for part in (ripples.heads, ripples.relations, ripples.tails))


def _without_return(walk: Walk) -> Walk:
    nodes, relations = walk
    return (nodes[:-1], relations[:-1]) if len(nodes) > 2 and nodes[-1] == nodes[-3] else walk


def _with_candidate(graph: RippleGraph, walk: Walk, target: int) -> Walk:
    """The walk, with a last step to the candidate where there is one."""
    nodes, relations = walk
    begin, end = graph.offsets[nodes[-1]], graph.offsets[nodes[-1] + 1]
    leading = np.flatnonzero(graph.tails[begin:end] == target)
    if not len(leading) or target in nodes:
        return walk
    return (*nodes, target), (*relations, int(graph.relations[begin + leading[0]]))


__all__ = ["explained_paths"]
