"""Item-kNN: items are alike when the same users have them.

Sarwar et al., "Item-based Collaborative Filtering" (WWW 2001), on implicit data. With x_u(i) the
weight of item i for user u,

    s_ij = r_i r_j  sum_u x_u(i) x_u(j) / (|x(i)| |x(j)| + h)        h = shrinkage
    weighting none     x = 1
              tfidf    x = sqrt(count) idf_u,      idf_u = log((1 + n_items) / (1 + n_u))
              bm25     x = idf_u count (k1 + 1) / (count + k1 (1 - b + b c_i / mean c)),   k1 = 1.2, b = 0.75
                       (with denominator 1: the product of two BM25 weights is not normalised again)

The `neighbours` largest s_ij of each item are kept; the score of candidate j is the recency-weighted sum of s_ij over
the history (`models/history.py`).

The source's notes on item-based filtering add penalties where ratings exist, given to `fit` as one number per place of
`data.histories`: users whose ratings vary too little are left out (`min_user_rating_variance`: who rates all films 5
tells us nothing), users with few items are left out (`min_user_items`), and items on whose rating nobody agrees count
less, by v_i, the variance of item i's ratings (0 where it has one rating or none):

    r_i = 1 / (1 + item_variance_penalty v_i / mean v)

Cost: time O(sum over users of n_u^2); memory 8 bytes per (item, neighbour) and 12 per interaction, twice.

*Differs from the sources:* the notes give no formula for the item penalty, the one above is ours. Users are weighed by
idf rather than items: under a cosine a weight per item cancels out.
"""

from __future__ import annotations

from typing import Literal, Self

import numba
import numpy as np
import scipy.sparse as sp
from numba import njit, prange
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError, DataError
from prismrec.models.history import (
    HistorySettings,
    add_priors,
    popularity_prior,
    query_matrix,
    require_fitted,
    score_by_neighbours,
    user_item_counts,
)
from prismrec.models.item_products import BothWays, add_products, both_ways

_BM25_K1, _BM25_B = 1.2, 0.75


class ItemKNNConfig(HistorySettings):
    """How alikeness is measured, how many neighbours count, and which users and items count less."""

    neighbours: int = Field(default=500, ge=1, description="most alike items kept per item")
    shrinkage: float = Field(
        default=0.0, ge=0, description="added to the denominator: trust in rarely shared items falls"
    )
    weighting: Literal["none", "tfidf", "bm25"] = Field(default="none", description="see the module's equations")
    min_user_items: int = Field(default=1, ge=1, description="users with fewer distinct items are left out")
    min_user_rating_variance: float = Field(
        default=0.0, ge=0, description="users whose ratings vary less are left out; 0 = off"
    )
    item_variance_penalty: float = Field(
        default=0.0, ge=0, description="how far items with erratic ratings count less; 0 = off"
    )


class ItemKNN:
    """Scores items by how alike they are to the items of the history."""

    def __init__(self, config: ItemKNNConfig) -> None:
        self.config = config
        self._similarity: sp.csr_array | None = None
        self._prior = np.zeros(0, np.float32)

    def fit(self, data: PreparedData, ratings: ArrayLike | None = None) -> Self:
        """Find the neighbours of each item.

        Args:
            data: training data.
            ratings: (len(data.histories.values),) the rating of each place of the histories; only the two variance
                penalties read it.

        Raises:
            ConfigError: a variance penalty is set and there are no ratings.
            DataError: the ratings do not fit the histories, or are not finite.
        """
        counts = user_item_counts(data)
        keep_user = np.diff(counts.indptr) >= self.config.min_user_items
        trust = np.ones(len(data.items))
        if self.config.min_user_rating_variance or self.config.item_variance_penalty:
            values = _checked_ratings(ratings, data.histories)
            users = np.repeat(np.arange(len(data.histories)), data.histories.lengths)
            keep_user &= _variance(values, users, len(data.histories)) >= self.config.min_user_rating_variance
            trust = _trust(_variance(values, data.histories.values, len(trust)), self.config.item_variance_penalty)
        weighted, norms = _weigh(counts[keep_user], self.config)
        self._similarity = _nearest(both_ways(weighted), norms, trust, self.config)
        self._prior = popularity_prior(data.items.counts)
        return self

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        """(n_queries, n_items) float32.

        Raises:
            NotFittedError: `fit` has not been called.
        """
        similarity = require_fitted(self._similarity, "ItemKNN")
        queries = query_matrix(histories, similarity.shape[0], self.config)
        return add_priors(score_by_neighbours(queries, similarity), queries, self._prior, self.config)


