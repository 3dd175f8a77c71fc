"""Adagrad and Adam on the rows that a batch touches: the cost of a step does not grow with the tables.

    adagrad   v <- v + g^2                                     w <- w - lr g / (sqrt(v) + eps)
    adam      m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2
              w <- w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)

Duchi, Hazan & Singer, JMLR 2011; Kingma & Ba, ICLR 2015. A dense step of Adam reads and writes every row of four
tables, however few of them have a gradient.

Differs from Adam: the moments of a row that no batch touched do not decay (as in torch's SparseAdam); t counts the
steps of the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

RowOptimizer = Literal["adagrad", "adam"]

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8


class RowSteps:
    """Moves rows of tables in place, and keeps their moments."""

    def __init__(self, tables: Mapping[str, Tensor], optimizer: RowOptimizer, learning_rate: float) -> None:
        """Bind the tables; `moments` are theirs, by `<moment>.<table>`."""
        self._tables = tables
        self._optimizer = optimizer
        self._learning_rate = learning_rate
        kept = ("squares",) if optimizer == "adagrad" else ("mean", "squares")
        self.moments = {f"{kind}.{name}": torch.zeros_like(table) for name, table in tables.items() for kind in kept}

    def move(self, name: str, rows: Tensor, values: Tensor, gradients: Tensor, step: int) -> None:
        """Take one step with some rows of a table.

        Args:
            rows: (n,) int64, distinct.
            values: (n, ...) float32: what they are now.
            gradients: (n, ...) float32.
            step: steps of the training before this one.
        """
        squares = self.moments[f"squares.{name}"]
        known = squares.index_select(0, rows)
        if self._optimizer == "adagrad":
            squares.index_copy_(0, rows, known.addcmul_(gradients, gradients))
            change = gradients / known.sqrt_().add_(_EPSILON)
        else:
            first, second = _BETAS
            means = self.moments[f"mean.{name}"]
            mean = torch.lerp(gradients, means.index_select(0, rows), first)
            means.index_copy_(0, rows, mean)
            squares.index_copy_(0, rows, known.mul_(second).addcmul_(gradients, gradients, value=1 - second))
            spread = known.div_(1 - second ** (step + 1)).sqrt_().add_(_EPSILON)
            change = mean.div_(1 - first ** (step + 1)).div_(spread)
        self._tables[name].index_copy_(0, rows, torch.add(values, change, alpha=-self._learning_rate))


__all__ = ["RowOptimizer", "RowSteps"]
