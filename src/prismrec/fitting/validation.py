"""What held-out clicks say of a model: the score that early stopping and tuning look at, and figures for the bundle."""

from __future__ import annotations

import numpy as np

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.evaluation.clicks import ClickQueries, click_score
from prismrec.evaluation.lists import Catalogue
from prismrec.evaluation.metrics import MISSED
from prismrec.evaluation.protocols import EvaluationSettings, evaluate
from prismrec.evaluation.queries import Queries
from prismrec.evaluation.ranking import rank
from prismrec.models.contract import Recommender, UserRecommender, scores_of

TUNING_QUERIES = 2_000
"""How many validation queries are enough to choose the settings of a query."""

SCORES_AT_ONCE = 20_000_000
"""Scores that tuning holds in memory at a time: 80 MB."""


Validation = Queries | ClickQueries
"""What a model is watched on while it learns: held-out clicks to find, or pairs to tell apart."""


def validation_score(recommender: Recommender | UserRecommender, queries: Validation, data: PreparedData) -> float:
    """What tuning and early stopping look at: the mean of 50 / (49 + rank) over the whole catalogue; for pairs the AUC.

    The first is a smooth HR@50: 1 for the first place, one half around the 50th. A hit rate itself moves only when a
    target crosses the border, so on a few thousand queries it would rank settings by noise.
    """
    if isinstance(queries, ClickQueries):
        return click_score(recommender, queries, len(data.items))
    asked = np.flatnonzero(queries.truths.lengths > 0)
    total = 0.0
    for rows in np.array_split(asked, max(1, len(asked) * len(data.items) // SCORES_AT_ONCE)):
        histories, truths = queries.histories.take(rows), queries.truths.take(rows)
        seen = histories if queries.exclude_seen else Sequences.from_lengths([], np.zeros(len(rows), np.int64))
        scores = scores_of(recommender, histories, queries.users[rows])
        ranks = rank(scores, seen, truths, 1, rows).truths.ranks
        total += float(np.where(ranks < MISSED, 50 / (49 + ranks), 0).sum())
    return total / max(1, len(queries.truths.values))


def validation_metrics(
    recommender: Recommender | UserRecommender, queries: Queries, data: PreparedData, settings: EvaluationSettings
) -> dict[str, float]:
    """Hit rates and NDCG under names that say where they were measured; none where no query has a truth."""
    if not (queries.truths.lengths > 0).any():
        return {}
    catalogue = Catalogue(data.items.counts, {name: view.item_nodes for name, view in data.views.items()})
    results = evaluate(recommender, queries, settings, catalogue)
    return {f"validation_{name}": results.mean(name) for name in results.values if name.startswith(("HR@", "NDCG@"))}


__all__ = ["SCORES_AT_ONCE", "TUNING_QUERIES", "Validation", "validation_metrics", "validation_score"]
