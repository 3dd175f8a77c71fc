"""PinSage: vectors of users and items from what random walks visit most around them, with a max-margin loss.

    N(v)    = the T nodes that short walks from v visit most, alpha_vw their shares of the visits     (section 3.2)
    h_v^0   = own_v + sum over views of the mean vector of v's nodes in it
    n_v     = sum_{w in N(v)} alpha_vw ReLU(Q_k h_w^(k-1) + q_k)                                      (Algorithm 1, 1)
    h_v^k   = n(ReLU(W_k [h_v^(k-1) || n_v] + w_k)),   n(x) = x / |x|                                 (Algorithm 1, 2-3)
    z_v     = G2 ReLU(G1 h_v^K + g)                                                                   (Algorithm 2)
    L       = mean max(0, z_u . z_j - z_u . z_i + margin)                                             (1)

i is an item of user u. The j are `n_negatives` uniformly drawn items that a whole batch shares and, from the second
epoch on, one more in every epoch up to `n_hard` of u's own hard negatives: items near u in the walks that u never had,
without the nearest. Ying, He, Chen, Eksombatchai, Hamilton & Leskovec: Graph Convolutional Neural Networks for
Web-Scale Recommender Systems. KDD 2018, https://arxiv.org/abs/1806.01973.

The walks run once. A step computes the nodes that its batch needs and no other, layer by layer: O(batch T^K) of them,
at most all, each in O(T dim + dim^2) per layer. Memory: 8 T bytes per node, O(n_nodes dim) for the vectors and Adam.

Differs from the paper: nodes are the users and the items, both with own vectors, as in the comparison of MTHGT
(Computer Engineering & Science 2023), and a query is a user, not a pin; attributes come through views, not from images
and texts; hard negatives are ranked by the visits of the same walks, not by personalised PageRank; batches do not grow,
Adam's rate is constant. A node without interactions has no own vector, only those of its attributes. A user unknown to
training is the mean of the items' z.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from prismrec.data.prepared import PreparedData
from prismrec.models.collaborative.adjacency import UserItemGraph
from prismrec.models.collaborative.configs import PinSageConfig
from prismrec.models.collaborative.visits import Visited, Walks, important_neighbours, related_items
from prismrec.models.contract import EmbeddingTable, StoredEncoder, TaskLoss
from prismrec.models.neural.contract import Objective
from prismrec.models.neural.interactions import InteractionBatches
from prismrec.models.neural.made_once import MadeOnce
from prismrec.models.neural.threads import threads_kept
from prismrec.models.user_vectors import UserVectors

_N_RELATED = 50
"""Hard negatives that are kept of each user, to draw from."""

_DRAWN = 1
"""Tells the random numbers of negatives apart from those of the batch."""

_NODES_AT_ONCE = 65_536
"""How many nodes of a layer are computed together when all are served: bounds memory, not what comes out."""


class Level(NamedTuple):
    """Which vectors one convolution computes from which.

    Attributes:
        own: (M,) int64: where each of M nodes itself is among the vectors before.
        near: (M, T) int64: where its neighbours are.
        shares: (M, T) float32: alpha.
    """

    own: torch.Tensor
    near: torch.Tensor
    shares: torch.Tensor


def _linear(n_in: int, n_out: int, generator: torch.Generator, *, bias: bool = True) -> nn.Linear:
    linear = nn.Linear(n_in, n_out, bias=bias)
    nn.init.xavier_uniform_(linear.weight, generator=generator)
    if bias:
        nn.init.zeros_(linear.bias)
    return linear


class PinSageLayer(nn.Module):
    """One convolution, Algorithm 1."""

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.message = _linear(dim, dim, generator)
        self.update = _linear(2 * dim, dim, generator)

    def forward(self, vectors: torch.Tensor, level: Level) -> torch.Tensor:
        """(M, D): the next vectors of M nodes, from (N, D) vectors of all that matter to them."""
        return self.updated(vectors, self.messages(vectors), level)

    def messages(self, vectors: torch.Tensor) -> torch.Tensor:
        """(N, D): what nodes say to those who listen to them."""
        said: torch.Tensor = F.relu(self.message(vectors)).float()
        return said

    def updated(self, vectors: torch.Tensor, messages: torch.Tensor, level: Level) -> torch.Tensor:
        """(M, D): the next vectors, from what (N, D) nodes are and say."""
        received = F.embedding_bag(level.near, messages, per_sample_weights=level.shares, mode="sum")
        both = torch.cat([F.embedding(level.own, vectors), received], 1)
        return F.normalize(F.relu(self.update(both)).float())


class PinSageNetwork(nn.Module):
    """Own vectors of users and items, vectors of the nodes of views, and the weights."""

    def __init__(self, config: PinSageConfig, data: PreparedData, generator: torch.Generator) -> None:
        super().__init__()
        dim = config.embedding_dim
        self.users = nn.Parameter(0.1 * torch.randn(len(data.users), dim, generator=generator))
        self.items = nn.Parameter(0.1 * torch.randn(len(data.items), dim, generator=generator))
        nodes = [len(view.nodes) for view in data.views.values()]
        self.views = nn.ParameterList([0.1 * torch.randn(n, dim, generator=generator) for n in nodes])
        self.layers = nn.ModuleList([PinSageLayer(dim, generator) for _ in range(config.n_layers)])
        self.dense = _linear(dim, dim, generator)
        self.out = _linear(dim, dim, generator, bias=False)

    def forward(self, vectors: torch.Tensor, levels: list[Level]) -> torch.Tensor:
        """(M, D): z of the nodes of the last level.

        Args:
            vectors: (N, D): h^0 of the nodes that the first level needs.
            levels: for each layer the nodes that are computed, in terms of those before.
        """
        for layer, level in zip(self.layers, levels, strict=True):
            vectors = layer(vectors, level)
        return self.last(vectors)

    def last(self, vectors: torch.Tensor) -> torch.Tensor:
        """(M, D): z from h^K."""
        z: torch.Tensor = self.out(F.relu(self.dense(vectors))).float()
        return z


class Neighbourhoods:
    """N(v) and alpha of all nodes, and which nodes a batch needs."""

    def __init__(self, visited: Visited, device: str) -> None:
        self._nodes, self._shares, self._device = visited.nodes, visited.weights, device

    def needed(self, nodes: NDArray[np.int64], n_layers: int) -> tuple[NDArray[np.int64], list[Level]]:
        """The nodes whose h^0 is needed, rising, and a level per layer.

        Args:
            nodes: (M,) int64: whose vectors are asked for, distinct and rising.
            n_layers: how many convolutions lead to them.
        """
        levels: list[Level] = []
        for _ in range(n_layers):
            before = self._with_neighbours(nodes)
            places = np.empty(len(self._nodes), np.int64)
            places[before] = np.arange(len(before))
            levels.append(self._level(places[nodes], places[self._nodes[nodes]], self._shares[nodes]))
            nodes = before
        return nodes, levels[::-1]

    def blocks(self) -> Iterator[Level]:
        """All nodes, some at a time, from the vectors of all."""
        for begin in range(0, len(self._nodes), _NODES_AT_ONCE):
            part = slice(begin, begin + _NODES_AT_ONCE)
            near = self._nodes[part].astype(np.int64)
            yield self._level(np.arange(begin, begin + len(near)), near, self._shares[part])

    def _level(self, *arrays: NDArray) -> Level:
        return Level(*(torch.from_numpy(array).to(self._device) for array in arrays))

    def _with_neighbours(self, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        wanted = np.zeros(len(self._nodes), bool)
        wanted[nodes] = True
        wanted[self._nodes[nodes]] = True
        return np.flatnonzero(wanted)


def max_margin(positive: torch.Tensor, negatives: torch.Tensor, margin: float) -> torch.Tensor:
    """max(0, negative - positive + margin), mean over (B, N) scores of negatives, with (B,) scores of positives."""
    return F.relu(negatives - positive[:, None] + margin).mean()


class PinSage:
    """PinSage; a `NeuralModel`."""

    def __init__(self, config: PinSageConfig, data: PreparedData, *, seed: int, device: str) -> None:
        """Walk over the graph; fresh vectors for the users, items and view nodes of `data`, and fresh weights.

        Raises:
            DataError: there is no interaction.
        """
        graph = UserItemGraph(data, device)
        walks = Walks(config.n_walks, config.walk_length, seed)
        with threads_kept():
            self._near = Neighbourhoods(important_neighbours(graph, walks, config.n_neighbours), device)
            self._hard = related_items(graph, walks, _N_RELATED, config.hard_from)
        self._batches = InteractionBatches(data, config.batch_size, seed)
        self._item_nodes = [view.item_nodes for view in data.views.values()]
        self._met = torch.from_numpy(graph.degrees > 0)
        self._n_users, self._n_items = len(data.users), len(data.items)
        self._config, self._seed, self._device = config, seed, device
        self.network = PinSageNetwork(config, data, torch.Generator().manual_seed(seed)).to(device)
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
        """The max-margin loss of one batch of (user, item), computed for the nodes that it needs."""
        users, positives, _ = self._batches.batch(epoch, step)
        rng = np.random.default_rng([self._seed, epoch, step, _DRAWN])
        shared = rng.integers(self._n_items, size=self._config.n_negatives)
        hard = self._hard_negatives(users, min(epoch, self._config.n_hard), rng)
        nodes = np.unique(
            np.concatenate([users, *(self._n_users + part.ravel() for part in (positives, shared, hard))])
        )
        z = self._vectors(nodes)
        q, z_i, z_j, z_h = (
            F.embedding(torch.from_numpy(np.searchsorted(nodes, part)).to(self._device), z)
            for part in (users, *(self._n_users + part for part in (positives, shared, hard)))
        )
        own = torch.from_numpy(positives[:, None] == shared).to(self._device)
        scores = torch.cat([(q @ z_j.T).masked_fill(own, -torch.inf), torch.einsum("bd,bhd->bh", q, z_h)], 1)
        loss = max_margin((q * z_i).sum(1), scores, self._config.margin)
        return Objective(loss, {"ranking": TaskLoss(float(loss.detach()) * len(users), len(users))})

    def _hard_negatives(self, users: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """(B, n): items near each user that they never had; uniform ones where the walks met too few."""
        drawn = rng.integers(_N_RELATED, size=(len(users), n))
        items, counts = (array[users[:, None], drawn] for array in (self._hard.nodes, self._hard.counts))
        return np.where(counts > 0, items, rng.integers(self._n_items, size=items.shape))

    def _vectors(self, nodes: NDArray[np.int64]) -> torch.Tensor:
        """(M, D): z of nodes, distinct and rising."""
        needed, levels = self._near.needed(nodes, self._config.n_layers)
        vectors: torch.Tensor = self.network(self._first(needed), levels)
        return vectors

    def _first(self, nodes: NDArray[np.int64]) -> torch.Tensor:
        """(M, D): h^0 of nodes, distinct and rising: users come first."""
        n_users = int(np.searchsorted(nodes, self._n_users))
        users, items = nodes[:n_users], nodes[n_users:] - self._n_users
        own = torch.cat([_rows(self.network.users, users), _rows(self.network.items, items)])
        own = own * self._met[torch.from_numpy(nodes)].to(self._device)[:, None]
        for view, item_nodes in zip(self.network.views, self._item_nodes, strict=True):
            said = item_nodes.take(items)
            values, offsets = (
                torch.from_numpy(a.astype(np.int64)).to(self._device) for a in (said.values, said.offsets[:-1])
            )
            of_items = F.embedding_bag(values, view, offsets, mode="mean")
            own = own + F.pad(of_items, (0, 0, n_users, 0))
        return own

    def task_weights(self) -> Mapping[str, float]:
        """One task."""
        return {"ranking": 1.0}

    def table(self) -> EmbeddingTable:
        """z of the items, on both sides."""
        items = self._served.get()[1]
        return EmbeddingTable(items, items)

    def encoder(self) -> UserVectors:
        """Users by z, unknown ones by the mean of their items'."""
        return UserVectors(*self._served.get())

    def stored(self) -> StoredEncoder:
        """The encoder's two tables."""
        return self.encoder().stored("pinsage")

    def _made(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """z of the users and of the items: layer by layer, each node once."""
        vectors = self._first(np.arange(self._n_users + self._n_items))
        for layer in self.network.layers:
            messages = layer.messages(vectors)
            vectors = torch.cat([layer.updated(vectors, messages, level) for level in self._near.blocks()])
        z = self.network.last(vectors).cpu().numpy()
        return z[: self._n_users], z[self._n_users :]


def _rows(table: torch.Tensor, rows: NDArray[np.int64]) -> torch.Tensor:
    return F.embedding(torch.from_numpy(rows).to(table.device), table)


__all__ = ["PinSage"]
