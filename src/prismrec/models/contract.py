"""What a model can offer, as small Protocols: a model has only the methods it really has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from prismrec.data.sequences import Sequences


class Recommender(Protocol):
    """Scores every item for a batch of histories."""

    def score(self, histories: Sequences) -> NDArray[np.float32]:
        """Score the whole catalogue.

        Args:
            histories: one row per query: item indices in time order, the latest last; may be empty.

        Returns:
            (n_queries, n_items) float32, finite, higher is better. The caller may overwrite it.
        """
        ...


@dataclass(frozen=True)
class TaskLoss:
    """The summed loss of one task over one step, and over how many examples."""

    total: float
    n_examples: int

    @property
    def mean(self) -> float:
        """Loss per example; 0 where the step held none."""
        return self.total / self.n_examples if self.n_examples else 0.0


class OwnRows(NamedTuple):
    """The rows begin..end that a process holds of an array with `n_rows` rows."""

    begin: int
    end: int
    n_rows: int


class Trainable(Protocol):
    """What the training loop needs: numbered steps that update in place, and a state that can be saved."""

    @property
    def steps_per_epoch(self) -> int:
        """How many steps make an epoch."""
        ...

    def step(self, epoch: int, step: int, progress: float) -> Mapping[str, TaskLoss]:
        """Take one step in place.

        All randomness comes from (seed, epoch, step), so a run resumed from any step goes on as if never stopped.
        `progress` in [0, 1) is the share of all training done, for schedules.
        """
        ...

    def task_weights(self) -> Mapping[str, float]:
        """The current weight of each task, for the log."""
        ...

    def state(self) -> Mapping[str, NDArray]:
        """All arrays that training changes, by name, as they are where possible; of some only `own_rows`."""
        ...

    def own_rows(self) -> Mapping[str, OwnRows]:
        """Arrays of which other processes hold the other rows; the rest is whole, and the same in all of them."""
        ...

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over a state that `state` gave."""
        ...


@dataclass(frozen=True, eq=False)
class EmbeddingTable:
    """Vectors of one view's nodes: source (as history, as anchor) and target (as candidate, as context).

    Skip-gram learns both, and they differ: retrieval multiplies source by target.

    Attributes:
        source: (n_nodes, dim) float32.
        target: (n_nodes, dim) float32.
    """

    source: NDArray[np.float32]
    target: NDArray[np.float32]


class EmbeddingModel(Protocol):
    """A trained model whose content is vectors."""

    def tables(self) -> Mapping[str, EmbeddingTable]:
        """The vectors of each view, the item view first."""
        ...

    def alignments(self) -> Mapping[str, NDArray]:
        """The matrices between views, by name; none where none were learned."""
        ...


__all__ = ["EmbeddingModel", "EmbeddingTable", "OwnRows", "Recommender", "TaskLoss", "Trainable"]
