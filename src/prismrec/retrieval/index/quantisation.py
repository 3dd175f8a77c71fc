"""Numbers as one of 16 levels each, for codes of 4 bits: levels that fit a column, and digits where 16 are too few."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

N_LEVELS = 16

_ROUNDS = 50


def quantisation_levels(sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """16 levels per column with a low mean squared distance to its values: Lloyd's algorithm in one dimension.

    It starts from quantiles and moves each level to the mean of the values that are nearest to it; on sorted values
    both are look-ups. A level without values stays where it is. A column of at most 16 distinct values gets them all.

    Args:
        sample: (n, dim) float32, n at least 1.

    Returns:
        (dim, 16) float32, rising.
    """
    levels = [_column_levels(np.sort(column)) for column in sample.T.astype(np.float64)]
    return np.stack(levels).astype(np.float32)


def digits(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """Numbers between low and high as two digits to base 16 that add up to them.

    The error is at most (high - low) / 16**2 / 2; each digit takes at most 16 different values.

    >>> digits(np.array([0.0, 255.0], np.float32), 0, 256).tolist()
    [[0.0, 0.5], [240.0, 15.5]]

    Returns:
        (n, 2) float32.
    """
    step = max(float(high) - float(low), 1e-30) / N_LEVELS**2
    places = np.clip(np.floor((values.astype(np.float64) - low) / step), 0, N_LEVELS**2 - 1)
    first, second = np.divmod(places, N_LEVELS)
    return np.column_stack([low + first * N_LEVELS * step, (second + 0.5) * step]).astype(np.float32)


def _column_levels(values: NDArray[np.float64]) -> NDArray[np.float64]:
    distinct = np.unique(values)
    if len(distinct) <= N_LEVELS:
        return np.pad(distinct, (0, N_LEVELS - len(distinct)), mode="edge")
    levels = np.quantile(distinct, (np.arange(N_LEVELS) + 0.5) / N_LEVELS)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    for _ in range(_ROUNDS):
        ends = np.concatenate([[0], np.searchsorted(values, (levels[1:] + levels[:-1]) / 2), [len(values)]])
        sizes = np.diff(ends)
        levels = np.where(sizes > 0, np.diff(sums[ends]) / np.maximum(sizes, 1), levels)
    return levels


__all__ = ["N_LEVELS", "digits", "quantisation_levels"]
