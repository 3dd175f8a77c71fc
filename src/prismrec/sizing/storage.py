"""Bytes of everything that is kept, counted from the types of the arrays; tests hold them to real files and arrays."""

from __future__ import annotations

from collections.abc import Mapping

from prismrec.data.schema import ITEM_VIEW
from prismrec.retrieval.index.settings import IndexSettings
from prismrec.sizing.job import Storage

NUMBER_BYTES: Mapping[Storage, int] = {"fp32": 4, "bf16": 2, "fp16": 2}
"""Bytes of a number in a table."""

INDEX_BYTES, OFFSET_BYTES, COUNT_BYTES, FLOAT_BYTES = 4, 8, 8, 4
"""int32 indices, int64 offsets, int64 counts, float32."""


def sequence_bytes(n_values: int, n_sequences: int) -> int:
    """Ragged rows: 4 n_values + 8 (n_sequences + 1), an int32 per value and an int64 offset per row."""
    return INDEX_BYTES * n_values + OFFSET_BYTES * (n_sequences + 1)


def vocabulary_bytes(n_ids: int, id_bytes: int) -> int:
    """A vocabulary on disk: n (id_bytes + 8 + 8), each id with its count and its place in sorted order."""
    return n_ids * (id_bytes + COUNT_BYTES + OFFSET_BYTES)


def table_bytes(n_nodes: int, dim: int, storage: Storage = "fp32") -> int:
    """Both embedding tables of a view: 2 n dim b, source and target, b bytes per number."""
    return 2 * n_nodes * dim * NUMBER_BYTES[storage]


def accumulator_bytes(n_nodes: int, *, aligned: bool) -> int:
    """Row-wise Adagrad: a float32 per row and side, 8 n; for the nodes of an aligned view a second pair, 16 n."""
    return (4 if aligned else 2) * n_nodes * FLOAT_BYTES


def model_bytes(n_nodes: Mapping[str, int], dim: int, storage: Storage = "fp32", *, alignment: bool = True) -> int:
    """Tables and accumulators of all views: what training changes, but for the few numbers of the alignment."""
    return sum(
        table_bytes(n, dim, storage) + accumulator_bytes(n, aligned=alignment and view != ITEM_VIEW)
        for view, n in n_nodes.items()
    )


def alignment_bytes(n_side_views: int, dim: int) -> int:
    """Two dim x dim float32 matrices per side view, each with one accumulator: 8 (dim^2 + 1) per view."""
    return n_side_views * 2 * FLOAT_BYTES * (dim * dim + 1)


def noise_bytes(n_nodes: int) -> int:
    """What every process knows of every node: 20 n; alias table 8, offset of its logit 4, count 8."""
    return n_nodes * (2 * FLOAT_BYTES + FLOAT_BYTES + COUNT_BYTES)


def order_bytes(n_rows: int) -> int:
    """The order in which an epoch takes sequences or edges: 8 n, an int64 each."""
    return OFFSET_BYTES * n_rows


def edge_bytes(n_edges: int) -> int:
    """Edges from items to nodes of a side view: 8 n, two int32 each."""
    return 2 * INDEX_BYTES * n_edges


def exchange_bytes(rows: float, dim: int) -> float:
    """Buffers of one sharded update: rows (3 x 4 dim + 2 x 8).

    Vectors as they come out of the table, as they arrive, and their gradients, all float32; and ids, sent and
    received.
    """
    return rows * (3 * FLOAT_BYTES * dim + 2 * OFFSET_BYTES)


def vectors_bytes(n_nodes: Mapping[str, int], dim: int) -> int:
    """The vectors of a bundle, always float32: 8 dim per node."""
    return sum(table_bytes(n, dim) for n in n_nodes.values())


def matrices_bytes(n_items: int, n_views: int, dim: int) -> int:
    """The views side by side, per item: 4 n (2 V dim + 1), sources, targets, and the popularity prior."""
    return FLOAT_BYTES * n_items * (2 * n_views * dim + 1)


def codes_bytes(n_items: int, n_views: int, dim: int) -> int:
    """4-bit codes of the targets with the prior as two digits, and an int64 per item: n ((V dim + 2) / 2 + 8).

    None where the catalogue is searched exactly.
    """
    if n_items < IndexSettings().exact_below:
        return 0
    columns = n_views * dim + 1
    return n_items * ((columns + 2 - columns % 2) // 2 + OFFSET_BYTES)


def bundle_bytes(n_nodes: Mapping[str, int], dim: int, id_bytes: int) -> int:
    """A bundle on disk without its item table: vectors, matrices, codes, ids, nodes of the items, alignment."""
    n_items, n_side_views = n_nodes[ITEM_VIEW], len(n_nodes) - 1
    return (
        vectors_bytes(n_nodes, dim)
        + matrices_bytes(n_items, len(n_nodes), dim)
        + codes_bytes(n_items, len(n_nodes), dim)
        + sum(vocabulary_bytes(n, id_bytes) for n in n_nodes.values())
        + n_side_views * sequence_bytes(n_items, n_items)
        + alignment_bytes(n_side_views, dim)
    )


__all__ = [
    "COUNT_BYTES",
    "FLOAT_BYTES",
    "INDEX_BYTES",
    "NUMBER_BYTES",
    "OFFSET_BYTES",
    "accumulator_bytes",
    "alignment_bytes",
    "bundle_bytes",
    "codes_bytes",
    "edge_bytes",
    "exchange_bytes",
    "matrices_bytes",
    "model_bytes",
    "noise_bytes",
    "order_bytes",
    "sequence_bytes",
    "table_bytes",
    "vectors_bytes",
    "vocabulary_bytes",
]
