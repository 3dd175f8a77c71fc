"""How interactions spread over users, items and sessions, from one small histogram: (how many, how many have that).

The engine counts; what comes here has one row per distinct count, at most some sqrt(2 x interactions) of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prismrec.data import engine
from prismrec.data.profile.report import Bin, Curve

N_POINTS = 200


def curve_of(table: Any, by: tuple[str, ...]) -> Curve:
    """The curve of the number of rows per group of an Ibis table."""
    sizes = table.group_by(list(by)).aggregate(size=table.count())
    histogram = engine.arrow(sizes.group_by("size").aggregate(n=sizes.count()).order_by("size"))
    return curve(np.asarray(histogram["size"], np.int64), np.asarray(histogram["n"], np.int64))


def curve(sizes: NDArray[np.int64], counts: NDArray[np.int64]) -> Curve:
    """The curve of a histogram.

    Args:
        sizes: (b,) distinct sizes, rising, at least 1.
        counts: (b,) how many have that size.
    """
    n, total = int(counts.sum()), int((sizes * counts).sum())
    points = lorenz(sizes, counts)
    shares, parts = (np.array([point[axis] for point in points]) for axis in (0, 1))
    top_1, top_10 = (float(np.interp(share, shares, parts)) for share in (0.01, 0.1))
    middle, p90, p99 = (nearest_rank(sizes, counts, share) for share in (0.5, 0.9, 0.99))
    return Curve(
        n=n,
        mean=total / n,
        median=middle,
        p90=p90,
        p99=p99,
        maximum=int(sizes[-1]),
        gini=gini(sizes, counts),
        top_1_percent=top_1,
        top_10_percent=top_10,
        bins=doubling_bins(sizes, counts),
        lorenz=_thinned(points),
    )


def gini(sizes: NDArray[np.int64], counts: NDArray[np.int64]) -> float:
    """Gini coefficient: sum_i (2 i - n - 1) x_i / (n sum_i x_i) over values x_i in rising order, i from 1.

    >>> gini(np.array([1, 3]), np.array([1, 1]))
    0.25
    """
    n, total = int(counts.sum()), float((sizes * counts).sum())
    before = np.cumsum(counts) - counts
    rank_sums = counts * before + counts * (counts + 1) / 2  # sum of the ranks i inside a block of equal values
    weighted = float((sizes * (2 * rank_sums - (n + 1) * counts)).sum())
    return weighted / (n * total)


def nearest_rank(sizes: NDArray[np.int64], counts: NDArray[np.int64], share: float) -> int:
    """The least size with at least this share of all at or below it."""
    reached = np.cumsum(counts) >= share * counts.sum()
    return int(sizes[np.argmax(reached)])


def doubling_bins(sizes: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[Bin, ...]:
    """Histogram over 1, 2-3, 4-7, 8-15, ...; bars without a value in between are there with count 0."""
    places = np.frexp(sizes)[1] - 1  # floor(log2), exact for whole numbers
    totals = np.bincount(places, weights=counts).astype(np.int64)
    return tuple(Bin(2**place, 2 ** (place + 1) - 1, int(count)) for place, count in enumerate(totals))


def lorenz(sizes: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[tuple[float, float], ...]:
    """(share of all, largest first; their share of the total), from (0, 0) to (1, 1); straight between points."""
    n, total = counts.sum(), (sizes * counts).sum()
    shares = np.concatenate([[0.0], np.cumsum(counts[::-1]) / n])
    parts = np.concatenate([[0.0], np.cumsum((sizes * counts)[::-1]) / total])
    return tuple(zip(shares.tolist(), parts.tolist(), strict=True))


def _thinned(points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
    if len(points) <= N_POINTS:
        return points
    kept = np.unique(np.linspace(0, len(points) - 1, N_POINTS).round().astype(int))
    return tuple(points[place] for place in kept)


__all__ = ["curve", "curve_of", "doubling_bins", "gini", "lorenz", "nearest_rank"]
