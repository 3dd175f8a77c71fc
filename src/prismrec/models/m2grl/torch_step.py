"""The skip-gram step in torch, on CPU or one CUDA device: the same loss and gradients as `cpu.py` on the same batch.

For an anchor with source vector u, contexts v_1..v_m, negatives n_1..n_K shared by the contexts and target offsets b,

    L = sum_j -log s(u.v_j + b_j)  +  m * sum_k -log s(-(u.n_k + b_k))          s(x) = 1 / (1 + exp(-x))

and a negative that equals one of the contexts is skipped. The gradients are written out rather than left to autograd:
every pair adds one multiple of a row to another row, so no gradient of a whole table ever exists.

*Differs from `cpu.py`* in when rows change. There each anchor sees the rows that the anchor before it left; here
`ANCHORS_PER_UPDATE` anchors see the same rows, and a row takes one step with the sum of its gradients g:

    memory += mean(g^2)        row -= learning_rate * g / sqrt(memory)               (row-wise Adagrad)

On a batch in which no row occurs twice both give equal tables. Adding up each example's own step instead was tried: it
is closer to `cpu.py` where gradients differ, but where a small table meets each row a hundred times per update, and
all of them pull the same way, it diverges. Logits beyond +-15 round differently: `cpu.py` bounds each term of the loss
at 27.6.

Cost per pair: as `cpu.py` in arithmetic; several times its memory traffic, since gathered rows are written down.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from prismrec.errors import ConfigError, MissingExtraError
from prismrec.models.m2grl.batches import SkipGramBatch

if TYPE_CHECKING:
    from torch import Tensor

ANCHORS_PER_UPDATE = 2048
"""Anchors whose steps are added up before the next ones see them; more is faster on a GPU, and staler."""


@dataclass(frozen=True, eq=False)
class _Part:
    """Some anchors of a batch, on the device. A anchors, P pairs, K negatives per anchor."""

    anchors: Tensor  # (A,)
    contexts: Tensor  # (P,)
    anchor_of_pair: Tensor  # (P,) place in `anchors`
    negatives: Tensor  # (A, K)
    negative_weight: Tensor  # (A, K) float32: the anchor's number of contexts; 0 where the negative is one of them


@dataclass(frozen=True, eq=False)
class _Ascent:
    """How a part would raise its likelihood: multiples of rows to add to rows, before any learning rate.

    Attributes:
        loss: summed, unweighted.
        source_steps: (A, dim): what to add to each anchor's source row.
        rows: (P + A K,): target rows, `owners` the anchor of each, `scales` the multiple of its source row to add.
        anchor_rows: (A, dim): the anchors' source rows.
    """

    loss: float
    source_steps: Tensor
    rows: Tensor
    owners: Tensor
    scales: Tensor
    anchor_rows: Tensor


class TorchStep:
    """The passes over a batch on one device.

    Args:
        device: "cuda" is an error where there is none; nothing falls back to the CPU.
        deterministic: bit-equal results on CUDA too, where sums otherwise come in any order.

    Raises:
        ConfigError: CUDA is asked for and not there.
        MissingExtraError: torch is not installed.
    """

    def __init__(self, device: Literal["cpu", "cuda"], deterministic: bool = False) -> None:
        self._torch = _import_torch()
        if device == "cuda" and not self._torch.cuda.is_available():
            raise ConfigError(
                'training.device = "cuda", but torch finds no CUDA device: check the driver and that torch was '
                'installed with CUDA, or set training.device = "cpu"'
            )
        self.device = self._torch.device(device)
        self._deterministic = deterministic

    def tensor(self, array: NDArray) -> Tensor:
        """A copy of an array on the device."""
        return self._torch.tensor(np.asarray(array), device=self.device)

    def learn_skip_gram(
        self,
        source: Tensor,
        target: Tensor,
        source_memory: Tensor,
        target_memory: Tensor,
        target_offsets: Tensor,
        batch: SkipGramBatch,
        learning_rate: float,
        weight: float = 1.0,
    ) -> float:
        """One pass over a batch, updating both tables in place; returns the summed loss before the updates it saw.

        Args:
            source, target: (n_sources, dim), (n_targets, dim) float32.
            source_memory, target_memory: (n_sources,), (n_targets,) float32, the row-wise Adagrad accumulators.
            target_offsets: (n_targets,) float32, added to the logit of each target.
            weight: the task's weight; multiplies the gradient, not the returned loss.
        """
        loss = 0.0
        with self._reproducible():
            for part in self._parts(batch):
                ascent = self._ascend(source, target, target_offsets, part, weight)
                self._climb(target, target_memory, ascent.rows, _outer(ascent.scales, ascent), learning_rate)
                self._climb(source, source_memory, part.anchors, ascent.source_steps, learning_rate)
                loss += ascent.loss
        return loss

    def learn_source_only(
        self,
        source: Tensor,
        target: Tensor,
        source_memory: Tensor,
        batch: SkipGramBatch,
        learning_rate: float,
        weight: float = 1.0,
    ) -> tuple[float, Tensor]:
        """As `learn_skip_gram`, but the target table stays, and its gradient is returned: (n_targets, dim) float32."""
        loss, gradient = 0.0, self._torch.zeros_like(target)
        no_offsets = self._torch.zeros(len(target), device=self.device)
        with self._reproducible():
            for part in self._parts(batch):
                ascent = self._ascend(source, target, no_offsets, part, weight)
                self._add_rows(gradient, ascent.rows, _outer(-ascent.scales, ascent))
                self._climb(source, source_memory, part.anchors, ascent.source_steps, learning_rate)
                loss += ascent.loss
        return loss, gradient

    def skip_gram_gradients(
        self, source: Tensor, target: Tensor, target_offsets: Tensor, batch: SkipGramBatch, weight: float = 1.0
    ) -> tuple[float, Tensor, Tensor]:
        """Summed loss and dense gradients (source, target) of a batch; nothing is updated."""
        loss = 0.0
        source_gradient, target_gradient = self._torch.zeros_like(source), self._torch.zeros_like(target)
        with self._reproducible():
            for part in self._parts(batch):
                ascent = self._ascend(source, target, target_offsets, part, weight)
                self._add_rows(target_gradient, ascent.rows, _outer(-ascent.scales, ascent))
                self._add_rows(source_gradient, part.anchors, -ascent.source_steps)
                loss += ascent.loss
        return loss, source_gradient, target_gradient

    def _parts(self, batch: SkipGramBatch) -> Iterator[_Part]:
        """Cut a batch into parts that are learned from at once, and bring each to the device."""
        for begin in range(0, len(batch.anchors), ANCHORS_PER_UPDATE):
            end = min(begin + ANCHORS_PER_UPDATE, len(batch.anchors))
            offsets = batch.context_offsets[begin : end + 1]
            n_contexts = np.diff(offsets)
            contexts = self.tensor(batch.contexts[offsets[0] : offsets[-1]]).long()
            negatives = self.tensor(batch.negatives[begin:end]).long()
            anchor_of_pair = self.tensor(np.repeat(np.arange(end - begin), n_contexts))
            yield _Part(
                anchors=self.tensor(batch.anchors[begin:end]).long(),
                contexts=contexts,
                anchor_of_pair=anchor_of_pair,
                negatives=negatives,
                negative_weight=self._negative_weight(contexts, anchor_of_pair, negatives, self.tensor(n_contexts)),
            )

    def _negative_weight(
        self, contexts: Tensor, anchor_of_pair: Tensor, negatives: Tensor, n_contexts: Tensor
    ) -> Tensor:
        """(A, K): a negative stands once for each context of its anchor, and not at all where it is one of them."""
        same = (negatives[anchor_of_pair] == contexts[:, None]).float()
        hits = self._torch.zeros(negatives.shape, device=self.device)
        self._add_rows(hits, anchor_of_pair, same)
        return (hits == 0) * n_contexts[:, None].float()

    def _ascend(self, source: Tensor, target: Tensor, target_offsets: Tensor, part: _Part, weight: float) -> _Ascent:
        torch = self._torch
        softplus = torch.nn.functional.softplus
        n_anchors, n_negatives = part.negatives.shape
        u = source.index_select(0, part.anchors)  # (A, D)
        v = target.index_select(0, part.contexts)  # (P, D)
        n = target.index_select(0, part.negatives.flatten()).view(n_anchors, n_negatives, u.shape[1])  # (A, K, D)
        positive = (u[part.anchor_of_pair] * v).sum(1) + target_offsets[part.contexts]  # (P,)
        negative = (u[:, None] * n).sum(2) + target_offsets[part.negatives]  # (A, K)
        loss = softplus(-positive).double().sum() + (part.negative_weight * softplus(negative)).double().sum()
        pull = weight * torch.sigmoid(-positive)
        push = -weight * part.negative_weight * torch.sigmoid(negative)
        steps = (push[:, :, None] * n).sum(1)
        self._add_rows(steps, part.anchor_of_pair, pull[:, None] * v)
        places = torch.arange(n_anchors, device=self.device).repeat_interleave(n_negatives)
        return _Ascent(
            loss=float(loss),
            source_steps=steps,
            rows=torch.cat([part.contexts, part.negatives.flatten()]),
            owners=torch.cat([part.anchor_of_pair, places]),
            scales=torch.cat([pull, push.flatten()]),
            anchor_rows=u,
        )

    def _climb(self, table: Tensor, memory: Tensor, rows: Tensor, ascent: Tensor, learning_rate: float) -> None:
        """Row-wise Adagrad with the summed ascent of each row that occurs in `rows`."""
        distinct, sums = self._sums_by_row(rows, ascent)
        memory[distinct] += sums.square().mean(1)
        table[distinct] += learning_rate * sums * memory[distinct].rsqrt()[:, None]

    def _sums_by_row(self, rows: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """The distinct rows in rising order, and the sum of the (n, dim) values of each."""
        distinct, places = self._torch.unique(rows, return_inverse=True)
        sums = self._torch.zeros((len(distinct), values.shape[1]), device=self.device)
        self._add_rows(sums, places, values)
        return distinct, sums

    def _add_rows(self, table: Tensor, rows: Tensor, values: Tensor) -> None:
        """Add (n, dim) values to rows of a table, also where a row occurs more than once."""
        if self.device.type == "cpu":  # scatter_add_ sorts the rows and is 20 times as fast there as index_add_
            table.scatter_add_(0, rows[:, None].expand(-1, values.shape[1]), values)
        else:
            table.index_add_(0, rows, values)

    @contextmanager
    def _reproducible(self) -> Iterator[None]:
        """Sums in a fixed order where that is asked for; torch knows this only as a setting of the whole process."""
        before = self._torch.are_deterministic_algorithms_enabled()
        self._torch.use_deterministic_algorithms(before or self._deterministic)
        try:
            yield
        finally:
            self._torch.use_deterministic_algorithms(before)


def _outer(scales: Tensor, ascent: _Ascent) -> Tensor:
    """(n, dim): a multiple of each owner's source row."""
    return scales[:, None] * ascent.anchor_rows[ascent.owners]


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError(
            'training.implementation = "torch" needs torch: pip install "prismrec[neural]"'
        ) from error
    return torch


__all__ = ["ANCHORS_PER_UPDATE", "TorchStep"]
