"""A recommender whose lists are re-ranked for diversity, so that the ordinary evaluation measures what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prismrec.data.sequences import Sequences
from prismrec.retrieval.diversity.rerank import likeness, pool_size, rerank
from prismrec.retrieval.ranking import top_k
from prismrec.retrieval.request import Diversity

_REFILL = 4
"""How much larger each next pool is."""


class VectorRecommender(Protocol):
    """A recommender that also has item vectors, as `blend.MultiViewScorer` does."""

    @property
    def columns(self) -> Mapping[str, slice]:
        """View -> its columns in `sources`."""
        ...

    @property
    def sources(self) -> NDArray[np.float32]:
        """(n_items, D) float32: the source vectors of all views side by side."""
        ...

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        """(n_queries, n_items) float32, higher is better."""
        ...


class Diversified:
    """Puts the re-ranked list on top of the scores and leaves the rest in order; a `models.contract.Recommender`.

    The list is the one that a request for as many items would be answered with: same pool, same re-ranking, and under
    quotas that leave it short an ever larger pool.
    """

    def __init__(
        self,
        recommender: VectorRecommender,
        item_nodes: Mapping[str, Sequences],
        diversity: Diversity,
        length: int,
        *,
        exclude_seen: bool = False,
    ) -> None:
        """Bind a recommender.

        Args:
            recommender: whose scores are re-ranked.
            item_nodes: view name -> the nodes of each item.
            diversity: how the list is spread.
            length: of the list.
            exclude_seen: items of the history cannot be in it.
        """
        self._recommender = recommender
        self._sources = recommender.sources
        self._item_nodes = {view: item_nodes[view] for view in item_nodes if view in diversity.quotas}
        self._diversity = diversity
        self._length = length
        self._exclude_seen = exclude_seen

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        """Score the whole catalogue: (n_queries, n_items) float32."""
        scores = self._recommender.score(histories)
        for row, history in zip(scores, histories, strict=True):
            self._raise_list(row, history if self._exclude_seen else history[:0])
        return scores

    def _raise_list(self, scores: NDArray[np.float32], excluded: NDArray[np.int32]) -> None:
        """Score the items of the list above all others, in its order."""
        open_scores = scores.copy()
        open_scores[excluded] = -np.inf
        chosen = self._list(open_scores)
        if not np.array_equal(chosen, top_k(open_scores, self._length)):
            highest = scores.max()
            step = max(1.0, abs(float(highest)) / 1024)  # float32 tells such steps apart
            scores[chosen] = highest + step * np.arange(len(chosen), 0, -1, dtype=np.float32)

    def _list(self, scores: NDArray[np.float32]) -> NDArray[np.int64]:
        """The items of the list, best first; minus infinity marks what cannot be in it."""
        columns, size = self._recommender.columns, pool_size(self._diversity, self._length)
        while True:
            pool = top_k(scores, size)
            alike = likeness(self._sources[pool], columns, self._diversity, list(columns))
            nodes = {view: nodes.take(pool) for view, nodes in self._item_nodes.items()}
            places = rerank(scores[pool], alike, nodes, self._diversity, self._length)
            if len(places) == self._length or len(pool) < size:
                return pool[places]
            size *= _REFILL


__all__ = ["Diversified", "VectorRecommender"]
