"""What a triple's missing end is without any vectors: the baselines that every model of links must beat.

`LinkPopularity` asks how often a relation has an entity on that side. `LinkRules` knows the rules that one triple
follows from another between the same two entities,

    (a, r', b) => (a, r, b)     confidence = #{(a, b): both} / #{(a, b): r'}      and with a and b exchanged,

and scores an entity by the best rule that leads to it, ties and the rest by popularity:

    score(e) = max of the confidences + 0.001 share(e)

It is the inverse model that showed what WN18's leak was (Dettmers, Minervini, Stenetorp & Riedel: ConvE, AAAI 2018,
https://arxiv.org/abs/1707.01476), with every pair of relations. Cost: the products of two sparse matrices (pairs of
entities x relations) once; O(degree of the known end + n_entities) per query.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from prismrec.data.knowledge.graph import KnowledgeGraph
from prismrec.data.sequences import Sequences
from prismrec.graphs.triple_answers import SIDES, Side, known_and_asked

_TIES = 0.001
"""How much popularity counts beside a confidence."""


class LinkPopularity:
    """Scores an end by how often the relation has it; a `LinkScorer`."""

    def __init__(self, graph: KnowledgeGraph) -> None:
        """Count: (n_relations, n_entities) per side, sparse."""
        self._counts = {side: _counted(graph, side) for side in SIDES}

    def score_links(self, side: Side, known: NDArray[np.int64], relations: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, n_entities) float32: the share of the relation's triples."""
        scores: NDArray[np.float32] = self._counts[side][relations].toarray()
        return scores


class LinkRules:
    """Scores an end by rules of one triple; a `LinkScorer`."""

    def __init__(self, graph: KnowledgeGraph) -> None:
        """Find the confidence of every rule."""
        self._popularity = LinkPopularity(graph)
        same, inverse = _confidences(graph)
        # The link of a neighbour as seen from the known end, which may be its head or its tail.
        self._confidences = {"tail": (same, inverse), "head": (inverse, same)}
        self._neighbours = tuple(_linked(graph, column, graph.triples[:, 2 - column]) for column in (0, 2))
        self._links = tuple(_linked(graph, column, graph.triples[:, 1]) for column in (0, 2))

    def score_links(self, side: Side, known: NDArray[np.int64], relations: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, n_entities) float32."""
        scores = _TIES * self._popularity.score_links(side, known, relations)
        best = np.zeros_like(scores)
        for neighbours, links, confidences in zip(self._neighbours, self._links, self._confidences[side], strict=True):
            reached, by = neighbours.take(known), links.take(known)
            rows = np.repeat(np.arange(len(known)), reached.lengths)
            np.maximum.at(best, (rows, reached.values), confidences[by.values, relations[rows]])
        return scores + best


def _counted(graph: KnowledgeGraph, side: Side) -> sparse.csr_array:
    """(n_relations, n_entities) share of a relation's triples that have an entity on a side."""
    relations, ends = graph.triples[:, 1], graph.triples[:, known_and_asked(side)[1]]
    shares = 1 / np.bincount(relations, minlength=graph.n_relations)[relations]
    shape = (graph.n_relations, graph.n_entities)
    return sparse.csr_array((shares.astype(np.float32), (relations, ends)), shape=shape)


def _confidences(graph: KnowledgeGraph) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(n_relations, n_relations) of r' => r between a and b as they are, and exchanged; 0 for r => r itself."""
    heads, relations, tails = (graph.triples[:, column].astype(np.int64) for column in range(3))
    pairs = np.concatenate([heads * graph.n_entities + tails, tails * graph.n_entities + heads])
    _, places = np.unique(pairs, return_inverse=True)
    n, shape = len(heads), (int(places.max(initial=-1)) + 1, graph.n_relations)
    forward, backward = (
        sparse.csr_array((np.ones(n, np.float32), (part, relations)), shape=shape) for part in (places[:n], places[n:])
    )
    sizes = np.maximum(np.bincount(relations, minlength=graph.n_relations), 1)[:, None]
    same, inverse = ((given.T @ forward).toarray() / sizes for given in (forward, backward))
    np.fill_diagonal(same, 0)
    return same.astype(np.float32), inverse.astype(np.float32)


def _linked(graph: KnowledgeGraph, column: int, values: NDArray[np.int32]) -> Sequences:
    """One row per entity: the values of the triples that have it in a column."""
    order = np.argsort(graph.triples[:, column], kind="stable")
    lengths = np.bincount(graph.triples[:, column], minlength=graph.n_entities)
    return Sequences.from_lengths(values[order], lengths)


__all__ = ["LinkPopularity", "LinkRules"]
