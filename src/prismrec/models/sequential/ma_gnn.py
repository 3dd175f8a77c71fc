"""MA-GNN: short-term interest by a graph network, long-term interest by attention and a shared memory, fused by a gate.

    S_u  the last |L| items of user u     H_u  the items before them, n of them     A  graphs/item_graph.py

    (1)  h_i   = tanh(W_1 [ sum_k A_ik e_k ; e_i ])                               for i in S_u
    (2)  p_s   = tanh(W_2 [ mean_{i in S_u} h_i ; p_u ])
    (3)  X     = E[H_u] + P                                                       (n, d), P sinusoidal
    (4)  alpha = softmax_n(W_a3 tanh(W_a1 X^T + (W_a2 p_u) 1^T))                  (h, n)
         z     = mean_h tanh(alpha X)
    (5)  p_h   = z + sum_m softmax_m(z . k_m) v_m
    (6)  g     = sigmoid(W_g1 p_s + W_g2 p_h + W_g3 p_u)
         p_c   = g * p_s + (1 - g) * p_h
    (7)  c_uj  = mean_{i in S_u} e_i^T W_r q_j
    (8)  r_uj  = p_u . q_j + p_c . q_j + c_uj  =  (p_u + p_c + W_r^T mean e_i) . q_j
    (9)  L     = mean -log sigmoid(r_ui - r_uj) + l2 (|P|^2 + |Q|^2 + |E|^2 + |Theta|^2)

Ma, Ma, Zhang, Sun, Liu & Coates: Memory Augmented Graph Neural Networks for Sequential Recommendation. AAAI 2020,
https://arxiv.org/abs/1912.11730. The second form of (8) is what an index searches; sources of `similar` are E W_r.

Cost of a step of B windows: time O(B n d h + |S| k d + N d^2), |S| the distinct items of the B short terms with k
neighbours each, N items; W_a1 E is made once per step, not once per place. Memory O(B n d), and O(B N) by parts for
the full softmax.

Differs from the paper: H_u is cut to its last `windows.far` items, and its positions count back from the latest; P is
scaled to the size of fresh item vectors; rows of A keep their `neighbours` heaviest edges. `parts.recency = "learned"`
replaces the means of (2) and (7) by averages with one learned weight per age, "equal" is the paper's; `loss = "bpr"` is
(9) with one uniform negative per target, `loss = "softmax"` puts one of -log softmax in its place
(`catalogue_softmax.py`). Users who were not
trained have the mean of all p_u; one of them without a history is the zero vector.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn
from torch.autograd.function import once_differentiable

from prismrec.config import build
from prismrec.data.prepared import PreparedData
from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.graphs.item_graph import item_graph
from prismrec.graphs.views import ViewGraph
from prismrec.models.contract import EmbeddingTable, StoredEncoder, TaskLoss
from prismrec.models.neural.arrays import copied
from prismrec.models.neural.catalogue_softmax import CatalogueSoftmax
from prismrec.models.neural.contract import Objective
from prismrec.models.neural.losses import bpr
from prismrec.models.neural.threads import threads_kept
from prismrec.models.neural.unseen import UnseenItems
from prismrec.models.sequential.configs import MAGNNConfig
from prismrec.models.sequential.windows import Windows, last_window

_SCALE = 0.02
"""Standard deviation of fresh vectors, and the size of positions."""

_QUERIES_AT_ONCE = 2048

_FEW = 8
"""A batch that names less than one in so many items reads only their rows of the graph."""


def sinusoids(length: int, dim: int) -> torch.Tensor:
    """(length, dim): sin and cos of the place over 10000^(2 i / dim), column by column in turn.

    Vaswani et al., 2017, section 3.5, https://arxiv.org/abs/1706.03762.
    """
    angles = torch.arange(length)[:, None] * torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
    return torch.stack([angles.sin(), angles.cos()], dim=2).reshape(length, -1)[:, :dim]


class _Product(torch.autograd.Function):
    """A sparse matrix times vectors, with its transpose at hand for the gradient; float32 under autocast too."""

    @staticmethod
    def forward(ctx: Any, matrix: torch.Tensor, transposed: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        ctx.transposed = transposed
        with torch.autocast(vectors.device.type, enabled=False):  # no sparse product of bfloat16
            return matrix @ vectors

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, outer: torch.Tensor) -> tuple[None, None, torch.Tensor]:
        return None, None, ctx.transposed @ outer


class Neighbours:
    """The item graph, multiplied by vectors of items."""

    def __init__(self, graph: ViewGraph, device: torch.device) -> None:
        self._matrix, self._device = graph.to_scipy(), device
        self._whole = self._both_ways(self._matrix)

    def mean(self, items: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """(n, d): sum_k A_ik e_k for each of the items (n,); of few items in many only their rows are read."""
        if _FEW * len(items) > len(vectors):
            return F.embedding(items, _Product.apply(*self._whole, vectors))
        product: torch.Tensor = _Product.apply(*self._both_ways(self._matrix[items.cpu().numpy()]), vectors)
        return product

    def _both_ways(self, matrix: sp.csr_array) -> tuple[torch.Tensor, torch.Tensor]:
        return self._csr(matrix), self._csr(sp.csr_array(matrix.T))

    def _csr(self, matrix: sp.csr_array) -> torch.Tensor:
        parts = (torch.from_numpy(part) for part in (matrix.indptr, matrix.indices, matrix.data))
        with warnings.catch_warnings():  # torch calls its CSR tensors a beta, in each process once
            warnings.filterwarnings("ignore", "Sparse CSR tensor support", UserWarning)
            return torch.sparse_csr_tensor(*parts, size=matrix.shape, device=self._device, check_invariants=False)


class MAGNNNetwork(nn.Module):
    """All that is learned, and equations (1) to (8)."""

    def __init__(self, config: MAGNNConfig, n_users: int, n_items: int, generator: torch.Generator) -> None:
        super().__init__()
        dim, near = config.embedding_dim, config.windows.near
        self.parts, self.dropout = config.parts, config.dropout
        self.users, self.items, self.targets = (
            nn.Parameter(_SCALE * torch.randn(n, dim, generator=generator)) for n in (n_users, n_items, n_items)
        )
        self.neighbours, self.self_loop, self.short, self.short_user = (_square(dim, generator) for _ in range(4))
        self.key, self.key_user = (_square(dim, generator) for _ in range(2))
        self.heads = nn.Parameter(torch.randn(config.heads, dim, generator=generator) / math.sqrt(dim))
        self.memory_keys, self.memory_values = (
            nn.Parameter(_SCALE * torch.randn(config.memory_slots, dim, generator=generator)) for _ in range(2)
        )
        self.gate_short, self.gate_long, self.gate_user = (_square(dim, generator) for _ in range(3))
        self.bilinear = _square(dim, generator)
        self.ages = nn.Parameter(torch.zeros(2, near))
        self.register_buffer("positions", _SCALE * sinusoids(config.windows.far, dim).flip(0), persistent=False)

    def hidden(self, items: torch.Tensor, neighbours: Neighbours | None) -> torch.Tensor:
        """(n, d): h_i of equation (1) for the items (n,)."""
        own = F.embedding(items, self.items) @ self.self_loop
        if neighbours is None:
            return torch.tanh(own)
        return torch.tanh(own + neighbours.mean(items, self.items) @ self.neighbours)

    def forward(self, users: torch.Tensor, near: torch.Tensor, far: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """(B, d): what meets q_j in equation (8).

        Args:
            users: (B, d), p_u.
            near: (B, L) int64, -1 where there is none.
            far: (B, n) int64, -1 where there is none.
            hidden: (B, L, d), h_i of the near items.
        """
        p_u = self._dropped(users)
        vector = self._fused(p_u, near, far, hidden)
        if self.parts.user:
            vector = vector + p_u
        if self.parts.bilinear:
            rows = self._dropped(F.embedding(near.clamp(min=0), self.items))
            vector = vector + self._average(rows, near, self.ages[1]) @ self.bilinear
        return vector

    def _fused(self, p_u: torch.Tensor, near: torch.Tensor, far: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """p_c of equation (6)."""
        parts = self.parts
        if parts.interests == "long":
            return self.long_term(p_u, far)
        mean = self._average(self._dropped(hidden), near, self.ages[0])
        p_s = torch.tanh(mean @ self.short + p_u @ self.short_user)
        if parts.interests == "short":
            return p_s
        p_h = self.long_term(p_u, far)
        if not parts.gate:
            return (p_s + p_h) / 2
        gate = torch.sigmoid(p_s @ self.gate_short + p_h @ self.gate_long + p_u @ self.gate_user)
        return gate * p_s + (1 - gate) * p_h

    def long_term(self, p_u: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
        """(B, d): p_h of equation (5)."""
        z = self._dropped(self.query(p_u, far))
        return z + self.attention(z) @ self.memory_values if self.parts.memory else z

    def attention(self, z: torch.Tensor) -> torch.Tensor:
        """(B, slots): the softmax of equation (5), how much a user reads of each slot of the memory."""
        return F.softmax(z @ self.memory_keys.T, dim=1)

    def query(self, p_u: torch.Tensor, far: torch.Tensor) -> torch.Tensor:
        """(B, d): z of equation (4); zero where there are no far items."""
        absent, items = far < 0, far.clamp(min=0)
        keys = F.embedding(items, self.items @ self.key)  # (B, n, d) three times would be most of a step: in place
        keys = keys.add_(self.positions @ self.key).add_((p_u @ self.key_user)[:, None]).tanh_()
        scores = keys @ self.heads.T
        weights = F.softmax(scores.masked_fill(absent[:, :, None], -1e9), dim=1)
        weights = weights.masked_fill(absent[:, :, None], 0.0).transpose(1, 2)
        summed = weights @ F.embedding(items, self.items) + weights @ self.positions
        return torch.tanh(summed).mean(1)

    def _average(self, rows: torch.Tensor, near: torch.Tensor, ages: torch.Tensor) -> torch.Tensor:
        """(B, d): the average of (B, L, d) over the items that are there; zero where none is."""
        there = (near >= 0).to(rows.dtype)
        weights = there * F.softmax(ages, 0) if self.parts.recency == "learned" else there
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1e-12)
        return (weights[:, None] @ rows)[:, 0]

    def _dropped(self, values: torch.Tensor) -> torch.Tensor:
        return F.dropout(values, self.dropout, self.training)


def _square(dim: int, generator: torch.Generator) -> nn.Parameter:
    """(dim, dim), used from the right: x @ W, with the variance of Glorot & Bengio, 2010."""
    return nn.Parameter(torch.randn(dim, dim, generator=generator) / math.sqrt(dim))


def _neighbours(data: PreparedData, kept: int, device: torch.device) -> Neighbours:
    with threads_kept():
        graph = item_graph(data.histories, len(data.items), neighbours=kept)
    return Neighbours(graph, device)


class MAGNN:
    """MA-GNN; a `NeuralModel`."""

    def __init__(self, config: MAGNNConfig, data: PreparedData, *, seed: int, device: str) -> None:
        """Fresh vectors for the users and items of `data`.

        Raises:
            DataError: no history has two items.
        """
        windows = config.windows
        self._config, self._seed, self._device = config, seed, torch.device(device)
        self._windows = Windows(
            data.histories, near=windows.near, far=windows.far, targets=windows.targets, stride=windows.stride,
            batch_size=config.batch_size, seed=seed,
        )  # fmt: skip
        self._unseen = UnseenItems(data.histories, len(data.items))
        self._softmax = CatalogueSoftmax(data.items.counts, config.n_negatives)
        self._n_items = len(data.items)
        uses_graph = config.parts.graph and config.parts.interests != "long"
        self._neighbours = _neighbours(data, config.neighbours, self._device) if uses_graph else None
        generator = torch.Generator().manual_seed(seed)
        self.network = MAGNNNetwork(config, len(data.users), self._n_items, generator).to(self._device)

    @property
    def learning_rate(self) -> float:
        """Of Adam."""
        return self._config.learning_rate

    @property
    def steps_per_epoch(self) -> int:
        """Batches that go over the places of one stride."""
        return self._windows.n_batches

    def objective(self, epoch: int, step: int) -> Objective:
        """Equation (9), or the same with a softmax, on one batch of windows."""
        batch = self._windows.batch(epoch, step)
        users, near, far, targets = (torch.from_numpy(part).to(self._device) for part in batch)
        distinct, places = torch.unique(near.clamp(min=0), return_inverse=True)
        hidden = F.embedding(places, self.network.hidden(distinct, self._neighbours))
        queries = self.network(self.network.users[users], near, far, hidden)
        there = targets >= 0
        owners = there.nonzero()[:, 0]
        loss = self._ranking(
            queries[owners], targets[there], users[owners], np.random.default_rng([self._seed, epoch, step])
        )
        squares = sum(part.square().sum() for part in self.network.parameters())
        losses = {"ranking": TaskLoss(float(loss.detach()) * len(owners), len(owners))}
        return Objective(loss + self._config.l2 * squares, losses)

    def _ranking(
        self, queries: torch.Tensor, positives: torch.Tensor, users: torch.Tensor, rng: np.random.Generator
    ) -> torch.Tensor:
        items = self.network.targets
        if self._config.loss == "softmax":
            return self._softmax.value(queries, items, positives, rng)
        negatives = torch.from_numpy(self._unseen.draw(users.cpu().numpy(), rng)).to(self._device)
        return bpr((queries * items[positives]).sum(1), (queries * items[negatives]).sum(1))

    def task_weights(self) -> Mapping[str, float]:
        """One task."""
        return {"ranking": 1.0}

    def table(self) -> EmbeddingTable:
        """What an item of S_u adds by equation (7), E W_r, and the q_j that it meets."""
        with torch.inference_mode():
            sources = self.network.items @ self.network.bilinear if self._config.parts.bilinear else self.network.items
            return EmbeddingTable(copied(sources), copied(self.network.targets))

    def stored(self) -> StoredEncoder:
        """The network without its targets and its graph: h_i of all items is in a table."""
        arrays = {name: copied(value) for name, value in self.network.state_dict().items() if name != "targets"}
        return StoredEncoder("ma_gnn", self._config.model_dump(mode="json"), {**arrays, "hidden": self._hidden()}, True)

    def encoder(self) -> MAGNNEncoder:
        """A copy of what the network knows now."""
        stored = self.stored()
        return MAGNNEncoder.opened(stored.config, {name: value.copy() for name, value in stored.arrays.items()})

    def _hidden(self) -> NDArray[np.float32]:
        with torch.inference_mode():
            parts = torch.arange(self._n_items, device=self._device).split(65536)
            return np.concatenate([copied(self.network.hidden(part, self._neighbours)) for part in parts])


class MAGNNEncoder:
    """Equations (1) to (8) for queries; a `QueryEncoder`."""

    def __init__(self, network: MAGNNNetwork, hidden: torch.Tensor) -> None:
        """Bind a trained network and h_i of all items, (N, d)."""
        self._network, self._hidden = network.eval(), hidden
        self._mean_user = network.users.detach().mean(0)

    @classmethod
    def opened(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> MAGNNEncoder:
        """From what `stored` gave."""
        checked = build(MAGNNConfig, config, "the encoder's configuration")
        tensors = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
        hidden = tensors.pop("hidden")
        network = MAGNNNetwork(checked, len(tensors["users"]), len(tensors["items"]), torch.Generator())
        network.targets = nn.Parameter(torch.zeros(0, checked.embedding_dim))  # are no part of a query
        network.load_state_dict({**tensors, "targets": network.targets}, assign=True)
        return cls(network, hidden)

    def encode(self, histories: Sequences, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n_queries, d) float32: p_u + p_c + W_r^T mean e_i; zero where neither user nor history is known."""
        vectors = np.zeros((len(histories), self._hidden.shape[1]), np.float32)
        for part, p_u, near, far in self._batches(histories, users):
            vectors[part] = self._network(p_u, near, far, F.embedding(near.clamp(min=0), self._hidden)).numpy()
        vectors[(histories.lengths == 0) & (users == UNKNOWN)] = 0.0
        return vectors

    def memory_attention(self, histories: Sequences, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n_queries, slots) float32: how much each query reads of each slot of the memory, rows that add up to 1."""
        weights = np.zeros((len(histories), len(self._network.memory_keys)), np.float32)
        for part, p_u, _, far in self._batches(histories, users):
            weights[part] = self._network.attention(self._network.query(p_u, far)).numpy()
        return weights

    def _batches(
        self, histories: Sequences, users: NDArray[np.int64]
    ) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Queries a bounded number at a time: which, p_u, near and far items."""
        near, far = self._network.ages.shape[1], len(self._network.positions)
        with torch.inference_mode():
            for begin in range(0, len(histories), _QUERIES_AT_ONCE):
                part = slice(begin, min(begin + _QUERIES_AT_ONCE, len(histories)))
                known = torch.from_numpy(users[part])
                p_u = torch.where((known >= 0)[:, None], self._network.users[known.clamp(min=0)], self._mean_user)
                near_items, far_items = last_window(histories.slice(part.start, part.stop), near, far)
                yield part, p_u, torch.from_numpy(near_items), torch.from_numpy(far_items)


__all__ = ["MAGNN", "MAGNNEncoder", "MAGNNNetwork", "Neighbours", "sinusoids"]
