"""The k items with the highest inner product, exactly or through faiss, among all items or the allowed ones.

Whatever finds the candidates, scores are exact: each candidate is multiplied again with the float32 targets, which
are memory-mapped and shared by all processes. Which view weights, signs and priors count is up to the query alone.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prismrec.errors import ConfigError, DataError
from prismrec.retrieval.index.approximate import ApproximateIndex
from prismrec.retrieval.index.exact import Best, best_candidates, best_rows
from prismrec.retrieval.index.settings import IndexKind, IndexSettings

_SELECTIVE = 20_000
"""So few allowed items are faster looked at one by one (1 ms) than found through faiss."""

_FEW_PER_CANDIDATE = 4
"""Where candidates are more than one in so many items, looking at all of them is as fast."""


@dataclass(frozen=True, eq=False)
class ItemIndex:
    """Finds the best items for query vectors. Immutable: threads may share it.

    Attributes:
        targets: (n_items, D) float32, the popularity prior last; memory-mapped where it was opened from a bundle.
        settings: how it was built and is searched.
        approximate: what finds candidates; None where every search is exact.
    """

    targets: NDArray[np.float32]
    settings: IndexSettings
    approximate: ApproximateIndex | None = None

    @classmethod
    def build(cls, targets: NDArray[np.float32], settings: IndexSettings | None = None) -> ItemIndex:
        """Index the rows of a target matrix; `recall.build_index` also measures and chooses.

        Args:
            targets: (n_items, D) float32 in row order, finite.
            settings: kind "auto" is "exact" below `exact_below` items and "scan" from there on.
        """
        settings = settings or IndexSettings()
        kind = settings.kind
        if kind == "auto":
            kind = "exact" if len(targets) < settings.exact_below else "scan"
        if kind == "exact" or len(targets) == 0:
            return cls(targets, settings)
        return cls(targets, settings, ApproximateIndex.build(targets, kind, settings))

    @property
    def kind(self) -> IndexKind:
        """How candidates are found."""
        return "exact" if self.approximate is None else self.approximate.kind

    def with_over_fetch(self, over_fetch: int) -> ItemIndex:
        """The same index, asked for more or fewer candidates."""
        return dataclasses.replace(self, settings=self.settings.model_copy(update={"over_fetch": over_fetch}))

    def search(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> Best:
        """The k best items of each query.

        Args:
            queries: (B, D) float32, finite.
            k: how many, at least 1.
            allowed: (n_items,) which items may be answered; all where None.

        Returns:
            (B, k) int64 indices, best first, equal scores in the order of their index, padded with -1; and (B, k)
            float32 inner products, padded with minus infinity. Each query has min(k, number of allowed items) of them.

        Raises:
            ConfigError: k is below 1.
            DataError: queries or mask do not fit the targets, or a query is not finite.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        self._check(queries, k, allowed)
        n_allowed = len(self.targets) if allowed is None else int(np.count_nonzero(allowed))
        n_candidates = k * self.settings.over_fetch
        if self.approximate is None or n_allowed <= max(_SELECTIVE, _FEW_PER_CANDIDATE * n_candidates):
            return best_rows(self.targets, self._rows(allowed), queries, k)
        candidates = self.approximate.candidates(queries, n_candidates, allowed)
        indices, scores = best_candidates(self.targets, candidates, queries, k)
        short = np.flatnonzero(indices[:, min(k, n_allowed) - 1] < 0)
        if len(short):
            indices[short], scores[short] = best_rows(self.targets, self._rows(allowed), queries[short], k)
        return indices, scores

    def save(self, folder: Path) -> None:
        """Write the faiss file, where there is one; targets are saved by `ItemMatrices`."""
        if self.approximate is not None:
            self.approximate.save(folder)

    @classmethod
    def load(cls, folder: Path, targets: NDArray[np.float32], settings: IndexSettings, kind: IndexKind) -> ItemIndex:
        """Open what `save` wrote.

        Args:
            folder: where the faiss file lies, if the kind has one.
            targets: (n_items, D) float32, as when it was built.
            settings, kind: as when it was built.

        Raises:
            ArtifactError: the file is missing, damaged, or belongs to other targets; names the file.
        """
        if kind == "exact":
            return cls(targets, settings)
        return cls(targets, settings, ApproximateIndex.load(folder, kind, settings, targets.shape))

    def _rows(self, allowed: NDArray[np.bool_] | None) -> NDArray[np.int32] | slice:
        if allowed is None:
            return slice(0, len(self.targets))
        return np.flatnonzero(allowed).astype(np.int32)

    def _check(self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None) -> None:
        if k < 1:
            raise ConfigError(f"k, the number of items to find, must be at least 1, got {k}")
        n_items, dim = self.targets.shape
        if queries.ndim != 2 or queries.shape[1] != dim:
            raise DataError(f"queries must have the shape (n, {dim}) of {dim} target columns, got {queries.shape}")
        if not np.isfinite(queries).all():
            row = int(np.flatnonzero(~np.isfinite(queries).all(axis=1))[0])
            raise DataError(f"query {row} is not finite: use smaller view weights")
        if allowed is not None and (allowed.dtype != np.bool_ or allowed.shape != (n_items,)):
            raise DataError(f"allowed must be {n_items} booleans, got {allowed.dtype} of shape {allowed.shape}")


__all__ = ["IndexKind", "IndexSettings", "ItemIndex"]
