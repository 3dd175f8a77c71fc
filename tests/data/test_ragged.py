"""Flat-array rules against plain Python."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from prismrec.data.ragged import within_lengths, without_missing, without_repeats
from prismrec.data.sequences import Sequences

rows_of_numbers = st.lists(st.lists(st.integers(-1, 3), max_size=8), max_size=8)


@given(rows_of_numbers)
def test_repeats_go_within_rows_and_never_across(rows):
    expected = [[value for value, _ in groupby(row)] for row in rows]
    assert without_repeats(Sequences.from_lists(rows)).to_lists() == expected


@given(rows_of_numbers)
def test_missing_values_go_and_rows_stay(rows):
    expected = [[value for value in row if value >= 0] for row in rows]
    assert without_missing(Sequences.from_lists(rows)).to_lists() == expected


@given(rows_of_numbers, st.integers(1, 4), st.integers(1, 5))
def test_long_rows_are_cut_and_short_ones_dropped(rows, shortest, longest):
    pieces = [row[i : i + longest] for row in rows for i in range(0, len(row), longest)]
    expected = [piece for piece in pieces if len(piece) >= shortest]
    assert within_lengths(Sequences.from_lists(rows), shortest, longest).to_lists() == expected
