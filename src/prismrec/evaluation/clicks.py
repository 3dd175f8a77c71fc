"""Clicks told from drawn negatives: how a recommender scores the pairs of the protocol `click`.

    AUC       P(s+ > s-) + P(s+ = s-) / 2      s+ of a click, s- of a negative, over all pairs of all users together
    user AUC  the same within each user, the mean over the users who have both
    accuracy  share of the pairs on their side of the threshold
    F1        2 TP / (2 TP + FP + FN) at that threshold

The pooled AUC is what the papers of the protocol print. It asks that scores of different users can be compared, which
a model that was trained to rank within a user does not promise: a recommender is therefore asked on two scales, its
scores as they are and standardised over the catalogue for each user, and the scale with the better AUC on validation
pairs is taken. Where a model says itself that its scores are on one scale (`PairScorer.comparable`), they stay as they
are. The threshold is the one that is most accurate on validation pairs. Equal scores count one half, as is usual for
AUC: a constant gets 0.5.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.stats import rankdata

from prismrec.data.click_splits import LabelledPairs
from prismrec.data.prepared import PreparedData
from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.errors import DataError, TrainingError
from prismrec.models.contract import Recommender, UserRecommender, scores_of

Scale = Literal["raw", "standardised"]
SCALES: tuple[Scale, ...] = get_args(Scale)

SCORES_AT_ONCE = 20_000_000
"""Scores held in memory at a time: 80 MB."""

PAIRS_AT_ONCE = 200_000
"""Pairs that a `PairScorer` is asked at a time, padding included."""


@runtime_checkable
class PairScorer(Protocol):
    """A recommender that scores single items for a user without the rest of the catalogue."""

    @property
    def comparable(self) -> bool:
        """Whether scores of different users are on one scale as they are."""
        ...

    def score_candidates(
        self, histories: Sequences, users: NDArray[np.int64], candidates: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """(n_queries, n_candidates) float32, see `models.contract.CandidateScorer`."""
        ...


@dataclass(frozen=True, eq=False)
class ClickQueries:
    """Pairs to tell apart, in indices of the training data: one row per user.

    Attributes:
        histories: what each user had in training, in time order.
        users: (n_users,) int64: their rows in the training vocabulary.
        candidates: one row per user: item indices.
        labels: (n_pairs,) bool, beside `candidates.values`: whether the pair is a click.
        clusters: Arrow array (n_users,): their ids.
        left_out: what was not asked and why: reason -> count.

    Raises:
        DataError: no pair, or none of one kind, is left.
    """

    histories: Sequences
    users: NDArray[np.int64]
    candidates: Sequences
    labels: NDArray[np.bool_]
    clusters: pa.Array
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.labels.any() or self.labels.all():
            raise DataError(
                f"clicks are told from negatives: {self.labels.sum()} of {len(self.labels)} pairs are clicks; use more "
                "data, or a larger split.test_share"
            )

    def __len__(self) -> int:
        return len(self.users)

    @property
    def exclude_seen(self) -> bool:
        """Whether items of the history are left out: no candidate is one."""
        return True

    def sampled(self, n_users: int, seed: int) -> ClickQueries:
        """The pairs of at most so many users, drawn at random: enough to choose settings on."""
        if n_users >= len(self):
            return self
        rows = np.sort(np.random.default_rng(seed).choice(len(self), n_users, replace=False))
        chosen = np.zeros(len(self), np.bool_)
        chosen[rows] = True
        return ClickQueries(
            self.histories.take(rows),
            self.users[rows],
            self.candidates.take(rows),
            self.labels[chosen[self.owners]],
            self.clusters.take(pa.array(rows)),
        )

    @property
    def owners(self) -> NDArray[np.int64]:
        """(n_pairs,) int64: the row of each pair."""
        return np.repeat(np.arange(len(self)), self.candidates.lengths)


@dataclass(frozen=True, eq=False)
class ClickResults:
    """What one recommender said of the test pairs of one deal.

    Attributes:
        queries: the test pairs.
        scores: (n_pairs,) float64, on the scale that was chosen.
        scale: which that is.
        threshold: above it a pair is taken for a click.
        validation: AUC on the validation pairs.
        score_seconds: time to score the test pairs.
    """

    queries: ClickQueries
    scores: NDArray[np.float64]
    scale: Scale
    threshold: float
    validation: float
    score_seconds: float


def clicks_from(pairs: LabelledPairs, data: PreparedData) -> ClickQueries:
    """The pairs of users that training knows, with what these had there.

    Args:
        pairs: of `data.click_splits`.
        data: prepared on the catalogue of that split: its items keep their indices.

    Raises:
        DataError: no pair, or none of one kind, is left.
    """
    users = data.users.indices_of(pairs.users)
    known = users != UNKNOWN
    known[known] = data.histories.lengths[users[known]] > 0
    rows = np.flatnonzero(known)
    labels = pairs.labels[np.repeat(known, pairs.candidates.lengths)]
    n_lost = len(pairs.labels) - len(labels)
    left_out = {"users_without_training_clicks": len(known) - len(rows), "their_pairs": n_lost} if n_lost else {}
    return ClickQueries(
        histories=data.histories.take(users[rows]),
        users=users[rows],
        candidates=pairs.candidates.take(rows),
        labels=labels,
        clusters=pairs.users.take(pa.array(rows)),
        left_out=left_out,
    )


def pair_scores(
    recommender: Recommender | UserRecommender, queries: ClickQueries, n_items: int
) -> dict[Scale, NDArray[np.float64]]:
    """(n_pairs,) float64 for each scale that the recommender may be asked on.

    Raises:
        TrainingError: a score is not finite.
    """
    if isinstance(recommender, PairScorer) and recommender.comparable:
        scores: dict[Scale, NDArray[np.float64]] = {"raw": _of_pairs(recommender, queries)}
    else:
        scores = _of_catalogue(recommender, queries, n_items)
    if not np.isfinite(scores["raw"]).all():
        pair = int(np.argmin(np.isfinite(scores["raw"])))
        raise TrainingError(
            f"item index {queries.candidates.values[pair]} scores {scores['raw'][pair]} for user "
            f"{queries.clusters[int(queries.owners[pair])]}, but scores must be finite: the model diverged or divides "
            "by zero (a smaller learning rate may help)"
        )
    return scores


def best_scale(scores: Mapping[Scale, NDArray[np.float64]], labels: NDArray[np.bool_]) -> tuple[Scale, float]:
    """The scale with the best pooled AUC, scores as they are where two are equal; and that AUC."""
    aucs = {scale: pooled_auc(own, labels) for scale, own in scores.items()}
    best = max(aucs, key=lambda scale: aucs[scale])
    return best, aucs[best]


def click_score(recommender: Recommender | UserRecommender, queries: ClickQueries, n_items: int) -> float:
    """What tuning and early stopping look at under `click`: the pooled AUC on the better scale."""
    return best_scale(pair_scores(recommender, queries, n_items), queries.labels)[1]


def told_apart(
    recommender: Recommender | UserRecommender, validation: ClickQueries, test: ClickQueries, n_items: int
) -> ClickResults:
    """Choose scale and threshold on validation pairs, and score the test pairs.

    Raises:
        TrainingError: a score is not finite.
    """
    known = pair_scores(recommender, validation, n_items)
    scale, auc = best_scale(known, validation.labels)
    threshold = best_threshold(known[scale], validation.labels)
    began = time.perf_counter()
    scores = pair_scores(recommender, test, n_items)[scale]
    return ClickResults(test, scores, scale, threshold, auc, time.perf_counter() - began)


def pooled_auc(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """Of all pairs of a click and a negative, the share in which the click scores higher; equal ones count one half.

    >>> pooled_auc(np.array([3.0, 1.0, 2.0, 1.0]), np.array([True, True, False, False]))
    0.625
    """
    n_clicks = int(labels.sum())
    n_negatives = len(labels) - n_clicks
    above = rankdata(scores)[labels].sum() - n_clicks * (n_clicks + 1) / 2
    return float(above / (n_clicks * n_negatives))


def user_aucs(scores: NDArray[np.float64], queries: ClickQueries) -> NDArray[np.float64]:
    """(n_users,) float64: the AUC within each user, NaN for users without clicks or without negatives."""
    owners, labels = queries.owners, queries.labels
    order = np.lexsort((scores, owners))
    # Ranks over all pairs, ordered by user first: less what stands before a user, they are ranks within.
    new = np.ones(len(order), np.bool_)
    new[1:] = (np.diff(owners[order]) != 0) | (np.diff(scores[order]) != 0)
    ranks = np.empty(len(order))
    ranks[order] = rankdata(np.cumsum(new))
    ranks -= queries.candidates.offsets[:-1][owners]
    clicks = np.bincount(owners, weights=labels, minlength=len(queries))
    above = np.bincount(owners, weights=ranks * labels, minlength=len(queries)) - clicks * (clicks + 1) / 2
    possible = clicks * (queries.candidates.lengths - clicks)
    aucs: NDArray[np.float64] = np.divide(above, possible, out=np.full(len(queries), np.nan), where=possible > 0)
    return aucs


def best_threshold(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> float:
    """The number above which to take a pair for a click so that most are right; the lowest of equally good ones.

    It lies half-way between two scores, or one below the lowest, or one above the highest.
    """
    values, places = np.unique(scores, return_inverse=True)
    clicks = np.bincount(places, weights=labels, minlength=len(values))
    negatives = np.bincount(places, minlength=len(values)) - clicks
    right = np.concatenate([[0.0], np.cumsum(negatives - clicks)])  # beyond those right with all taken for clicks
    borders = np.concatenate([[values[0] - 1], (values[:-1] + values[1:]) / 2, [values[-1] + 1]])
    return float(borders[np.argmax(right)])


def _of_catalogue(
    recommender: Recommender | UserRecommender, queries: ClickQueries, n_items: int
) -> dict[Scale, NDArray[np.float64]]:
    raw, standardised = np.empty(len(queries.labels)), np.empty(len(queries.labels))
    offsets = queries.candidates.offsets
    step = max(1, SCORES_AT_ONCE // n_items)
    for start in range(0, len(queries), step):
        stop = min(start + step, len(queries))
        scores = scores_of(recommender, queries.histories.slice(start, stop), queries.users[start:stop])
        own = queries.candidates.slice(start, stop)
        rows, pairs = np.repeat(np.arange(stop - start), own.lengths), slice(offsets[start], offsets[stop])
        raw[pairs] = scores[rows, own.values]
        mean, spread = scores.mean(axis=1, dtype=np.float64), scores.std(axis=1, dtype=np.float64)
        standardised[pairs] = (raw[pairs] - mean[rows]) / np.where(spread > 0, spread, 1.0)[rows]
    return {"raw": raw, "standardised": standardised}


def _of_pairs(recommender: PairScorer, queries: ClickQueries) -> NDArray[np.float64]:
    scores = np.empty(len(queries.labels))
    for rows in _alike(queries.candidates.lengths):
        lengths = queries.candidates.lengths[rows]
        filled = np.arange(lengths.max()) < lengths[:, None]
        own = queries.candidates.take(rows)
        padded = np.repeat(own.values[own.offsets[:-1]].astype(np.int64)[:, None], lengths.max(), axis=1)
        padded[filled] = own.values
        found = recommender.score_candidates(queries.histories.take(rows), queries.users[rows], padded)
        places = queries.candidates.offsets[rows][:, None] + np.arange(lengths.max())
        scores[places[filled]] = found[filled]
    return scores


def _alike(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Rows in groups that are padded to less than about twice their length, and that memory holds."""
    order = np.argsort(lengths, kind="stable")
    rising, start = lengths[order], 0
    while start < len(order):
        alike = int(np.searchsorted(rising, 2 * rising[start] + 8, side="right"))
        stop = min(alike, start + max(1, PAIRS_AT_ONCE // int(rising[alike - 1])))
        yield order[start:stop]
        start = stop


__all__ = [
    "SCALES",
    "ClickQueries",
    "ClickResults",
    "PairScorer",
    "Scale",
    "best_scale",
    "best_threshold",
    "click_score",
    "clicks_from",
    "pair_scores",
    "pooled_auc",
    "told_apart",
    "user_aucs",
]
