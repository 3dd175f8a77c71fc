"""Sliding windows over histories: what came before a place, cut in a near and a far part, and what came after.

For place t of a history x_0 .. x_{n-1}, 1 <= t < n:

    near    x_{t-L} .. x_{t-1}          the last L items (|L| of HGN and MA-GNN)
    far     x_{t-L-m} .. x_{t-L-1}      the m items before these
    targets x_t .. x_{t+T-1}            the next T items (|T|)

Items that are not there are `UNKNOWN`: near and far are filled up on the left, so that a column is an age, targets on
the right. All places of all histories in random order make a cycle of `stride` epochs: an epoch reads each stride-th
of them, and with stride = T each item is a target about once per epoch.

Memory: 16 bytes per place, for the places and their order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.errors import DataError


class WindowBatch(NamedTuple):
    """Some windows; all int64, `UNKNOWN` where there is no item.

    Attributes:
        users: (B,).
        near: (B, L), the latest last.
        far: (B, m), the latest last.
        targets: (B, T), the next one first; it is never `UNKNOWN`.
    """

    users: NDArray[np.int64]
    near: NDArray[np.int64]
    far: NDArray[np.int64]
    targets: NDArray[np.int64]


class Windows:
    """All windows of some histories, in numbered batches."""

    def __init__(
        self, histories: Sequences, *, near: int, far: int, targets: int, stride: int, batch_size: int, seed: int
    ) -> None:
        """Bind the histories.

        Raises:
            DataError: no history has two items, so there is nothing to predict.
        """
        lengths = histories.lengths
        owners = np.repeat(np.arange(len(histories)), lengths)
        is_first = np.zeros(len(owners), np.bool_)
        is_first[histories.offsets[:-1][lengths > 0]] = True
        self._places = np.flatnonzero(~is_first)
        if not len(self._places):
            raise DataError("no history has two items: there is no next item to learn from")
        self._histories, self._owners = histories, owners
        self._near, self._far, self._targets = near, far, targets
        self._stride, self._batch_size, self._seed = stride, batch_size, seed
        self._order = lru_cache(maxsize=1)(self._order_of)

    @property
    def n_windows(self) -> int:
        """Windows per epoch."""
        return -(-len(self._places) // self._stride)

    @property
    def n_batches(self) -> int:
        """Batches per epoch."""
        return -(-self.n_windows // self._batch_size)

    def batch(self, epoch: int, number: int) -> WindowBatch:
        """One batch; the last of an epoch may be smaller."""
        cycle, part = divmod(epoch, self._stride)
        order = self._order(cycle)[part * self.n_windows : (part + 1) * self.n_windows]
        return self.at(self._places[order[number * self._batch_size : (number + 1) * self._batch_size]])

    def at(self, places: NDArray[np.int64]) -> WindowBatch:
        """The windows whose first target stands at these positions of the histories' values."""
        users = self._owners[places]
        begin, end = self._histories.offsets[users], self._histories.offsets[users + 1]
        positions = places[:, None] + np.arange(-self._near - self._far, self._targets)
        inside = (positions >= begin[:, None]) & (positions < end[:, None])
        items = np.where(inside, self._histories.values[np.where(inside, positions, 0)], UNKNOWN).astype(np.int64)
        far, near, targets = np.split(items, [self._far, self._far + self._near], axis=1)
        return WindowBatch(users, near, far, targets)

    def _order_of(self, cycle: int) -> NDArray[np.int64]:
        """(n_windows * stride,) int64: places by number; a few come twice where the stride does not divide them."""
        order = np.random.default_rng([self._seed, cycle]).permutation(len(self._places))
        return np.resize(order, self.n_windows * self._stride)


def last_window(histories: Sequences, near: int, far: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n, near) and (n, far) int64: the near and far part before what comes next, for every history, empty ones too."""
    ends = histories.offsets[1:]
    positions = ends[:, None] + np.arange(-near - far, 0)
    inside = positions >= histories.offsets[:-1][:, None]
    values = np.append(histories.values, UNKNOWN)  # so that position 0 exists
    items = np.where(inside, values[np.where(inside, positions, 0)], UNKNOWN).astype(np.int64)
    return items[:, far:], items[:, :far]


__all__ = ["WindowBatch", "Windows", "last_window"]
