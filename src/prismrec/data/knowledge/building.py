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
        table: columns head, relation, tail: text or dictionary-encoded text.
        kept: entities that stay whatever their number of triples, those of the items; they may have none.
        labels: entity -> what a person calls it; others are called by their id, made readable.
        min_degree: other entities with fewer triples go, and their triples with them, until nothing changes.
        held_out: further tables; their entities and relations are numbered too, their triples are not in the graph.
    """
    tables = (table, *held_out)
    entities = _distinct([column for t in tables for column in (t[HEAD], t[TAIL])], [*kept])
    relations = _distinct([t[RELATION] for t in tables], [])
    triples, *others = (_numbered(t, entities, relations) for t in tables)
    n_rows = len(triples)
    triples = distinct_triples(triples)
    repeats = n_rows - len(triples)
    ids = entities.to_pylist()
    stays = np.asarray(pc.is_in(entities, pa.array([*kept], pa.string()))) | bool(held_out)
    triples, alive = _without_rare(triples, stays, min_degree)
    degrees = entity_degrees(triples, len(ids))
    chosen = np.flatnonzero(alive)
    order = chosen[np.lexsort([_ranks(entities)[chosen], -degrees[chosen]])]
    place = np.full(len(ids), -1, np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    relation_order = np.argsort(_ranks(relations))
    relation_place = np.empty(len(relations), np.int32)
    relation_place[relation_order] = np.arange(len(relations), dtype=np.int32)
    names = [labels.get(ids[i]) or readable(ids[i]) for i in order.tolist()]
    graph = KnowledgeGraph(
        entities=Vocabulary.from_ids(entities.take(pa.array(order)), degrees[order]),
        relations=tuple(relations.take(pa.array(relation_order)).to_pylist()),
        triples=_renumbered(triples, place, relation_place),
        labels=pa.array(names, pa.string()),
    )
    kept_out = tuple(_renumbered(distinct_triples(other), place, relation_place) for other in others)
    return Built(graph, kept_out, repeats, len(ids) - len(order))


def _distinct(columns: Sequence[pa.ChunkedArray], more: list[str]) -> pa.Array:
    """Distinct texts of dictionary-encoded columns."""
    values = [pc.unique(_plain(column)) for column in columns]
    return pc.unique(pa.concat_arrays([*values, pa.array(more, pa.string())]))


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """The values that occur in a column, each once where it is dictionary-encoded."""
    if pa.types.is_dictionary(column.type):
        found = pc.unique(column)
        return found.dictionary.take(found.indices)
    return column.combine_chunks()


def _numbered(table: pa.Table, entities: pa.Array, relations: pa.Array) -> Triples:
    """(n, 3) int32: places of the texts."""
    columns = [
        _places(table[name], values) for name, values in ((HEAD, entities), (RELATION, relations), (TAIL, entities))
    ]
    return np.stack(columns, axis=1) if len(table) else np.zeros((0, 3), np.int32)


def _places(column: pa.ChunkedArray, values: pa.Array) -> NDArray[np.int32]:
    coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    pieces = [
        np.asarray(pc.index_in(chunk.dictionary, values), np.int32)[np.asarray(chunk.indices)] for chunk in coded.chunks
    ]
    return np.concatenate([np.zeros(0, np.int32), *pieces])


def _ranks(texts: pa.Array) -> NDArray[np.int64]:
    order = np.asarray(pc.sort_indices(texts)).astype(np.int64)
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _without_rare(triples: Triples, stays: NDArray[np.bool_], least: int) -> tuple[Triples, NDArray[np.bool_]]:
    """The triples between entities that stay or have at least so many, and which entities these are."""
    while True:
        alive = stays | (entity_degrees(triples, len(stays)) >= least)
        kept = alive[triples[:, 0]] & alive[triples[:, 2]]
        if kept.all():
            return triples, alive
        triples = triples[kept]


def _renumbered(triples: Triples, place: NDArray[np.int32], relation_place: NDArray[np.int32]) -> Triples:
    columns = (place[triples[:, 0]], relation_place[triples[:, 1]], place[triples[:, 2]])
    return distinct_triples(np.stack(columns, axis=1).astype(np.int32))


__all__ = ["Built", "build_graph"]
