"""Losses that models share; each is a mean over examples.

The two softmax losses take vectors, not scores: the scores of a batch against a whole catalogue are what needs the
memory, so how much of them exists at a time is decided here.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

_SCORES_AT_ONCE = 2**22
"""16 MB of float32: softmax over parts that stay near the processor is also faster than over all at once."""


def bpr(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """-log sigmoid(positive - negative), mean over all pairs.

    Rendle et al., 2009, https://arxiv.org/abs/1205.2618.

    Args:
        positive: (B, ...) scores.
        negative: (B, ...) scores, of the same shape or broadcast to it.
    """
    return F.softplus(negative - positive).mean()


def full_softmax(
    queries: torch.Tensor, targets: torch.Tensor, positives: torch.Tensor, scores_at_once: int = _SCORES_AT_ONCE
) -> torch.Tensor:
    """-log softmax(query . targets)[positive] over the whole catalogue, mean over queries.

        L = 1/B sum_b [ log sum_j exp(q_b . t_j) - q_b . t_pos(b) ]
        dL/dq_b = 1/B [ sum_j s_bj t_j - t_pos(b) ]     dL/dt_j = 1/B sum_b (s_bj - [j = pos(b)]) q_b

    with s the softmax. Both gradients are made together with the loss, some rows of scores at a time, so no more than
    `scores_at_once` scores ever exist, whatever B and N are; the backward pass only scales. Time: three products of
    (B, D) with (D, N), as many as autograd takes.

    Args:
        queries: (B, D).
        targets: (N, D): every item; a bias is one more column, where queries have a 1.
        positives: (B,) int64: which of them is right.
        scores_at_once: how many scores may exist; at least one row of N does.

    Returns:
        scalar float32; its gradient cannot be differentiated again.
    """
    loss: torch.Tensor = _FullSoftmax.apply(queries, targets, positives, scores_at_once)  # type: ignore[no-untyped-call]
    return loss


def sampled_softmax(
    queries: torch.Tensor,
    targets: torch.Tensor,
    positives: torch.Tensor,
    negatives: torch.Tensor,
    log_expected: torch.Tensor | None = None,
) -> torch.Tensor:
    """-log softmax of the positive among itself and K negatives shared by all queries, mean over queries.

        L_b = log( exp(s_b+) + sum_{j: neg_j != pos_b} exp(s_bj - c_j) ) - s_b+

    A negative that is the positive of a query does not count for it. With c_j = log(K q_j), q_j the chance of drawing
    item j, the sum estimates that of the full softmax (Bengio & Senecal, 2008, https://doi.org/10.1109/TNN.2007.912312);
    the positive is always in it, so its own score is not corrected. Without, popular items are pushed down as often as
    they are drawn. (B, K) scores exist at once.

    Args:
        queries: (B, D).
        targets: (N, D).
        positives: (B,) int64: rows of `targets`.
        negatives: (K,) int64: rows of `targets`; repeated ones count each time.
        log_expected: (K,) float32: c of each negative; none where not given.
    """
    right = (queries * F.embedding(positives, targets)).sum(1).float()
    scores = (queries @ F.embedding(negatives, targets).T).float()
    if log_expected is not None:
        scores = scores - log_expected
    scores = scores.masked_fill(positives[:, None] == negatives, torch.finfo(torch.float32).min / 2)
    return F.softplus(scores.logsumexp(1) - right).mean()


class _FullSoftmax(torch.autograd.Function):
    """See `full_softmax`."""

    @staticmethod
    def forward(
        ctx: Any, queries: torch.Tensor, targets: torch.Tensor, positives: torch.Tensor, scores_at_once: int
    ) -> torch.Tensor:
        total = queries.new_zeros((), dtype=torch.float32)
        query_gradient = torch.empty_like(queries)
        target_gradient = torch.zeros_like(targets)
        rows = max(1, scores_at_once // len(targets))
        for begin in range(0, len(queries), rows):
            part = slice(begin, begin + rows)
            right = positives[part, None]
            scores = (queries[part] @ targets.T).to(query_gradient.dtype)  # bfloat16 where autocast is on
            own = scores.gather(1, right)
            highest = scores.amax(1, keepdim=True)
            weights = scores.sub_(highest).exp_()
            sums = weights.sum(1, keepdim=True, dtype=torch.float32)
            total += (sums.log() + highest - own).sum()
            weights /= sums.to(weights.dtype)
            weights.scatter_add_(1, right, weights.new_full((1, 1), -1.0).expand_as(right))
            query_gradient[part] = weights @ targets
            target_gradient += weights.T @ queries[part]
        ctx.save_for_backward(query_gradient.div_(len(queries)), target_gradient.div_(len(queries)))
        return total / len(queries)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, outer: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        query_gradient, target_gradient = ctx.saved_tensors
        return outer * query_gradient, outer * target_gradient, None, None


__all__ = ["bpr", "full_softmax", "sampled_softmax"]
