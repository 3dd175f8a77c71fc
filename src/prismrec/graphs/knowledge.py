"""Knowledge graphs changed and described: inverse relations, the controls beside every result, counts.

A control has the same entities, relations, items and number of parameters; only what the triples say is gone. So a
model that does as well on it has not learned from the graph.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from prismrec.data.knowledge.graph import ItemKnowledge, KnowledgeGraph, Triples, distinct_triples, entity_degrees
from prismrec.data.knowledge.settings import Control
from prismrec.data.schema import UNKNOWN
from prismrec.data.vocabulary import Vocabulary

INVERSE = "inverse of "
"""What the name of an inverse relation begins with."""

_ROUNDS = 20
"""How often repeats of a shuffle are drawn again."""


def with_inverses(graph: KnowledgeGraph) -> KnowledgeGraph:
    """The graph with (tail, inverse relation, head) for every triple; one that has inverses is given back.

    Relation r of R has the inverse r + R.
    """
    if has_inverses(graph):
        return graph
    back = graph.triples[:, [2, 1, 0]] + np.array([0, graph.n_relations, 0], np.int32)
    relations = (*graph.relations, *(INVERSE + name for name in graph.relations))
    return _with_triples(graph, np.concatenate([graph.triples, back]), relations)


def without_inverses(graph: KnowledgeGraph) -> KnowledgeGraph:
    """The graph before `with_inverses`."""
    if not has_inverses(graph):
        return graph
    n_forward = graph.n_relations // 2
    return _with_triples(graph, graph.triples[graph.triples[:, 1] < n_forward], graph.relations[:n_forward])


def has_inverses(graph: KnowledgeGraph) -> bool:
    """Whether the second half of the relations are the inverses of the first."""
    half = graph.n_relations // 2
    forward, back = graph.relations[:half], graph.relations[half:]
    return half > 0 and back == tuple(INVERSE + name for name in forward)


def shuffled(graph: KnowledgeGraph, seed: int = 0) -> KnowledgeGraph:
    """The control that keeps all counts: relations and tails permuted over the triples, each on its own.

    Every entity is head and tail of as many triples as before, and every relation has as many; who is linked to whom,
    and how, is drawn at random. Repeats that come of it are drawn again for some rounds; what is then left of them
    goes, so that in small dense graphs a few triples fewer remain. Inverses stay the inverses of their triples.
    """
    forward = without_inverses(graph)
    rng = np.random.default_rng(seed)
    triples = forward.triples.copy()
    triples[:, 1] = rng.permutation(triples[:, 1])
    triples[:, 2] = rng.permutation(triples[:, 2])
    for _ in range(_ROUNDS):
        repeated = np.flatnonzero(_is_repeat(triples))
        if not len(repeated):
            break
        others = rng.choice(len(triples), size=min(len(triples), 2 * len(repeated)), replace=False)
        places = np.union1d(repeated, others)  # tails change places with those of triples that are well
        triples[places, 2] = rng.permutation(triples[places, 2])
    made = _with_triples(forward, triples, forward.relations)
    return with_inverses(made) if has_inverses(graph) else made


def absent(graph: KnowledgeGraph) -> KnowledgeGraph:
    """The control without a graph: the same entities and relations, no triple."""
    return _with_triples(graph, graph.triples[:0], graph.relations)


def controlled(knowledge: ItemKnowledge, control: Control, seed: int = 0) -> ItemKnowledge:
    """The same items with the graph that a control leaves; "none" changes nothing."""
    if control == "none":
        return knowledge
    graph = absent(knowledge.graph) if control == "absent" else shuffled(knowledge.graph, seed)
    return replace(knowledge, graph=graph)


@dataclass(frozen=True)
class RelationCounts:
    """One relation: its triples, and how many different heads and tails they have."""

    name: str
    triples: int
    heads: int
    tails: int


@dataclass(frozen=True)
class ConnectedEntity:
    """An entity, its triples, and how many of the entities that these lead to or come from are items."""

    entity: str
    label: str
    triples: int
    items: int


@dataclass(frozen=True)
class GraphStatistics:
    """What a graph is.

    Attributes:
        median_degree, maximum_degree: of the entities that have a triple.
        components: parts that no path joins, whichever way triples point; entities without triples are none.
        largest_component: share of the entities with a triple that the largest part has.
        sinks: entities that are tails and never heads, where a walk along the triples ends.
        linked_items: items that are an entity; `items_without_triples` of these have no triple.
        relations: by falling number of triples.
        most_connected: by falling number of triples, items left out.
    """

    entities: int
    n_relations: int
    triples: int
    median_degree: float
    maximum_degree: int
    components: int
    largest_component: float
    sinks: int
    items: int
    linked_items: int
    items_without_triples: int
    relations: tuple[RelationCounts, ...]
    most_connected: tuple[ConnectedEntity, ...]


def statistics(knowledge: ItemKnowledge, top: int = 10) -> GraphStatistics:
    """Counts of a graph; `top` entities are named."""
    graph = knowledge.graph
    heads, tails = graph.triples[:, 0], graph.triples[:, 2]
    degrees = entity_degrees(graph.triples, graph.n_entities)
    used = degrees > 0
    parts = _components(graph)[used]
    linked = knowledge.item_entities[knowledge.item_entities != UNKNOWN]
    return GraphStatistics(
        entities=graph.n_entities,
        n_relations=graph.n_relations,
        triples=graph.n_triples,
        median_degree=float(np.median(degrees[used])) if used.any() else 0.0,
        maximum_degree=int(degrees.max(initial=0)),
        components=len(np.unique(parts)),
        largest_component=float(np.bincount(parts).max() / len(parts)) if len(parts) else 0.0,
        sinks=len(np.setdiff1d(tails, heads)),
        items=len(knowledge.item_entities),
        linked_items=len(linked),
        items_without_triples=int((degrees[linked] == 0).sum()),
        relations=_relation_counts(graph),
        most_connected=_most_connected(knowledge, degrees, top),
    )


def _with_triples(graph: KnowledgeGraph, triples: Triples, relations: tuple[str, ...]) -> KnowledgeGraph:
    kept = distinct_triples(triples.astype(np.int32))
    entities = Vocabulary(graph.entities.ids, entity_degrees(kept, graph.n_entities))
    return KnowledgeGraph(entities, relations, kept, graph.labels)


def _is_repeat(triples: Triples) -> NDArray[np.bool_]:
    """(n,): whether a triple says what one before it in sorted order says."""
    order = np.lexsort([triples[:, 2], triples[:, 1], triples[:, 0]])
    ordered = triples[order]
    repeat = np.zeros(len(triples), bool)
    repeat[order[1:]] = (ordered[1:] == ordered[:-1]).all(axis=1)
    return repeat


def _components(graph: KnowledgeGraph) -> NDArray[np.int32]:
    """(n_entities,): the part of each entity."""
    links = (np.ones(graph.n_triples, np.int8), (graph.triples[:, 0], graph.triples[:, 2]))
    matrix = csr_matrix(links, shape=(graph.n_entities, graph.n_entities))
    parts: NDArray[np.int32] = connected_components(matrix, directed=False)[1]
    return parts


def _relation_counts(graph: KnowledgeGraph) -> tuple[RelationCounts, ...]:
    counts = []
    for relation, name in enumerate(graph.relations):
        own = graph.triples[graph.triples[:, 1] == relation]
        counts.append(RelationCounts(name, len(own), len(np.unique(own[:, 0])), len(np.unique(own[:, 2]))))
    return tuple(sorted(counts, key=lambda c: (-c.triples, c.name)))


def _most_connected(knowledge: ItemKnowledge, degrees: NDArray[np.int64], top: int) -> tuple[ConnectedEntity, ...]:
    graph = knowledge.graph
    is_item = knowledge.entity_items != UNKNOWN
    others = np.flatnonzero(~is_item)
    chosen = others[np.argsort(-degrees[others], kind="stable")][:top]
    heads, tails = graph.triples[:, 0], graph.triples[:, 2]
    found = []
    for entity in chosen.tolist():
        near = np.concatenate([tails[heads == entity], heads[tails == entity]])
        n_items = int(is_item[np.unique(near)].sum())
        name, label = graph.entities.id_of(entity), graph.labels[entity].as_py()
        found.append(ConnectedEntity(name, label, int(degrees[entity]), n_items))
    return tuple(found)


__all__ = [
    "INVERSE",
    "ConnectedEntity",
    "GraphStatistics",
    "RelationCounts",
    "absent",
    "controlled",
    "has_inverses",
    "shuffled",
    "statistics",
    "with_inverses",
    "without_inverses",
]
