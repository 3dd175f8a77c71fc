"""The k best of a row of scores, exactly and with one right answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prismrec.errors import ConfigError


def top_k(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Indices of the k highest scores, best first; equal scores in the order of their index.

    Minus infinity marks what may not be returned, so there can be fewer than k. One pass over the scores, no full sort.

    >>> top_k(np.array([0.5, 2.0, 0.5, -np.inf], np.float32), 2).tolist()
    [1, 0]

    Args:
        scores: (n,) float, higher is better, without NaN.
        k: how many, at least 1.

    Raises:
        ConfigError: k is below 1.
    """
    if k < 1:
        raise ConfigError(f"k, the number of recommendations, must be at least 1, got {k}")
    k = min(k, len(scores))
    if k == 0:
        return np.zeros(0, np.int64)
    threshold = np.partition(scores, len(scores) - k)[len(scores) - k]
    above = np.flatnonzero(scores > threshold)
    above = above[np.argsort(-scores[above], kind="stable")]
    level = np.flatnonzero(scores == threshold)[: k - len(above)]
    best: NDArray[np.int64] = np.concatenate([above, level]).astype(np.int64)
    return best[scores[best] > -np.inf]


__all__ = ["top_k"]
