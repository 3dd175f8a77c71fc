"""Query vectors of an encoder to item scores: prior and repeats are added as for vectors of views.

    score(i) = q . target(i) + w_pop prior(i) + w_repeat sum_{h: item_h = i} g^age(h)        q = encode(h, user)

prior, w_pop, w_repeat, g and `history_length` are those of `blend`, and so is the answer to a query of which nothing
is known, neither user nor history, or a user without history to a model that knows no users: q is zero there, and
popularity answers alone, with weight 1. What an encoder reads of a history is its own
business; `history_length` and `recency_decay` shape the repeat bonus only.

Where the encoder is of a `CandidateScorer`, its products only find candidates: for the `rescored` best of a query the
model's own score takes the place of q . target(i). All others rank behind these, in the order of their products.
"""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from prismrec.data.schema import ITEM_VIEW, UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError, DataError
from prismrec.models.contract import CandidateScorer, QueryEncoder
from prismrec.models.history import query_matrix
from prismrec.retrieval.blend import QuerySettings, popularity_prior

_OF_VIEWS = {"view_weights": {ITEM_VIEW: 1.0}, "similarity": "source_target"}


class EncodedScorer:
    """Scores the whole catalogue for a batch of queries; a `models.contract.UserRecommender`.

    The cost of a batch is the encoder's, and one float32 matrix product (B, dim) x (dim, n_items); of a model with
    scores of its own also those of `rescored` candidates per query.
    """

    def __init__(
        self,
        encoder: QueryEncoder,
        targets: NDArray[np.float32],
        item_counts: ArrayLike,
        settings: QuerySettings | None = None,
    ) -> None:
        """Bind encoder and vectors; nothing is copied.

        Args:
            encoder: makes query vectors.
            targets: (n_items, dim) float32: what they are multiplied by.
            item_counts: (n_items,) how often each item occurred in training.
            settings: what is added to the products; where None, nothing.

        Raises:
            DataError: targets and counts disagree about the number of items.
            ConfigError: the settings ask for what an encoder cannot do.
        """
        self.settings = settings or QuerySettings(popularity_weight=0.0)
        self.prior = popularity_prior(item_counts)
        self.targets = targets
        self._encoder = encoder
        if len(targets) != len(self.prior):
            raise DataError(f"there are targets of {len(targets)} items, but counts of {len(self.prior)}")
        check_encoded(self.settings)

    @property
    def n_items(self) -> int:
        """How many items are scored."""
        return len(self.prior)

    @property
    def comparable(self) -> bool:
        """Whether scores of different users are on one scale: where the model scores candidates itself."""
        return isinstance(self._encoder, CandidateScorer)

    def with_settings(self, settings: QuerySettings) -> EncodedScorer:
        """The same encoder and vectors, shared and not copied, asked with other settings.

        Raises:
            ConfigError: the settings ask for what an encoder cannot do.
        """
        check_encoded(settings)
        other = copy.copy(self)
        other.settings = settings
        return other

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        """(n_queries, n_items) float32: what users that nobody knows are answered."""
        return self.score_users(histories, np.full(len(histories), UNKNOWN, np.int64))

    def score_users(self, histories: Sequences, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score the whole catalogue, see `UserRecommender`.

        Returns:
            (n_queries, n_items) float32, higher is better.
        """
        vectors = self._encoder.encode(histories, users)
        scores: NDArray[np.float32] = vectors @ self.targets.T
        prior_weights, bonus = self._prior_weights(vectors), self._bonus(histories)
        if prior_weights.any():
            scores += np.outer(prior_weights, self.prior)
        if bonus is not None:
            places = bonus.tocoo()
            scores[places.row, places.col] += places.data
        known = np.flatnonzero(vectors.any(axis=1))
        if isinstance(self._encoder, CandidateScorer) and len(known):
            self._reorder(scores, histories, users, known)
        return scores

    def score_candidates(
        self, histories: Sequences, users: NDArray[np.int64], candidates: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Score some items for each query: the model's own score where it has one, prior and repeats as for all.

        Args:
            histories, users: as for `score_users`.
            candidates: (n_queries, n_candidates) int64 item indices.

        Returns:
            (n_queries, n_candidates) float32.
        """
        vectors = self._encoder.encode(histories, users)
        prior_weights, bonus = self._prior_weights(vectors), self._bonus(histories)
        if isinstance(self._encoder, CandidateScorer):
            scores = self._encoder.score_candidates(histories, users, candidates)
        else:
            scores = np.einsum("qd,qcd->qc", vectors, self.targets[candidates])
        scores = scores + prior_weights[:, None] * self.prior[candidates]
        if bonus is not None:
            scores += bonus[np.arange(len(candidates))[:, None], candidates].toarray()
        return scores.astype(np.float32, copy=False)

    def _reorder(
        self, scores: NDArray[np.float32], histories: Sequences, users: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> None:
        """Let the model itself order the best of these rows, in place; what is not among the best ranks behind."""
        n_best, known = min(self.settings.rescored, self.n_items), histories.take(rows)
        if n_best == self.n_items:
            everything = np.broadcast_to(np.arange(self.n_items), (len(rows), self.n_items))
            scores[rows] = self.score_candidates(known, users[rows], np.ascontiguousarray(everything))
            return
        found = scores[rows]
        best = np.argpartition(-found, n_best - 1, axis=1)[:, :n_best].astype(np.int64)
        best.sort(axis=1)
        own = self.score_candidates(known, users[rows], best)
        np.put_along_axis(found, best, -np.inf, axis=1)
        found += (own.min(axis=1) - found.max(axis=1) - 1.0)[:, None]
        np.put_along_axis(found, best, own, axis=1)
        scores[rows] = found

    def _prior_weights(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n_queries,) how much popularity weighs: it answers alone where a vector says that nothing is known."""
        return np.where(vectors.any(axis=1), self.settings.popularity_weight, 1.0).astype(np.float32)

    def _bonus(self, histories: Sequences) -> sparse.csr_array | None:
        """(n_queries, n_items) what items of the history gain; None where they gain nothing."""
        if not self.settings.repeat_weight:
            return None
        return query_matrix(histories, self.n_items, self.settings) * self.settings.repeat_weight


def check_encoded(settings: QuerySettings) -> None:
    """Refuse settings of a query that only mixtures of the vectors of views can follow.

    Raises:
        ConfigError: names the setting and what to do.
    """
    ours = encoded_query(settings)
    for name in _OF_VIEWS:
        if getattr(settings, name) != getattr(ours, name):
            raise ConfigError(
                f"query.{name} = {getattr(settings, name)!r} is for models whose queries mix vectors of views; "
                f"this one encodes the query whole: leave it out, or set it to {getattr(ours, name)!r}"
            )


def encoded_query(settings: QuerySettings) -> QuerySettings:
    """The settings without what only mixtures of the vectors of views can follow."""
    return settings.model_copy(update=_OF_VIEWS)


__all__ = ["EncodedScorer", "check_encoded", "encoded_query"]
