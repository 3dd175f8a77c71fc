"""Batches of questions to RippleNet: clicks of a user and items not had, beside ripples of the user's other clicks.

The clicks that are asked for are left out of the history that the ripple starts from: else the answer lies in the
question, and what is learned is to find it there. Some clicks of a user are asked for together, so that they share one
ripple: a batch of B questions needs B / (2 asked_together) of them, and attention is a product of matrices. Who has one
click alone has no history to ask with, and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences, ragged_positions
from prismrec.errors import DataError
from prismrec.graphs.ripples import RippleGraph, RippleSets, ripple_sets
from prismrec.models.neural.negatives import NegativeSettings, negative_draws
from prismrec.models.neural.unseen import UnseenItems


@dataclass(frozen=True)
class RippleShape:
    """How large everything is.

    Attributes:
        n_hops: H.
        n_triples: M, triples of a hop.
        asked_together: clicks that share a ripple, at most C.
        batch_size: questions of a batch, roughly.
    """

    n_hops: int
    n_triples: int
    asked_together: int
    batch_size: int


@dataclass(frozen=True, eq=False)
class RippleBatch:
    """Questions by ripple.

    Attributes:
        ripples: of G histories.
        items: (G, 2C) int64: C clicks, then as many items not had; 0 where there is no question.
        asked: (G, 2C) bool: whether there is one.
    """

    ripples: RippleSets
    items: NDArray[np.int64]
    asked: NDArray[np.bool_]


class RippleBatches:
    """All clicks once per epoch, in groups of random clicks of one user, each with one item not had."""

    def __init__(
        self, graph: RippleGraph, data: PreparedData, shape: RippleShape, negatives: NegativeSettings, seed: int
    ) -> None:
        """Bind the clicks.

        Raises:
            DataError: nobody has two clicks.
            ConfigError: the settings of negatives ask for what the data do not have.
        """
        self._graph, self._shape, self._seed = graph, shape, seed
        self._n_items = len(data.items)
        unseen = UnseenItems(data.histories, self._n_items)
        self._draws = negative_draws(negatives, data, unseen)
        self._owners, items = np.divmod(unseen.had, self._n_items)
        counts = np.bincount(self._owners, minlength=len(data.users))
        self._histories = Sequences.from_lengths(items, counts)
        self._sizes = np.clip(counts // 2, 1, shape.asked_together)  # half of the clicks stay to ask with
        self._n_groups = np.where(counts > 1, -(-counts // self._sizes), 0)
        if not self._n_groups.any():
            raise DataError(
                "RippleNet learns one click of a user from the others, but nobody has two: use a longer log"
            )
        self._per_batch = max(1, shape.batch_size // (2 * shape.asked_together))
        self._epoch = -1
        self._clicks, self._begins, self._ends = (np.zeros(0, np.int64) for _ in range(3))

    @property
    def n_batches(self) -> int:
        """Batches per epoch."""
        return int(-(-self._n_groups.sum() // self._per_batch))

    def batch(self, epoch: int, number: int) -> RippleBatch:
        """The questions of one step."""
        if epoch != self._epoch:  # once per epoch: sorting takes longer than a step
            self._epoch = epoch
            self._clicks, self._begins, self._ends = self._shuffled(np.random.default_rng([self._seed, epoch]))
        groups = slice(number * self._per_batch, (number + 1) * self._per_batch)
        begins, lengths = self._begins[groups], (self._ends - self._begins)[groups]
        clicks = self._clicks[ragged_positions(begins, lengths)]
        users = self._owners[clicks]
        rng = np.random.default_rng([self._seed, epoch, number])
        positives = self._histories.values[clicks].astype(np.int64)
        drawn = self._draws.draw(users, positives, rng)
        rows, columns = np.repeat(np.arange(len(lengths)), lengths), ragged_positions(np.zeros_like(lengths), lengths)
        n_columns = self._shape.asked_together
        items, asked = np.zeros((len(lengths), 2, n_columns), np.int64), np.zeros((len(lengths), 2, n_columns), bool)
        items[rows, 0, columns], items[rows, 1, columns] = positives, drawn
        asked[rows, :, columns] = True
        start = self._others(self._owners[self._clicks[begins]], rows * self._n_items + positives)
        ripples = ripple_sets(
            self._graph, start, self._shape.n_hops, self._shape.n_triples,
            rng.integers(2**63, size=len(lengths)).astype(np.uint64),
        )  # fmt: skip
        flat = (len(lengths), 2 * n_columns)
        return RippleBatch(ripples, items.reshape(flat), asked.reshape(flat))

    def _shuffled(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The places of clicks, and where each group of an epoch begins and ends among them; groups at random."""
        order = np.lexsort((rng.random(len(self._owners)), self._owners))
        number_of_user = ragged_positions(np.zeros_like(self._n_groups), self._n_groups)
        begins = np.repeat(self._histories.offsets[:-1], self._n_groups)
        begins += number_of_user * np.repeat(self._sizes, self._n_groups)
        ends = np.minimum(
            begins + np.repeat(self._sizes, self._n_groups), np.repeat(self._histories.offsets[1:], self._n_groups)
        )
        shuffled = rng.permutation(len(begins))
        return order, begins[shuffled], ends[shuffled]

    def _others(self, users: NDArray[np.int64], asked: NDArray[np.int64]) -> Sequences:
        """The users' items that are not asked for; `asked` are row x n_items + item."""
        rows = self._histories.take(users)
        owners = np.repeat(np.arange(len(rows)), rows.lengths)
        stays = ~np.isin(owners * self._n_items + rows.values, asked)
        return Sequences.from_lengths(rows.values[stays], np.bincount(owners[stays], minlength=len(rows)))


__all__ = ["RippleBatch", "RippleBatches", "RippleShape"]
