"""Link prediction: of a held-out triple one end is asked for, and every entity is ranked as the answer.

Ranks are *filtered* (Bordes et al. 2013): other entities that are known to be right, in any part of the data, are left
out. Ties share the mean of their ranks, which is what chance would give: a model that scores everything alike is at the
middle, not at the top (Sun et al.: A Re-evaluation of Knowledge Graph Completion Methods, ACL 2020).

    rank = 1 + #{better} + #{equal} / 2         MRR = mean 1 / rank         Hits@k = share of rank <= k
    AUC  = mean 1 - (rank - 1) / #{others}      the share of the others that the truth is above

Every triple asks twice, for its head and for its tail. Scores exist for one block of queries at a time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, field_validator

from prismrec.config import Section
from prismrec.data.knowledge.graph import KnowledgeGraph
from prismrec.errors import ConfigError, DataError, TrainingError
from prismrec.evaluation.protocols import ALL, Results
from prismrec.graphs.triple_answers import SIDES, Answers, Side, known_and_asked

_BYTES_PER_SCORE = 3 * 4  # float32, and room for two more arrays of that size inside a model's `score_links`

Triples = NDArray[np.int32]


class LinkSettings(Section):
    """How links are asked for and ranked: `[links]`."""

    hits: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        default=(1, 3, 10), min_length=1, description="the k of Hits@k, rising"
    )
    type_constrained: bool = Field(
        default=False, description="rank only entities that the relation has on that side in training"
    )
    n_validation: int = Field(
        default=1000, ge=0, description="held-out triples, drawn once, that early stopping asks for; 0 = all"
    )
    held_out_share: float = Field(
        default=0.05, gt=0, lt=0.5, description="share of the triples held out, twice, where no files of such are named"
    )

    @field_validator("hits")
    @classmethod
    def _rising(cls, hits: tuple[int, ...]) -> tuple[int, ...]:
        if list(hits) != sorted(set(hits)):
            raise ValueError("list lengths must rise, without repeats")
        return hits


class LinkScorer(Protocol):
    """Scores every entity as the missing end of triples."""

    def score_links(self, side: Side, known: NDArray[np.int64], relations: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, n_entities) float32, finite, higher is better; the caller may overwrite it.

        Args:
            side: the end that is asked for.
            known: (n,) the entities at the other end.
            relations: (n,) their relations; queries of one relation come together.
        """
        ...


@dataclass(frozen=True, eq=False)
class LinkQueries:
    """Held-out triples, and what is known of the graph that they are asked in.

    Attributes:
        triples: (n, 3) int32, to ask for.
        answers: per side, everything known to be right: of training and of all held-out triples.
        ranges: per side one row of entities per relation that alone are ranked; None ranks all.
        n_entities: how many there are.
        n_unseen: ends of the triples that no training triple has.
    """

    triples: Triples
    answers: Mapping[Side, Answers]
    ranges: Mapping[Side, NDArray[np.bool_]] | None
    n_entities: int
    n_unseen: int

    @classmethod
    def of(
        cls, triples: Triples, graph: KnowledgeGraph, known: Sequence[Triples], *, type_constrained: bool = False
    ) -> LinkQueries:
        """Queries in a graph.

        Args:
            graph: the training triples.
            known: further triples that are true, the asked ones among them or not.

        Raises:
            DataError: there is no triple to ask for.
        """
        if not len(triples):
            raise DataError("there are no held-out triples: set knowledge.test_triples and knowledge.valid_triples")
        everything = np.concatenate([graph.triples, *known, triples])
        answers = {side: Answers.of(everything, side, graph.n_relations) for side in SIDES}
        ranges = {side: _membership(graph, side) for side in SIDES} if type_constrained else None
        unseen = int((graph.entities.counts[triples[:, [0, 2]]] == 0).sum())
        return cls(triples, answers, ranges, graph.n_entities, unseen)

    def sample(self, n: int, seed: int) -> LinkQueries:
        """At most n of the triples, drawn once; all of them where n is 0."""
        if not 0 < n < len(self.triples):
            return self
        chosen = np.random.default_rng(seed).choice(len(self.triples), n, replace=False)
        return LinkQueries(self.triples[np.sort(chosen)], self.answers, self.ranges, self.n_entities, self.n_unseen)


def _membership(graph: KnowledgeGraph, side: Side) -> NDArray[np.bool_]:
    """(n_relations, n_entities) bool: which entities a relation has on a side in training."""
    allowed = np.zeros((graph.n_relations, graph.n_entities), np.bool_)
    allowed[graph.triples[:, 1], graph.triples[:, known_and_asked(side)[1]]] = True
    return allowed


@dataclass(frozen=True, eq=False)
class LinkRanks:
    """Where the truths came.

    Attributes:
        ranks: (n, 2) float64: of the head and of the tail of each triple, from 1; halves where scores tie.
        others: (n, 2) int64: how many entities each was ranked among, itself not counted.
        score_seconds: time the model took.
    """

    ranks: NDArray[np.float64]
    others: NDArray[np.int64]
    score_seconds: float


