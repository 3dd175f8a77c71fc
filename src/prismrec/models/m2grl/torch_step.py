"""The skip-gram step in torch, on CPU or CUDA: the same loss and gradients as `cpu.py` on the same batch.

For an anchor with source vector u, contexts v_1..v_m, negatives n_1..n_K shared by the contexts and target offsets b,

    L = sum_j -log s(u.v_j + b_j)  +  m * sum_k -log s(-(u.n_k + b_k))          s(x) = 1 / (1 + exp(-x))

and a negative that equals one of the contexts is skipped. The gradients are written out rather than left to autograd,
by the rows that were fetched: where the rows lie, and how they learn, is the business of `row_tables`.

*Differs from `cpu.py`* in when rows change. There each anchor sees the rows that the anchor before it left; here
`ANCHORS_PER_UPDATE` anchors see the same rows, and a row takes one step with the sum of its gradients.
On a batch in which no row occurs twice both give equal tables. Adding up each example's own step instead was tried: it
is closer to `cpu.py` where gradients differ, but where a small table meets each row a hundred times per update, and
all of them pull the same way, it diverges. Logits beyond +-15 round differently: `cpu.py` bounds each term of the loss
at 27.6.

Cost per pair: as `cpu.py` in arithmetic; several times its memory traffic, since gathered rows are written down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prismrec.models.m2grl.batches import SkipGramBatch
from prismrec.models.m2grl.torch_device import TorchDevice

if TYPE_CHECKING:
    from torch import Tensor

ANCHORS_PER_UPDATE = 2048
"""Anchors whose steps are added up before the next ones see them; more is faster on a GPU, and staler."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some anchors of a batch, on the device. A anchors, P pairs, K negatives per anchor.

    Attributes:
        anchors: (A,) int64.
        contexts: (P,) int64.
        anchor_of_pair: (P,) int64 places in `anchors`.
        negatives: (A, K) int64.
        negative_weight: (A, K) float32: the anchor's number of contexts; 0 where the negative is one of them.
    """

    anchors: Tensor
    contexts: Tensor
    anchor_of_pair: Tensor
    negatives: Tensor
    negative_weight: Tensor


@dataclass(frozen=True, eq=False)
class RowGradients:
    """The summed, unweighted loss of a part, and the gradients of the weighted loss by the rows it met.

    Attributes:
        loss: () float64.
        anchors: (A, dim).
        contexts: (P, dim).
        negatives: (A * K, dim).
    """

    loss: Tensor
    anchors: Tensor
    contexts: Tensor
    negatives: Tensor


def part_of(batch: SkipGramBatch, begin: int, end: int, device: TorchDevice) -> Part:
    """The anchors begin..end of a batch, brought to the device; none where the batch is shorter."""
    begin, end = min(begin, len(batch.anchors)), min(end, len(batch.anchors))
    offsets = batch.context_offsets[begin : end + 1]
    n_contexts = np.diff(offsets)
    contexts = device.tensor(batch.contexts[offsets[0] : offsets[-1]]).long()
    negatives = device.tensor(batch.negatives[begin:end]).long()
    anchor_of_pair = device.tensor(np.repeat(np.arange(end - begin), n_contexts))
    hits = device.torch.zeros(negatives.shape, device=device.device)
    device.add_rows(hits, anchor_of_pair, (negatives[anchor_of_pair] == contexts[:, None]).float())
    return Part(
        anchors=device.tensor(batch.anchors[begin:end]).long(),
        contexts=contexts,
        anchor_of_pair=anchor_of_pair,
        negatives=negatives,
        negative_weight=(hits == 0) * device.tensor(n_contexts)[:, None].float(),
    )


def skip_gram(
    source: Tensor, target: Tensor, offsets: Tensor, part: Part, weight: float, device: TorchDevice
) -> RowGradients:
    """Loss and gradients of a part.

    Args:
        source: (A, dim) float32 rows of the anchors.
        target: (P + A * K, dim) float32 rows of the contexts, then of the negatives.
        offsets: (P + A * K,) float32, added to their logits.
        weight: the task's weight; multiplies the gradients, not the loss.
    """
    torch = device.torch
    n_anchors, n_negatives = part.negatives.shape
    n_pairs = len(part.contexts)
    v = target[:n_pairs]
    n = target[n_pairs:].view(n_anchors, n_negatives, source.shape[1])  # (A, K, dim)
    u_of_pair = source[part.anchor_of_pair]
    positive = (u_of_pair * v).sum(1) + offsets[:n_pairs]  # (P,)
    negative = (source[:, None] * n).sum(2) + offsets[n_pairs:].view(n_anchors, n_negatives)  # (A, K)
    softplus = torch.nn.functional.softplus
    loss = softplus(-positive).double().sum() + (part.negative_weight * softplus(negative)).double().sum()
    pull = -weight * torch.sigmoid(-positive)
    push = weight * part.negative_weight * torch.sigmoid(negative)
    anchors = (push[:, :, None] * n).sum(1)
    device.add_rows(anchors, part.anchor_of_pair, pull[:, None] * v)
    negatives = push[:, :, None] * source[:, None]
    return RowGradients(loss, anchors, pull[:, None] * u_of_pair, negatives.reshape(-1, source.shape[1]))


__all__ = ["ANCHORS_PER_UPDATE", "Part", "RowGradients", "part_of", "skip_gram"]
