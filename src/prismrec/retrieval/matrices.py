"""All views side by side, one row per item: what queries are made of, and what they are multiplied with.

    sources[i] = [source_1(i), ..., source_V(i)]
    targets[i] = [target_1(i), ..., target_V(i), prior(i)]

The vectors of an item in a side view are the mean over its nodes there, as `blend.MultiViewScorer` defines them. Both
matrices lie in the bundle as `.npy` and are memory-mapped, so that worker processes share one copy of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prismrec.data.blocks import row_blocks
from prismrec.data.schema import ITEM_VIEW
from prismrec.data.sequences import Sequences
from prismrec.models.contract import EmbeddingTable
from prismrec.retrieval.blend import (
    Similarity,
    check_rows,
    column_ranges,
    mean_log_count,
    means_over_nodes,
    popularity_prior,
    unit_rows,
)
from prismrec.retrieval.manifest import damaged
from prismrec.retrieval.matrix_files import map_matrix, matrix_file

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
        """Lay the views side by side in memory; `write` does it in files.

        Args:
            vectors: tables per view; the item view has one row per item.
            item_nodes: per side view one row per item: the item's node indices.
            item_counts: (n_items,) how often each item occurred in training.
            similarity: "cosine" makes unit source vectors of both sides.

        Raises:
            DataError: vectors, nodes and counts disagree about the number of items.
        """
        layout = _Layout(vectors, item_nodes, np.asarray(item_counts), similarity)
        made = _empty(layout.n_items, layout.columns)
        for rows in layout.blocks():
            layout.fill(rows, made.sources[rows], made.targets[rows])
        return made

    @classmethod
    def write(
        cls,
        folder: Path,
        vectors: Mapping[str, EmbeddingTable],
        item_nodes: Mapping[str, Sequences],
        item_counts: ArrayLike,
        similarity: Similarity = "source_target",
    ) -> ItemMatrices:
        """Lay the views side by side in the files that `save` writes, a block of items at a time, and map them.

        Args:
            folder: the caller makes it appear whole or not at all.
            vectors, item_nodes, item_counts, similarity: as for `of`; may be memory-mapped.

        Raises:
            DataError: as for `of`.
        """
        layout = _Layout(vectors, item_nodes, np.asarray(item_counts), similarity)
        n, dim = layout.n_items, layout.dim
        with matrix_file(folder / SOURCES, (n, dim)) as sources, matrix_file(folder / TARGETS, (n, dim + 1)) as targets:
            for rows in layout.blocks():
                block = _empty(rows.stop - rows.start, layout.columns)
                layout.fill(rows, block.sources, block.targets)
                sources.write(block.sources.data)
                targets.write(block.targets.data)
        return cls.load(folder, layout.columns)

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
        dim = _dim(columns)
        sources = _mapped(folder / SOURCES, dim)
        targets = _mapped(folder / TARGETS, dim + 1)
        if len(sources) != len(targets):
            raise damaged(folder / TARGETS, f"it has {len(targets)} rows, but {SOURCES} has {len(sources)}")
        return cls(sources, targets, dict(columns))


class _Layout:
    """What the rows of both matrices are made of, any block of items at a time."""

    def __init__(
        self,
        vectors: Mapping[str, EmbeddingTable],
        item_nodes: Mapping[str, Sequences],
        item_counts: NDArray,
        similarity: Similarity,
    ) -> None:
        check_rows(vectors, item_nodes, len(item_counts))
        self.n_items = len(item_counts)
        self.columns = column_ranges(vectors)
        self.dim = _dim(self.columns)
        self._vectors = vectors
        self._item_nodes = item_nodes
        self._counts = item_counts
        self._centre = mean_log_count(item_counts)
        self._cosine = similarity == "cosine"

    def blocks(self) -> Iterator[slice]:
        """In memory are both matrices' rows, and of one view at a time the vectors and what is made of them."""
        widest = max(part.stop - part.start for part in self.columns.values())
        return row_blocks(self.n_items, 4 * (2 * self.dim + 1 + 4 * widest))

    def fill(self, rows: slice, sources: NDArray[np.float32], targets: NDArray[np.float32]) -> None:
        """Lay down the rows of some items."""
        for view, columns in self.columns.items():
            table = self._item_level(view, rows)
            unit = unit_rows(table.source) if self._cosine else None
            sources[:, columns] = table.source if unit is None else unit
            targets[:, columns] = table.target if unit is None else unit
        targets[:, -1] = popularity_prior(self._counts[rows], self._centre)

    def _item_level(self, view: str, rows: slice) -> EmbeddingTable:
        table = self._vectors[view]
        if view == ITEM_VIEW:
            return EmbeddingTable(table.source[rows], table.target[rows])
        return means_over_nodes(self._item_nodes[view].slice(rows.start, rows.stop), table)


def _empty(n_items: int, columns: Mapping[str, slice]) -> ItemMatrices:
    """Room for so many items."""
    dim = _dim(columns)
    return ItemMatrices(np.empty((n_items, dim), np.float32), np.empty((n_items, dim + 1), np.float32), columns)


def _dim(columns: Mapping[str, slice]) -> int:
    return max(int(part.stop) for part in columns.values())


def _mapped(path: Path, n_columns: int) -> NDArray[np.float32]:
    """A memory-mapped (n, n_columns) float32 matrix in row order."""
    matrix = map_matrix(path)
    if matrix.dtype != np.float32 or matrix.ndim != 2 or matrix.shape[1] != n_columns or not matrix.flags.c_contiguous:
        raise damaged(path, f"it holds {matrix.dtype} of shape {matrix.shape} instead of float32 (n, {n_columns})")
    return matrix


__all__ = ["SOURCES", "TARGETS", "ItemMatrices"]
