"""Sub-graphs of a heterogeneous graph: a few nodes of every type, and all edges among them.

Dense sampling starts at seeds and goes outward in rounds. The neighbours of what was drawn are the pool; a node s of
type tau that is joined to drawn nodes t by relations r with N_r(t) neighbours has the budget, and is drawn with the
probability,

    B_tau(s) = sum over drawn t, over r, of 1 / |N_r(t)|
    P_tau(s) = B_tau(s)^2 / ||B_tau||_2^2                                                                  (2)

until its type holds `nodes_per_type` nodes, p. Edges are looked up again among the drawn nodes. Equation (2) is that of
Luo, Liu & Yang: A graph neural network recommendation model based on multi-task learning. Computer Engineering &
Science 45(4), 2023, doi 10.3969/j.issn.1007-130X.2023.04.020; what a budget is, where the source says only "degree", is
from Hu, Dong, Wang & Sun: Heterogeneous Graph Transformer. WWW 2020, algorithm 1, https://arxiv.org/abs/2003.01332.

Random sampling, the control, draws as many nodes in all from all nodes alike, whatever their type.

Cost: time O(edges of the drawn nodes); memory O(p^2) edges per relation at most, and 12 bytes per node of the graph,
once per sampler. No array of users x items exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field

from prismrec.config import Section
from prismrec.data.sequences import Sequences
from prismrec.errors import DataError
from prismrec.graphs.heterogeneous import HeteroGraph, Relation

RelationKey = tuple[str, str, str]
"""(source type, name, target type)."""

Nodes = NDArray[np.int64]


class SubgraphSettings(Section):
    """How large a sub-graph is, and how its nodes are drawn."""

    nodes_per_type: int = Field(2048, ge=2, description="nodes of each type in a sub-graph, at most")
    sampling: Literal["dense", "random"] = Field(
        "dense", description="dense: neighbours of what was drawn, by squared budget; random: any nodes of the graph"
    )
    rounds: int = Field(2, ge=1, le=10, description="how often dense sampling goes from the drawn to their neighbours")


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges of one relation of a sub-graph, as places among its nodes.

    Attributes:
        sources: (E,) int64 places among the nodes of the source type.
        targets: (E,) int64 places among the nodes of the target type, ascending.
    """

    sources: Nodes
    targets: Nodes

    def __len__(self) -> int:
        return len(self.sources)

    def where(self, kept: NDArray[np.bool_]) -> Edges:
        """The edges that a (E,) mask keeps."""
        return Edges(self.sources[kept], self.targets[kept])


@dataclass(frozen=True, eq=False)
class Subgraph:
    """Some nodes of a graph and all edges among them.

    Attributes:
        nodes: of every type, which nodes, ascending.
        edges: of every relation, between places in `nodes`.
    """

    nodes: Mapping[str, Nodes]
    edges: Mapping[RelationKey, Edges]


@dataclass(frozen=True, eq=False)
class Block:
    """The nodes begin..end of one type with all edges that lead to them.

    Attributes:
        node_type: their type.
        begin: the first.
        end: the one after the last.
        edges: of every relation into the type: sources are nodes of the graph, targets places from `begin` on.
    """

    node_type: str
    begin: int
    end: int
    edges: Mapping[RelationKey, Edges]


