"""Popularity: every user gets the items that most interactions went to, with their own items on top where wanted.

    s_u(j) = z(log(1 + count_j)) + repeat_weight w_u(j)

Counts are those of the item vocabulary: training interactions only. Log and standardisation leave the order
as it is and give the repeat bonus a scale. Cost: nothing to fit; O(n_queries x n_items) to score.

*Differs from the source:* no known difference.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.models.history import HistorySettings, add_priors, popularity_prior, query_matrix, require_fitted


class PopularityConfig(HistorySettings):
    """The popularity prior is the whole score here, so its weight is 1."""

    popularity_weight: float = Field(
        default=1.0, gt=0, description="scale of the popularity score beside repeat_weight"
    )


class Popularity:
    """Scores items by how often they were interacted with."""

    def __init__(self, config: PopularityConfig) -> None:
        self.config = config
        self._prior: NDArray[np.float32] | None = None

    def fit(self, data: PreparedData) -> Self:
        """Take the counts of the item vocabulary."""
        self._prior = popularity_prior(data.items.counts)
        return self

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        """(n_queries, n_items) float32.

        Raises:
            NotFittedError: `fit` has not been called.
        """
        prior = require_fitted(self._prior, "Popularity")
        queries = query_matrix(histories, len(prior), self.config)
        return add_priors(np.zeros(queries.shape, np.float32), queries, prior, self.config)


__all__ = ["Popularity", "PopularityConfig"]
