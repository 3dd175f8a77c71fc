"""Rows in blocks of bounded size: how what is larger than memory is gone through."""

from __future__ import annotations

from collections.abc import Iterator

BLOCK_BYTES = 64 * 2**20
"""How much of a table is held in memory at a time, what is made of it on the way included."""


def row_blocks(n_rows: int, bytes_per_row: int, most_rows: int | None = None) -> Iterator[slice]:
    """Rows 0 .. n_rows - 1, as many at a time as `BLOCK_BYTES` holds, one at least.

    >>> [(rows.start, rows.stop) for rows in row_blocks(5, bytes_per_row=BLOCK_BYTES // 2)]
    [(0, 2), (2, 4), (4, 5)]

    Args:
        n_rows: how many there are.
        bytes_per_row: of all arrays that are in memory at once, temporary ones too.
        most_rows: never more than these at a time.
    """
    size = max(1, BLOCK_BYTES // max(1, bytes_per_row))
    size = size if most_rows is None else min(size, most_rows)
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


__all__ = ["BLOCK_BYTES", "row_blocks"]
