"""What a model can offer, as small Protocols: a model has only the methods it really has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec.data.schema import UNKNOWN
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


@runtime_checkable
class UserRecommender(Protocol):
    """Scores every item for histories of users that it may know."""

    def score_users(self, histories: Sequences, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """Score the whole catalogue, as `Recommender.score` does.

        Args:
            histories: one row per query: item indices in time order, the latest last; may be empty.
            users: (n_queries,) int64: the user of each query, -1 where unknown.
        """
        ...


def scores_of(
    recommender: Recommender | UserRecommender, histories: Sequences, users: NDArray[np.int64]
) -> NDArray[np.float32]:
    """(n_queries, n_items) float32: what a recommender says, told who asks where it can tell users apart."""
    if isinstance(recommender, UserRecommender):
        return recommender.score_users(histories, users)
    return recommender.score(histories)


class QueryEncoder(Protocol):
    """Turns who asks, and what they did, into one vector: its products with target vectors are scores."""

    def encode(self, histories: Sequences, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n_queries, dim) float32, finite; zero where neither history nor user is known.

        Args:
            histories: one row per query: item indices in time order, the latest last; may be empty.
            users: (n_queries,) int64: the user of each query, -1 where unknown.
        """
        ...


@runtime_checkable
class CandidateScorer(Protocol):
    """A `QueryEncoder` whose model scores a query and an item together: its products only find candidates.

    RippleNet and DKN are such models: what they read of a history depends on the item that it is read for.
    """

    def score_candidates(
        self, histories: Sequences, users: NDArray[np.int64], candidates: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """(n_queries, n_candidates) float32, finite: the model's own scores, on one scale for all queries.

        Args:
            histories, users: as for `QueryEncoder.encode`; a query of which nothing is known scores zero.
            candidates: (n_queries, n_candidates) int64 item indices, none of them -1.
        """
        ...


@runtime_checkable
class ItemReader(Protocol):
    """A `QueryEncoder` that knows items by their columns: what nobody clicked is scored like all else.

    DKN is such a model: an article is its title.
    """

    def with_items(self, items: Sequence[Mapping[str, Any]]) -> QueryEncoder:
        """The same encoder, with items of which it learned nothing behind its own; itself, it does not change.

        Args:
            items: the columns of each; the first has the index that follows the last of the items it was trained with.

        Returns:
            an encoder that offers what this one offers, for histories and candidates that hold those items too.
        """
        ...

    def vectors_of(self, items: Sequence[Mapping[str, Any]]) -> EmbeddingTable:
        """Vectors of such items, on both sides: what `EncodingModel.table` holds of the others."""
        ...


@dataclass(frozen=True)
class KnowledgePath:
    """A walk through a knowledge graph that leads from an item of a history towards a candidate.

    Attributes:
        entities: indices of the entities that it passes, the item of the history first, the candidate last where the
            walk reaches it: at least two.
        relations: indices of the relations between them, one fewer.
        weight: the share of the model's attention that lies on it, from 0 to 1.
    """

    entities: tuple[int, ...]
    relations: tuple[int, ...]
    weight: float


@runtime_checkable
class PathExplainer(Protocol):
    """A `QueryEncoder` that can say by which walks through a knowledge graph it came from a history to an item."""

    def paths(self, history: NDArray[np.int64], user: int, candidate: int, n_paths: int) -> tuple[KnowledgePath, ...]:
        """The strongest walks, the strongest first; none where no item of the history is in the graph.

        Args:
            history: item indices in time order, the latest last; may be empty.
            user: their user, -1 where unknown.
            candidate: index of the item that was scored.
            n_paths: how many at most.
        """
        ...


@dataclass(frozen=True, eq=False)
class KnowledgeNames:
    """What a person reads of the knowledge graph that an encoder walks through.

    Attributes:
        entities: (n_entities,) text: their labels.
        relations: their names, by index.
        item_entities: (n_items,) int64: the entity of each item, -1 where it is none.
    """

    entities: pa.Array
    relations: tuple[str, ...]
    item_entities: NDArray[np.int64]

    @cached_property
    def entity_items(self) -> NDArray[np.int64]:
        """(n_entities,) int64: the item of each entity, -1 where it is none."""
        items = np.full(len(self.entities), UNKNOWN, np.int64)
        linked = np.flatnonzero(self.item_entities != UNKNOWN)
        items[self.item_entities[linked]] = linked
        return items


@dataclass(frozen=True, eq=False)
class StoredEncoder:
    """A query encoder as it lies in a bundle.

    Attributes:
        algorithm: which model it is of: a key of `models.algorithms.ENCODERS`.
        config: what it is built from, as JSON values.
        arrays: what it learned, by name.
        knows_users: whether the rows of some array are users: a bundle then holds their ids too.
        network: parameters that answers do not need, and a training that begins with this one does; by name.
        knowledge: the names behind the paths of a `PathExplainer`, None for other models.
    """

    algorithm: str
    config: Mapping[str, Any]
    arrays: Mapping[str, NDArray]
    knows_users: bool
    network: Mapping[str, NDArray] = field(default_factory=dict)
    knowledge: KnowledgeNames | None = None


class EncodingModel(Protocol):
    """A trained model that encodes queries: what most neural models are, seen from retrieval."""

    def table(self) -> EmbeddingTable:
        """Item vectors: sources say what is similar to an item, targets meet the vectors of `encoder`."""
        ...

    def encoder(self) -> QueryEncoder:
        """The encoder as it is now; it does not change when training goes on."""
        ...

    def stored(self) -> StoredEncoder:
        """The same, to be written into a bundle."""
        ...


__all__ = [
    "CandidateScorer",
    "EmbeddingModel",
    "EmbeddingTable",
    "EncodingModel",
    "ItemReader",
    "KnowledgeNames",
    "KnowledgePath",
    "OwnRows",
    "PathExplainer",
    "QueryEncoder",
    "Recommender",
    "StoredEncoder",
    "TaskLoss",
    "Trainable",
    "UserRecommender",
    "scores_of",
]
