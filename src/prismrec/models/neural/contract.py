"""What a model in torch is to the training loop: batches by number, and one objective per step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from prismrec.models.contract import EmbeddingTable, QueryEncoder, StoredEncoder, TaskLoss


@dataclass(frozen=True, eq=False)
class Objective:
    """What one step makes smaller.

    Attributes:
        value: scalar tensor with a gradient: all losses as they are weighed, penalties included.
        losses: the loss of each task, for the log.
    """

    value: torch.Tensor
    losses: Mapping[str, TaskLoss]


class NeuralModel(Protocol):
    """A model whose steps autograd differentiates; `trainable.TorchTraining` makes it `Trainable`.

    Its class takes (config, data: PreparedData, *, seed, device), builds its network with a generator of `seed`, and
    keeps all that it learns in `network`.
    """

    network: torch.nn.Module

    @property
    def learning_rate(self) -> float:
        """Of Adam."""
        ...

    @property
    def steps_per_epoch(self) -> int:
        """How many batches make an epoch."""
        ...

    def objective(self, epoch: int, step: int) -> Objective:
        """The objective on one batch; all randomness that shapes the batch comes from (seed, epoch, step).

        The caller has seeded torch with these three, so that dropout is the same when a run is resumed.
        """
        ...

    def task_weights(self) -> Mapping[str, float]:
        """How each task is weighed now, for the log."""
        ...

    def table(self) -> EmbeddingTable:
        """Item vectors, see `EncodingModel`."""
        ...

    def encoder(self) -> QueryEncoder:
        """See `EncodingModel`; leaves the network in training mode."""
        ...

    def stored(self) -> StoredEncoder:
        """See `EncodingModel`."""
        ...


__all__ = ["NeuralModel", "Objective"]
