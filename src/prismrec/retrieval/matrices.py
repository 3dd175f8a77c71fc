"""All views side by side, one row per item: what queries are made of, and what they are multiplied with.

    sources[i] = [source_1(i), ..., source_V(i)]
    targets[i] = [target_1(i), ..., target_V(i), prior(i)]

The vectors of an item in a side view are the mean over its nodes there, as `blend.MultiViewScorer` defines them. Both
matrices lie in the bundle as `.npy` and are memory-mapped, so that worker processes share one copy of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prismrec.data.sequences import Sequences
from prismrec.models.contract import EmbeddingTable
from prismrec.retrieval.blend import MultiViewScorer, QuerySettings, Similarity
from prismrec.retrieval.manifest import damaged

SOURCES = "sources.npy"
TARGETS = "targets.npy"


@dataclass(frozen=True, eq=False)
class ItemMatrices:
    """Item-level vectors of all views.

    Attributes:
        sources: (n_items, D) float32, unweighted.
        targets: (n_items, D + 1) float32, the popularity prior last.
        columns: view -> its columns, in `sources` and in `targets`.
    """

    sources: NDArray[np.float32]
    targets: NDArray[np.float32]
    columns: Mapping[str, slice]

    @classmethod
    def of(
        cls,
        vectors: Mapping[str, EmbeddingTable],
        item_nodes: Mapping[str, Sequences],
        item_counts: ArrayLike,
        similarity: Similarity = "source_target",
    ) -> ItemMatrices:
        """Lay the views side by side; in memory are the two matrices and the vectors of one view at a time.

        Args:
            vectors: tables per view; the item view has one row per item.
            item_nodes: per side view one row per item: the item's node indices.
            item_counts: (n_items,) how often each item occurred in training.
            similarity: "cosine" makes unit source vectors of both sides.

        Raises:
            DataError: vectors, nodes and counts disagree about the number of items.
        """
        whole = MultiViewScorer(vectors, item_nodes, item_counts)
        dim = sum(table.source.shape[1] for table in vectors.values())
        sources = np.empty((whole.n_items, dim), np.float32)
        targets = np.empty((whole.n_items, dim + 1), np.float32)
        for view, columns in whole.columns.items():
            alone = QuerySettings(view_weights={view: 1.0}, similarity=similarity)
            scorer = MultiViewScorer({view: vectors[view]}, item_nodes, item_counts, alone)  # forgotten with its copies
            table = scorer.item_vectors(view)
            sources[:, columns] = table.source
            targets[:, columns] = table.target
        targets[:, -1] = whole.prior
        return cls(sources, targets, whole.columns)

    @property
    def n_items(self) -> int:
        """How many items there are."""
        return len(self.targets)

    @property
    def dim(self) -> int:
        """Columns of a source row."""
        return int(self.sources.shape[1])

    def source_rows(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, D) float32: a copy of these rows of `sources`."""
        return self.sources[rows]

    def target_rows(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, D + 1) float32: a copy of these rows of `targets`."""
        return self.targets[rows]

    def save(self, folder: Path) -> None:
        """Write `sources.npy` and `targets.npy`; the caller makes the folder appear whole or not at all."""
        np.save(folder / SOURCES, self.sources)
        np.save(folder / TARGETS, self.targets)

    @classmethod
    def load(cls, folder: Path, columns: Mapping[str, slice]) -> ItemMatrices:
        """Memory-map what `save` wrote.

        Args:
            folder: where the two files lie.
            columns: view -> its columns, as when they were saved.

        Raises:
            ArtifactError: a file is missing, damaged, or holds a matrix of another shape; names the file.
        """
        dim = max(part.stop for part in columns.values())
        sources = _mapped(folder / SOURCES, dim)
        targets = _mapped(folder / TARGETS, dim + 1)
        if len(sources) != len(targets):
            raise damaged(folder / TARGETS, f"it has {len(targets)} rows, but {SOURCES} has {len(sources)}")
        return cls(sources, targets, dict(columns))


def _mapped(path: Path, n_columns: int) -> NDArray[np.float32]:
    """A memory-mapped (n, n_columns) float32 matrix in row order."""
    try:
        matrix: NDArray[np.float32] = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise damaged(path, str(error)) from error
    if matrix.dtype != np.float32 or matrix.ndim != 2 or matrix.shape[1] != n_columns or not matrix.flags.c_contiguous:
        raise damaged(path, f"it holds {matrix.dtype} of shape {matrix.shape} instead of float32 (n, {n_columns})")
    return matrix


__all__ = ["ItemMatrices"]
