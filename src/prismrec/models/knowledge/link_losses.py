"""What makes true triples score higher than corrupted ones: four losses of one batch.

    softmax           -s + log(exp(s) + w sum_k exp(n_k))                     w = (N - 1) / K
    self_adversarial  (-log sigmoid(g + s) - sum_k p_k log sigmoid(-g - n_k)) / 2,  p = softmax(a n)
    logistic          (log(1 + exp(-s)) + mean_k log(1 + exp(n_k))) / 2
    margin            mean_k max(0, g - s + n_k)

s is the score of the true triple, n_k those of its K negatives among N entities, g the margin, a the temperature.
With w the sampled softmax estimates that over all entities; where all are candidates it is that. Softmax: Ruffinelli,
Broscheit & Gemulla, ICLR 2020, https://openreview.net/forum?id=BkxSmlBFvr; self-adversarial: Sun et al.: RotatE, ICLR
2019, https://arxiv.org/abs/1902.10197; margin: Bordes et al.: TransE, NIPS 2013.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

LinkLoss = Literal["softmax", "self_adversarial", "logistic", "margin"]


def link_losses(
    loss: LinkLoss, true: Tensor, negatives: Tensor, hidden: Tensor, n_entities: int, margin: float, temperature: float
) -> Tensor:
    """(B,) the loss of each triple; one whose candidates are all hidden has only its own term.

    Args:
        true: (B,) scores of the triples.
        negatives: (B, K) scores of the triples with one end replaced by each candidate; may be overwritten.
        hidden: (B, K) bool: candidates that are no negatives.
        n_entities: N, of which the K candidates were drawn.
    """
    if loss == "softmax":
        spread = math.log((n_entities - 1) / negatives.shape[1]) if negatives.shape[1] < n_entities else 0.0
        shown = negatives.masked_fill_(hidden, -torch.inf)
        logits = torch.cat([true[:, None] - spread, shown], 1)
        return -torch.log_softmax(logits, 1)[:, 0]  # one pass there and one back
    if loss == "self_adversarial":
        weights = torch.softmax((temperature * negatives.detach()).masked_fill(hidden, -torch.inf), 1).nan_to_num(0.0)
        return -(logsigmoid(margin + true) + (weights * logsigmoid(-margin - negatives)).sum(1)) / 2
    each = softplus(negatives) if loss == "logistic" else (margin - true[:, None] + negatives).relu()
    mean = each.masked_fill(hidden, 0.0).sum(1) / (~hidden).sum(1).clamp(min=1)
    return (softplus(-true) + mean) / 2 if loss == "logistic" else mean


__all__ = ["LinkLoss", "link_losses"]
