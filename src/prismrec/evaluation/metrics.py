"""Ranking metrics, one formula per function, from the ranks of each query's truths.

Notation: T the set of distinct truths of a query, |T| their number (those that cannot be found included),
r_1 < r_2 < ... the 1-based ranks of those that were found, k the list length. A list has k places even where the
catalogue is smaller, so precision@k divides by k. Higher is better in all of them, and every value is in [0, 1].

References: Järvelin & Kekäläinen 2002 (NDCG, binary gains), Manning et al. 2008, ch. 8 (precision, recall, F1, MAP).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

MISSED = np.iinfo(np.int64).max // 2
"""The rank of a truth that no list can hold: outside the vocabulary, or excluded as already seen."""


@dataclass(frozen=True, eq=False)
class TruthRanks:
    """Where the truths of each query came, all queries in flat arrays.

    Attributes:
        ranks: (n_truths,) int64, 1-based, rising within each query; `MISSED` for a truth that cannot be found.
        n_truths: (n_queries,) int64: how many of them each query has, at least one.
        n_negatives: (n_queries,) int64: ranked items that are not truths.
    """

    ranks: NDArray[np.int64]
    n_truths: NDArray[np.int64]
    n_negatives: NDArray[np.int64]

    @property
    def query(self) -> NDArray[np.int64]:
        """(n_truths,) int64: the query of each rank."""
        return np.repeat(np.arange(len(self.n_truths), dtype=np.int64), self.n_truths)

    @property
    def place(self) -> NDArray[np.int64]:
        """(n_truths,) int64: j of r_j, 1-based within the query."""
        starts = np.cumsum(self.n_truths) - self.n_truths
        return np.arange(len(self.ranks)) - np.repeat(starts, self.n_truths) + 1

    def total(self, per_truth: NDArray) -> Values:
        """(n_queries,) float64: the sum of a value over each query's truths."""
        sums = np.zeros(len(self.n_truths))
        np.add.at(sums, self.query, per_truth)
        return sums


def n_hits(truths: TruthRanks, k: int) -> Values:
    """Number of truths among the first k: #{j : r_j <= k}."""
    return truths.total(truths.ranks <= k)


def hit_rate(truths: TruthRanks, k: int) -> Values:
    """HR@k: 1 if any truth is among the first k, else 0."""
    return (n_hits(truths, k) > 0).astype(np.float64)


def precision(truths: TruthRanks, k: int) -> Values:
    """P@k = hits / k."""
    return n_hits(truths, k) / k


def recall(truths: TruthRanks, k: int) -> Values:
    """R@k = hits / |T|."""
    return n_hits(truths, k) / truths.n_truths


def f1(truths: TruthRanks, k: int) -> Values:
    """F1@k = 2 P R / (P + R) = 2 hits / (k + |T|)."""
    return 2 * n_hits(truths, k) / (k + truths.n_truths)


def ndcg(truths: TruthRanks, k: int) -> Values:
    """NDCG@k = DCG / ideal DCG: sum_{r_j <= k} 1/log2(r_j + 1) over sum_{i <= min(|T|, k)} 1/log2(i + 1)."""
    gains = np.where(truths.ranks <= k, 1 / np.log2(truths.ranks + 1.0), 0.0)
    ideal: Values = np.cumsum(1 / np.log2(np.arange(2, k + 2)))
    dcg = truths.total(gains)
    dcg /= ideal[np.minimum(truths.n_truths, k) - 1]
    return dcg


def reciprocal_rank(truths: TruthRanks, k: int) -> Values:
    """MRR@k: 1 / r_1 if r_1 <= k, else 0."""
    return truths.total(np.where((truths.place == 1) & (truths.ranks <= k), 1 / truths.ranks, 0.0))


def average_precision(truths: TruthRanks, k: int) -> Values:
    """MAP@k = 1 / min(|T|, k) sum_{r_j <= k} j / r_j."""
    gains = np.where(truths.ranks <= k, truths.place / truths.ranks, 0.0)
    return truths.total(gains) / np.minimum(truths.n_truths, k)


def auc(truths: TruthRanks) -> Values:
    """Mean over the truths of the share of non-truths that rank below; ties count for the non-truth.

    r_j - j non-truths are above truth j. A truth that cannot be found is below all; where every ranked item is a
    truth there is nothing to lose to, and a found truth counts 1.
    """
    found = truths.ranks < MISSED
    above = np.where(found, truths.ranks - truths.place, 0)
    share = 1 - above / np.maximum(np.repeat(truths.n_negatives, truths.n_truths), 1)
    return truths.total(np.where(found, share, 0.0)) / truths.n_truths


METRICS: Mapping[str, Callable[[TruthRanks, int], Values]] = {
    "HR": hit_rate,
    "precision": precision,
    "recall": recall,
    "F1": f1,
    "NDCG": ndcg,
    "MRR": reciprocal_rank,
    "MAP": average_precision,
}


def metric_values(truths: TruthRanks, ks: Iterable[int]) -> dict[str, Values]:
    """Every metric of every query: "HR@10", ..., and "AUC", each (n_queries,) float64."""
    values = {f"{name}@{k}": metric(truths, k) for k in ks for name, metric in METRICS.items()}
    values["AUC"] = auc(truths)
    return values


__all__ = [
    "METRICS",
    "MISSED",
    "TruthRanks",
    "auc",
    "average_precision",
    "f1",
    "hit_rate",
    "metric_values",
    "n_hits",
    "ndcg",
    "precision",
    "recall",
    "reciprocal_rank",
]
