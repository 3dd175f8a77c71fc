"""Batches of (user, item that they had, item that they never had), by number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prismrec.data.prepared import PreparedData
from prismrec.errors import DataError
from prismrec.models.neural.negatives import NegativeSettings, negative_draws
from prismrec.models.neural.unseen import UnseenItems

Triples = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

_UNIFORM = NegativeSettings()


class InteractionBatches:
    """All interactions once per epoch in random order, each with one negative that its user never had."""

    def __init__(self, data: PreparedData, batch_size: int, seed: int, negatives: NegativeSettings = _UNIFORM) -> None:
        """Bind the interactions.

        Raises:
            DataError: there is nothing to learn from.
            ConfigError: the settings of negatives ask for what the data do not have.
        """
        self._n_items = len(data.items)
        unseen = UnseenItems(data.histories, self._n_items)
        self._draws = negative_draws(negatives, data, unseen)
        self._known = unseen.had
        if not len(self._known):
            raise DataError("the log has no interactions to learn from")
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = -1
        self._order = np.zeros(0, np.int64)

    @property
    def n_batches(self) -> int:
        """Batches per epoch."""
        return -(-len(self._known) // self._batch_size)

    def batch(self, epoch: int, number: int) -> Triples:
        """(users, positives, negatives), each (B,) int64; the last batch of an epoch may be smaller."""
        if epoch != self._epoch:  # once per epoch: shuffling takes longer than a step
            self._epoch = epoch
            self._order = np.random.default_rng([self._seed, epoch]).permutation(len(self._known))
        chosen = self._known[self._order[number * self._batch_size : (number + 1) * self._batch_size]]
        users, positives = np.divmod(chosen, self._n_items)
        rng = np.random.default_rng([self._seed, epoch, number])
        return users, positives, self._draws.draw(users, positives, rng)


__all__ = ["InteractionBatches"]
