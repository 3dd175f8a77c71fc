"""What models of a typed graph begin and end with: vectors of nodes, projected; vectors of the whole graph at last.

    H^0[v] = sigma(W_type(v) x_v)                                                                          (3)

of Luo, Liu & Yang, 2023, doi 10.3969/j.issn.1007-130X.2023.04.020; nodes have no features but who they are, so x_v is
learned. Inference goes layer by layer through the whole graph, in blocks of target nodes with all their edges: exact,
the same every time, in memory O(n_nodes x dim + edges_at_once x dim), whatever the graph holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from prismrec.data.schema import ITEM_VIEW, USERS
from prismrec.graphs.heterogeneous import HeteroGraph
from prismrec.graphs.subgraphs import Block, blocks
from prismrec.models.contract import EmbeddingTable
from prismrec.models.neural.made_once import MadeOnce
from prismrec.models.user_vectors import UserVectors

Vectors = Mapping[str, torch.Tensor]
"""Of every node type (n_nodes, dim)."""

Layer = Callable[[Block, Vectors], torch.Tensor]
"""New vectors of a block's nodes, from those of all nodes."""

_EDGES_AT_ONCE = 2**17

_SPREAD = 0.1
"""Of fresh vectors, per number: small enough that tanh is nearly a straight line."""


class ByType(nn.Module):
    """A parameter of each node type; views give types their names, and `nn.ParameterDict` refuses some: type, items."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Hold them under names that are no attributes; `__` sets the type apart, as in the names of relations."""
        super().__init__()
        for name, parameter in parameters.items():
            self.register_parameter(f"of__{name}", parameter)

    def __getitem__(self, node_type: str) -> nn.Parameter:
        parameter: nn.Parameter = getattr(self, f"of__{node_type}")
        return parameter


class NodeVectors(nn.Module):
    """Equation (3) for all node types."""

    def __init__(self, n_nodes: Mapping[str, int], dim: int, generator: torch.Generator) -> None:
        """Random vectors, projections that begin as the identity."""
        super().__init__()
        self._types = tuple(n_nodes)
        self.own = ByType(
            {name: nn.Parameter(_SPREAD * torch.randn(n, dim, generator=generator)) for name, n in n_nodes.items()}
        )
        self.projection = ByType({name: nn.Parameter(torch.eye(dim)) for name in n_nodes})

    def forward(self, nodes: Vectors) -> dict[str, torch.Tensor]:
        """(n, dim) of the given nodes of each type, which are (n,) int64."""
        return {name: self._projected(name, F.embedding(rows, self.own[name])) for name, rows in nodes.items()}

    def whole(self) -> dict[str, torch.Tensor]:
        """(n_nodes, dim) of every type."""
        return {name: self._projected(name, self.own[name]) for name in self._types}

    def _projected(self, name: str, vectors: torch.Tensor) -> torch.Tensor:
        return torch.tanh(vectors @ self.projection[name])


def propagated(
    graph: HeteroGraph, vectors: Vectors, layers: Iterable[Layer], edges_at_once: int = _EDGES_AT_ONCE
) -> dict[str, torch.Tensor]:
    """Vectors of all nodes after all layers."""
    now = dict(vectors)
    for layer in layers:
        fresh = {name: torch.empty_like(old) for name, old in now.items()}
        for block in blocks(graph, edges_at_once):
            fresh[block.node_type][block.begin : block.end] = layer(block, now)
        now = fresh
    return now


def unit(vectors: torch.Tensor, temperature: float) -> torch.Tensor:
    """Vectors of length 1 / sqrt(temperature): their products are cosines over the temperature."""
    return F.normalize(vectors, dim=-1) / temperature**0.5


class WholeGraphVectors:
    """Vectors of users and items for answers, made once for each state of a network's parameters."""

    def __init__(self, network: nn.Module, make: Callable[[], Vectors]) -> None:
        """Bind the network and how its vectors are made."""
        self._make = make
        self._once = MadeOnce(network, self._made)

    def users_and_items(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(n_users, dim) and (n_items, dim) float32."""
        return self._once.get()

    def _made(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        made = self._make()
        return made[USERS].cpu().numpy(), made[ITEM_VIEW].cpu().numpy()

    def table(self) -> EmbeddingTable:
        """Item vectors; sources are targets."""
        items = self.users_and_items()[1]
        return EmbeddingTable(items, items)

    def encoder(self) -> UserVectors:
        """User vectors; of unknown users the mean of their items' vectors."""
        return UserVectors(*self.users_and_items())


__all__ = ["ByType", "Layer", "NodeVectors", "Vectors", "WholeGraphVectors", "propagated", "unit"]
