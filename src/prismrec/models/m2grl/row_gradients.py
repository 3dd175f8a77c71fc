"""Rows that are read where they lie, and gradients that are multiples of a few rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prismrec.models.m2grl.device_batches import Part

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a tensor, not copied yet.

    Attributes:
        table: (n_rows, dim) float32, float16 or bfloat16.
        ids: (n,) int64 which of them; None: all, in order.
    """

    table: Tensor
    ids: Tensor | None = None

    def gathered(self) -> Tensor:
        """(n, dim) float32."""
        return (self.table if self.ids is None else self.table.index_select(0, self.ids)).float()


@dataclass(frozen=True, eq=False)
class TargetGradients:
    """The gradients by a part's targets: each a multiple of its anchor's row, so one number says all of it.

    Attributes:
        scales: (T,) float32 in the order of `part.targets`.
        sources: (A, dim) float32 the anchors' rows.
        anchor_of_pair: (P,) int64 places in `sources`; target P + i belongs to anchor i // K.
        n_negatives: K.
    """

    scales: Tensor
    sources: Tensor
    anchor_of_pair: Tensor
    n_negatives: int

    def owners(self) -> Tensor:
        """(T,) int64 the place in `sources` of each target's anchor."""
        import torch

        anchors = torch.arange(len(self.sources), device=self.sources.device)
        return torch.cat([self.anchor_of_pair, anchors.repeat_interleave(self.n_negatives)])

    def dense(self) -> Tensor:
        """(T, dim) float32, written out."""
        n_pairs, dim = len(self.anchor_of_pair), self.sources.shape[1]
        rows = self.scales.new_empty((len(self.scales), dim))
        rows[:n_pairs] = self.scales[:n_pairs, None] * self.sources.index_select(0, self.anchor_of_pair)
        of_negatives = rows[n_pairs:].view(len(self.sources), self.n_negatives, dim)
        of_negatives[:] = self.scales[n_pairs:].view(*of_negatives.shape[:2], 1) * self.sources[:, None]
        return rows


@dataclass(frozen=True, eq=False)
class RowGradients:
    """The summed, unweighted loss of a part, and the gradients of the weighted loss by the rows it met.

    Attributes:
        loss: () float64.
        anchors: (A, dim) float32.
        targets: of the contexts, then of the negatives.
    """

    loss: Tensor
    anchors: Tensor
    targets: TargetGradients


def anchor_of_pair(part: Part) -> Tensor:
    """(P,) int64: the place in `part.anchors` of the anchor that each context belongs to."""
    import torch

    places = torch.arange(len(part.anchors), device=part.anchors.device)
    return torch.repeat_interleave(places, part.offsets.diff(), output_size=part.n_pairs)


__all__ = ["RowGradients", "Rows", "TargetGradients", "anchor_of_pair"]
