"""Rows (user, article, clicked or not) as batches: rows of a user together, so that few titles are read for many rows.

An epoch has every click once, and beside the clicks what the user was shown and did not click. Where the log does not
say that, articles that the user never had are drawn anew in every epoch. The rows of a user are dealt into groups of at
most `GROUP`, which share one history: clicks of the user, at most `max_history` of them, drawn at random.

A row must not be told by its history what it is. So a click is left out of the history that it is scored for, and a row
that is no click leaves out a random click in its place: both see one click less than the user made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from prismrec.data.prepared import PreparedData
from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.models.neural.negatives import NegativeDraws

GROUP = 16
"""Rows that share a history: enough that reading it is cheap, few enough that a batch has many users."""


@dataclass(frozen=True, eq=False)
class ImpressionBatch:
    """Rows beside each other, and the articles that they speak of.

    Attributes:
        articles: (T,) int64: item indices, each once.
        clicked: (G, H) int64: the history of each group, as places in `articles`; -1 where there is none.
        group: (B,) int64: the group of each row.
        candidates: (B,) int64: places in `articles`.
        seen: (B, H) bool: which of the group's clicks the row may look at.
        labels: (B,) float32: 1 where the candidate was clicked.
    """

    articles: NDArray[np.int64]
    clicked: NDArray[np.int64]
    group: NDArray[np.int64]
    candidates: NDArray[np.int64]
    seen: NDArray[np.bool_]
    labels: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Epoch:
    """The rows of an epoch in the order of its batches; `edges`: where each begins."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    labels: NDArray[np.bool_]
    groups: NDArray[np.int64]
    edges: NDArray[np.int64]


class ImpressionBatches:
    """All rows once per epoch, in batches of about `batch_size`."""

    def __init__(
        self,
        data: PreparedData,
        draws: NegativeDraws,
        n_negatives: int,
        max_history: int,
        batch_size: int,
        seed: int,
    ) -> None:
        """Bind clicks and what was not clicked.

        Args:
            draws: where `data.disliked` says nothing.
            n_negatives: draws per click.

        Raises:
            DataError: there is no click to learn from.
        """
        self._clicks = _distinct(data.histories, len(data.items))
        if not len(self._clicks.values):
            raise DataError("the log has no clicks to learn from")
        self._shown = data.disliked if data.disliked is not None and len(data.disliked.values) else None
        self._draws, self._n_negatives = draws, n_negatives
        self._max_history = max_history
        self._seed = seed
        n_groups = int((-(-self._rows_per_user() // GROUP)).sum())
        self.n_batches = max(1, -(-int(self._rows_per_user().sum()) // batch_size))
        self._groups_per_batch = -(-n_groups // self.n_batches)
        self.n_batches = -(-n_groups // self._groups_per_batch)
        self._epoch = lru_cache(maxsize=1)(self._dealt)

    def batch(self, epoch: int, number: int) -> ImpressionBatch:
        """One batch of an epoch."""
        rows = self._epoch(epoch)
        part = slice(rows.edges[number], rows.edges[number + 1])
        rng = np.random.default_rng([self._seed, epoch, number])
        _, first, group = np.unique(rows.groups[part], return_index=True, return_inverse=True)
        users, items, labels = rows.users[part], rows.items[part], rows.labels[part]
        histories = self._histories(users[first], rng)
        left_out = np.where(labels, items, self._any_click(users, rng))
        seen = (histories[group] != UNKNOWN) & (histories[group] != left_out[:, None])
        there = histories != UNKNOWN
        articles, places = np.unique(np.concatenate([histories[there], items]), return_inverse=True)
        clicked = np.full(histories.shape, UNKNOWN, np.int64)
        clicked[there] = places[: there.sum()]
        return ImpressionBatch(articles, clicked, group, places[there.sum() :], seen, labels.astype(np.float32))

    def _rows_per_user(self) -> NDArray[np.int64]:
        if self._shown is not None:
            return self._clicks.lengths + self._shown.lengths
        return self._clicks.lengths * (1 + self._n_negatives)

    def _dealt(self, epoch: int) -> _Epoch:
        """The rows of an epoch, shuffled within their users, in groups that are dealt into batches."""
        rng = np.random.default_rng([self._seed, epoch])
        users, items, labels = self._rows(rng)
        order = rng.permutation(len(users))
        order = order[np.argsort(users[order], kind="stable")]
        users, items, labels = users[order], items[order], labels[order]
        starts = np.flatnonzero(np.concatenate([[True], users[1:] != users[:-1]]))
        lengths = np.diff(np.append(starts, len(users)))
        place = np.arange(len(users)) - np.repeat(starts, lengths)
        groups = np.cumsum(place % GROUP == 0) - 1
        turn = rng.permutation(groups[-1] + 1)[groups]
        order = np.argsort(turn, kind="stable")
        batch_of = turn[order] // self._groups_per_batch
        edges = np.concatenate([[0], np.cumsum(np.bincount(batch_of, minlength=self.n_batches))])
        return _Epoch(users[order], items[order], labels[order], turn[order], edges.astype(np.int64))

    def _rows(self, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Users, articles and labels of all rows."""
        users, items = _pairs(self._clicks)
        if self._shown is not None:
            others, not_clicked = _pairs(self._shown)
        else:
            others = np.repeat(users, self._n_negatives)
            not_clicked = self._draws.draw(others, np.repeat(items, self._n_negatives), rng)
        labels = np.repeat([True, False], [len(users), len(others)])
        return np.concatenate([users, others]), np.concatenate([items, not_clicked]), labels

    def _histories(self, users: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """(n, H) int64: random clicks of each user, each once, -1 behind them; H: the most that one has."""
        rows = []
        for user in users:
            clicks = self._clicks[int(user)]
            if len(clicks) > self._max_history:
                clicks = rng.choice(clicks, self._max_history, replace=False)
            rows.append(clicks)
        width = max(1, max(map(len, rows)))
        drawn = np.full((len(users), width), UNKNOWN, np.int64)
        for row, clicks in zip(drawn, rows, strict=True):
            row[: len(clicks)] = clicks
        return drawn

    def _any_click(self, users: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """A random click of each user, -1 where there is none."""
        lengths = self._clicks.lengths[users]
        places = self._clicks.offsets[users] + (rng.random(len(users)) * lengths).astype(np.int64)
        found = self._clicks.values[np.minimum(places, len(self._clicks.values) - 1)]
        return np.where(lengths > 0, found, UNKNOWN).astype(np.int64)


def _distinct(rows: Sequences, n_items: int) -> Sequences:
    """Every value of a row once, ascending."""
    owners, values = _pairs(rows)
    pairs = np.unique(owners * n_items + values)
    users, items = np.divmod(pairs, max(1, n_items))
    return Sequences.from_lengths(items.astype(np.int32), np.bincount(users, minlength=len(rows)))


def _pairs(rows: Sequences) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row and the value of every entry."""
    return np.repeat(np.arange(len(rows), dtype=np.int64), rows.lengths), rows.values.astype(np.int64)


__all__ = ["GROUP", "ImpressionBatch", "ImpressionBatches"]
