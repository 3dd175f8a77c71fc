"""A softmax over the catalogue: whole where this is small, else over items drawn by their popularity.

    L = -log( exp(f . t_i) / sum_j exp(f . t_j) )      j over all items, or over i and K draws: q_j ~ (count_j + 1)^0.75

Scores of drawn items are lessened by log(K q_j), so that their sum estimates that of the catalogue: see
`losses.sampled_softmax`.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from prismrec.graphs.negatives import popularity_weights
from prismrec.models.neural.losses import full_softmax, sampled_softmax

_POWER = 0.75


class CatalogueSoftmax:
    """The mean of L above over a batch.

    Time of a draw: O(log n_items) for each number. Memory: 12 bytes per item.
    """

    def __init__(self, counts: NDArray[np.int64], n_drawn: int) -> None:
        """Bind the counts of all items and K; a catalogue of no more items is taken whole, as any is where K is 0."""
        self._n_drawn = n_drawn if n_drawn < len(counts) else 0
        weights = popularity_weights(counts + 1, _POWER)  # items never clicked are told apart too
        shares = weights / weights.sum()
        self._cumulated = np.cumsum(shares)
        self._log_expected = np.log(max(n_drawn, 1) * shares).astype(np.float32)

    def value(
        self, queries: torch.Tensor, targets: torch.Tensor, positives: torch.Tensor, rng: np.random.Generator
    ) -> torch.Tensor:
        """Scalar.

        Args:
            queries: (B, D), f.
            targets: (N, D), t of all items.
            positives: (B,) int64, i.
            rng: what draws.
        """
        if not self._n_drawn:
            return full_softmax(queries, targets, positives)
        items, log_expected = (torch.from_numpy(part).to(queries.device) for part in self.draw(rng))
        return sampled_softmax(queries, targets, positives, items, log_expected)

    def draw(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(K,) items, with replacement, and (K,) log(K q) of each."""
        drawn = np.searchsorted(self._cumulated, rng.random(self._n_drawn))
        items = np.minimum(drawn, len(self._cumulated) - 1)
        return items, self._log_expected[items]


__all__ = ["CatalogueSoftmax"]
