"""Sequential co-occurrence: what followed an item within a few steps, counted and normalised.

Counts C_ij over the training sequences (`graphs.views.count_pairs`): i at one place, j at most `window` steps later
(`direction` forward) or either way (symmetric), each pair worth 1, or less with distance. With c the number of
occurrences and h the shrinkage,

    none          C_ij
    cosine        C_ij / (sqrt(c_i c_j) + h)
    conditional   C_ij / (c_i c_j^a + h)        a = target_exponent: 0 is P(j | i), 1 is lift

and the score of candidate j is the recency-weighted sum over the history, `models/history.py`. A first-order Markov
chain is window 1, forward, conditional with a = 0; the "sequential rules" of Ludewig & Jannach, "Evaluation of
Session-based Recommendation Algorithms" (2018), are forward, harmonic, none, with a history of one item.

Cost: time O(clicks x window) to fit; memory 8 bytes per distinct pair. Scoring reads the rows of the history's items.

*Differs from the sources:* self pairs are left out unless `self_pairs`; no pruning to the top neighbours.
"""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.graphs.views import PairSettings, count_pairs
from prismrec.models.history import (
    HistorySettings,
    add_priors,
    popularity_prior,
    query_matrix,
    require_fitted,
    score_by_neighbours,
)


class CooccurrenceConfig(HistorySettings):
    """Which pairs count, and how counts become similarities."""

    sequences: Literal["histories", "sessions"] = Field(
        default="histories", description="count within a user's whole history, or within sessions"
    )
    pairs: PairSettings = Field(
        default=PairSettings(window=5, direction="forward"),
        description="window, direction and distance weights of the pairs",
    )
    normalisation: Literal["none", "cosine", "conditional"] = Field(
        default="cosine", description="see the module's equations"
    )
    target_exponent: float = Field(
        default=0.5, ge=0, le=1, description="conditional only: how much target popularity is divided out"
    )
    shrinkage: float = Field(default=0.0, ge=0, description="added to the denominator: trust in rare pairs falls")


class Cooccurrence:
    """Scores items by how often they followed the items of the history."""

    def __init__(self, config: CooccurrenceConfig) -> None:
        self.config = config
        self._similarity: sp.csr_array | None = None
        self._prior = np.zeros(0, np.float32)

    def fit(self, data: PreparedData) -> Self:
        """Count the pairs of the training sequences."""
        sequences = data.histories if self.config.sequences == "histories" else data.sessions
        n_items = len(data.items)
        pairs = count_pairs(sequences, n_items, self.config.pairs).to_scipy()
        occurrences = np.bincount(sequences.values, minlength=n_items).astype(np.float64)
        self._similarity = self._normalised(pairs, occurrences)
        self._prior = popularity_prior(data.items.counts)
        return self

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        """(n_queries, n_items) float32.

        Raises:
            NotFittedError: `fit` has not been called.
        """
        similarity = require_fitted(self._similarity, "Cooccurrence")
        queries = query_matrix(histories, similarity.shape[0], self.config)
        return add_priors(score_by_neighbours(queries, similarity), queries, self._prior, self.config)

    def _normalised(self, pairs: sp.csr_array, occurrences: NDArray[np.float64]) -> sp.csr_array:
        if self.config.normalisation == "none":
            return pairs
        sources = np.repeat(occurrences, np.diff(pairs.indptr))
        targets = occurrences[pairs.indices]
        if self.config.normalisation == "cosine":
            scale = np.sqrt(sources * targets)
        else:
            scale = sources * targets**self.config.target_exponent
        pairs.data = (pairs.data / (scale + self.config.shrinkage)).astype(np.float32)
        return pairs


__all__ = ["Cooccurrence", "CooccurrenceConfig"]
