"""What M2GRL learns from: one process's share of the sequences and edges, and what each must know of the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prismrec.cluster.crew import share_of
from prismrec.data.prepared import PreparedData
from prismrec.data.schema import ITEM_VIEW
from prismrec.data.sequences import Sequences
from prismrec.data.views import mapped

SequenceKind = Literal["sessions", "histories"]


class Edges(NamedTuple):
    """Some edges from items to the nodes of a side view.

    Attributes:
        items, nodes: (n_edges,) int32.
    """

    items: NDArray[np.int32]
    nodes: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The share of one process; that of a single one is everything.

    Attributes:
        n_nodes: nodes of each view of the whole, the item view first.
        sequences: own sequences of each view; rows of different views need not belong together.
        counts: (n_nodes,) int64 per view: how often each node occurs in the sequences of the whole.
        edges: own edges of each side view.
        item_nodes: nodes of every item of the whole, by side view; read where hard negatives are drawn.
    """

    n_nodes: Mapping[str, int]
    sequences: Mapping[str, Sequences]
    counts: Mapping[str, NDArray[np.int64]]
    edges: Mapping[str, Edges]
    item_nodes: Mapping[str, Sequences]

    @property
    def view_names(self) -> tuple[str, ...]:
        """The item view first."""
        return tuple(self.n_nodes)

    @property
    def n_clicks(self) -> int:
        """Items in the sequences of the whole."""
        return int(self.counts[ITEM_VIEW].sum())

    def share(self, rank: int, size: int) -> TrainingData:
        """What process `rank` of `size` learns from: consecutive rows and edges, as views of these arrays."""
        return TrainingData(
            n_nodes=self.n_nodes,
            sequences={v: s.slice(*share_of(s.offsets, rank, size)) for v, s in self.sequences.items()},
            counts=self.counts,
            edges={v: _edge_share(e, rank, size) for v, e in self.edges.items()},
            item_nodes=self.item_nodes,
        )


def training_data(data: PreparedData, kind: SequenceKind) -> TrainingData:
    """All that prepared data hold for training.

    Args:
        kind: learn from sessions, or from each user's whole history mapped to every view.
    """
    n_nodes = {view: len(data.nodes(view)) for view in data.view_names}
    sequences = {view: _sequences(data, view, kind) for view in data.view_names}
    return TrainingData(
        n_nodes=n_nodes,
        sequences=sequences,
        counts={v: np.bincount(s.values, minlength=n_nodes[v]) for v, s in sequences.items()},
        edges={name: edges_of(view.item_nodes) for name, view in data.views.items()},
        item_nodes={name: view.item_nodes for name, view in data.views.items()},
    )


def edges_of(item_nodes: Sequences) -> Edges:
    """Every edge from an item to one of its nodes, in the order of the items."""
    return Edges(np.repeat(np.arange(len(item_nodes), dtype=np.int32), item_nodes.lengths), item_nodes.values)


def _sequences(data: PreparedData, view: str, kind: SequenceKind) -> Sequences:
    if kind == "sessions":
        return data.view_sessions(view)
    return data.histories if view == ITEM_VIEW else mapped(data.histories, data.views[view].item_nodes)


def _edge_share(edges: Edges, rank: int, size: int) -> Edges:
    n = len(edges.items)
    part = slice(n * rank // size, n * (rank + 1) // size)
    return Edges(edges.items[part], edges.nodes[part])


__all__ = ["Edges", "SequenceKind", "TrainingData", "edges_of", "training_data"]
