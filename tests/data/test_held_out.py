from decimal import Decimal

import numpy as np
import pyarrow as pa

from prismrec.data.held_out import Ranges, held_out, numpy_of, sampled

ROWS = pa.table({"user_id": ["a", "a", "a", "b", "b"], "item_id": [10, 11, 12, 20, 21]})


def ranges(*rows):
    start, middle, stop = np.array(rows, np.int64).reshape(-1, 3).T
    return Ranges(start, middle, stop)


def test_a_range_becomes_a_query_with_history_and_truth():
    found = held_out(ROWS, ranges((0, 1, 3), (3, 4, 5)), {"users_with_too_few_rows": 2})
    assert found.queries.to_pylist() == [
        {"query": 0, "user_id": "a", "history": [10], "truth": [11, 12], "session": None},
        {"query": 1, "user_id": "b", "history": [20], "truth": [21], "session": None},
    ]
    assert found.left_out == {"users_with_too_few_rows": 2}
    assert len(found) == 2


def test_ranges_may_overlap_and_a_history_may_be_empty():
    found = held_out(ROWS, ranges((0, 0, 1), (0, 1, 2), (0, 2, 3)), {})
    assert found.queries["history"].to_pylist() == [[], [10], [10, 11]]
    assert found.queries["truth"].to_pylist() == [[10], [11], [12]]


def test_no_ranges_are_no_queries_with_the_same_columns():
    queries = held_out(ROWS, ranges(), {}).queries
    assert queries.num_rows == 0
    assert queries.schema == held_out(ROWS, ranges((0, 1, 2)), {}).queries.schema


def test_rows_in_several_chunks_are_one_table():
    chunked = pa.concat_tables([ROWS.slice(0, 2), ROWS.slice(2)])
    assert held_out(chunked, ranges((1, 2, 4)), {}).queries["truth"].to_pylist() == [[12, 20]]


def test_session_numbers_come_out_as_integers_even_from_an_engine_that_counts_in_128_bits():
    numbers = pa.array([Decimal(0), Decimal(0), Decimal(1), Decimal(0), Decimal(7)], pa.decimal128(38, 0))
    session = held_out(ROWS.append_column("session_number", numbers), ranges((0, 1, 2), (3, 4, 5)), {}).queries[
        "session"
    ]
    assert session.type == pa.int64()
    assert session.to_pylist() == [0, 7]


def test_a_sample_keeps_the_order_and_counts_the_rest():
    every = ranges(*[(0, place, place + 1) for place in range(100)])
    chosen, left_out = sampled(every, {"earlier": 3}, max_queries=30, seed=4)
    assert len(chosen) == 30
    assert (np.diff(chosen.middle) > 0).all()
    assert (chosen.stop == chosen.middle + 1).all()
    assert left_out == {"earlier": 3, "queries_not_sampled": 70}


def test_a_sample_is_drawn_from_all_places_alike():
    every = ranges(*[(0, place, place + 1) for place in range(10)])
    drawn = np.concatenate([sampled(every, {}, 3, seed)[0].middle for seed in range(400)])
    assert np.abs(np.bincount(drawn, minlength=10) - 120).max() < 5 * np.sqrt(400 * 0.3 * 0.7)


def test_zero_or_more_than_there_are_means_all():
    every = ranges((0, 1, 2), (0, 2, 3))
    for bound in (0, 2, 5):
        assert sampled(every, {"earlier": 3}, bound, seed=0) == (every, {"earlier": 3})


def test_a_column_in_chunks_becomes_one_array():
    assert numpy_of(pa.chunked_array([[True], [False, True]])).tolist() == [True, False, True]
