"""Histories as batches of padded rows: cut into pieces for training, cut to the latest items for answers.

A history of n items has n - 1 places at which the next item is known. They are cut into ceil((n - 1) / L) pieces of at
most L places each: every place is learned from once per epoch, and the first item of a piece is the last target of the
piece before it. Where a history does not fill its pieces, what is missing is shared out between the first and the last
piece at random, anew in every epoch, so that no item stands at the start of a piece for ever.

Rows are padded on the right. A causal network never looks right, so no mask is needed and the fastest kernels apply;
what it says at padded places is thrown away. Pieces of like length go together: little is padded at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences, ragged_positions
from prismrec.errors import ConfigError, DataError

_BATCHES_SORTED_TOGETHER = 16
"""Enough that pieces of a batch are of like length, few enough that batches differ from epoch to epoch."""


@dataclass(frozen=True, eq=False)
class PieceBatch:
    """Pieces side by side, and the item that follows at each place.

    Attributes:
        items: (B, L) int64, padded on the right with item 0.
        places: (P,) int64: which of the B x L places are not padding, row by row.
        targets: (P,) int64: the item that follows at each of them.
        users: (P,) int64: whose place it is.
    """

    items: NDArray[np.int64]
    places: NDArray[np.int64]
    targets: NDArray[np.int64]
    users: NDArray[np.int64]


class PieceBatches:
    """All places of all histories once per epoch, some `batch_places` per batch."""

    def __init__(self, data: PreparedData, max_length: int, batch_places: int, seed: int) -> None:
        """Bind the histories.

        Raises:
            ConfigError: a batch could not hold one piece.
            DataError: no history has two items.
        """
        if batch_places < max_length:
            raise ConfigError(
                f"batch_places = {batch_places} is less than one sequence of max_length = {max_length}: raise the "
                "first or lower the second"
            )
        self._histories = data.histories
        self._users = np.flatnonzero(data.histories.lengths > 1)
        self._places = data.histories.lengths[self._users] - 1
        if not len(self._users):
            raise DataError("no user of the log has two items: there is no next item to learn from")
        self._max_length = max_length
        self._seed = seed
        self.n_batches = max(1, int(self._places.sum()) // batch_places)
        self._epoch = lru_cache(maxsize=1)(self._cut_and_ordered)

    def batch(self, epoch: int, number: int) -> PieceBatch:
        """One batch of an epoch; batches of one epoch differ in places by less than one piece on average."""
        users, starts, lengths, edges = self._epoch(epoch)
        part = slice(edges[number], edges[number + 1])
        return self._padded(users[part], starts[part], lengths[part])

    def _cut_and_ordered(self, epoch: int) -> tuple[NDArray[np.int64], ...]:
        """Users, starts and lengths of the pieces of an epoch in the order of its batches, and where these begin."""
        rng = np.random.default_rng([self._seed, epoch])
        users, starts, lengths = self._pieces(rng)
        order = rng.permutation(len(users))
        block = -(-_BATCHES_SORTED_TOGETHER * len(users) // self.n_batches)
        for begin in range(0, len(order), block):
            part = order[begin : begin + block]
            order[begin : begin + block] = part[np.argsort(lengths[part], kind="stable")]
        ends = np.cumsum(lengths[order])
        batch_of = (ends - lengths[order]) * self.n_batches // ends[-1]
        turn = rng.permutation(self.n_batches)[batch_of]  # short and long pieces come in mixed order
        order = order[np.argsort(turn, kind="stable")]
        edges = np.concatenate([[0], np.cumsum(np.bincount(turn, minlength=self.n_batches))])
        return users[order], starts[order], lengths[order], edges

    def _pieces(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], ...]:
        """User, first position in their history, and places of each piece."""
        n_pieces = -(-self._places // self._max_length)
        missing = n_pieces * self._max_length - self._places
        shift = np.where(n_pieces > 1, rng.integers(missing + 1), 0)
        number = ragged_positions(np.zeros(len(n_pieces), np.int64), n_pieces)
        shift, places = np.repeat(shift, n_pieces), np.repeat(self._places, n_pieces)
        begins = np.maximum(number * self._max_length - shift, 0)
        ends = np.minimum((number + 1) * self._max_length - shift, places)
        return np.repeat(self._users, n_pieces), begins, ends - begins

    def _padded(self, users: NDArray[np.int64], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> PieceBatch:
        width = int(lengths.max())
        places = ragged_positions(np.arange(len(users), dtype=np.int64) * width, lengths)
        positions = ragged_positions(self._histories.offsets[users] + starts, lengths)
        items = np.zeros(len(users) * width, np.int64)
        items[places] = self._histories.values[positions]
        targets = self._histories.values[positions + 1].astype(np.int64)
        return PieceBatch(items.reshape(-1, width), places, targets, np.repeat(users, lengths))


@dataclass(frozen=True, eq=False)
class LatestBatch:
    """The latest items of some queries side by side.

    Attributes:
        rows: (B,) int64: which queries.
        items: (B, L) int64, padded on the right with item 0.
        lengths: (B,) int64, at least 1.
    """

    rows: NDArray[np.int64]
    items: NDArray[np.int64]
    lengths: NDArray[np.int64]


def latest_batches(histories: Sequences, max_length: int, places_at_once: int) -> Iterator[LatestBatch]:
    """The last `max_length` items of every query that has any, those of like length together.

    No batch has more than `places_at_once` places, padding included, unless one row has.
    """
    lengths = np.minimum(histories.lengths, max_length)
    order = np.argsort(lengths, kind="stable")
    order = order[np.searchsorted(lengths[order], 1) :]
    while len(order):
        n_rows = max(1, places_at_once // int(lengths[order[-1]]))
        rows, order = order[-n_rows:], order[:-n_rows]
        width = int(lengths[rows[-1]])
        items = np.zeros(len(rows) * width, np.int64)
        places = ragged_positions(np.arange(len(rows), dtype=np.int64) * width, lengths[rows])
        items[places] = histories.values[ragged_positions(histories.offsets[rows + 1] - lengths[rows], lengths[rows])]
        yield LatestBatch(rows, items.reshape(-1, width), lengths[rows])


__all__ = ["LatestBatch", "PieceBatch", "PieceBatches", "latest_batches"]
