"""Paired bootstrap over users: how sure a figure is, and whether a difference is more than luck.

Queries of one user are not independent, so whole users (clusters) are drawn: C of C with replacement, n_resamples
times. A resampled mean is sum_c w_c S_c / sum_c w_c n_c, with w_c how often cluster c was drawn, S_c the sum of its
queries' values and n_c their number. Every model is measured on the same draws, so a difference between two models
keeps the part of the luck that they share out of the interval (paired).

- interval: percentiles of the resampled means (Efron & Tibshirani 1993, ch. 13);
- p-value of a difference d, two-sided: 2 min(#{d* <= 0}, #{d* >= 0}) + 2, over n_resamples + 1, at most 1. It is
  below 0.05 where the 95 % interval of the difference excludes 0; the added ones keep it from being 0 (Davison &
  Hinkley 1997, 4.2). The least it can be is 2 / (n_resamples + 1).

The draws depend on the seed, n_resamples and the number of clusters alone: equal calls give equal figures. Cost:
n_resamples x C random integers, and a matrix product (n_resamples, C) x (C, columns); memory is bounded by working
through the resamples in blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec.errors import DataError

_BLOCK_BYTES = 64_000_000
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """A mean difference to a reference, with its interval and two-sided p-value."""

    mean: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Means of some columns over all queries and over every resample of the users.

    Attributes:
        means: (n_columns,) float64, over the queries as they are.
        resampled: (n_resamples, n_columns) float64; a row is one draw of users, the same for all columns.
        confidence: coverage of the intervals, e.g. 0.95.
    """

    means: NDArray[np.float64]
    resampled: NDArray[np.float64]
    confidence: float

    def estimate(self, column: int) -> Estimate:
        """The mean of a column with its percentile interval."""
        low, high = self._interval(self.resampled[:, column])
        return Estimate(float(self.means[column]), low, high)

    def difference(self, column: int, reference: int) -> Difference:
        """How much a column's mean exceeds that of another, draw by draw."""
        drawn = self.resampled[:, column] - self.resampled[:, reference]
        # The matrix product may round equal columns apart in their last bits; that is no difference.
        drawn[np.abs(drawn) <= _ROUNDING * np.abs(self.resampled[:, reference])] = 0.0
        mean = float(self.means[column] - self.means[reference])
        return Difference(mean, *self._interval(drawn), p_value=p_value(drawn))

    def _interval(self, drawn: NDArray[np.float64]) -> tuple[float, float]:
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(drawn, [tail, 1 - tail])
        return float(low), float(high)


def bootstrap(
    values: NDArray[np.float64], clusters: pa.Array, n_resamples: int, confidence: float, seed: int
) -> Bootstrap:
    """Resample whole clusters.

    Args:
        values: (n_queries, n_columns) float64: one column per model and metric, queries aligned.
        clusters: Arrow array (n_queries,): the user of each query, any id type.
        n_resamples: how many draws.
        confidence: coverage of the intervals.
        seed: of the draws.

    Raises:
        DataError: there are no queries, rows and clusters differ in number, or a value is not finite.
    """
    if len(values) == 0 or len(values) != len(clusters):
        raise DataError(
            f"the bootstrap needs one cluster per query, got {len(values)} queries, {len(clusters)} clusters"
        )
    if not np.isfinite(values).all():
        query, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"the value of query {query}, column {column} is {values[query, column]}: it must be finite")
    codes = np.asarray(clusters.dictionary_encode().indices)
    sizes = np.bincount(codes).astype(np.float64)
    order = np.argsort(codes, kind="stable")
    sums = np.add.reduceat(values[order], np.concatenate([[0], np.cumsum(sizes.astype(np.int64))[:-1]]), axis=0)
    return Bootstrap(values.mean(axis=0), _resampled_means(sums, sizes, n_resamples, seed), confidence)


def p_value(drawn: NDArray[np.float64]) -> float:
    """Two-sided bootstrap p-value of the hypothesis that the difference is 0, from its resampled values.

    >>> p_value(np.array([0.1] * 96 + [-0.1] * 3))
    0.08
    """
    against = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return min(1.0, 2 * (against + 1) / (len(drawn) + 1))


def _resampled_means(
    sums: NDArray[np.float64], sizes: NDArray[np.float64], n_resamples: int, seed: int
) -> NDArray[np.float64]:
    """(n_resamples, n_columns) from sums (n_clusters, n_columns) and sizes (n_clusters,)."""
    n_clusters = len(sizes)
    rng = np.random.default_rng(seed)
    means = np.empty((n_resamples, sums.shape[1]))
    block = max(1, _BLOCK_BYTES // (8 * n_clusters))
    for start in range(0, n_resamples, block):
        stop = min(start + block, n_resamples)
        weights = np.stack([_draw(rng, n_clusters) for _ in range(start, stop)])
        means[start:stop] = (weights @ sums) / (weights @ sizes)[:, None]
    return means


def _draw(rng: np.random.Generator, n_clusters: int) -> NDArray[np.float64]:
    """(n_clusters,) how often each cluster is among n_clusters draws with replacement."""
    drawn = rng.integers(0, n_clusters, n_clusters)
    return np.bincount(drawn, minlength=n_clusters).astype(np.float64)


__all__ = ["Bootstrap", "Difference", "Estimate", "bootstrap", "p_value"]
