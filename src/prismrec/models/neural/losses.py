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

    Time: three products of (B, D) with (D, N), as many as autograd takes; memory as in `sampled_softmax`.

    Args:
        queries: (B, D).
        targets: (N, D): every item; a bias is one more column, where queries have a 1.
        positives: (B,) int64: which of them is right.
        scores_at_once: how many scores may exist; one row of N does in any case.

    Returns:
        scalar of at least float32; its gradient cannot be differentiated again.
    """
    everyone = torch.arange(len(queries), device=queries.device)
    right = F.embedding(positives, targets)
    return _softmax(queries, right, targets, None, everyone, positives, scores_at_once)


def sampled_softmax(
    queries: torch.Tensor,
    targets: torch.Tensor,
    positives: torch.Tensor,
    negatives: torch.Tensor,
    log_expected: torch.Tensor | None = None,
    scores_at_once: int = _SCORES_AT_ONCE,
) -> torch.Tensor:
    """-log softmax of the positive among itself and K negatives shared by all queries, mean over queries.

        L_b = log( exp(s_b+) + sum_{j: neg_j != pos_b} exp(s_bj - c_j) ) - s_b+

    A negative that is the positive of a query does not count for it. With c_j = log(K q_j), q_j the chance of drawing
    item j, the sum estimates that of the full softmax (Bengio & Senecal, 2008, https://doi.org/10.1109/TNN.2007.912312);
    the positive is always in it, so its own score is not corrected. Without, popular items are pushed down as often as
    they are drawn. Gradients are made together with the loss, some rows of scores at a time, so that no more than
    `scores_at_once` scores ever exist, whatever B and K are.

    Args:
        queries: (B, D).
        targets: (N, D).
        positives: (B,) int64: rows of `targets`.
        negatives: (K,) int64: rows of `targets`; repeated ones count each time.
        log_expected: (K,): c of each negative; none where not given.
        scores_at_once: how many scores may exist; one row of K does in any case.

    Returns:
        scalar of at least float32; its gradient cannot be differentiated again.
    """
    right, wrong = F.embedding(positives, targets), F.embedding(negatives, targets)
    rows, columns = _matches(positives, negatives)
    return _softmax(queries, right, wrong, log_expected, rows, columns, scores_at_once)


def _matches(positives: torch.Tensor, negatives: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """All (b, k) with positives[b] = negatives[k], by b; (B, K) comparisons would take longer than the scores."""
    ordered, order = negatives.sort()
    begin = torch.searchsorted(ordered, positives)
    count = torch.searchsorted(ordered, positives, right=True) - begin
    rows = torch.repeat_interleave(count)
    within = torch.arange(len(rows), device=rows.device) - (count.cumsum(0) - count)[rows]
    return rows, order[begin[rows] + within]


def _softmax(
    queries: torch.Tensor,
    right: torch.Tensor,
    wrong: torch.Tensor,
    lessened: torch.Tensor | None,
    rows: torch.Tensor,
    columns: torch.Tensor,
    scores_at_once: int,
) -> torch.Tensor:
    loss: torch.Tensor = _Softmax.apply(  # type: ignore[no-untyped-call]
        queries, right, wrong, lessened, rows, columns, scores_at_once
    )
    return loss


class _Softmax(torch.autograd.Function):
    """Mean over b of log( exp(q_b . r_b) + sum_k exp(q_b . w_k - c_k) ) - q_b . r_b, pairs (rows, columns) left out.

    dL/dq_b = 1/B [ sum_k p_bk w_k - (sum_k p_bk) r_b ]     dL/dr_b = -1/B (sum_k p_bk) q_b
    dL/dw_k = 1/B sum_b p_bk q_b                            p: the softmax over right and wrong
    """

    @staticmethod
    def forward(
        ctx: Any,
        queries: torch.Tensor,
        right: torch.Tensor,
        wrong: torch.Tensor,
        lessened: torch.Tensor | None,
        rows: torch.Tensor,
        columns: torch.Tensor,
        scores_at_once: int,
    ) -> torch.Tensor:
        n, dtype = len(queries), torch.promote_types(queries.dtype, torch.float32)
        total = queries.new_zeros((), dtype=dtype)
        of_queries, of_right, of_wrong = torch.empty_like(queries), torch.empty_like(right), torch.zeros_like(wrong)
        height = max(1, scores_at_once // len(wrong))
        edges = torch.searchsorted(rows, torch.arange(0, n + height, height, device=rows.device)).tolist()
        for number, begin in enumerate(range(0, n, height)):
            part, out = slice(begin, begin + height), slice(edges[number], edges[number + 1])
            q, r = queries[part], right[part]
            own = (q * r).sum(1, keepdim=True).to(dtype)
            scores = (q @ wrong.T).to(dtype)  # bfloat16 where autocast is on
            if lessened is not None:
                scores -= lessened
            scores[rows[out] - begin, columns[out]] = -torch.inf
            highest = torch.maximum(scores.amax(1, keepdim=True), own)
            weights = scores.sub_(highest).exp_()
            others = weights.sum(1, keepdim=True)
            inverse = 1 / (others + (own - highest).exp())
            total += (highest - own - inverse.log()).sum()
            missed = (others * inverse).to(q.dtype)  # how far the softmax of the positive is from 1
            scale = inverse.to(q.dtype) / n
            of_queries[part] = (weights @ wrong) * scale - missed / n * r
            of_right[part] = -missed / n * q
            of_wrong += weights.T @ (q * scale)
        ctx.save_for_backward(of_queries, of_right, of_wrong)
        return total / n

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        of_queries, of_right, of_wrong = (outer * gradient for gradient in ctx.saved_tensors)
        return of_queries, of_right, of_wrong, None, None, None, None


__all__ = ["bpr", "full_softmax", "sampled_softmax"]
