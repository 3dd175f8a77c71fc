"""GRU4Rec: a gated recurrent network over a history (Hidasi et al., ICLR 2016, https://arxiv.org/abs/1511.06939).

    r_t = sigmoid(W_r x_t + U_r h_{t-1})                     reset gate       (1)
    z_t = sigmoid(W_z x_t + U_z h_{t-1})                     update gate      (2)
    n_t = tanh(W x_t + r_t * (U h_{t-1}))                    what is new      (3)
    h_t = (1 - z_t) * n_t + z_t * h_{t-1}                    state            (4)
    f_t = A h_t + a,    score of item i after place t: f_t . M_i              (5)

(numbers are ours). x_t is the row of M of the item at place t: items share one table as input and output. The query
vector is f at the last item of the history; the user plays no part.

Cost per epoch of n places: time n (3 h (d + h) + h d + N d) multiplications, forward, for one layer of state h and
the softmax loss over N items; the L places of a row follow one another, its rows run side by side. Memory: N d numbers
learned, and some 4 h L per history of a batch.

Differs from the paper:
- the loss is softmax, over the whole catalogue or sampled, or one drawn negative per place with the logistic loss
  (`loss`); the paper has BPR and TOP1 against the other items of the batch;
- whole histories are learned from, cut into pieces (`pieces.py`), all places of some pieces in one step; the paper
  runs sessions side by side, one place per step, and carries the state on without a gradient;
- the gate z keeps the old state where the paper's lets in the new, and r acts after U as in cuDNN (torch.nn.GRU);
- Adam instead of Adagrad, and dropout on x and f.
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
from prismrec.models.sequential.configs import GRU4RecConfig
from prismrec.models.sequential.next_item import NextItemLoss, at_places, last_vectors
from prismrec.models.sequential.pieces import PieceBatches


class GRU4RecNetwork(nn.Module):
    """(B, L) items -> (B, L, H) states, and (..., H) states -> (..., D) vectors f."""

    def __init__(self, n_items: int, config: GRU4RecConfig) -> None:
        super().__init__()
        dim, state = config.embedding_dim, config.hidden_dim
        self.items = nn.Parameter(torch.empty(n_items, dim))
        self.recurrent = nn.GRU(dim, state, config.n_layers, batch_first=True)
        self.output = nn.Linear(state, dim)
        self.dropout = nn.Dropout(config.dropout)

    def initialise(self, generator: torch.Generator) -> None:
        """Uniform within 1 / sqrt(width), as torch has it, from the generator."""
        for parameter in self.parameters():
            bound = self.recurrent.hidden_size**-0.5
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def states(self, items: torch.Tensor) -> torch.Tensor:
        """(B, L, H): equations (1)-(4) for (B, L) int64 items padded on the right."""
        states, _ = self.recurrent(self.dropout(F.embedding(items, self.items)))
        return states  # type: ignore[no-any-return]

    def vectors(self, states: torch.Tensor) -> torch.Tensor:
        """(..., D): f of some states."""
        return self.dropout(self.output(states))  # type: ignore[no-any-return]


class GRU4RecEncoder:
    """A `QueryEncoder`: f at the last item of a history."""

    def __init__(self, network: GRU4RecNetwork, config: GRU4RecConfig) -> None:
        """Bind a network, which the encoder puts into evaluation mode."""
        self._network = network.eval()
        self._config = config

    @classmethod
    def opened(cls, config: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> GRU4RecEncoder:
        """From what `GRU4Rec.stored` gave."""
        settings = GRU4RecConfig.model_validate(config)
        network = GRU4RecNetwork(len(arrays["items"]), settings)
        fill(network, arrays)
        return cls(network, settings)

    def encode(self, histories: Sequences, users: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n_queries, dim) float32; zero for an empty history, whoever the user."""
        network, config = self._network, self._config

        def forward(items: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
            return network.vectors(network.states(items)[torch.arange(len(items), device=items.device), last])

        return last_vectors(forward, histories, config.max_length, config.embedding_dim, network.items.device)


class GRU4Rec:
    """A recurrent network over histories; a `NeuralModel`."""

    def __init__(self, config: GRU4RecConfig, data: PreparedData, *, seed: int, device: str) -> None:
        """A fresh network for the items of `data`."""
        self._config = config
        self._batches = PieceBatches(data, config.max_length, config.batch_places, seed)
        self._loss = NextItemLoss(data, config.loss, config.n_negatives, seed)
        self.network = GRU4RecNetwork(len(data.items), config)
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
        states = self.network.states(torch.from_numpy(batch.items).to(self._device))
        vectors = self.network.vectors(at_places(states, torch.from_numpy(batch.places).to(self._device)))
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

    def encoder(self) -> GRU4RecEncoder:
        """A copy of the network as it is now."""
        stored = self.stored()
        return GRU4RecEncoder.opened(stored.config, stored.arrays)

    def stored(self) -> StoredEncoder:
        """The settings of the network and all its parameters."""
        arrays = arrays_of(self.network)
        return StoredEncoder("gru4rec", self._config.model_dump(mode="json"), arrays, knows_users=False)


__all__ = ["GRU4Rec", "GRU4RecEncoder"]
