"""Rows in blocks: all of them, once, in order, and no block larger than the budget allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prismrec.data import blocks
from prismrec.data.blocks import BLOCK_BYTES, row_blocks


@given(st.integers(0, 3000), st.integers(0, 3 * BLOCK_BYTES), st.none() | st.integers(1, 500))
def test_every_row_comes_once_in_order_and_blocks_keep_to_both_bounds(n_rows, bytes_per_row, most_rows):
    parts = list(row_blocks(n_rows, bytes_per_row, most_rows))
    assert [row for part in parts for row in range(part.start, part.stop)] == list(range(n_rows))
    for part in parts:
        size = part.stop - part.start
        assert size == 1 or size * bytes_per_row <= BLOCK_BYTES
        assert most_rows is None or size <= most_rows


def test_blocks_are_as_large_as_the_budget_allows(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 100)
    assert list(row_blocks(7, 30)) == [slice(0, 3), slice(3, 6), slice(6, 7)]


@pytest.mark.parametrize("bytes_per_row", [0, BLOCK_BYTES + 1])
def test_rows_without_width_and_rows_wider_than_a_block_come_all_the_same(bytes_per_row):
    assert sum(part.stop - part.start for part in row_blocks(3, bytes_per_row)) == 3