class SubgraphSampler:
    """Draws sub-graphs of one graph."""

    def __init__(self, graph: HeteroGraph, settings: SubgraphSettings) -> None:
        """Bind the graph."""
        self._graph = graph
        self._settings = settings
        self._places = {name: np.full(n, -1, np.int32) for name, n in graph.n_nodes.items()}

    def sample(self, seeds: Mapping[str, Nodes], rng: np.random.Generator) -> Subgraph:
        """One sub-graph; of random sampling the seeds are no part.

        Args:
            seeds: distinct nodes, by type, to start at: at most `nodes_per_type` of each.
            rng: all chance comes from it.

        Raises:
            DataError: there are more seeds of a type than its nodes in a sub-graph.
        """
        for name, nodes in seeds.items():
            if len(nodes) > self._settings.nodes_per_type:
                raise DataError(
                    f"{len(nodes)} seeds of type {name!r} do not fit into a sub-graph with "
                    f"{self._settings.nodes_per_type} nodes of a type"
                )
        drawn = self._dense(seeds, rng) if self._settings.sampling == "dense" else self._random(rng)
        return Subgraph(drawn, self._edges(drawn))

    def _random(self, rng: np.random.Generator) -> dict[str, Nodes]:
        """As many nodes as dense sampling may have, from all nodes numbered through."""
        sizes = np.array(list(self._graph.n_nodes.values()))
        n = int(np.minimum(sizes, self._settings.nodes_per_type).sum())
        drawn = np.sort(rng.choice(int(sizes.sum()), size=n, replace=False))
        cuts = np.searchsorted(drawn, np.cumsum(sizes)[:-1])
        parts = np.split(drawn, cuts)
        return {name: part - start for part, (name, start) in zip(parts, self._graph.starts.items(), strict=True)}

    def _dense(self, seeds: Mapping[str, Nodes], rng: np.random.Generator) -> dict[str, Nodes]:
        sizes = self._graph.n_nodes
        budgets = {name: np.zeros(n) for name, n in sizes.items()}
        drawn = {name: np.sort(np.asarray(seeds.get(name, ()), np.int64)) for name in sizes}
        self._widen(drawn, budgets)
        for left in range(self._settings.rounds, 0, -1):
            fresh = {}
            for name, nodes in drawn.items():
                budgets[name][nodes] = 0.0  # no node is drawn twice
                wanted = -(-(self._settings.nodes_per_type - len(nodes)) // left)
                fresh[name] = draw(budgets[name], wanted, rng)
            drawn = {name: np.sort(np.concatenate([nodes, fresh[name]])) for name, nodes in drawn.items()}
            if left > 1:
                self._widen(fresh, budgets)
        return drawn

    def _widen(self, drawn: Mapping[str, Nodes], budgets: Mapping[str, NDArray[np.float64]]) -> None:
        """Add what freshly drawn nodes give their neighbours."""
        for relation in self._graph.relations:
            rows = relation.neighbours
            _add_shares(rows.values, rows.offsets, drawn[relation.target], budgets[relation.source])

    def _edges(self, nodes: Mapping[str, Nodes]) -> dict[RelationKey, Edges]:
        for name, own in nodes.items():
            self._places[name][own] = np.arange(len(own))
        edges = {relation.key: self._among(relation, nodes) for relation in self._graph.relations}
        for name, own in nodes.items():
            self._places[name][own] = -1
        return edges

    def _among(self, relation: Relation, nodes: Mapping[str, Nodes]) -> Edges:
        rows = relation.neighbours
        found = (rows.values, rows.offsets, nodes[relation.target], self._places[relation.source])
        lengths = np.zeros(len(nodes[relation.target]), np.int64)
        _find(*found, lengths, np.zeros(0, np.int64))
        sources = np.empty(int(lengths.sum()), np.int64)
        _find(*found, lengths, sources)
        return Edges(sources, np.repeat(np.arange(len(lengths)), lengths))


def blocks(graph: HeteroGraph, edges_at_once: int) -> Iterator[Block]:
    """All nodes with all edges that lead to them, type by type, so many edges at a time; one node at least."""
    for name, n in graph.n_nodes.items():
        ends = np.concatenate([[0], np.cumsum(graph.degrees(name))])
        begin = 0
        while begin < n:
            end = max(begin + 1, int(np.searchsorted(ends, ends[begin] + edges_at_once, "right")) - 1)
            rows = {relation.key: relation.neighbours.slice(begin, end) for relation in graph.into(name)}
            yield Block(name, begin, end, {key: _edges_of(own) for key, own in rows.items()})
            begin = end


def _edges_of(rows: Sequences) -> Edges:
    return Edges(rows.values.astype(np.int64), np.repeat(np.arange(len(rows)), rows.lengths))


def draw(budget: NDArray[np.float64], n: int, rng: np.random.Generator) -> Nodes:
    """Up to n distinct nodes, one after the other with probability (2) among those left; none without a budget.

    By exponential races: the n smallest of E / B^2 with E ~ Exp(1) are such a draw, all at once.

    Args:
        budget: (n_nodes,) float64, not negative.
        n: how many, at least 0.
        rng: all chance comes from it.
    """
    pool = np.flatnonzero(budget)
    if n <= 0 or len(pool) <= n:
        return pool if n > 0 else pool[:0]
    arrivals = rng.exponential(size=len(pool)) / np.square(budget[pool])
    return pool[np.argpartition(arrivals, n - 1)[:n]]


@njit(cache=True)
def _add_shares(values, offsets, rows, budget):  # type: ignore[no-untyped-def]
    """budget[s] += 1 / |N(t)| for every t in rows and every s in N(t)."""
    for row in rows:
        begin, end = offsets[row], offsets[row + 1]
        for place in range(begin, end):
            budget[values[place]] += 1.0 / (end - begin)


@njit(cache=True)
def _find(values, offsets, rows, places, lengths, sources):  # type: ignore[no-untyped-def]
    """Places of each row's neighbours among the drawn: with an empty `sources` only how many."""
    n = 0
    for number in range(len(rows)):
        begin = n
        for place in range(offsets[rows[number]], offsets[rows[number] + 1]):
            source = places[values[place]]
            if source >= 0:
                if len(sources):
                    sources[n] = source
                n += 1
        lengths[number] = n - begin


__all__ = [
    "Block",
    "Edges",
    "Nodes",
    "RelationKey",
    "Subgraph",
    "SubgraphSampler",
    "SubgraphSettings",
    "blocks",
    "draw",
]
