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

With `loss = "sampled_softmax"`, the default, (15) becomes a softmax over i and n items that the batch shares, with
cosines for scores, and vectors of length 1 are served (Wu et al., 2022, https://arxiv.org/abs/2201.02327):

    L = mean -ln( exp(c_ui / t) / (exp(c_ui / t) + sum_j exp(c_uj / t)) ) + l2 (...),   c_ui = e_u . e_i / |e_u| |e_i|

Differs from the paper: its loss is `loss = "bpr"`, not the default; the squares are those of the batch, per example, as
in the authors' code, not of all vectors.
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
from prismrec.models.collaborative.configs import LightGCNConfig
from prismrec.models.contract import EmbeddingTable, StoredEncoder, TaskLoss
from prismrec.models.neural.contract import Objective
from prismrec.models.neural.interactions import InteractionBatches
from prismrec.models.neural.losses import bpr, sampled_softmax
from prismrec.models.neural.made_once import MadeOnce
from prismrec.models.user_vectors import UserVectors

_DRAWN = 1
"""Tells the random numbers of shared negatives apart from those of the batch."""


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
        self._seed, self._device = seed, device
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
        """The loss of one batch of (user, item, other item), after one propagation over the whole graph."""
        users, positives, negatives = self._batches.batch(epoch, step)
        layers = self.network(self._graph, self._config.n_layers)
        final = sum(layers) / len(layers)
        if self._config.loss == "bpr":
            nodes = self._nodes(users, positives, negatives)
            e_u, e_i, e_j = F.embedding(nodes, final).chunk(3)
            loss = bpr((e_u * e_i).sum(1), (e_u * e_j).sum(1))
        else:
            nodes = self._nodes(users, positives)
            loss = self._softmax(final, nodes, np.random.default_rng([self._seed, epoch, step, _DRAWN]))
        squares = F.embedding(nodes, layers[0]).square().sum() / len(users)
        total = {"ranking": TaskLoss(float(loss.detach()) * len(users), len(users))}
        return Objective(loss + self._config.l2 * squares, total)

    def _nodes(self, users: NDArray[np.int64], *items: NDArray[np.int64]) -> torch.Tensor:
        """Users, then items, as nodes of the graph: the vectors of a batch are looked up at once."""
        nodes = np.concatenate([users, *(self._graph.n_users + part for part in items)])
        return torch.from_numpy(nodes).to(self._device)

    def _softmax(self, final: torch.Tensor, nodes: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        users, positives = nodes.chunk(2)
        items = F.normalize(self._graph.split(final)[1])
        queries = F.normalize(F.embedding(users, final)) / self._config.temperature
        negatives = torch.from_numpy(rng.integers(self._graph.n_items, size=self._config.n_negatives)).to(self._device)
        return sampled_softmax(queries, items, positives - self._graph.n_users, negatives)

    def task_weights(self) -> Mapping[str, float]:
        """One task."""
        return {"ranking": 1.0}

    def table(self) -> EmbeddingTable:
        """Item vectors after propagation, on both sides."""
        items = self._served.get()[1]
        return EmbeddingTable(items, items)

    def encoder(self) -> UserVectors:
        """Users by their vectors after propagation, unknown ones by what propagation makes of their items."""
        users, _, said = self._served.get()
        return UserVectors(users, said)

    def _made(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """The vectors of users, those of items, and what an item says of a user who is unknown."""
        layers = self.network(self._graph, self._config.n_layers)
        users, items = self._graph.split(sum(layers) / len(layers))
        if self._config.loss == "sampled_softmax":  # whose scores are cosines
            users, items = F.normalize(users), F.normalize(items)
        said = self._graph.split(sum(layers[:-1]) / len(layers))[1].cpu().numpy()
        of_users, of_items = np.split(self._graph.degrees, [self._graph.n_users])
        scale = np.sqrt(of_users.mean() / np.maximum(of_items, 1)).astype(np.float32)
        return users.cpu().numpy(), items.cpu().numpy(), said * scale[:, None]

    def stored(self) -> StoredEncoder:
        """The encoder's two tables."""
        return self.encoder().stored("lightgcn")


__all__ = ["LightGCN"]
