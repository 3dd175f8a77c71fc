"""Popularity within category: items of the nodes that a user goes to, the popular ones first. Needs no vectors.

    P_u(c)  = (h_u(c) + a p(c)) / (sum_c' h_u(c') + a)      h_u(c): the history's recency weights at node c
    s_u(i)  = mean over views v of [ log sum_{c in v(i)} P_u(c) / |v(i)|  -  lift log sum_{c in v(i)} p(c) / |v(i)| ]
              + popularity_weight log n_i

p(c) is the share of node c in the clicks of its view, a is `smoothing`. With `lift` 0 a view counts by how often the
user goes to a node, with 1 by how much more often than others do. n_i is the item's count; an item without clicks, such
as one that is new, is expected to get the mean count of the clicked items of its nodes, averaged over the views.
A node in no history and an item in no node are scored by the smoothing, and the mean count over all items, alone.

Cost: one pass over the items to fit; O(n_queries x edges of the items) to score.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError
from prismrec.models.history import HistorySettings, query_matrix, require_fitted

_LEAST = np.float32(1e-12)


class CategoryPopularityConfig(HistorySettings):
    """How a user's nodes and the items' counts are weighed."""

    view: str = Field(default="", description="the view whose nodes are the categories; empty = all views alike")
    smoothing: float = Field(default=10.0, gt=0, description="how many clicks of the average user a history is given")
    lift: float = Field(default=0.5, ge=0, le=1, description="0: nodes the user goes to; 1: more than others do")
    popularity_weight: float = Field(default=1.0, description="times the log of the item's count, or expected count")


class CategoryPopularity:
    """Scores items by the user's share of their nodes and by their count."""

    def __init__(self, config: CategoryPopularityConfig) -> None:
        self.config = config
        self._shares: Mapping[str, sp.csr_array] | None = None
        self._node_shares: Mapping[str, NDArray[np.float64]] = {}
        self._log_counts = np.zeros(0)

    def fit(self, data: PreparedData) -> Self:
        """Take counts and nodes; items without clicks may be among them.

        Raises:
            ConfigError: `view` is no view.
        """
        if self.config.view and self.config.view not in data.views:
            known = ", ".join(data.views) or "none"
            raise ConfigError(f"category_popularity.view = {self.config.view!r} is no view; views are {known}")
        self._shares = {name: _shares(view.item_nodes, len(view.nodes)) for name, view in data.views.items()}
        counts = data.items.counts.astype(np.float64)
        expected = _expected_counts(counts, self._shares)
        self._log_counts = np.log(np.maximum(np.where(counts > 0, counts, expected), 0.5))
        self._node_shares = {v: _distribution(counts @ share) for v, share in self._shares.items()}
        return self

    def with_config(self, config: CategoryPopularityConfig) -> Self:
        """The same counts, shared and not copied, with another configuration; all of it is about the query."""
        other = copy.copy(self)
        other.config = config
        return other

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        """(n_queries, n_items) float32.

        Raises:
            NotFittedError: `fit` has not been called.
        """
        return self.score_from(0, histories)

    def score_from(self, first: int, histories: Sequences) -> NDArray[np.float32]:
        """(n_queries, n_items - first) float32: the scores of the items from index `first` on.

        Raises:
            NotFittedError: `fit` has not been called.
        """
        shares = require_fitted(self._shares, "CategoryPopularity")
        queries = query_matrix(histories, len(self._log_counts), self.config)
        logs = (self.config.popularity_weight * self._log_counts[first:]).astype(np.float32)
        scores = np.tile(logs, (queries.shape[0], 1))
        chosen = [self.config.view] if self.config.view else list(shares)
        for view in chosen:
            scores += self._affinity(queries, view, shares[view], first) / np.float32(len(chosen))
        if self.config.repeat_weight:
            seen = queries[:, first:].tocoo()
            scores[seen.row, seen.col] += np.float32(self.config.repeat_weight) * seen.data
        return scores

    def _affinity(self, queries: sp.csr_array, view: str, share: sp.csr_array, first: int) -> NDArray[np.float32]:
        """(n_queries, n_items - first): log of the user's share of the item's nodes, less `lift` times everybody's."""
        taken = (queries @ share).toarray().astype(np.float32)
        a = np.float32(self.config.smoothing)
        p = self._node_shares[view].astype(np.float32)
        user = (taken + a * p) / (taken.sum(axis=1, keepdims=True) + a)
        asked = share[first:].astype(np.float32)
        affinity = np.asarray(user @ asked.T)  # (n_queries, n_nodes) x (n_nodes, n): as many products as edges
        np.log(np.maximum(affinity, _LEAST, out=affinity), out=affinity)
        affinity -= np.float32(self.config.lift) * np.log(np.maximum(asked @ p, _LEAST))
        affinity[:, np.diff(asked.indptr) == 0] = 0
        return affinity


def _shares(nodes: Sequences, n_nodes: int) -> sp.csr_array:
    """(n_items, n_nodes): 1 / number of nodes of the item, at its nodes."""
    values = np.repeat(1 / np.maximum(nodes.lengths, 1), nodes.lengths)
    return sp.csr_array((values, nodes.values, nodes.offsets), shape=(len(nodes), n_nodes))


def _expected_counts(counts: NDArray[np.float64], shares: Mapping[str, sp.csr_array]) -> NDArray[np.float64]:
    """(n_items,) mean count of the clicked items in the item's nodes, averaged over its views; of all items without."""
    clicked = counts > 0
    overall = counts[clicked].mean() if clicked.any() else 0.0
    total, n_views = np.zeros(len(counts)), np.zeros(len(counts))
    for share in shares.values():
        n_in_node = clicked.astype(float) @ share
        mean = np.where(n_in_node > 0, (counts @ share) / np.maximum(n_in_node, _LEAST), overall)
        there = np.diff(share.indptr) > 0
        total += np.where(there, share @ mean, 0)
        n_views += there
    return np.where(n_views > 0, total / np.maximum(n_views, 1), overall)


def _distribution(clicks: NDArray[np.float64]) -> NDArray[np.float64]:
    total = clicks.sum()
    return clicks / total if total > 0 else np.zeros_like(clicks)


__all__ = ["CategoryPopularity", "CategoryPopularityConfig"]
