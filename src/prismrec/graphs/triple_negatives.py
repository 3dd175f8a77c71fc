"""Corrupted triples: which end of each is replaced, and by which entities, shared by all triples of a batch.

A batch of B triples meets the same K drawn entities, so that scoring them is a matrix product and each step touches
K rows instead of B x K. Where K reaches the number of entities nothing is drawn: every entity is a candidate.

Which end is replaced: `both` replaces each in turn, `uniform` tosses a coin, `bernoulli` takes a relation's own odds,
P(head) = tph / (tph + hpt), with tph the mean number of tails per head and hpt that of heads per tail: of `has genre`,
where one genre has thousands of films, a replaced film would often be true. Wang, Zhang, Feng & Chen: TransH, AAAI
2014.

What is known to be true is never a negative. With type constraints a head (tail) is replaced only by an entity that
the relation has as a head (tail) somewhere, after Krompass, Baier & Tresp 2015, https://arxiv.org/abs/1508.02593.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prismrec.data.knowledge.graph import KnowledgeGraph
from prismrec.data.sequences import Sequences
from prismrec.graphs.triple_answers import SIDES, Answers, Side, known_and_asked

Corruption = Literal["bernoulli", "uniform", "both"]


@dataclass(frozen=True, eq=False)
class Corrupted:
    """The triples of a batch of which one end is replaced.

    Attributes:
        side: the end that is replaced.
        rows: (n,) int64: which triples of the batch.
        candidates: (K,) int64: the distinct entities that take its place.
        hidden: (n, K) bool: candidates that are no negatives of a triple: true ones, and those of the wrong type.
    """

    side: Side
    rows: NDArray[np.int64]
    candidates: NDArray[np.int64]
    hidden: NDArray[np.bool_]


class TripleNegatives:
    """Draws the negatives of batches; all randomness comes from the generator that is given.

    Time of a draw: O(K + n_entities + answers of the batch). Memory: 24 bytes per triple.
    """

    def __init__(
        self, graph: KnowledgeGraph, n_negatives: int, corruption: Corruption, *, type_constrained: bool = False
    ) -> None:
        """Bind what is true.

        Args:
            n_negatives: entities that a batch shares, per side.
            corruption: which end is replaced.
            type_constrained: only by entities that the relation has on that side.
        """
        self._n_entities = graph.n_entities
        self._n_negatives = min(n_negatives, graph.n_entities)
        self._corruption = corruption
        self._answers = {side: Answers.of(graph.triples, side, graph.n_relations) for side in SIDES}
        self._ends = {side: self._answers[side].ends_of_relations() for side in SIDES} if type_constrained else None
        self._head_odds = head_odds(graph)

    def draw(self, batch: NDArray[np.int32], rng: np.random.Generator) -> list[Corrupted]:
        """Corrupt a batch (B, 3) of triples; a side of which none is replaced is left out."""
        if self._corruption == "both":
            rows = dict.fromkeys(SIDES, np.arange(len(batch)))
        else:
            odds = self._head_odds[batch[:, 1]] if self._corruption == "bernoulli" else 0.5
            heads = rng.random(len(batch)) < odds
            rows = {"head": np.flatnonzero(heads), "tail": np.flatnonzero(~heads)}
        return [self._corrupted(batch, side, chosen, rng) for side, chosen in rows.items() if len(chosen)]

    def _corrupted(
        self, batch: NDArray[np.int32], side: Side, rows: NDArray[np.int64], rng: np.random.Generator
    ) -> Corrupted:
        triples, known = batch[rows], known_and_asked(side)[0]
        if self._ends is None:
            candidates = self._drawn(np.arange(self._n_entities), rng)
            hidden = np.zeros((len(rows), len(candidates)), np.bool_)
        else:
            candidates, hidden = self._of_type(self._ends[side], triples[:, 1], rng)
        answers = self._answers[side].to(triples[:, known], triples[:, 1])
        places = np.full(self._n_entities, -1)
        places[candidates] = np.arange(len(candidates))
        met = places[answers.values]
        owners = np.repeat(np.arange(len(rows)), answers.lengths)
        hidden[owners[met >= 0], met[met >= 0]] = True
        return Corrupted(side, rows, candidates, hidden)

    def _drawn(self, pool: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """As many distinct ones of a pool as a batch shares, all where there are no more."""
        if len(pool) <= self._n_negatives:
            return pool
        return pool[rng.choice(len(pool), self._n_negatives, replace=False, shuffle=False)]

    def _of_type(
        self, ends: Sequences, relations: NDArray[np.int32], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Entities that the batch's relations have on a side, and which of them each triple's relation has not."""
        present, which = np.unique(relations, return_inverse=True)
        ranges = ends.take(present)
        candidates = self._drawn(np.unique(ranges.values).astype(np.int64), rng)
        places = np.full(self._n_entities, -1)
        places[candidates] = np.arange(len(candidates))
        foreign = np.ones((len(present), len(candidates)), np.bool_)
        met = places[ranges.values]
        owners = np.repeat(np.arange(len(present)), ranges.lengths)
        foreign[owners[met >= 0], met[met >= 0]] = False
        return candidates, foreign[which]


def head_odds(graph: KnowledgeGraph) -> NDArray[np.float64]:
    """(n_relations,) float64: how often the head, and not the tail, of a relation's triples is to be replaced.

    tph / (tph + hpt) = (n / heads) / (n / heads + n / tails) = tails / (heads + tails), with the numbers of distinct
    heads and tails of the relation; 0.5 for a relation without triples.
    """
    heads, tails = (
        np.bincount(np.unique(graph.triples[:, [1, column]], axis=0)[:, 0], minlength=graph.n_relations)
        for column in (0, 2)
    )
    return np.where(heads > 0, tails / np.maximum(heads + tails, 1), 0.5)


__all__ = ["Corrupted", "Corruption", "TripleNegatives", "head_odds"]
