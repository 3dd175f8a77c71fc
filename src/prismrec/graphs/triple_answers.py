"""Which entities complete a triple with one end missing: what filtered ranks leave out, and no negative is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prismrec.data.sequences import Sequences

Side = Literal["head", "tail"]
"""The end of a triple that is asked for; the other one is known."""

SIDES: tuple[Side, Side] = ("head", "tail")

_COLUMNS: dict[Side, tuple[int, int]] = {"head": (2, 0), "tail": (0, 2)}


def known_and_asked(side: Side) -> tuple[int, int]:
    """The columns of a triple that hold the known end and the one that is asked for."""
    return _COLUMNS[side]


@dataclass(frozen=True, eq=False)
class Answers:
    """Of some triples, every end that a known end and a relation lead to.

    Attributes:
        side: which end is asked for.
        n_relations: how many relations there are.
        keys: (n,) int64, rising: known end x n_relations + relation, each once.
        ends: row i holds the answers to key i, rising; the last row is empty, for keys that are not there.
    """

    side: Side
    n_relations: int
    keys: NDArray[np.int64]
    ends: Sequences

    @classmethod
    def of(cls, triples: NDArray[np.int32], side: Side, n_relations: int) -> Answers:
        """Collect the answers in triples (n, 3) of head, relation, tail; repeated ones count once."""
        known, asked = known_and_asked(side)
        pairs = np.unique(
            np.column_stack([triples[:, known].astype(np.int64) * n_relations + triples[:, 1], triples[:, asked]]),
            axis=0,
        )
        keys, counts = np.unique(pairs[:, 0], return_counts=True)
        return cls(side, n_relations, keys, Sequences.from_lengths(pairs[:, 1], np.append(counts, 0)))

    def to(self, known: NDArray[np.integer], relations: NDArray[np.integer]) -> Sequences:
        """One row per query (known end, relation): its answers, none where the triples say nothing of it."""
        asked = known.astype(np.int64) * self.n_relations + relations
        places = np.searchsorted(self.keys, asked)
        found = self.keys[np.minimum(places, len(self.keys) - 1)] == asked if len(self.keys) else np.zeros(0, np.bool_)
        return self.ends.take(np.where(found, places, len(self.keys)) if len(self.keys) else np.zeros(len(asked)))

    def ends_of_relations(self) -> Sequences:
        """One row per relation: the distinct ends that it has on this side, rising: its range, its domain."""
        relations = np.repeat(self.keys % self.n_relations, self.ends.lengths[:-1])
        pairs = np.unique(np.column_stack([relations, self.ends.values]).astype(np.int64), axis=0)
        return Sequences.from_lengths(pairs[:, 1], np.bincount(pairs[:, 0], minlength=self.n_relations))


__all__ = ["SIDES", "Answers", "Side", "known_and_asked"]
