"""The encoder of models that learn a vector per user: known users by theirs, others by the items of their history.

    q = p_u                      for a user known from training
    q = mean_{i in h} s_i        for another with history h: what one step of propagation without weights makes of it

It needs no torch: MF, LightGCN, NGCF, PinSage, HIN2Vec, HGT, MTHGT and MKR are served from plain tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.models.contract import StoredEncoder

USERS = "users"
SOURCES = "sources"


class UserVectors:
    """A `QueryEncoder` from two tables."""

    def __init__(self, users: NDArray[np.float32], sources: NDArray[np.float32]) -> None:
        """Bind the tables.

        Args:
            users: (n_users, dim) float32.
            sources: (n_items, dim) float32: what an item of a history says of its user.
        """
        self._users = users
        self._sources = sources

    @classmethod
    def opened(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> UserVectors:
        """From what `stored` gave."""
        return cls(arrays[USERS], arrays[SOURCES])

    def stored(self, algorithm: str) -> StoredEncoder:
        """To be written into a bundle."""
        return StoredEncoder(algorithm, {}, {USERS: self._users, SOURCES: self._sources}, knows_users=True)

    def encode(self, histories: Sequences, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n_queries, dim) float32: see the module."""
        vectors = np.zeros((len(histories), self._sources.shape[1]), np.float32)
        known = users != UNKNOWN
        vectors[known] = self._users[users[known]]
        vectors[~known] = history_means(histories.take(np.flatnonzero(~known)), self._sources)
        return vectors


def history_means(histories: Sequences, sources: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n_rows, dim): the mean of what the items of each history say, an item that occurs twice counts twice."""
    shares = np.repeat((1 / np.maximum(histories.lengths, 1)).astype(np.float32), histories.lengths)
    shape = (len(histories), len(sources))
    means: NDArray[np.float32] = csr_array((shares, histories.values, histories.offsets), shape=shape) @ sources
    return means


__all__ = ["UserVectors", "history_means"]
