"""Ask a recommender every held-out query, rank the whole catalogue, and keep one value per query and metric.

Which rows are held out is decided in `prismrec.data.splits`; here ids become indices and scores become metrics. The
values stay per query, since intervals and p-values come from resampling whole users (`significance`), and parts of
the queries (`slices`) are told apart afterwards. Memory is set by `memory_budget_mb`, not by the number of queries:
scores exist for one batch at a time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, field_validator

from prismrec.config import Section
from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError, DataError
from prismrec.evaluation.lists import Catalogue, coverage, exposures, gini, list_values
from prismrec.evaluation.metrics import Values, metric_values
from prismrec.evaluation.queries import Mask, Queries, distinct_truths, queries_from, rare
from prismrec.evaluation.ranking import Ranking, rank
from prismrec.models.contract import Recommender, UserRecommender, scores_of

ALL = "all"
RARE = "rare"

_BYTES_PER_SCORE = 3 * 4  # float32, and room for two more arrays of that size inside a model's `score`


class EvaluationSettings(Section):
    """What is measured, on how much memory, and how sure we want to be."""

    ks: tuple[Annotated[int, Field(gt=0)], ...] = Field(
        default=(10, 20, 50), min_length=1, description="List lengths, rising."
    )
    exclude_seen: bool = Field(
        default=False, description="Do not rank items of the query's history (then repeats are misses)."
    )
    memory_budget_mb: float = Field(default=256.0, gt=0, description="MB for the scores of one batch of queries.")
    rare_below: int = Field(
        default=5, ge=1, description="Targets with fewer training interactions form the slice `rare`."
    )
    n_resamples: int = Field(default=2000, ge=100, description="Bootstrap resamples for intervals and p-values.")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="Coverage of the intervals.")
    seed: int = Field(default=0, ge=0, description="Seed of the resamples.")
    controls: bool = Field(
        default=True, description="Beside each knowledge-aware model the same on a shuffled graph, and on none."
    )

    @field_validator("ks")
    @classmethod
    def _rising(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if list(ks) != sorted(set(ks)):
            raise ValueError("list lengths must rise, without repeats")
        return ks


@dataclass(frozen=True, eq=False)
class Results:
    """What one recommender did on the queries that have a truth; equal queries give equal rows, model by model.

    Attributes:
        values: metric -> (n_queries,) float64: "HR@10", ..., "AUC", "novelty@10", "category_diversity@10", ...
        totals: metric -> value over all lists together: "coverage@10", "gini@10".
        clusters: Arrow array (n_queries,): the user of each query.
        slices: name -> (n_queries,) bool: parts of the queries; "all" and "rare" are always there.
        counts: what stands behind the figures: queries, unknown_targets, seen_targets, empty_truths, ...
        n_items: how many items were ranked.
        exclude_seen: whether items of the history were left out of the ranking.
        score_seconds: time the recommender took to score.
        rank_seconds: time that ranking and measuring took.
    """

    values: Mapping[str, Values]
    totals: Mapping[str, float]
    clusters: pa.Array
    slices: Mapping[str, Mask]
    counts: Mapping[str, int]
    n_items: int
    exclude_seen: bool
    score_seconds: float
    rank_seconds: float

    def mean(self, metric: str, part: str = ALL) -> float:
        """The mean of a metric over the queries of a slice; NaN where the slice is empty.

        Raises:
            DataError: there is no such metric or slice; names those that exist.
        """
        if metric not in self.values or part not in self.slices:
            raise DataError(
                f"no figure for metric {metric!r} on slice {part!r}: metrics are {', '.join(self.values)}; "
                f"slices are {', '.join(self.slices)}"
            )
        chosen = self.values[metric][self.slices[part]]
        return float(chosen.mean()) if len(chosen) else float("nan")


def evaluate(
    recommender: Recommender | UserRecommender,
    queries: Queries,
    settings: EvaluationSettings,
    catalogue: Catalogue,
    slices: Mapping[str, Mask] = MappingProxyType({}),
    candidates: NDArray[np.int64] | None = None,
) -> Results:
    """Score the whole catalogue for every query that has a truth, and rank it or some candidates of it.

    Args:
        recommender: what to measure; one that can tell users apart is told who asks.
        queries: what to ask; those without a truth are skipped and counted.
        settings: list lengths, memory, what is rare.
        catalogue: training counts and views of the items that are ranked.
        slices: further parts of the queries to tell apart, name -> (n_queries,) bool over all of `queries`.
        candidates: (n,) item indices, rising: only these are ranked, a truth that is none of them is a miss; all where
            None.

    Raises:
        DataError: no query has a truth, an index lies outside the catalogue, or scores have the wrong shape.
        TrainingError: a score is not finite; names query and item.
        ConfigError: the memory budget does not hold one query.
    """
    asked = np.flatnonzero(queries.truths.lengths > 0)
    if not len(asked):
        raise DataError(f"none of the {len(queries)} queries has a truth: there is nothing to measure")
    histories, users = queries.histories.take(asked), queries.users[asked]
    truths = distinct_truths(queries.truths.take(asked))
    _check_indices(histories, truths, catalogue.n_items)
    masks = _masks(queries, settings, catalogue, slices)
    n_items, places = catalogue.n_items, _places(candidates, catalogue.n_items)
    if candidates is not None:
        catalogue, truths = _chosen(catalogue, candidates), _moved(truths, places, keep=True)

    parts: list[dict[str, Values]] = []
    shown = np.zeros((len(settings.ks), catalogue.n_items), np.int64)
    n_seen, score_seconds, began = 0, 0.0, time.perf_counter()
    for start, stop in _batches(len(asked), n_items, settings.memory_budget_mb):
        batch = histories.slice(start, stop)
        score_began = time.perf_counter()
        scores = _checked_shape(scores_of(recommender, batch, users[start:stop]), len(batch), n_items)
        score_seconds += time.perf_counter() - score_began
        excluded = batch if queries.exclude_seen else _no_items(len(batch))
        if candidates is not None:
            scores, excluded = scores[:, candidates], _moved(excluded, places, keep=False)
        ranking = rank(scores, excluded, truths.slice(start, stop), settings.ks[-1], asked[start:stop])
        parts.append(_measured(ranking, catalogue, settings.ks))
        shown += exposures(ranking.lists, catalogue.n_items, settings.ks)
        n_seen += ranking.n_seen_truths

    return Results(
        values={name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        totals=_totals(shown, settings.ks),
        clusters=queries.clusters.take(pa.array(asked)),
        slices={name: mask[asked] for name, mask in masks.items()},
        counts=_counts(queries, truths, n_seen),
        n_items=catalogue.n_items,
        exclude_seen=queries.exclude_seen,
        score_seconds=score_seconds,
        rank_seconds=time.perf_counter() - began - score_seconds,
    )


def pooled(folds: Sequence[Results]) -> Results:
    """The results of several folds as one: queries side by side, totals averaged, counts and times summed.

    A user who is asked in several folds stays one cluster.
    """
    first = folds[0]
    counts = {name: sum(fold.counts.get(name, 0) for fold in folds) for fold in folds for name in fold.counts}
    return Results(
        values={name: np.concatenate([fold.values[name] for fold in folds]) for name in first.values},
        totals={name: float(np.mean([fold.totals[name] for fold in folds])) for name in first.totals},
        clusters=pa.concat_arrays([fold.clusters for fold in folds]),
        slices={name: np.concatenate([fold.slices[name] for fold in folds]) for name in first.slices},
        counts=counts,
        n_items=max(fold.n_items for fold in folds),
        exclude_seen=first.exclude_seen,
        score_seconds=sum(fold.score_seconds for fold in folds),
        rank_seconds=sum(fold.rank_seconds for fold in folds),
    )


def _places(candidates: NDArray[np.int64] | None, n_items: int) -> NDArray[np.int64]:
    """(n_items,) the place of each item among the candidates, -1 where it is none."""
    places = np.full(n_items, UNKNOWN, np.int64)
    if candidates is not None:
        places[candidates] = np.arange(len(candidates))
    return places


def _moved(rows: Sequences, places: NDArray[np.int64], *, keep: bool) -> Sequences:
    """Item indices as places among the candidates; others become -1, or go where they are not to be kept."""
    moved = np.where(rows.values == UNKNOWN, UNKNOWN, places[rows.values])
    if keep:
        return Sequences.from_lengths(moved, rows.lengths)
    owners = np.repeat(np.arange(len(rows)), rows.lengths)[moved != UNKNOWN]
    return Sequences.from_lengths(moved[moved != UNKNOWN], np.bincount(owners, minlength=len(rows)))


def _chosen(catalogue: Catalogue, candidates: NDArray[np.int64]) -> Catalogue:
    """The candidates as a catalogue of their own."""
    return Catalogue(catalogue.counts[candidates], {v: nodes.take(candidates) for v, nodes in catalogue.views.items()})


def _masks(
    queries: Queries, settings: EvaluationSettings, catalogue: Catalogue, slices: Mapping[str, Mask]
) -> dict[str, Mask]:
    """Slices over all queries: "all", "rare" and those given."""
    for name, mask in slices.items():
        if len(mask) != len(queries):
            raise DataError(f"slice {name!r} marks {len(mask)} queries, but there are {len(queries)}")
    everything = np.ones(len(queries), np.bool_)
    return {ALL: everything, RARE: rare(queries, catalogue.counts, settings.rare_below), **slices}


def _measured(ranking: Ranking, catalogue: Catalogue, ks: Sequence[int]) -> dict[str, Values]:
    return metric_values(ranking.truths, ks) | list_values(ranking.lists, catalogue, ks)


def _totals(shown: NDArray[np.int64], ks: Sequence[int]) -> dict[str, float]:
    rows = list(zip(ks, shown, strict=True))
    return {f"coverage@{k}": coverage(row) for k, row in rows} | {f"gini@{k}": gini(row) for k, row in rows}


def _counts(queries: Queries, truths: Sequences, n_seen: int) -> dict[str, int]:
    """What the table prints below its figures; `targets` and those after it are of the queries that were asked."""
    return {
        "queries": len(truths),
        "targets": len(truths.values),
        "unknown_targets": int(np.count_nonzero(truths.values == UNKNOWN)),
        "seen_targets": n_seen,
        "empty_truths": len(queries) - len(truths),
        **queries.left_out,
    }


def _batches(n_queries: int, n_items: int, budget_mb: float) -> Iterator[tuple[int, int]]:
    """Ranges of queries whose scores fit into the budget."""
    size = int(budget_mb * 1e6 / (_BYTES_PER_SCORE * n_items))
    if size == 0:
        raise ConfigError(
            f"evaluation.memory_budget_mb = {budget_mb:g} does not hold the scores of one query over {n_items} items: "
            f"give at least {_BYTES_PER_SCORE * n_items / 1e6:.3g}"
        )
    return ((start, min(start + size, n_queries)) for start in range(0, n_queries, size))


def _checked_shape(scores: NDArray[np.float32], n_queries: int, n_items: int) -> NDArray[np.float32]:
    if scores.shape != (n_queries, n_items):
        raise DataError(f"expected scores of shape ({n_queries}, {n_items}): queries, items; got {scores.shape}")
    return scores


def _check_indices(histories: Sequences, truths: Sequences, n_items: int) -> None:
    for name, values, lowest in (("history", histories.values, 0), ("truth", truths.values, UNKNOWN)):
        outside = values[(values < lowest) | (values >= n_items)]
        if len(outside):
            raise DataError(
                f"a {name} holds item index {outside[0]}, but the catalogue has {n_items} items: queries and catalogue "
                "must come from the same vocabulary"
            )


def _no_items(n_rows: int) -> Sequences:
    return Sequences(np.zeros(0, np.int32), np.zeros(n_rows + 1, np.int64))


__all__ = [
    "ALL",
    "RARE",
    "EvaluationSettings",
    "Mask",
    "Queries",
    "Results",
    "evaluate",
    "pooled",
    "queries_from",
    "rare",
]
