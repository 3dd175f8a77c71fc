"""Matrix factorisation with the BPR loss: the plainest model with a vector per user.

    r_uj = p_u . q_j + b_j
    L    = mean -log sigmoid(r_ui - r_uj) + l2 (|p_u|^2 + |q_i|^2 + |q_j|^2 + b_i^2 + b_j^2)

i is an item of u, j an item that u never had, drawn uniformly unless `negatives` says otherwise. Rendle, Freudenthaler,
Gantner & Schmidt-Thieme: BPR. UAI 2009, https://arxiv.org/abs/1205.2618. Time per step: O(batch x dim), and
O((n_users + n_items) dim) for Adam.

Differs from the paper: Adam instead of plain SGD.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn
from torch.nn.functional import embedding

from prismrec.data.prepared import PreparedData
from prismrec.models.collaborative.configs import MFConfig
from prismrec.models.contract import EmbeddingTable, StoredEncoder, TaskLoss
from prismrec.models.neural.contract import Objective
from prismrec.models.neural.interactions import InteractionBatches
from prismrec.models.neural.losses import bpr
from prismrec.models.user_vectors import UserVectors


class MFNetwork(nn.Module):
    """The vectors of users and items, and the items' biases as a last column."""

    def __init__(self, n_users: int, n_items: int, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.users = nn.Parameter(0.1 * torch.randn(n_users, dim, generator=generator))
        self.items = nn.Parameter(0.1 * torch.randn(n_items, dim, generator=generator))
        self.bias = nn.Parameter(torch.zeros(n_items))


class MF:
    """Matrix factorisation; a `NeuralModel`."""

    def __init__(self, config: MFConfig, data: PreparedData, *, seed: int, device: str) -> None:
        """Fresh vectors for the users and items of `data`."""
        generator = torch.Generator().manual_seed(seed)
        self._config = config
        self._batches = InteractionBatches(data, config.batch_size, seed, config.negatives)
        self.network = MFNetwork(len(data.users), len(data.items), config.embedding_dim, generator).to(device)
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
        """BPR on one batch of (user, item, other item)."""
        users, positives, negatives = (torch.from_numpy(a).to(self._device) for a in self._batches.batch(epoch, step))
        network = self.network
        p = embedding(users, network.users)
        q_i, q_j = embedding(positives, network.items), embedding(negatives, network.items)
        b_i, b_j = network.bias[positives], network.bias[negatives]
        loss = bpr((p * q_i).sum(1) + b_i, (p * q_j).sum(1) + b_j)
        squares = sum(part.square().sum() for part in (p, q_i, q_j, b_i, b_j)) / len(users)
        total = {"ranking": TaskLoss(float(loss.detach()) * len(users), len(users))}
        return Objective(loss + self._config.l2 * squares, total)

    def task_weights(self) -> Mapping[str, float]:
        """One task."""
        return {"ranking": 1.0}

    def table(self) -> EmbeddingTable:
        """Item vectors, the bias as last column of the targets, where sources have zero."""
        items = self.network.items.detach().cpu().numpy()
        bias = self.network.bias.detach().cpu().numpy()[:, None]
        return EmbeddingTable(np.column_stack([items, np.zeros_like(bias)]), np.column_stack([items, bias]))

    def encoder(self) -> UserVectors:
        """Users by their vectors; the last column, 1, meets the bias."""
        users = self.network.users.detach().cpu().numpy()
        items = self.network.items.detach().cpu().numpy()
        return UserVectors(*(np.column_stack([part, np.ones(len(part), np.float32)]) for part in (users, items)))

    def stored(self) -> StoredEncoder:
        """The encoder's two tables."""
        return self.encoder().stored("mf")


__all__ = ["MF"]
