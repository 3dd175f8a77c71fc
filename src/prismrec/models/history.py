"""Histories as weighted queries, and the two priors that any scorer can add: popularity and repetition.

    query weight of an item      w_u(i) = sum over its places in the last `history_length` of decay^age
    score                        s_u(j) + popularity_weight z(log(1 + count_j)) + repeat_weight w_u(j)

where the latest place has age 0 and z standardises over the catalogue. The weights of a query are not normalised: a
longer history is more evidence beside the same prior. The two prior weights are in the units of the model's own scores:
tune them with it.

Cost: O(total history length) for the queries, O(n_queries x n_items) for the priors.
"""

from __future__ import annotations

import copy
from typing import Any, Protocol, TypeVar

import numpy as np
import scipy.sparse as sp
from numba import njit, prange
from numpy.typing import NDArray
from pydantic import Field

from prismrec.config import Section
from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences, ragged_positions
from prismrec.errors import ConfigError, DataError, NotFittedError


class HistorySettings(Section):
    """What a scorer makes of a history, and what it adds to its own scores."""

    history_length: int = Field(default=10, ge=0, description="latest items of a history that count; 0 = all")
    recency_decay: float = Field(
        default=0.9, gt=0, le=1, description="weight of an item is decay^age, the latest has age 0"
    )
    popularity_weight: float = Field(default=0.0, description="times the standardised log(1 + count) of the candidate")
    repeat_weight: float = Field(
        default=0.0, description="times the candidate's own weight in the history; for repeat purchases"
    )


class LongHistorySettings(HistorySettings):
    """The same for models whose papers read a whole history, unweighed."""

    history_length: int = Field(
        default=50, ge=0, description="latest items of a history that count; 0 = all, as in the paper"
    )
    recency_decay: float = Field(
        default=0.9, gt=0, le=1, description="weight of an item is decay^age; 1 = none, as in the paper"
    )


class Recency(Protocol):
    """What of a history counts, and how fast it fades."""

    @property
    def history_length(self) -> int:
        """Latest items that count; 0 = all."""
        ...

    @property
    def recency_decay(self) -> float:
        """Weight of an item relative to the one after it."""
        ...


class Asked(Protocol):
    """A model whose query settings are part of its configuration."""

    config: Any


AskedT = TypeVar("AskedT", bound=Asked)


def asked_with(model: AskedT, config: HistorySettings) -> AskedT:
    """The same fitted model, shared and not copied, asked with other query settings.

    Raises:
        ConfigError: the configuration differs in more than the query, so the model would have to be fitted again.
    """
    if fit_settings(config) != fit_settings(model.config):
        raise ConfigError("only the query settings of a fitted model can change; fit it again for the others")
    other = copy.copy(model)
    other.config = config
    return other


def fit_settings(config: HistorySettings) -> dict[str, Any]:
    """What of a configuration the fit depends on: all but the query settings."""
    return config.model_dump(exclude=set(HistorySettings.model_fields))


def query_matrix(histories: Sequences, n_items: int, settings: Recency) -> sp.csr_array:
    """(n_queries, n_items) float32: each history as recency weights; an item that occurs twice adds both.

    Raises:
        DataError: a history holds an index outside the catalogue (leave unknown items out).
    """
    values = histories.values
    if len(values) and not (values.min() >= 0 and values.max() < n_items):
        raise DataError(
            f"histories must hold item indices 0..{n_items - 1}, got {values.min()}..{values.max()}; "
            "leave items out that the vocabulary does not know"
        )
    lengths = histories.lengths
    kept = np.minimum(lengths, settings.history_length) if settings.history_length else lengths
    positions = ragged_positions(histories.offsets[1:] - kept, kept)
    indptr = np.concatenate([[0], np.cumsum(kept)])
    ages = np.repeat(indptr[1:], kept) - 1 - np.arange(len(positions))
    weights = np.power(settings.recency_decay, ages).astype(np.float32)
    queries = sp.csr_array((weights, values[positions], indptr), shape=(len(histories), n_items))
    queries.sum_duplicates()
    return queries


def popularity_prior(counts: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n_items,) float32: log(1 + count), standardised over the catalogue; zeros where all counts are equal."""
    logs = np.log1p(np.asarray(counts, np.float64))
    spread = logs.std() if len(logs) else 0.0
    return ((logs - logs.mean()) / spread if spread > 0 else np.zeros_like(logs)).astype(np.float32)


def add_priors(
    scores: NDArray[np.float32], queries: sp.csr_array, prior: NDArray[np.float32], settings: HistorySettings
) -> NDArray[np.float32]:
    """Add both priors to (n_queries, n_items) float32 scores in place, and return them."""
    if settings.popularity_weight:
        scores += np.float32(settings.popularity_weight) * prior
    if settings.repeat_weight:
        rows = np.repeat(np.arange(queries.shape[0]), np.diff(queries.indptr))
        scores[rows, queries.indices] += np.float32(settings.repeat_weight) * queries.data
    return scores


def score_by_neighbours(queries: sp.csr_array, similarity: sp.csr_array) -> NDArray[np.float32]:
    """(n_queries, n_items) float32: `queries @ similarity`, written straight into the dense result.

    `similarity[i, j]` is what item i in a history says for candidate j. Time O(n_queries x n_items + products).
    """
    scores = np.zeros((queries.shape[0], similarity.shape[1]), np.float32)
    query_rows = (queries.indptr.astype(np.int64), queries.indices.astype(np.int32), queries.data)
    item_rows = (similarity.indptr.astype(np.int64), similarity.indices.astype(np.int32, copy=False), similarity.data)
    _scatter(query_rows, item_rows, scores)
    return scores


def user_item_counts(data: PreparedData) -> sp.csr_array:
    """(n_users, n_items) float32: how often each item is in each user's training history."""
    histories, n_items = data.histories, len(data.items)
    ones = np.ones(len(histories.values), np.float32)
    indices, indptr = histories.values.copy(), histories.offsets.copy()  # scipy sums duplicates in place
    counts = sp.csr_array((ones, indices, indptr), shape=(len(histories), n_items))
    counts.sum_duplicates()
    return counts


FittedT = TypeVar("FittedT")


def require_fitted(state: FittedT | None, model: str) -> FittedT:
    """What `fit` left, or an error that says to fit first.

    Raises:
        NotFittedError: `fit` has not been called.
    """
    if state is None:
        raise NotFittedError(f"{model} has no scores yet: call fit(data) first")
    return state


@njit(cache=True, parallel=True)
def _scatter(query_rows, item_rows, scores):  # type: ignore[no-untyped-def]
    """Each query adds the weighted rows of its items to its own row of scores: the order, and so the sum, is fixed."""
    query_indptr, query_items, query_weights = query_rows
    indptr, indices, weights = item_rows
    for query in prange(scores.shape[0]):
        for place in range(query_indptr[query], query_indptr[query + 1]):
            item = query_items[place]
            for edge in range(indptr[item], indptr[item + 1]):
                scores[query, indices[edge]] += query_weights[place] * weights[edge]


__all__ = [
    "HistorySettings",
    "LongHistorySettings",
    "add_priors",
    "popularity_prior",
    "query_matrix",
    "require_fitted",
    "score_by_neighbours",
    "user_item_counts",
]
