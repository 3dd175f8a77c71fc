"""Uniform draws among the items that a user never had: the negatives of pairwise losses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prismrec.data.sequences import Sequences

_DRAWS = 20
"""Redraws after which a user who had nearly everything keeps an item that they had."""


class UnseenItems:
    """Who had what, and draws of the rest.

    Time of a draw: O(log n_pairs) for each number, and as often again as it met what was had. Memory: 8 bytes per pair.
    """

    def __init__(self, histories: Sequences, n_items: int) -> None:
        """Bind who had what."""
        owners = np.repeat(np.arange(len(histories), dtype=np.int64), histories.lengths)
        self._n_items = n_items
        self._had = np.unique(owners * n_items + histories.values)

    @property
    def had(self) -> NDArray[np.int64]:
        """(n_pairs,) every pair of a user and an item that they had, once: user x n_items + item, rising."""
        return self._had

    def holds(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,) bool: whether each user had the item beside them."""
        if not len(self._had):
            return np.zeros(len(users), np.bool_)
        pairs = users * self._n_items + items
        places = np.minimum(np.searchsorted(self._had, pairs), len(self._had) - 1)
        return np.asarray(self._had[places] == pairs)

    def draw(self, users: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """One item per entry of `users`, in their shape; a user who had nearly all may get one that they had."""
        owners = users.reshape(-1)
        drawn = rng.integers(self._n_items, size=len(owners))
        open_places = np.arange(len(owners))  # whose item is not checked yet: ever fewer
        for _ in range(_DRAWS):
            open_places = open_places[self.holds(owners[open_places], drawn[open_places])]
            if not len(open_places):
                break
            drawn[open_places] = rng.integers(self._n_items, size=len(open_places))
        return drawn.reshape(users.shape)


__all__ = ["UnseenItems"]
