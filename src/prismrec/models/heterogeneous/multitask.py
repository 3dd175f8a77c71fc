"""Blocks that share what is learned between tasks: a mixture of experts with a gate per task, and learned task weights.

Mixture, n experts f_i, tasks k, node types phi (MMoE: Ma et al., KDD 2018, https://doi.org/10.1145/3219819.3220007):

    E^k(H)  = sum_i g_i^k(H) f_i(H)                                                                        (12)
    g^k(H)  = softmax(W^k H)                                                                               (13)
    E'^k(H) = a H + (1 - a) E^k(H),  a = sigmoid(a learned number per task and type)                       (14)

Weights, L_k the loss of task k (Cipolla, Gal & Kendall, CVPR 2018, https://arxiv.org/abs/1705.07115): the likelihood
softmax(f / s_k^2) of (16) has the logarithm of (17), which they approximate so that tasks of any kind add up:

    L = sum_k [ L_k / s_k^2 + log s_k ]

with log s_k^2 learned. It settles at s_k^2 = 2 L_k: a noisier task counts less, none is lost. Cost: O(n dim^2) per
node and expert.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import nn

from prismrec.models.heterogeneous.node_vectors import ByType


class GatedExperts(nn.Module):
    """Equations (12) to (14) for vectors of several tasks and node types."""

    def __init__(
        self, tasks: Iterable[str], types: Iterable[str], dim: int, n_experts: int, generator: torch.Generator
    ) -> None:
        """Fresh experts, gates that begin even."""
        super().__init__()
        tasks, types = list(tasks), list(types)
        scale = dim**-0.5
        self.experts = nn.Parameter(scale * torch.randn(n_experts, dim, dim, generator=generator))
        self.biases = nn.Parameter(torch.zeros(n_experts, dim))
        self.gates = nn.ParameterDict({task: nn.Parameter(torch.zeros(n_experts, dim)) for task in tasks})
        self.shares = nn.ModuleDict(
            {task: ByType({name: nn.Parameter(torch.ones(())) for name in types}) for task in tasks}
        )

    def forward(self, task: str, node_type: str, vectors: torch.Tensor) -> torch.Tensor:
        """(n, dim) of one type, as one task wants them."""
        outputs = torch.tanh(torch.einsum("nd,xde->xne", vectors, self.experts) + self.biases[:, None])
        gates = F.linear(vectors, self.gates[task]).softmax(1)
        mixed = torch.einsum("nx,xne->ne", gates, outputs)
        share = torch.sigmoid(self.shares[task][node_type])
        return share * vectors + (1 - share) * mixed


class AutomaticWeights(nn.Module):
    """Losses weighed by what they themselves say of their noise."""

    def __init__(self, tasks: Iterable[str]) -> None:
        """All tasks alike at first: s_k^2 = 1."""
        super().__init__()
        self.log_variances = nn.ParameterDict({task: nn.Parameter(torch.zeros(())) for task in tasks})

    def forward(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The sum over tasks."""
        total = torch.stack([loss * torch.exp(-self.log_variances[task]) for task, loss in losses.items()]).sum()
        return total + 0.5 * torch.stack([self.log_variances[task] for task in losses]).sum()

    def current(self) -> dict[str, float]:
        """1 / s_k^2 of every task."""
        return {task: float(torch.exp(-value.detach())) for task, value in self.log_variances.items()}


__all__ = ["AutomaticWeights", "GatedExperts"]
