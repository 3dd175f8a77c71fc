"""The arrays that M2GRL learns, by name, and how they begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prismrec.data.schema import ITEM_VIEW
from prismrec.errors import DataError
from prismrec.models.contract import EmbeddingTable, OwnRows

Side = Literal["source", "target"]
SIDES: tuple[Side, Side] = ("source", "target")

SOURCE_SCALE = 0.1
"""Standard deviation of the source vectors at the start. Targets start at 0: what is never met scores by its prior."""

ADAGRAD_START = 0.1
"""Where the row-wise accumulators begin: it bounds the first steps of a row that is met only a few times."""

ROWS_PER_DRAW = 1 << 17
"""Rows of a table that one random stream begins: a process that holds some of the rows draws no more than it needs."""


def initial_state(
    n_nodes: Mapping[str, int], dim: int, aligned: Sequence[str], seed: int
) -> dict[str, NDArray[np.float32]]:
    """Fresh arrays.

    Per view `v`, the item view first: `v.source`, `v.target` (n_nodes, dim) and their accumulators `v.source_memory`,
    `v.target_memory` (n_nodes,). Per aligned view and side `x` (source, target): the alignment matrix
    `v.alignment_x` (dim, dim), which starts as the identity, its accumulator `v.alignment_x_memory` (1,), and
    `v.aligned_x_memory` (n_nodes,), the accumulator of the nodes in the inter-view task.
    """
    state: dict[str, NDArray[np.float32]] = {}
    for place, (view, n) in enumerate(n_nodes.items()):
        state[f"{view}.source"] = initial_sources(seed, place, (0, n), dim)
        state[f"{view}.target"] = np.zeros((n, dim), np.float32)
        for side in SIDES:
            state[f"{view}.{side}_memory"] = np.full(n, ADAGRAD_START, np.float32)
    for view in aligned:
        for side in SIDES:
            state[f"{view}.alignment_{side}"] = np.eye(dim, dtype=np.float32)
            state[f"{view}.alignment_{side}_memory"] = np.full(1, ADAGRAD_START, np.float32)
            state[f"{view}.aligned_{side}_memory"] = np.full(n_nodes[view], ADAGRAD_START, np.float32)
    return state


def initial_sources(seed: int, place: int, rows: tuple[int, int], dim: int) -> NDArray[np.float32]:
    """(end - begin, dim) source vectors of the rows begin..end of a view, the same whoever holds which rows.

    Args:
        place: the place of the view among all views.
    """
    begin, end = rows
    drawn = np.empty((end - begin, dim), np.float32)
    for block in range(begin // ROWS_PER_DRAW, -(-end // ROWS_PER_DRAW)):
        first = block * ROWS_PER_DRAW
        rng = np.random.default_rng([seed, place, block] if block else [seed, place])
        vectors = rng.normal(0, SOURCE_SCALE, (min(end - first, ROWS_PER_DRAW), dim))
        drawn[max(first - begin, 0) : first - begin + len(vectors)] = vectors[max(begin - first, 0) :]
    return drawn


def start_from(
    state: Mapping[str, NDArray[np.float32]],
    tables: Mapping[str, EmbeddingTable],
    alignments: Mapping[str, NDArray[np.float32]],
    rows: Mapping[str, OwnRows] | None = None,
) -> None:
    """Warm start: known nodes, the first rows of each view, take over their vectors; new nodes keep their fresh ones.

    Args:
        state: from `initial_state`; changed in place.
        tables: vectors of an earlier training, per view, no more rows than now.
        alignments: its alignment matrices by their names `view.alignment_side`.
        rows: which rows of an array `state` holds, where other processes hold the others.

    Raises:
        DataError: the vectors have another dimension, or more rows than there are nodes now.
    """
    for view, table in tables.items():
        for side, vectors in (("source", table.source), ("target", table.target)):
            if f"{view}.{side}" not in state:
                continue  # a view that is no longer configured
            own = state[f"{view}.{side}"]
            begin, end, n = (rows or {}).get(f"{view}.{side}", (0, len(own), len(own)))
            if vectors.shape[1] != own.shape[1] or len(vectors) > n:
                raise DataError(
                    f"cannot start from vectors of shape {vectors.shape} in view {view!r}, where "
                    f"{(n, own.shape[1])} are trained: keep model.embedding_dim, and prepare the data with the "
                    "vocabulary of the old bundle"
                )
            known = vectors[begin:end]
            own[: len(known)] = known
    for name, matrix in alignments.items():
        if name in state:
            state[name][:] = matrix


def embedding_tables(state: Mapping[str, NDArray[np.float32]], views: Sequence[str]) -> dict[str, EmbeddingTable]:
    """The vectors of each view, copied."""
    return {v: EmbeddingTable(state[f"{v}.source"].copy(), state[f"{v}.target"].copy()) for v in views}


def alignment_matrices(state: Mapping[str, NDArray[np.float32]], views: Sequence[str]) -> dict[str, NDArray]:
    """The alignment matrices by name, `view.alignment_side`, copied; none for views that are not aligned."""
    names = [f"{v}.alignment_{side}" for v in views if v != ITEM_VIEW for side in SIDES]
    return {name: state[name].copy() for name in names if name in state}


__all__ = [
    "SIDES",
    "Side",
    "alignment_matrices",
    "embedding_tables",
    "initial_sources",
    "initial_state",
    "start_from",
]
