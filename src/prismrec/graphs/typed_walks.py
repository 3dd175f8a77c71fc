"""Random walks over typed edges, and which node each place of a walk meets by which meta-path.

A walk goes from a node to one of its neighbours, all of any relation being equally likely. A meta-path is the sequence
of the relations that it takes from one place to a later one: with relations item-user (a) and item-genre (b), the steps
user, item, genre give the paths (a), (b) and (a, b). All that can follow one another, up to a number of steps, are
numbered once; the walk then looks its paths up, step by step.

Cost: a step is one random number and two reads, a pair one read. Memory: 6 bytes per directed edge, and 4 (paths) x
(relations). A pair in which a walk is back where it was says nothing and is left out.

Deterministic: walk i draws from its own random state, derived from (seed, i).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import ragged_positions
from prismrec.errors import DataError
from prismrec.graphs.heterogeneous import HeteroGraph
from prismrec.graphs.negatives import derive_seed, next_below

_MOST_PATHS = 100_000


@dataclass(frozen=True, eq=False)
class MetaPaths:
    """All sequences of relations that can follow one another.

    Attributes:
        steps: the relations of each path, as numbers in `HeteroGraph.relations`; shorter ones first.
        after: (n_paths + 1, n_relations) int32: the number of the path that is one step longer, -1 where there is none;
            the last row is of the path without a step.
    """

    steps: tuple[tuple[int, ...], ...]
    after: NDArray[np.int32]

    def number(self, *steps: int) -> int:
        """The number of a path.

        Raises:
            KeyError: there is no such path.
        """
        if steps not in self.steps:
            raise KeyError(steps)
        return self.steps.index(steps)

    def __len__(self) -> int:
        return len(self.steps)


def meta_paths(graph: HeteroGraph, max_steps: int) -> MetaPaths:
    """The paths of 1..max_steps steps; a step by a relation goes from a node that it leads to back to a source.

    Raises:
        DataError: there would be far too many.
    """
    relations = graph.relations
    steps: list[tuple[int, ...]] = [()]
    longest = steps
    for _ in range(max_steps):
        longest = [
            (*path, number)
            for path in longest
            for number, relation in enumerate(relations)
            if not path or relations[path[-1]].source == relation.target
        ]
        steps = steps + longest
        if len(steps) > _MOST_PATHS:
            raise DataError(
                f"{len(relations)} relations make more than {_MOST_PATHS} meta-paths of {max_steps} steps: take fewer "
                "steps"
            )
    numbers = {path: number - 1 for number, path in enumerate(steps)}
    after = np.full((len(steps), len(relations)), UNKNOWN, np.int32)
    for path, number in numbers.items():
        if path:
            after[numbers[path[:-1]], path[-1]] = number  # the path without a step has number -1: the last row
    return MetaPaths(tuple(steps[1:]), after)


class Pairs(NamedTuple):
    """Nodes that met on walks.

    Attributes:
        sources: (n,) int32: nodes numbered through, see `HeteroGraph.starts`.
        targets: (n,) int32: likewise.
        paths: (n,) int32: by which meta-path.
    """

    sources: NDArray[np.int32]
    targets: NDArray[np.int32]
    paths: NDArray[np.int32]


class TypedWalks:
    """The edges of a graph in one array, for walks."""

    def __init__(self, graph: HeteroGraph, max_steps: int) -> None:
        """Put the edges of all relations in the order of the nodes they leave.

        Raises:
            DataError: the graph has no edge, or far too many meta-paths.
        """
        if not graph.n_edges:
            raise DataError(f"walks need edges: the graph of {sum(graph.n_nodes.values())} nodes has none")
        self.paths = meta_paths(graph, max_steps)
        self._max_steps = max_steps
        self._offsets, self._neighbours, self._relations = _out_edges(graph)

    @property
    def starts(self) -> NDArray[np.int64]:
        """The nodes that have an edge, numbered through."""
        return np.flatnonzero(np.diff(self._offsets))

    def pairs(self, starts: NDArray[np.int64], walk_length: int, seed: int) -> Pairs:
        """Who meets whom within `max_steps` steps on one walk of `walk_length` nodes from each start."""
        most = len(starts) * walk_length * self._max_steps
        pairs = Pairs(np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int32))
        edges = (self._offsets, self._neighbours, self._relations)
        n_pairs = _walk(edges, self.paths.after, starts, walk_length, self._max_steps, np.uint64(seed), pairs)
        return Pairs(*(part[:n_pairs] for part in pairs))


def _out_edges(graph: HeteroGraph) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int16]]:
    """Offsets per node, then neighbours and relations of all edges: relation after relation for each node."""
    degrees = np.concatenate([graph.degrees(node_type) for node_type in graph.types])
    offsets = np.concatenate([[0], np.cumsum(degrees)]).astype(np.int64)
    neighbours, kinds = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.int16)
    free = offsets[:-1].copy()
    for number, relation in enumerate(graph.relations):
        rows, begin = relation.neighbours, graph.starts[relation.target]
        own = slice(begin, begin + len(rows))
        places = ragged_positions(free[own], rows.lengths)
        neighbours[places] = rows.values + graph.starts[relation.source]
        kinds[places] = number
        free[own] += rows.lengths
    return offsets, neighbours, kinds


@njit(cache=True)
def _walk(
    edges: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int16]],
    after: NDArray[np.int32],
    starts: NDArray[np.int64],
    walk_length: int,
    max_steps: int,
    seed: np.uint64,
    pairs: Pairs,
) -> int:
    offsets, neighbours, relations = edges
    nodes, taken = np.empty(walk_length, np.int32), np.empty(walk_length, np.int16)
    state = np.empty(1, np.uint64)
    n_pairs = 0
    for walk in range(starts.shape[0]):
        state[0] = derive_seed(seed, walk)
        nodes[0] = starts[walk]
        length = 1
        while length < walk_length:
            begin, end = offsets[nodes[length - 1]], offsets[nodes[length - 1] + 1]
            if begin == end:
                break
            edge = begin + next_below(state, 0, end - begin)
            nodes[length], taken[length] = neighbours[edge], relations[edge]
            length += 1
        for first in range(length):
            path = after.shape[0] - 1
            for second in range(first + 1, min(first + max_steps, length - 1) + 1):
                path = after[path, taken[second]]
                if nodes[first] != nodes[second]:
                    pairs.sources[n_pairs] = nodes[first]
                    pairs.targets[n_pairs] = nodes[second]
                    pairs.paths[n_pairs] = path
                    n_pairs += 1
    return n_pairs


__all__ = ["MetaPaths", "Pairs", "TypedWalks", "meta_paths"]