def _checked_ratings(ratings: ArrayLike | None, histories: Sequences) -> NDArray[np.float64]:
    if ratings is None:
        raise ConfigError(
            "min_user_rating_variance and item_variance_penalty need ratings: give them to fit(data, ratings), "
            "one per place of data.histories, or set both to 0"
        )
    values = np.asarray(ratings, np.float64)
    if values.shape != histories.values.shape:
        raise DataError(f"expected one rating per place of the histories, {histories.values.shape}, got {values.shape}")
    if not np.isfinite(values).all():
        raise DataError(f"ratings must be finite; {int((~np.isfinite(values)).sum())} are not")
    return values


def _variance(values: NDArray[np.float64], groups: NDArray, n_groups: int) -> NDArray[np.float64]:
    """(n_groups,) population variance within each group; 0 for groups of one or none."""
    sizes = np.maximum(np.bincount(groups, minlength=n_groups), 1)
    means = np.bincount(groups, values, n_groups) / sizes
    return np.bincount(groups, (values - means[groups]) ** 2, n_groups) / sizes


def _trust(variances: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """(n_items,) r of the module's equations."""
    mean = variances.mean() if len(variances) else 0.0
    return 1.0 / (1.0 + penalty * variances / mean) if mean > 0 else np.ones(len(variances))


def _weigh(counts: sp.csr_array, config: ItemKNNConfig) -> tuple[sp.csr_array, NDArray[np.float64]]:
    """The weights x, (n_users, n_items), and the norms of its columns (ones where they are not to be used)."""
    n_items = counts.shape[1]
    weighted = counts.copy()
    if config.weighting == "none":
        weighted.data[:] = 1.0
        return weighted, _column_norms(weighted)
    lengths = np.diff(counts.indptr)
    idf = np.repeat(np.log((1.0 + n_items) / (1.0 + lengths)), lengths)
    if config.weighting == "tfidf":
        weighted.data = (np.sqrt(counts.data) * idf).astype(np.float32)
        weighted.eliminate_zeros()  # a user of every item tells nothing
        return weighted, _column_norms(weighted)
    totals = np.bincount(counts.indices, counts.data, n_items)
    relative = totals[counts.indices] / totals[totals > 0].mean()
    saturation = counts.data + _BM25_K1 * (1 - _BM25_B + _BM25_B * relative)
    weighted.data = (idf * counts.data * (_BM25_K1 + 1) / saturation).astype(np.float32)
    weighted.eliminate_zeros()
    return weighted, np.ones(n_items)


def _column_norms(matrix: sp.csr_array) -> NDArray[np.float64]:
    squares = matrix.data.astype(np.float64) ** 2
    return np.asarray(np.sqrt(np.bincount(matrix.indices, squares, matrix.shape[1])), np.float64)


def _nearest(
    matrix: BothWays, norms: NDArray[np.float64], trust: NDArray[np.float64], config: ItemKNNConfig
) -> sp.csr_array:
    """(n_items, n_items) float32: the most alike items of each item, by rows."""
    n_items = len(norms)
    k = min(config.neighbours, n_items)
    indices = np.empty((n_items, k), np.int32)
    values = np.empty((n_items, k), np.float32)
    found = np.zeros(n_items, np.int64)
    shrinkage = config.shrinkage if config.weighting != "bm25" else 0.0
    n_workers = max(1, min(numba.get_num_threads(), n_items))
    _find_nearest(matrix, norms, trust, shrinkage, n_workers, indices, values, found)
    used = np.arange(k) < found[:, None]
    indptr = np.concatenate([[0], np.cumsum(found)])
    return sp.csr_array((values[used], indices[used], indptr), shape=(n_items, n_items))


@njit(cache=True, parallel=True)
def _find_nearest(matrix, norms, trust, shrinkage, n_workers, indices, values, found):  # type: ignore[no-untyped-def]
    n_items = indices.shape[0]
    for worker in prange(n_workers):
        row = np.zeros(n_items, np.float64)
        touched = np.empty(n_items, np.int32)
        for item in range(worker, n_items, n_workers):
            others = np.sort(touched[: add_products(item, matrix, row, touched)])
            for other in others:
                alike = row[other] * trust[item] * trust[other] / (norms[item] * norms[other] + shrinkage)
                row[other] = np.float32(alike)  # as it is kept: what is equal there is a tie here
            row[item] = 0.0
            found[item] = _keep_largest(row, others, indices[item], values[item])
            row[others] = 0.0


@njit(cache=True)
def _keep_largest(row, others, indices, values):  # type: ignore[no-untyped-def]
    """Write the largest positive entries of a row in index order; ties go to the lower index. Returns how many."""
    k, least, n_ties = indices.shape[0], 0.0, 0
    if others.shape[0] > k:
        place = others.shape[0] - k
        least = np.partition(row[others], place)[place]
        n_ties = k - np.sum(row[others] > least)
    n = 0
    for other in others:
        tied = least > 0.0 and row[other] == least and n_ties > 0
        if row[other] > least or tied:
            n_ties -= tied
            indices[n] = other
            values[n] = row[other]
            n += 1
    return n


__all__ = ["ItemKNN", "ItemKNNConfig"]
