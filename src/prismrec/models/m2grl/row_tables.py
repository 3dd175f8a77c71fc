"""What the torch engine asks of the embedding tables, wherever their rows lie: in one process or sharded over many.

Tables are named as in `tables.initial_state`: `view.source`, `view.target`. Rows are fetched, gradients of these rows
are given back, and a row takes one step of row-wise Adagrad with the sum g of all gradients given for it:

    memory += mean(g^2)        row -= learning_rate * g / sqrt(memory)

No gradient of a whole table ever exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from prismrec.models.contract import OwnRows

if TYPE_CHECKING:
    from torch import Tensor


class Lookup(Protocol):
    """Rows of some tables as they were when they were fetched."""

    @property
    def rows(self) -> Mapping[str, Tensor]:
        """Table -> (n, dim) float32, in the order asked."""
        ...

    def descend(self, gradients: Mapping[str, Tensor]) -> None:
        """One step of every row that was asked for, by any process of the crew.

        Args:
            gradients: table -> (n, dim) of the loss by the fetched rows, same order; a row may occur many times.
        """
        ...


class RowTables(Protocol):
    """All tables of a model. In a crew every process makes the same calls, with rows of its own."""

    def look_up(self, ids: Mapping[str, Tensor], learning_rate: float, *, aligned: bool = False) -> Lookup:
        """Fetch rows.

        Args:
            ids: table -> (n,) int64 rows of the whole table; may be empty.
            learning_rate: of the step that these rows will take.
            aligned: a step then uses the accumulators of the inter-view task, `view.aligned_source_memory` and
                `view.aligned_target_memory`, in the place of the tables' own.
        """
        ...

    def state(self) -> Mapping[str, NDArray[np.float32]]:
        """The arrays of `tables.initial_state` but for the alignment matrices; a process's own rows of each."""
        ...

    def own_rows(self) -> Mapping[str, OwnRows]:
        """The arrays of `state` of which other processes hold the other rows."""
        ...

    def restore(self, state: Mapping[str, NDArray]) -> None:
        """Take over the content of these arrays."""
        ...


__all__ = ["Lookup", "RowTables"]
