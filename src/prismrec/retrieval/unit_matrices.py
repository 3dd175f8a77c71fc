"""Unit source vectors per view, for a bundle whose matrices are made for source -> target: norms beside them, no copy.

    cos_v(q, i) = q_v . source_v(i) / |source_v(i)|

The matrices stay memory-mapped and shared by all processes; what a process adds is one number per item and view. Rows
are scaled when they are looked at. Search is exact: a matrix-vector product per weighted view, O(n_items x D) a query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prismrec.retrieval.index.exact import Best
from prismrec.retrieval.matrices import ItemMatrices
from prismrec.retrieval.ranking import top_k

_ROWS_AT_ONCE = 16_384


@dataclass(frozen=True, eq=False)
class UnitMatrices:
    """Source and target rows for cosine, and the search over them.

    Attributes:
        base: the matrices whose source vectors are scaled.
        inverse_norms: (n_items, n_views) float32; 0 for an item without a vector in a view.
        prior: (n_items,) float32: the popularity prior.
    """

    base: ItemMatrices
    inverse_norms: NDArray[np.float32]
    prior: NDArray[np.float32]

    @classmethod
    def of(cls, base: ItemMatrices) -> UnitMatrices:
        """Measure every source vector once."""
        norms = np.empty((base.n_items, len(base.columns)), np.float32)
        for start in range(0, base.n_items, _ROWS_AT_ONCE):
            block = base.sources[start : start + _ROWS_AT_ONCE]
            for place, part in enumerate(base.columns.values()):
                norms[start : start + len(block), place] = np.linalg.norm(block[:, part], axis=1)
        np.divide(1, norms, out=norms, where=norms > 0)
        return cls(base, norms, np.ascontiguousarray(base.targets[:, -1]))

    @property
    def n_items(self) -> int:
        """How many items there are."""
        return self.base.n_items

    @property
    def dim(self) -> int:
        """Columns of a source row."""
        return self.base.dim

    @property
    def columns(self) -> Mapping[str, slice]:
        """View -> its columns."""
        return self.base.columns

    def source_rows(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, D) float32: unit source vectors, view by view."""
        found = self.base.source_rows(rows)
        for place, part in enumerate(self.columns.values()):
            found[:, part] *= self.inverse_norms[rows, place, None]
        return found

    def target_rows(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, D + 1) float32: the same, and the prior last."""
        return np.column_stack([self.source_rows(rows), self.prior[rows]])

    def search(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> Best:
        """The k best items of each query, as `index.item_index.ItemIndex.search` gives them.

        Raises:
            ConfigError: k is below 1.
        """
        indices = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        for row, query in enumerate(queries):
            every = self._scores(query)
            if allowed is not None:
                every[~allowed] = -np.inf
            best = top_k(every, k)
            indices[row, : len(best)], scores[row, : len(best)] = best, every[best]
        return indices, scores

    def _scores(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        scores: NDArray[np.float32] = query[-1] * self.prior
        for place, part in enumerate(self.columns.values()):
            if query[part].any():
                scores += self.inverse_norms[:, place] * (self.base.sources[:, part] @ query[part])
        return scores


__all__ = ["UnitMatrices"]