def rank_links(scorer: LinkScorer, queries: LinkQueries, memory_budget_mb: float) -> LinkRanks:
    """Rank all entities for both ends of every triple.

    Raises:
        TrainingError: a score is not finite; names the query.
        ConfigError: the memory budget does not hold the scores of one query.
    """
    n = len(queries.triples)
    ranks, others, seconds = np.empty((n, 2)), np.empty((n, 2), np.int64), 0.0
    order = np.argsort(queries.triples[:, 1], kind="stable")  # a relation's matrix is then met in few blocks
    for place, side in enumerate(SIDES):
        known, asked = known_and_asked(side)
        for start, stop in _blocks(n, queries.n_entities, memory_budget_mb):
            rows = order[start:stop]
            triples = queries.triples[rows].astype(np.int64)
            began = time.perf_counter()
            scores = scorer.score_links(side, triples[:, known], triples[:, 1])
            seconds += time.perf_counter() - began
            _check_finite(scores, triples, side)
            out = _left_out(queries, side, triples[:, known], triples[:, 1])
            ranks[rows, place], others[rows, place] = _ranked(scores, triples[:, asked], *out)
    return LinkRanks(ranks, others, seconds)


def mean_reciprocal_rank(scorer: LinkScorer, queries: LinkQueries, memory_budget_mb: float) -> float:
    """MRR over both ends: what early stopping looks at."""
    return float((1 / rank_links(scorer, queries, memory_budget_mb).ranks).mean())


def evaluate_links(
    scorer: LinkScorer, queries: LinkQueries, settings: LinkSettings, memory_budget_mb: float
) -> Results:
    """One value per query and metric; the two queries of a triple are one cluster.

    The parts `head` and `tail` are the queries that ask for that end. Raises as `rank_links`.
    """
    began = time.perf_counter()
    found = rank_links(scorer, queries, memory_budget_mb)
    ranks, others, n = found.ranks.ravel(), found.others.ravel(), len(found.ranks)
    values = {"MRR": 1 / ranks, **{f"Hits@{k}": (ranks <= k).astype(np.float64) for k in settings.hits}}
    values["AUC"] = 1 - (ranks - 1) / np.maximum(others, 1)
    return Results(
        values=values,
        totals={},
        clusters=pa.array(np.repeat(np.arange(n), 2)),
        slices={ALL: np.ones(2 * n, np.bool_)} | {side: np.arange(2 * n) % 2 == i for i, side in enumerate(SIDES)},
        counts={
            "queries": 2 * n,
            "targets": 2 * n,
            "unknown_targets": queries.n_unseen,
            "seen_targets": 0,
            "empty_truths": 0,
            "triples": n,
        },
        n_items=queries.n_entities,
        exclude_seen=True,
        score_seconds=found.score_seconds,
        rank_seconds=time.perf_counter() - began - found.score_seconds,
    )


def _blocks(n: int, n_entities: int, budget_mb: float) -> Iterator[tuple[int, int]]:
    size = int(budget_mb * 1e6 / (_BYTES_PER_SCORE * n_entities))
    if size == 0:
        raise ConfigError(
            f"evaluation.memory_budget_mb = {budget_mb:g} does not hold the scores of one query over {n_entities} "
            f"entities: give at least {_BYTES_PER_SCORE * n_entities / 1e6:.3g}"
        )
    return ((start, min(start + size, n)) for start in range(0, n, size))


def _left_out(
    queries: LinkQueries, side: Side, known: NDArray[np.int64], relations: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of a block, and in each the entities that are not to be ranked; a pair may come twice."""
    answers = queries.answers[side].to(known, relations)
    rows, entities = np.repeat(np.arange(len(known)), answers.lengths), answers.values.astype(np.int64)
    if queries.ranges is None:
        return rows, entities
    foreign_rows, foreign = np.nonzero(~queries.ranges[side][relations])
    return np.concatenate([rows, foreign_rows]), np.concatenate([entities, foreign])


def _ranked(
    scores: NDArray[np.float32], truths: NDArray[np.int64], out_rows: NDArray[np.int64], out: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(n,) ranks of the truths, and among how many others."""
    every = np.arange(len(scores))
    true = scores[every, truths][:, None]
    scores[out_rows, out] = -np.inf
    scores[every, truths] = -np.inf
    better = np.count_nonzero(scores > true, axis=1)
    equal = np.count_nonzero(scores == true, axis=1)
    return 1 + better + equal / 2, np.count_nonzero(scores > -np.inf, axis=1)


def _check_finite(scores: NDArray[np.float32], triples: NDArray[np.int64], side: Side) -> None:
    if not np.isfinite(scores).all():
        row, entity = np.argwhere(~np.isfinite(scores))[0]
        raise TrainingError(
            f"asked for the {side} of the triple {tuple(triples[row].tolist())}, entity {entity} scores "
            f"{scores[row, entity]}, but scores must be finite: the model diverged (a smaller learning rate may help)"
        )


__all__ = [
    "LinkQueries",
    "LinkRanks",
    "LinkScorer",
    "LinkSettings",
    "evaluate_links",
    "mean_reciprocal_rank",
    "rank_links",
]
