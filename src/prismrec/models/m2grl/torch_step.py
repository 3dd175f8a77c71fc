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

Cost per pair: as `cpu.py` in arithmetic; several times its memory traffic, since gathered rows are written down. On a
GPU `triton_step` does the same without writing them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prismrec.models.m2grl.device_batches import Part
from prismrec.models.m2grl.row_gradients import RowGradients, Rows, TargetGradients, anchor_of_pair
from prismrec.models.m2grl.torch_device import TorchDevice

if TYPE_CHECKING:
    from torch import Tensor

ANCHORS_PER_UPDATE = 2048
"""Anchors whose steps are added up before the next ones see them; more is faster on a GPU, and staler."""


def skip_gram(
    source: Rows, target: Rows, logit_offsets: Tensor | None, part: Part, weight: float, device: TorchDevice
) -> RowGradients:
    """Loss and gradients of a part.

    Args:
        source: the A rows of the anchors.
        target: the T rows of the contexts, then of the negatives.
        logit_offsets: (n_targets,) float32 of the whole table, added to the logits; None: none.
        weight: the task's weight; multiplies the gradients, not the loss.
    """
    torch = device.torch
    u, rows = source.gathered(), target.gathered()
    (n_anchors, dim), n_pairs = u.shape, part.n_pairs
    anchor = anchor_of_pair(part)
    v, n = rows[:n_pairs], rows[n_pairs:].view(n_anchors, part.n_negatives, dim)
    positive = (u.index_select(0, anchor) * v).sum(1)  # (P,)
    negative = torch.bmm(n, u[:, :, None]).squeeze(2)  # (A, K)
    if logit_offsets is not None:
        added = logit_offsets.index_select(0, part.targets)
        positive += added[:n_pairs]
        negative += added[n_pairs:].view(negative.shape)
    counts = _counts(part, anchor, device)
    softplus = torch.nn.functional.softplus
    loss = softplus(-positive).double().sum() + (counts * softplus(negative)).double().sum()
    pull = -weight * torch.sigmoid(-positive)
    push = weight * counts * torch.sigmoid(negative)
    gradient = torch.bmm(push[:, None], n).squeeze(1)
    gradient += device.weighted_sums(v, pull, device.range(n_pairs), part.offsets[:-1])
    scales = torch.cat([pull, push.flatten()])
    return RowGradients(loss, gradient, TargetGradients(scales, u, anchor, part.n_negatives))


def _counts(part: Part, anchor: Tensor, device: TorchDevice) -> Tensor:
    """(A, K) float32: how often each negative counts, its anchor's number of contexts; 0 where it is one of them."""
    of_pair = part.negatives.index_select(0, anchor) == part.contexts[:, None]
    hits = device.weighted_sums(of_pair.float(), None, device.range(len(anchor)), part.offsets[:-1])
    return (hits == 0) * part.offsets.diff()[:, None].float()


__all__ = ["ANCHORS_PER_UPDATE", "skip_gram"]
