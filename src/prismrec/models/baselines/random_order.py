"""Random order: what chance alone reaches under a protocol, HR@k = k / n_candidates.

The scores of a query are uniform numbers seeded by (seed, its history): the same history gets the same order, alone or
in a batch, and different users get different orders. Cost: O(n_queries x n_items).
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prismrec.config import Section
from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.models.history import require_fitted


class RandomOrderConfig(Section):
    """Chance needs a seed, and nothing else."""

    seed: int = Field(default=1, ge=0, description="same seed and history, same order")


class RandomOrder:
    """Scores items by chance."""

    def __init__(self, config: RandomOrderConfig) -> None:
        self.config = config
        self._n_items: int | None = None

    def fit(self, data: PreparedData) -> Self:
        """Take the size of the catalogue."""
        self._n_items = len(data.items)
        return self

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        """(n_queries, n_items) float32 in [0, 1).

        Raises:
            NotFittedError: `fit` has not been called.
        """
        n_items = require_fitted(self._n_items, "RandomOrder")
        scores = np.empty((len(histories), n_items), np.float32)
        for row, history in zip(scores, histories, strict=True):
            seed = np.random.SeedSequence([self.config.seed, len(history), *history.tolist()])
            np.random.default_rng(seed).random(dtype=np.float32, out=row)
        return scores


__all__ = ["RandomOrder", "RandomOrderConfig"]
