"""LightGCN: vectors of users and items, smoothed over the graph of who had what, and nothing else learned.

    E^(k+1) = D^(-1/2) A D^(-1/2) E^(k)                                                       (3), (8)
    E       = mean_{k=0..K} E^(k)                                                             (4), alpha_k = 1 / (K + 1)
    r_ui    = e_u . e_i                                                                       (5)
    L       = mean -ln sigmoid(r_ui - r_uj) + l2 (|e_u^(0)|^2 + |e_i^(0)|^2 + |e_j^(0)|^2)    (15)

i is an item of u, j an item that u never had, drawn uniformly; only E^(0) is learned. He, Deng, Wang, Li, Zhang & Wang:
LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation. SIGIR 2020,
https://arxiv.org/abs/2002.02126.

A user unknown to training has no e_u^(0); what the layers make of the history h is then

    e_u = 1 / (K + 1) sum_{k=0..K-1} sum_{i in h} e_i^(k) / sqrt(|h| |N_i|)

of which the encoder holds the part of each item, for a user of average degree.

Time per step: O(K n_edges dim), twice, whatever the batch, plus Adam over all vectors: large batches. Memory:
O(n_edges + (n_users + n_items) dim), three times the vectors for Adam; the layers are linear, none is kept for the
backward pass.

Differs from the paper: the squares are those of the batch, per example, as in the authors' code, not of all vectors.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from prismrec.data.prepared import PreparedData
from prismrec.models.collaborative.adjacency import UserItemGraph
from prismrec.models.collaborative.configs import LightGCNConfig
from prismrec.models.collaborative.interactions import InteractionBatches
from prismrec.models.contract import EmbeddingTable, StoredEncoder, TaskLoss
from prismrec.models.neural.contract import Objective
from prismrec.models.neural.losses import bpr
from prismrec.models.user_vectors import UserVectors


class LightGCNNetwork(nn.Module):
    """E^(0): the vectors of users and of items."""

    def __init__(self, n_users: int, n_items: int, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.users = nn.Parameter(0.1 * torch.randn(n_users, dim, generator=generator))
        self.items = nn.Parameter(0.1 * torch.randn(n_items, dim, generator=generator))

    def forward(self, graph: UserItemGraph, n_layers: int) -> list[torch.Tensor]:
        """E^(0)..E^(K), each (n_users + n_items, D)."""
        layers = [torch.cat([self.users, self.items])]
        for _ in range(n_layers):
            layers.append(graph.product(layers[-1]))
        return layers


class LightGCN:
    """LightGCN; a `NeuralModel`."""

    def __init__(self, config: LightGCNConfig, data: PreparedData, *, seed: int, device: str) -> None:
        """Fresh vectors for the users and items of `data`.

        Raises:
            DataError: there is no interaction.
        """
        generator = torch.Generator().manual_seed(seed)
        self._config = config
        self._graph = UserItemGraph(data, device)
        self._batches = InteractionBatches(data, config.batch_size, seed)
        self.network = LightGCNNetwork(len(data.users), len(data.items), config.embedding_dim, generator).to(device)
        self._device = device

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
        users, positives, negatives = (torch.from_numpy(a).to(self._device) for a in self._batches.batch(epoch, step))
        final_users, final_items = self._graph.split(self._mean_of_layers())
        e_u, e_i, e_j = final_users[users], final_items[positives], final_items[negatives]
        loss = bpr((e_u * e_i).sum(1), (e_u * e_j).sum(1))
        first = (self.network.users[users], self.network.items[positives], self.network.items[negatives])
        squares = sum(part.square().sum() for part in first) / len(users)
        total = {"ranking": TaskLoss(float(loss.detach()) * len(users), len(users))}
        return Objective(loss + self._config.l2 * squares, total)

    def _mean_of_layers(self) -> torch.Tensor:
        layers = self.network(self._graph, self._config.n_layers)
        mean: torch.Tensor = sum(layers) / len(layers)
        return mean

    def task_weights(self) -> Mapping[str, float]:
        """One task."""
        return {"ranking": 1.0}

    def table(self) -> EmbeddingTable:
        """Item vectors after propagation, on both sides."""
        with torch.inference_mode():
            items = self._graph.split(self._mean_of_layers())[1].cpu().numpy()
        return EmbeddingTable(items, items)

    def encoder(self) -> UserVectors:
        """Users by their vectors after propagation, unknown ones by what propagation makes of their items."""
        with torch.inference_mode():
            layers = self.network(self._graph, self._config.n_layers)
            users = self._graph.split(sum(layers) / len(layers))[0].cpu().numpy()
            said = self._graph.split(sum(layers[:-1]) / len(layers))[1].cpu().numpy()
        of_users, of_items = np.split(self._graph.degrees, [self._graph.n_users])
        scale = np.sqrt(of_users.mean() / np.maximum(of_items, 1)).astype(np.float32)
        return UserVectors(users, said * scale[:, None])

    def stored(self) -> StoredEncoder:
        """The encoder's two tables."""
        return self.encoder().stored("lightgcn")


__all__ = ["LightGCN"]
