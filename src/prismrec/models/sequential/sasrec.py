"""SASRec: causal self-attention over a history (Kang & McAuley, ICDM 2018, https://arxiv.org/abs/1808.09781).

    E_s = M_{x_s} + P_s                                  item and position, dropout            (1)
    SA(E) = softmax(Q K^T / sqrt(d)) V                   Q, K, V = E W^Q, E W^K, E W^V         (2), (3)
    FFN(S) = ReLU(S W1 + b1) W2 + b2                                                          (4)
    g -> x + dropout(g(layer_norm(x)))                   round each SA and FFN, b blocks       (5), (6)
    r_{s,i} = F_s . M_i                                  score of item i after place s         (7)
    L = - sum_s [ log sigmoid(r_{s,x_{s+1}}) + log(1 - sigmoid(r_{s,j})) ]                    (8)

(numbers are ours). A place attends to itself and those before it. Items share one table M as input and output. The
query vector is F at the last item of the history; the user plays no part.

Cost per epoch of n places: time n (b (6 d^2 + L d) + N d) multiplications, forward, with the softmax loss over N items;
K takes the place of N with the sampled one. Memory: N d numbers learned, and b L d per history of a batch.

Differs from the paper:
- the loss is softmax, over the whole catalogue or sampled (`loss`): independent runs on ML-1M (leave one out, full
  ranking) reach HR@10 0.306 with it and 0.199 with (8), which is `loss = "bce"`;
- histories longer than L are cut into pieces that are all learned from (`pieces.py`); the paper keeps the last L items;
- rows are padded on the right and positions count from the first item of a row, so that no mask is needed;
- a last layer norm follows the blocks, heads are joined by a linear map, and items enter (1) times sqrt(d), as in the
  authors' code and the Transformer; attention weights themselves see no dropout (the fused kernels have none on CPU).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from prismrec.data.prepared import PreparedData
from prismrec.data.sequences import Sequences
from prismrec.models.contract import EmbeddingTable, StoredEncoder, TaskLoss
from prismrec.models.neural.arrays import arrays_of, copied, fill
from prismrec.models.neural.contract import Objective
from prismrec.models.sequential.configs import SASRecConfig
from prismrec.models.sequential.next_item import NextItemLoss, at_places, last_vectors
from prismrec.models.sequential.pieces import PieceBatches


class SelfAttention(nn.Module):
    """Causal attention in several heads, (B, L, D) -> (B, L, D)."""

    def __init__(self, dim: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.queries_keys_values = nn.Linear(dim, 3 * dim, bias=False)
        self.joined = nn.Linear(dim, dim, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, L, D): what each place takes from itself and those before it."""
        b, length, d = x.shape
        heads = self.queries_keys_values(x).view(b, length, 3, self.n_heads, d // self.n_heads)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # (B, H, L, D / H)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.joined(mixed.transpose(1, 2).reshape(b, length, d))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Attention and feed-forward network, each with its norm and residual, (B, L, D) -> (B, L, D)."""

    def __init__(self, dim: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, n_heads)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.inner = nn.Linear(dim, dim)
        self.outer = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Equations (4)-(6)."""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        hidden = F.relu(self.inner(self.feed_forward_norm(x)))
        return x + self.dropout(self.outer(hidden))


class SASRecNetwork(nn.Module):
    """(B, L) items -> (B, L, D) vectors F."""

    def __init__(self, n_items: int, config: SASRecConfig) -> None:
        super().__init__()
        dim = config.embedding_dim
        self.items = nn.Parameter(torch.empty(n_items, dim))
        self.positions = nn.Parameter(torch.empty(config.max_length, dim))
        self.blocks = nn.ModuleList(Block(dim, config.n_heads, config.dropout) for _ in range(config.n_blocks))
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)

    def initialise(self, generator: torch.Generator) -> None:
        """Normal weights of deviation 0.02 as Transformers have them, biases of zero, norms that change nothing."""
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, items: torch.Tensor) -> torch.Tensor:
        """Equations (1)-(6) for (B, L) int64 items padded on the right."""
        x = F.embedding(items, self.items) * self.items.shape[1] ** 0.5 + self.positions[: items.shape[1]]
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)  # type: ignore[no-any-return]


class SASRecEncoder:
    """A `QueryEncoder`: F at the last item of a history."""

    def __init__(self, network: SASRecNetwork, config: SASRecConfig) -> None:
        """Bind a network, which the encoder puts into evaluation mode."""
        self._network = network.eval()
        self._config = config

    @classmethod
    def opened(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> SASRecEncoder:
        """From what `SASRec.stored` gave."""
        settings = SASRecConfig.model_validate(config)
        network = SASRecNetwork(len(arrays["items"]), settings)
        fill(network, arrays)
        return cls(network, settings)

    def encode(self, histories: Sequences, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n_queries, dim) float32; zero for an empty history, whoever the user."""
        network, config = self._network, self._config

        def forward(items: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
            return network(items)[torch.arange(len(items), device=items.device), last]  # type: ignore[no-any-return]

        return last_vectors(forward, histories, config.max_length, config.embedding_dim, network.items.device)


class SASRec:
    """Self-attentive sequential recommendation; a `NeuralModel`."""

    def __init__(self, config: SASRecConfig, data: PreparedData, *, seed: int, device: str) -> None:
        """A fresh network for the items of `data`."""
        self._config = config
        self._batches = PieceBatches(data, config.max_length, config.batch_places, seed)
        self._loss = NextItemLoss(data, config.loss, config.n_negatives, seed)
        self.network = SASRecNetwork(len(data.items), config)
        self.network.initialise(torch.Generator().manual_seed(seed))
        self.network.to(device)
        self._device = device

    @property
    def learning_rate(self) -> float:
        """Of Adam."""
        return self._config.learning_rate

    @property
    def steps_per_epoch(self) -> int:
        """Batches that go once over all places of all histories."""
        return self._batches.n_batches

    def objective(self, epoch: int, step: int) -> Objective:
        """The loss at every place of one batch of pieces."""
        batch = self._batches.batch(epoch, step)
        states = self.network(torch.from_numpy(batch.items).to(self._device))
        vectors = at_places(states, torch.from_numpy(batch.places).to(self._device))
        loss = self._loss.value(vectors, self.network.items, batch, epoch, step)
        n_places = len(batch.targets)
        return Objective(loss, {"next_item": TaskLoss(float(loss.detach()) * n_places, n_places)})

    def task_weights(self) -> Mapping[str, float]:
        """One task."""
        return {"next_item": 1.0}

    def table(self) -> EmbeddingTable:
        """The one table of items, on both sides."""
        items = copied(self.network.items)
        return EmbeddingTable(items, items)

    def encoder(self) -> SASRecEncoder:
        """A copy of the network as it is now."""
        stored = self.stored()
        return SASRecEncoder.opened(stored.config, stored.arrays)

    def stored(self) -> StoredEncoder:
        """The settings of the network and all its parameters."""
        arrays = arrays_of(self.network)
        return StoredEncoder("sasrec", self._config.model_dump(mode="json"), arrays, knows_users=False)


__all__ = ["SASRec", "SASRecEncoder"]
