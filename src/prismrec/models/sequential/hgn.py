"""HGN: hierarchical gating over the latest items (Ma, Kang & Liu, KDD 2019, https://arxiv.org/abs/1906.09217).

With E (L, d) the vectors of the last L items of a history and u the vector of its user:

    F_l = E_l * sigmoid(W1 E_l + W2 u + b)                    feature gating: which numbers matter          (1)
    I_l = F_l sigmoid(w3 . F_l + W4_l . u)                    instance gating: which items matter           (2)
    g   = mean_l I_l    or    max_l I_l                       aggregation                                   (3)
    r_j = u . q_j + g . q_j + sum_l E_l . q_j + b_j           long term, short term, item to item           (4)
    L   = - log sigmoid(r_j - r_k) + lambda |parameters|^2    j one of the next T items, k one never had    (5)

(numbers are ours).

The query vector is (u + g + sum_l E_l, 1), the target (q_j, b_j): q is a table of its own beside that of E.

A user unknown in training is taken for the mean of all users, in the gates and in the first term: gates that saw no
user would be far from where they learned. Neither user nor history known: zero. A known user without history: u alone.

Cost per epoch of n windows: time n L d (d + 4) + n T d multiplications, forward; memory (n_users + 2 n_items) d numbers
learned, B L d per batch.

Differs from the paper:
- an epoch has one window per T items, so that each item is a target once; the paper's has one per item;
- items that a short history lacks are left out of the mean and the maximum, where the authors' code has a padding item;
- the penalty is on the vectors of a batch and the gates, per example, where the code decays all of them alike;
- a history that is shorter than L + T is learned from too.
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
from prismrec.data.schema import UNKNOWN
from prismrec.data.sequences import Sequences
from prismrec.models.contract import EmbeddingTable, StoredEncoder, TaskLoss
from prismrec.models.neural.arrays import arrays_of, fill
from prismrec.models.neural.contract import Objective
from prismrec.models.neural.losses import bpr
from prismrec.models.neural.unseen import UnseenItems
from prismrec.models.sequential.configs import HGNConfig
from prismrec.models.sequential.windows import Windows, last_window

_QUERIES_AT_ONCE = 4096


class HGNNetwork(nn.Module):
    """Windows and vectors of users -> query vectors."""

    def __init__(self, n_users: int, n_items: int, config: HGNConfig) -> None:
        super().__init__()
        dim = config.embedding_dim
        self.pooling = config.pooling
        self.users = nn.Parameter(torch.empty(n_users, dim))
        self.sources = nn.Parameter(torch.empty(n_items, dim))
        self.targets = nn.Parameter(torch.empty(n_items, dim))
        self.bias = nn.Parameter(torch.zeros(n_items))
        self.item_gate = nn.Parameter(torch.empty(dim, dim))
        self.user_gate = nn.Parameter(torch.empty(dim, dim))
        self.gate_bias = nn.Parameter(torch.zeros(dim))
        self.instance_gate = nn.Parameter(torch.empty(dim))
        self.instance_user_gate = nn.Parameter(torch.empty(config.window, dim))

    def initialise(self, generator: torch.Generator) -> None:
        """Normal: vectors of deviation 1 / d, as the authors', gates of 1 / sqrt(d); biases are zero."""
        dim = self.users.shape[1]
        for table in (self.users, self.sources, self.targets):
            nn.init.normal_(table, std=1 / dim, generator=generator)
        for gate in (self.item_gate, self.user_gate, self.instance_gate, self.instance_user_gate):
            nn.init.normal_(gate, std=dim**-0.5, generator=generator)

    def forward(self, u: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
        """(B, D) query vectors from (B, D) users and (B, L) int64 items, `UNKNOWN` where there is none."""
        return self.mixed(u, self.read(near), near != UNKNOWN)

    def read(self, near: torch.Tensor) -> torch.Tensor:
        """E, (B, L, D): zero where there is no item."""
        return F.embedding(near.clamp(min=0), self.sources) * (near != UNKNOWN)[:, :, None]

    def mixed(self, u: torch.Tensor, e: torch.Tensor, here: torch.Tensor) -> torch.Tensor:
        """(B, D): equations (1) to (3), and the left side of the products of (4)."""
        f = e * torch.sigmoid(e @ self.item_gate.T + (u @ self.user_gate.T + self.gate_bias)[:, None])
        instance = torch.sigmoid(f @ self.instance_gate + u @ self.instance_user_gate.T)  # (B, L)
        return u + self._pooled(f * instance[:, :, None], here[:, :, None]) + e.sum(1)

    def _pooled(self, gated: torch.Tensor, here: torch.Tensor) -> torch.Tensor:
        """(B, D): equation (3) over the items that are there; zero where none is."""
        if self.pooling == "mean":
            return gated.sum(1) / here.sum(1).clamp(min=1)
        highest = gated.masked_fill(~here, -torch.inf).amax(1)
        return torch.where(here.any(1), highest, 0.0)


class HGNEncoder:
    """A `QueryEncoder` from the network; unknown users are the mean of all."""

    def __init__(self, network: HGNNetwork, config: HGNConfig) -> None:
        """Bind a network."""
        self._network = network.eval()
        self._config = config

    @classmethod
    def opened(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> HGNEncoder:
        """From what `HGN.stored` gave."""
        settings = HGNConfig.model_validate(config)
        network = HGNNetwork(len(arrays["users"]), len(arrays["sources"]), settings)
        fill(network, arrays)
        return cls(network, settings)

    def encode(self, histories: Sequences, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n_queries, dim + 1) float32: see the module; the last column meets the bias."""
        vectors = np.zeros((len(histories), self._config.embedding_dim + 1), np.float32)
        asked = np.flatnonzero((histories.lengths > 0) | (users != UNKNOWN))
        with torch.inference_mode():
            mean = self._network.users.mean(0)
            for begin in range(0, len(asked), _QUERIES_AT_ONCE):
                rows = asked[begin : begin + _QUERIES_AT_ONCE]
                near, _ = last_window(histories.take(rows), self._config.window, 0)
                vectors[rows, :-1] = self._encoded(users[rows], near, mean)
                vectors[rows, -1] = 1.0
        return vectors

    def _encoded(self, users: NDArray[np.int64], near: NDArray[np.int64], mean: torch.Tensor) -> NDArray[np.float32]:
        device = mean.device
        indices, items = (torch.from_numpy(np.array(part, np.int64)).to(device) for part in (users, near))
        own = F.embedding(indices.clamp(min=0), self._network.users)
        u = torch.where((indices != UNKNOWN)[:, None], own, mean)
        encoded: NDArray[np.float32] = self._network(u, items).float().cpu().numpy()
        return encoded


class HGN:
    """A hierarchical gating network; a `NeuralModel`."""

    def __init__(self, config: HGNConfig, data: PreparedData, *, seed: int, device: str) -> None:
        """A fresh network for the users and items of `data`."""
        self._config = config
        self._seed = seed
        self._windows = Windows(
            data.histories, near=config.window, far=0, targets=config.targets, stride=config.targets,
            batch_size=config.batch_size, seed=seed,
        )  # fmt: skip
        self._unseen = UnseenItems(data.histories, len(data.items))
        self.network = HGNNetwork(len(data.users), len(data.items), config)
        self.network.initialise(torch.Generator().manual_seed(seed))
        self.network.to(device)
        self._device = device

    @property
    def learning_rate(self) -> float:
        """Of Adam."""
        return self._config.learning_rate

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which each item is a target about once."""
        return self._windows.n_batches

    def objective(self, epoch: int, step: int) -> Objective:
        """Equation (5) on one batch of windows, one negative per target."""
        batch = self._windows.batch(epoch, step)
        rng = np.random.default_rng([self._seed, epoch, step])
        windows, columns = np.nonzero(batch.targets != UNKNOWN)
        others = self._unseen.draw(batch.users[windows], rng)
        rows, positives, negatives, users, near = (
            torch.from_numpy(part).to(self._device)
            for part in (windows, batch.targets[windows, columns], others, batch.users, batch.near)
        )
        network = self.network
        u = F.embedding(users, network.users)
        e = network.read(near)
        queries = network.mixed(u, e, near != UNKNOWN).index_select(0, rows)
        right, wrong = F.embedding(positives, network.targets), F.embedding(negatives, network.targets)
        scores = [(queries * q).sum(1) + network.bias[i] for q, i in ((right, positives), (wrong, negatives))]
        loss = bpr(*scores)
        penalty = self._penalty((u, e, right, wrong))
        total = {"ranking": TaskLoss(float(loss.detach()) * len(rows), len(rows))}
        return Objective(loss + self._config.l2 * penalty, total)

    def _penalty(self, used: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Mean squared length of the vectors in use, summed over kinds, and the squares of the gates."""
        network = self.network
        gates = (network.item_gate, network.user_gate, network.instance_gate, network.instance_user_gate)
        lengths = [part.square().sum() / len(part) for part in used]
        return torch.stack([*lengths, *(gate.square().sum() for gate in gates)]).sum()

    def task_weights(self) -> Mapping[str, float]:
        """One task."""
        return {"ranking": 1.0}

    def table(self) -> EmbeddingTable:
        """Items as read, and as ranked; the bias as last column of the targets, where sources have zero."""
        tables = (self.network.sources, self.network.targets, self.network.bias)
        sources, targets, bias = (table.detach().cpu().numpy() for table in tables)
        return EmbeddingTable(np.column_stack([sources, np.zeros_like(bias)]), np.column_stack([targets, bias]))

    def encoder(self) -> HGNEncoder:
        """A copy of the network as it is now."""
        stored = self.stored()
        return HGNEncoder.opened(stored.config, stored.arrays)

    def stored(self) -> StoredEncoder:
        """The settings of the network and all its parameters."""
        arrays = arrays_of(self.network)
        return StoredEncoder("hgn", self._config.model_dump(mode="json"), arrays, knows_users=True)


__all__ = ["HGN", "HGNEncoder"]
