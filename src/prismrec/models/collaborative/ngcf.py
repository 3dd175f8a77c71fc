"""NGCF: vectors of users and items, sent through layers of weights over the graph of who had what.

    E^(l) = LeakyReLU((L + I) E^(l-1) W1_l + (L E^(l-1) * E^(l-1)) W2_l),   L = D^(-1/2) A D^(-1/2)     (7), (8)
    e*    = e^(0) || n(e^(1)) || ... || n(e^(K)),   n(x) = x / |x|                                      (9)
    r_ui  = e*_u . e*_i                                                                                 (10)
    loss  = mean -ln sigmoid(r_ui - r_uj) + l2 (|e*_u|^2 + |e*_i|^2 + |e*_j|^2)                         (11)

`*` is the product by elements, `||` puts side by side. i is an item of u, j an item that u never had, drawn uniformly.
Message dropout leaves out numbers of E^(l), node dropout all that a node sends: L E is then of fewer nodes. Wang, He,
Wang, Feng & Chua: Neural Graph Collaborative Filtering. SIGIR 2019, https://arxiv.org/abs/1905.08108.

Time per step: O(K (n_edges dim + n_nodes dim^2)), thrice, whatever the batch, plus Adam over all vectors: large
batches. Memory: O(n_edges + K n_nodes dim): what each layer gives is kept for the backward pass.

Differs from the paper: each layer has biases, and what it adds to e* is scaled to length 1, both as in the authors'
code, which also drops numbers of E^(l) where the paper drops messages; the squares are those of the batch, per
example, without the weights W. A user unknown to training is the mean of the items' e*.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from prismrec.data.prepared import PreparedData
from prismrec.models.collaborative.adjacency import UserItemGraph
from prismrec.models.collaborative.configs import NGCFConfig
from prismrec.models.contract import EmbeddingTable, StoredEncoder, TaskLoss
from prismrec.models.neural.contract import Objective
from prismrec.models.neural.interactions import InteractionBatches
from prismrec.models.neural.losses import bpr
from prismrec.models.neural.made_once import MadeOnce
from prismrec.models.user_vectors import UserVectors

_SLOPE = 0.2
"""Of LeakyReLU below zero, as in the authors' code."""


class NGCFLayer(nn.Module):
    """One propagation, (7)."""

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.of_sums = nn.Linear(dim, dim)
        self.of_products = nn.Linear(dim, dim)
        for linear in (self.of_sums, self.of_products):
            nn.init.xavier_uniform_(linear.weight, generator=generator)
            nn.init.zeros_(linear.bias)

    def forward(self, vectors: torch.Tensor, received: torch.Tensor) -> torch.Tensor:
        """(n_nodes, D): the next vectors.

        Args:
            vectors: (n_nodes, D) E^(l-1).
            received: (n_nodes, D) L E^(l-1).
        """
        return F.leaky_relu(self.of_sums(received + vectors) + self.of_products(received * vectors), _SLOPE)


class NGCFNetwork(nn.Module):
    """The vectors of users and items, and the weights of the layers."""

    def __init__(self, config: NGCFConfig, n_users: int, n_items: int, generator: torch.Generator) -> None:
        super().__init__()
        self._message_dropout, self._node_dropout = config.message_dropout, config.node_dropout
        dim = config.embedding_dim
        self.users = nn.Parameter(0.1 * torch.randn(n_users, dim, generator=generator))
        self.items = nn.Parameter(0.1 * torch.randn(n_items, dim, generator=generator))
        self.layers = nn.ModuleList([NGCFLayer(dim, generator) for _ in range(config.n_layers)])

    def forward(self, graph: UserItemGraph) -> torch.Tensor:
        """(n_users + n_items, (K + 1) D): e* of all nodes."""
        vectors = torch.cat([self.users, self.items])
        parts = [vectors]
        for layer in self.layers:
            vectors = layer(vectors, graph.product(self._sent(vectors)))
            vectors = F.dropout(vectors, self._message_dropout, self.training)
            parts.append(F.normalize(vectors))
        return torch.cat(parts, 1)

    def _sent(self, vectors: torch.Tensor) -> torch.Tensor:
        """The vectors of the nodes that send messages; of the others zeros."""
        if not self.training or not self._node_dropout:
            return vectors
        return vectors * F.dropout(vectors.new_ones(len(vectors), 1), self._node_dropout)


class NGCF:
    """NGCF; a `NeuralModel`."""

    def __init__(self, config: NGCFConfig, data: PreparedData, *, seed: int, device: str) -> None:
        """Fresh vectors for the users and items of `data`, and fresh weights.

        Raises:
            DataError: there is no interaction.
        """
        self._config = config
        self._graph = UserItemGraph(data, device)
        self._batches = InteractionBatches(data, config.batch_size, seed)
        generator = torch.Generator().manual_seed(seed)
        self.network = NGCFNetwork(config, len(data.users), len(data.items), generator).to(device)
        self._device = device
        self._served = MadeOnce(self.network, self._made)

    @property
    def learning_rate(self) -> float:
        """Of Adam."""
        return self._config.learning_rate

    @property
    def steps_per_epoch(self) -> int:
        """Batches that go once over all interactions."""
        return self._batches.n_batches

    def objective(self, epoch: int, step: int) -> Objective:
        """BPR on one batch of (user, item, other item), after one propagation over the whole graph."""
        users, positives, negatives = self._batches.batch(epoch, step)
        nodes = np.concatenate([users, self._graph.n_users + positives, self._graph.n_users + negatives])
        batch = F.embedding(torch.from_numpy(nodes).to(self._device), self.network(self._graph))
        e_u, e_i, e_j = batch.chunk(3)
        loss = bpr((e_u * e_i).sum(1), (e_u * e_j).sum(1))
        squares = batch.square().sum() / len(users)
        total = {"ranking": TaskLoss(float(loss.detach()) * len(users), len(users))}
        return Objective(loss + self._config.l2 * squares, total)

    def task_weights(self) -> Mapping[str, float]:
        """One task."""
        return {"ranking": 1.0}

    def table(self) -> EmbeddingTable:
        """e* of the items, on both sides."""
        items = self._served.get()[1]
        return EmbeddingTable(items, items)

    def encoder(self) -> UserVectors:
        """Users by e*, unknown ones by the mean of their items'."""
        return UserVectors(*self._served.get())

    def stored(self) -> StoredEncoder:
        """The encoder's two tables."""
        return self.encoder().stored("ngcf")

    def _made(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """e* of users and of items without dropout."""
        self.network.eval()
        users, items = self._graph.split(self.network(self._graph))
        self.network.train()
        return users.cpu().numpy(), items.cpu().numpy()


__all__ = ["NGCF"]
