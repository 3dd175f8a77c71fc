"""The graph of everything that is known: users, items and the attributes of both are nodes of their own types.

    histories          -> user --clicked--> item, item --clicked_by--> user
    views of items     -> item --has--> genre,    genre --of--> item
    views of users     -> user --has--> age,      age --of--> user
    links of users     -> user --linked--> user

Every edge is there in both directions, as two relations. It is built from prepared data alone, so the clicks in it are
those that may be trained on; an item that was never clicked still hangs on its attributes. Clicking an item twice makes
one edge: how often is in the histories.

Cost: time O(edges); memory 8 bytes per edge (4 in each direction) and 8 per node and relation; while a relation is
built, 40 bytes per edge of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from prismrec.data.prepared import PreparedData
from prismrec.data.schema import ITEM_VIEW, USERS
from prismrec.data.sequences import Sequences
from prismrec.errors import ConfigError, DataError

CLICKED = "clicked"
CLICKED_BY = "clicked_by"
HAS = "has"
OF = "of"
LINKED = "linked"


@dataclass(frozen=True, eq=False)
class Relation:
    """The edges of one kind, seen from the nodes that they lead to.

    Attributes:
        source: type of the nodes that edges come from.
        name: what the source is to the target: a user *clicked* an item.
        target: type of the nodes that edges lead to.
        neighbours: one row per target node: the source nodes with an edge to it, distinct and ascending.
    """

    source: str
    name: str
    target: str
    neighbours: Sequences

    @property
    def key(self) -> tuple[str, str, str]:
        """(source type, name, target type): unique in a graph."""
        return self.source, self.name, self.target

    @property
    def n_edges(self) -> int:
        """How many directed edges there are."""
        return len(self.neighbours.values)


@dataclass(frozen=True, eq=False)
class HeteroGraph:
    """Typed nodes and typed edges.

    Attributes:
        n_nodes: how many nodes each type has, by name; "user" and "item" first, then views in configured order.
        relations: all relations, each directly followed by its reverse where it has one.

    Raises:
        DataError: a relation names a type that is not there, has another number of rows than its target has nodes, or
            holds a node that its source lacks; or two relations have one key.
    """

    n_nodes: Mapping[str, int]
    relations: tuple[Relation, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_nodes", MappingProxyType(dict(self.n_nodes)))
        keys = [relation.key for relation in self.relations]
        for relation in self.relations:
            if keys.count(relation.key) > 1:
                raise DataError(f"two relations are called {_words(relation)}: give each a name of its own")
            _check_relation(relation, self.n_nodes)

    @property
    def types(self) -> tuple[str, ...]:
        """The node types, in order."""
        return tuple(self.n_nodes)

    @property
    def n_edges(self) -> int:
        """How many directed edges all relations have."""
        return sum(relation.n_edges for relation in self.relations)

    @cached_property
    def starts(self) -> Mapping[str, int]:
        """The number of the first node of each type where all nodes are numbered through, type by type."""
        ends = np.cumsum([0, *self.n_nodes.values()])
        return MappingProxyType(dict(zip(self.types, ends.tolist(), strict=False)))

    def relation(self, source: str, name: str, target: str) -> Relation:
        """One relation.

        Raises:
            ConfigError: there is no such relation.
        """
        for relation in self.relations:
            if relation.key == (source, name, target):
                return relation
        known = ", ".join(_words(relation) for relation in self.relations)
        raise ConfigError(f"there is no relation {source} {name} {target} here; known are {known or '(none)'}")

    def into(self, node_type: str) -> tuple[Relation, ...]:
        """The relations whose edges lead to nodes of a type.

        Raises:
            ConfigError: there is no such type.
        """
        self._check_type(node_type)
        return tuple(relation for relation in self.relations if relation.target == node_type)

    def degrees(self, node_type: str) -> NDArray[np.int64]:
        """(n_nodes of the type,) int64: edges that lead to each node, over all relations.

        Since each relation has its reverse, as many edges leave the node.

        Raises:
            ConfigError: there is no such type.
        """
        total = np.zeros(self.n_nodes.get(node_type, 0), np.int64)
        for relation in self.into(node_type):
            total += relation.neighbours.lengths
        return total

    def _check_type(self, node_type: str) -> None:
        if node_type not in self.n_nodes:
            raise ConfigError(f"there are no nodes of type {node_type!r} here; known types are {', '.join(self.types)}")


def heterogeneous_graph(data: PreparedData) -> HeteroGraph:
    """The graph of users, items, their views and links.

    Raises:
        DataError: a view of the users has the name of another node type.
    """
    n_nodes = {USERS: len(data.users), ITEM_VIEW: len(data.items)}
    relations = [*_both_ways(USERS, CLICKED, ITEM_VIEW, CLICKED_BY, data.histories, len(data.items))]
    for name, view in data.views.items():
        n_nodes[name] = len(view.nodes)
        relations += _both_ways(ITEM_VIEW, HAS, name, OF, view.item_nodes, len(view.nodes))
    for name, own in data.user_views.items():
        if name in n_nodes:
            raise DataError(f"the user view {name!r} has the name of another node type: give it another one")
        n_nodes[name] = len(own.nodes)
        relations += _both_ways(USERS, HAS, name, OF, own.user_nodes, len(own.nodes))
    if data.user_links is not None:
        relations.append(Relation(USERS, LINKED, USERS, data.user_links))
    return HeteroGraph(n_nodes, tuple(relations))


def _both_ways(
    source: str, name: str, target: str, reverse_name: str, rows: Sequences, n_targets: int
) -> tuple[Relation, Relation]:
    """The relation from the rows' nodes to those in them, and its reverse."""
    backward = _distinct(rows, n_targets)
    forward = sp.csr_array(backward.T)
    return (
        Relation(source, name, target, _sequences(forward)),
        Relation(target, reverse_name, source, _sequences(backward)),
    )


def _distinct(rows: Sequences, n_columns: int) -> sp.csr_array:
    """(n_rows, n_columns): which values each row holds."""
    ones = np.ones(len(rows.values), np.int8)
    matrix = sp.csr_array((ones, rows.values.copy(), rows.offsets.copy()), shape=(len(rows), n_columns))
    matrix.sum_duplicates()
    return matrix


def _sequences(matrix: sp.csr_array) -> Sequences:
    return Sequences(matrix.indices.astype(np.int32), matrix.indptr.astype(np.int64))


def _check_relation(relation: Relation, n_nodes: Mapping[str, int]) -> None:
    for node_type in (relation.source, relation.target):
        if node_type not in n_nodes:
            raise DataError(f"the relation {_words(relation)} needs nodes of type {node_type!r}, which are not there")
    rows, values = relation.neighbours, relation.neighbours.values
    if len(rows) != n_nodes[relation.target]:
        raise DataError(
            f"the relation {_words(relation)} has {len(rows)} rows, but there are {n_nodes[relation.target]} "
            f"nodes of type {relation.target!r}: one row per node is expected"
        )
    if len(values) and not (values.min() >= 0 and values.max() < n_nodes[relation.source]):
        raise DataError(
            f"the relation {_words(relation)} must hold indices 0..{n_nodes[relation.source] - 1}, got "
            f"{values.min()}..{values.max()}"
        )


def _words(relation: Relation) -> str:
    return " ".join(relation.key)


__all__ = ["CLICKED", "CLICKED_BY", "HAS", "LINKED", "OF", "HeteroGraph", "Relation", "heterogeneous_graph"]
