"""PureSVD: the user-item matrix by its largest singular values, unknown pairs taken for zeros.

Cremonesi, Koren, Turrin, "Performance of recommender algorithms on top-N recommendation tasks" (RecSys 2010), section
3.2. With X the binary (n_users, n_items) matrix and its truncated decomposition,

    X ~ U S Q^T,      s_u = x_u Q Q^T,      Q (n_items, rank).

A user is folded in by their history, so nobody is unknown. The decomposition is ARPACK's, through
`scipy.sparse.linalg.svds`.

Cost: time O(rank x number of interactions) for each of a few iterations; memory O(rank x (n_users + n_items)).

*Differs from the paper:* recency weights in the query, and a popularity prior as an option, as for the other baselines;
`recency_decay` 1 and `history_length` 0 give the paper's.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from numpy.typing import NDArray
from pydantic import Field

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.models.history import (
    LongHistorySettings,
    add_priors,
    popularity_prior,
    query_matrix,
    require_fitted,
    user_item_counts,
)


class SVDConfig(LongHistorySettings):
    """How many singular values, and what of a history counts."""

    rank: int = Field(default=50, ge=1, description="how many singular values; fewer users or items have fewer")
    seed: int = Field(default=0, ge=0, description="of the vector that the iterations begin with")


class SVD:
    """Scores items by projecting a history onto the leading directions of taste."""

    def __init__(self, config: SVDConfig) -> None:
        self.config = config
        self._directions: NDArray[np.float32] | None = None
        self._prior = np.zeros(0, np.float32)

    def fit(self, data: PreparedData) -> Self:
        """Decompose the user-item matrix."""
        interactions = user_item_counts(data)
        interactions.data[:] = 1.0
        self._directions = _right_singular(interactions.astype(np.float64), self.config)
        self._prior = popularity_prior(data.items.counts)
        return self

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        """(n_queries, n_items) float32.

        Raises:
            NotFittedError: `fit` has not been called.
        """
        directions = require_fitted(self._directions, "SVD")
        queries = query_matrix(histories, len(self._prior), self.config)
        # Row by row: a product of matrices may round a query otherwise when it comes with others.
        folded = np.asarray(queries @ directions, np.float32)
        scores = np.empty((len(histories), len(self._prior)), np.float32)
        for row, own in enumerate(folded):
            np.matmul(directions, own, out=scores[row])
        return add_priors(scores, queries, self._prior, self.config)


def _right_singular(interactions: sp.csr_array, config: SVDConfig) -> NDArray[np.float32]:
    """(n_items, at most rank) float32: Q, the leading right singular vectors."""
    smaller = min(interactions.shape)
    if config.rank >= smaller:  # ARPACK finds all but one at most
        found = np.linalg.svd(interactions.toarray(), full_matrices=False)[2]
    else:
        begin = np.random.default_rng(config.seed).normal(size=smaller)
        found = sla.svds(interactions, k=config.rank, v0=begin, return_singular_vectors="vh")[2]
    directions: NDArray[np.float32] = np.ascontiguousarray(found.T, np.float32)
    return directions


__all__ = ["SVD", "SVDConfig"]
