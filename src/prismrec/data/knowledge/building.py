"""From triples as texts to a graph over dense indices: each once, rare entities dropped, frequent ones first."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from prismrec.data.knowledge.graph import KnowledgeGraph, Triples, distinct_triples, entity_degrees
from prismrec.data.knowledge.names import readable
from prismrec.data.knowledge.statements import HEAD, RELATION, TAIL
from prismrec.data.schema import UNKNOWN
from prismrec.data.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Built:
    """A graph, and what was left out on the way.

    Attributes:
        graph: its entities by falling number of triples, ties by id.
        held_out: further sets of triples in the indices of the graph, each (n, 3) int32, repeats gone.
        repeats: rows that say again what an earlier one said.
        rare_entities: entities that were dropped for having too few triples.
    """

    graph: KnowledgeGraph
    held_out: tuple[Triples, ...]
    repeats: int
    rare_entities: int


def build_graph(
    table: pa.Table,
    kept: Collection[str],
    labels: Mapping[str, str],
    *,
    min_degree: int = 1,
    held_out: Sequence[pa.Table] = (),
) -> Built:
    """Number entities and relations.

    Args:
        table: columns head, relation, tail: dictionary-encoded text.
        kept: entities that stay whatever their number of triples, those of the items; they may have none.
        labels: entity -> what a person calls it; others are called by their id, made readable.
        min_degree: other entities with fewer triples go, and their triples with them, until nothing changes.
        held_out: further tables, whose entities and relations stay; their triples are numbered, and not in the graph.
    """
    tables = (table, *held_out)
    entities = _sorted_texts([column for t in tables for column in (t[HEAD], t[TAIL])], [*kept])
    relations = _sorted_texts([t[RELATION] for t in tables], [])
    triples, *others = (distinct_triples(_numbered(t, entities, relations)) for t in tables)
    repeats = len(table) - len(triples)
    is_asked = any(len(other) for other in others)
    stays = np.asarray(pc.is_in(entities, pa.array([*kept], pa.string()))) | is_asked
    triples, alive = _without_rare(triples, stays, min_degree)
    numbering = _Numbering.of(triples, alive, len(relations), all_relations=is_asked)
    graph = KnowledgeGraph(
        entities=Vocabulary.from_ids(
            entities.take(pa.array(numbering.entities)), entity_degrees(triples, len(entities))[numbering.entities]
        ),
        relations=tuple(relations.take(pa.array(numbering.relations)).to_pylist()),
        triples=numbering.of_triples(triples),
        labels=_labels(entities.take(pa.array(numbering.entities)), labels),
    )
    kept_out = tuple(numbering.of_triples(other) for other in others)
    return Built(graph, kept_out, repeats, len(entities) - graph.n_entities)


@dataclass(frozen=True, eq=False)
class _Numbering:
    """Which entities and relations of a larger numbering are left, in the order of the new one."""

    entities: NDArray[np.int64]
    relations: NDArray[np.int64]
    sizes: tuple[int, int]

    @classmethod
    def of(cls, triples: Triples, alive: NDArray[np.bool_], n_relations: int, *, all_relations: bool) -> _Numbering:
        """Entities that are alive by falling number of triples, ties as before; relations in use, or all, as before."""
        left = np.flatnonzero(alive)
        entities = left[np.argsort(-entity_degrees(triples, len(alive))[left], kind="stable")]
        relations = np.arange(n_relations) if all_relations else np.unique(triples[:, 1]).astype(np.int64)
        return cls(entities, relations, (len(alive), n_relations))

    def of_triples(self, triples: Triples) -> Triples:
        """Triples of the larger numbering in the new one, sorted."""
        entity, relation = (np.full(size, UNKNOWN, np.int32) for size in self.sizes)
        entity[self.entities] = np.arange(len(self.entities))
        relation[self.relations] = np.arange(len(self.relations))
        return distinct_triples(
            np.stack([entity[triples[:, 0]], relation[triples[:, 1]], entity[triples[:, 2]]], axis=1)
        )


def _labels(entities: pa.Array, labels: Mapping[str, str]) -> pa.Array:
    return pa.array([labels.get(entity) or readable(entity) for entity in entities.to_pylist()], pa.string())


def _sorted_texts(columns: Sequence[pa.ChunkedArray], more: list[str]) -> pa.Array:
    """The distinct texts that occur in dictionary-encoded columns, or in `more`, sorted."""
    coded = [pc.unique(column) for column in columns]
    texts = pc.unique(pa.concat_arrays([*(c.dictionary.take(c.indices) for c in coded), pa.array(more, pa.string())]))
    return texts.take(pc.sort_indices(texts))


def _numbered(table: pa.Table, entities: pa.Array, relations: pa.Array) -> Triples:
    """(n, 3) int32: places of the texts."""
    columns = [_places(table[HEAD], entities), _places(table[RELATION], relations), _places(table[TAIL], entities)]
    return np.stack(columns, axis=1)


def _places(column: pa.ChunkedArray, values: pa.Array) -> NDArray[np.int32]:
    """(n,) int32: where the texts of a dictionary-encoded column stand among sorted ones."""
    pieces = [
        np.asarray(pc.index_in(chunk.dictionary, values), np.int32)[np.asarray(chunk.indices)]
        for chunk in column.chunks
    ]
    return np.concatenate([np.zeros(0, np.int32), *pieces])


def _without_rare(triples: Triples, stays: NDArray[np.bool_], least: int) -> tuple[Triples, NDArray[np.bool_]]:
    """The triples between entities that stay or have at least so many, and which entities these are."""
    while True:
        alive = stays | (entity_degrees(triples, len(stays)) >= least)
        kept = alive[triples[:, 0]] & alive[triples[:, 2]]
        if kept.all():
            return triples, alive
        triples = triples[kept]


__all__ = ["Built", "build_graph"]
