"""Per-view vectors to item scores: view weights, recency, popularity and repeats, all decided by the query.

    q        = [w_1 s_1, ..., w_V s_V, w_pop]            s_v = sum_h g^age(h) source_v(item_h) / sum_h g^age(h)
    score(i) = q . [target_1(i), ..., target_V(i), prior(i)]  +  w_repeat sum_{h: item_h = i} g^age(h)

h runs over the last `history_length` items, age 0 is the latest, g is `recency_decay`, w_v the weight of view v. All
that a request can change is in q, so one inner-product index over the targets serves every request (only the repeat
bonus stays outside). The vectors of an item in a side view are the mean over its nodes there, zero where it has none.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, FiniteFloat
from scipy import sparse

from prismrec.config import Section
from prismrec.data.schema import ITEM_VIEW
from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError, DataError
from prismrec.models.contract import EmbeddingTable
from prismrec.models.history import query_matrix

Similarity = Literal["source_target", "cosine"]

_COUNTED = 2**20  # counts that are summed at a time


class QuerySettings(Section):
    """How a history becomes a query."""

    view_weights: dict[str, FiniteFloat] = Field(
        default={ITEM_VIEW: 1.0},
        description="weight of each view in the score; a view left out has weight 0, a negative one pushes away",
    )
    history_length: int = Field(default=20, ge=1, description="how many of the latest items form the query")
    recency_decay: float = Field(
        default=0.8, ge=0, le=1, description="weight of an item relative to the one after it; 1 = all alike"
    )
    popularity_weight: FiniteFloat = Field(
        default=1.0,
        description="weight of the popularity prior, log(count): 1 for vectors with model.popularity_offset",
    )
    repeat_weight: FiniteFloat = Field(
        default=0.0, description="bonus for items of the history: this times recency_decay^age, per occurrence"
    )
    similarity: Similarity = Field(
        default="source_target",
        description="source_target: source of history, target of candidate; cosine: unit source vectors of both",
    )
    rescored: int = Field(
        default=1_000,
        ge=1,
        description="how many candidates a model orders by a score that is no product of vectors; others have none",
    )


class MultiViewScorer:
    """Scores the whole catalogue for a batch of histories; a `models.contract.Recommender`.

    The item-level vectors of a view are made when a query first gives it weight, and kept. The cost of a batch is one
    float32 matrix product per view with weight: (B, dim) x (dim, n_items).
    """

    def __init__(
        self,
        tables: Mapping[str, EmbeddingTable],
        item_nodes: Mapping[str, Sequences],
        item_counts: ArrayLike,
        settings: QuerySettings | None = None,
    ) -> None:
        """Bind the vectors; nothing is copied yet.

        Args:
            tables: vectors per view; the item view has one row per item.
            item_nodes: per side view one row per item: the item's node indices.
            item_counts: (n_items,) how often each item occurred in training.
            settings: how histories become queries; the defaults where None.

        Raises:
            DataError: tables, nodes and counts disagree about the number of items.
            ConfigError: the settings weigh a view that has no table.
        """
        self.settings = settings or QuerySettings()
        self.prior = popularity_prior(item_counts)
        self.columns = column_ranges(tables)
        self._tables = dict(tables)
        self._item_nodes = dict(item_nodes)
        self._matrices: dict[tuple[str, Similarity], EmbeddingTable] = {}
        check_rows(tables, item_nodes, self.n_items)
        self._check_weights()

    @property
    def n_items(self) -> int:
        """How many items are scored."""
        return len(self.prior)

    def with_settings(self, settings: QuerySettings) -> MultiViewScorer:
        """The same vectors, shared and not copied, asked with other settings.

        Raises:
            ConfigError: the settings weigh a view that has no table.
        """
        other = copy.copy(self)
        other.settings = settings
        other._check_weights()
        return other

    def item_vectors(self, view: str) -> EmbeddingTable:
        """Item-level vectors of a view, (n_items, dim) each, as the current similarity uses them."""
        key = (view, self.settings.similarity)
        if key not in self._matrices:
            table = self._item_level(view)
            if self.settings.similarity == "cosine":
                unit = unit_rows(table.source)
                table = EmbeddingTable(source=unit, target=unit)
            self._matrices[key] = table
        return self._matrices[key]

    @property
    def targets(self) -> NDArray[np.float32]:
        """(n_items, total_dim + 1) float32: the targets of all views side by side, the prior last."""
        return np.column_stack([*(self.item_vectors(view).target for view in self._tables), self.prior])

    @property
    def sources(self) -> NDArray[np.float32]:
        """(n_items, total_dim) float32: the source vectors of all views side by side, unweighted."""
        return np.column_stack([self.item_vectors(view).source for view in self._tables])

    def query(self, histories: Sequences) -> NDArray[np.float32]:
        """Query vectors for `targets`.

        A history without items is answered by popularity alone: its prior weighs 1, whatever the settings say.

        Returns:
            (n_queries, total_dim + 1) float32, zero in the columns of views without weight.
        """
        return self._query(query_matrix(histories, self.n_items, self.settings))

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        """Score the whole catalogue: (n_queries, n_items) float32, higher is better."""
        decays = query_matrix(histories, self.n_items, self.settings)
        query = self._query(decays)
        scores = np.outer(query[:, -1], self.prior)
        for view in self._weighted_views():
            scores += query[:, self.columns[view]] @ self.item_vectors(view).target.T
        if self.settings.repeat_weight:
            bonus = (decays * self.settings.repeat_weight).tocoo()
            scores[bonus.row, bonus.col] += bonus.data
        return scores

    def _query(self, decays: sparse.csr_array) -> NDArray[np.float32]:
        totals = decays.sum(axis=1)
        empty = totals == 0
        query = np.zeros((decays.shape[0], max((c.stop for c in self.columns.values()), default=0) + 1), np.float32)
        weights = sparse.diags_array((1 / np.where(empty, 1, totals)).astype(np.float32)) @ decays
        for view, weight in self._weighted_views().items():
            query[:, self.columns[view]] = np.float32(weight) * (weights @ self.item_vectors(view).source)
        query[:, -1] = np.where(empty, 1.0, self.settings.popularity_weight)
        return query

    def _weighted_views(self) -> dict[str, float]:
        return {view: weight for view, weight in self.settings.view_weights.items() if weight}

    def _item_level(self, view: str) -> EmbeddingTable:
        table = self._tables[view]
        if view == ITEM_VIEW:
            return EmbeddingTable(source=np.asarray(table.source), target=np.asarray(table.target))
        return means_over_nodes(self._item_nodes[view], table)

    def _check_weights(self) -> None:
        check_views(self.settings.view_weights, self._tables)


def means_over_nodes(nodes: Sequences, table: EmbeddingTable) -> EmbeddingTable:
    """What items have in a side view, (n_items, dim) each: the mean of the vectors of their nodes, zero without any.

    Args:
        nodes: one row per item: its node indices.
        table: vectors of the nodes.
    """
    shares = np.repeat((1 / np.maximum(nodes.lengths, 1)).astype(np.float32), nodes.lengths)
    item_node = sparse.csr_array((shares, nodes.values, nodes.offsets), shape=(len(nodes), len(table.source)))
    return EmbeddingTable(source=item_node @ table.source, target=item_node @ table.target)


def check_rows(tables: Mapping[str, EmbeddingTable], item_nodes: Mapping[str, Sequences], n_items: int) -> None:
    """Refuse views that are for another number of items than there are item counts.

    Raises:
        DataError: names the view.
    """
    for view, table in tables.items():
        if view != ITEM_VIEW and view not in item_nodes:
            raise DataError(f"view {view!r} has vectors, but nothing says which nodes each item has in it")
        rows = len(table.source) if view == ITEM_VIEW else len(item_nodes[view])
        if rows != n_items:
            raise DataError(f"view {view!r} has rows for {rows} items, but there are {n_items} item counts")


def check_views(named: Iterable[str], views: Iterable[str], where: str = "view_weights") -> None:
    """Refuse names of views that are not there; `where` is what named them.

    Raises:
        ConfigError: names the view, and the nearest one that exists.
    """
    known = list(views)
    for view in named:
        if view not in known:
            near = difflib.get_close_matches(view, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"views are {', '.join(known) or 'none'}"
            raise ConfigError(f"{where}: there is no view {view!r}; {hint}")


def popularity_prior(counts: ArrayLike, centre: float | None = None) -> NDArray[np.float32]:
    """(n_items,) float32: log(count), natural, less its mean over the items with a count; never seen counts as 1/2.

    In these units weight 1 adds log p(item): what vectors trained with a popularity offset leave out.

    Args:
        counts: (n_items,) how often each item occurred in training.
        centre: the `mean_log_count` of all items, where `counts` are those of some.
    """
    counts = np.asarray(counts)
    centre = mean_log_count(counts) if centre is None else centre
    prior = np.empty(len(counts), np.float32)
    for start in range(0, len(counts), _COUNTED):
        rows = slice(start, start + _COUNTED)
        prior[rows] = _logs(counts[rows]) - centre
    return prior


def mean_log_count(counts: NDArray) -> float:
    """Mean of the log over the items with a count; 0 where there is none.

    Sums are taken over a fixed number of items, so that the result is the same however much memory there is.
    """
    total, n_seen = 0.0, 0
    for start in range(0, len(counts), _COUNTED):
        block = counts[start : start + _COUNTED]
        seen = block[block > 0]
        total, n_seen = total + float(_logs(seen).sum()), n_seen + len(seen)
    return total / n_seen if n_seen else 0.0


def _logs(counts: NDArray) -> NDArray[np.float64]:
    logs: NDArray[np.float64] = np.log(np.maximum(counts.astype(np.float64), 0.5))
    return logs


def column_ranges(tables: Mapping[str, EmbeddingTable]) -> dict[str, slice]:
    """Which columns of `sources`, `targets` and queries belong to which view, in the order of the tables."""
    ends = np.cumsum([table.source.shape[1] for table in tables.values()]).tolist()
    return {
        view: slice(end - table.source.shape[1], end) for (view, table), end in zip(tables.items(), ends, strict=True)
    }


def unit_rows(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1; a zero row stays zero."""
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (matrix / np.where(norms == 0, 1, norms)).astype(np.float32)
    return unit


__all__ = [
    "MultiViewScorer",
    "QuerySettings",
    "Similarity",
    "check_rows",
    "check_views",
    "column_ranges",
    "mean_log_count",
    "means_over_nodes",
    "popularity_prior",
    "unit_rows",
]
