"""What is known of the world as triples (head, relation, tail), and which entity each item is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prismrec.data.schema import UNKNOWN
from prismrec.data.vocabulary import Vocabulary
from prismrec.errors import DataError

Triples = NDArray[np.int32]
"""(n, 3): head, relation and tail of each triple."""


@dataclass(frozen=True, eq=False)
class KnowledgeGraph:
    """Entities, relations and distinct triples over their indices.

    Attributes:
        entities: entity ids as text; counts are the triples that an entity is head or tail of.
        relations: their names.
        triples: (n, 3) int32: head, relation, tail; each once.
        labels: (n_entities,) text: the name that a person reads, `Tom Hanks`.

    Raises:
        DataError: a triple holds an index that does not exist, or there is not one label per entity.
    """

    entities: Vocabulary
    relations: tuple[str, ...]
    triples: NDArray[np.int32]
    labels: pa.Array

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.entities):
            raise DataError(f"there are {len(self.entities)} entities, but {len(self.labels)} labels")
        if self.triples.ndim != 2 or self.triples.shape[1] != 3:
            raise DataError(f"triples are rows of head, relation and tail, got an array of shape {self.triples.shape}")
        for column, name, n in ((0, "heads", len(self.entities)), (1, "relations", len(self.relations)),
                                (2, "tails", len(self.entities))):  # fmt: skip
            values = self.triples[:, column]
            if len(values) and not (values.min() >= 0 and values.max() < n):
                raise DataError(f"the {name} of triples must be 0..{n - 1}, got {values.min()}..{values.max()}")

    @property
    def n_entities(self) -> int:
        """How many entities there are, those without a triple included."""
        return len(self.entities)

    @property
    def n_relations(self) -> int:
        """How many relations there are."""
        return len(self.relations)

    @property
    def n_triples(self) -> int:
        """How many triples there are."""
        return len(self.triples)


@dataclass(frozen=True, eq=False)
class ItemKnowledge:
    """A graph, and where the items are in it.

    Attributes:
        graph: the triples.
        item_entities: (n_items,) int64: the entity of each item, distinct; -1 where an item is none.

    Raises:
        DataError: an item is an entity that does not exist, or two items are one.
    """

    graph: KnowledgeGraph
    item_entities: NDArray[np.int64]

    def __post_init__(self) -> None:
        linked = self.item_entities[self.item_entities != UNKNOWN]
        if len(linked) and not (linked.min() >= 0 and linked.max() < self.graph.n_entities):
            raise DataError(
                f"entities of items must be 0..{self.graph.n_entities - 1}, got {linked.min()}..{linked.max()}"
            )
        if len(np.unique(linked)) != len(linked):
            raise DataError("two items are linked to one entity")

    @cached_property
    def entity_items(self) -> NDArray[np.int64]:
        """(n_entities,) int64: the item of each entity, -1 where it is none."""
        items = np.full(self.graph.n_entities, UNKNOWN, np.int64)
        known = np.flatnonzero(self.item_entities != UNKNOWN)
        items[self.item_entities[known]] = known
        return items


def distinct_triples(triples: Triples) -> Triples:
    """(m, 3): each triple once, ascending by head, relation and tail."""
    order = np.lexsort([triples[:, 2], triples[:, 1], triples[:, 0]])
    ordered = triples[order]
    first = np.ones(len(ordered), bool)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return np.ascontiguousarray(ordered[first])


def entity_degrees(triples: Triples, n_entities: int) -> NDArray[np.int64]:
    """(n_entities,) int64: the triples that each entity is head or tail of; one with itself counts once."""
    heads, tails = triples[:, 0], triples[:, 2]
    both: NDArray[np.int64] = np.bincount(heads, minlength=n_entities)
    return both + np.bincount(tails[tails != heads], minlength=n_entities)


__all__ = ["ItemKnowledge", "KnowledgeGraph", "Triples", "distinct_triples", "entity_degrees"]
