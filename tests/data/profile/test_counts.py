"""Totals and top lists of a log of seven rows."""

import dataclasses
import uuid

import pyarrow as pa
import pytest

from prismrec.data import engine
from prismrec.data.profile.counts import counts_of, top
from prismrec.errors import DataError

ROWS = [("a", 10, 0), ("a", 10, 1), ("a", 20, 2), ("b", 10, 3), ("b", 30, 4), ("c", 20, 5), ("c", 20, 6)]


def test_totals_by_hand(make_log):
    counts = counts_of(make_log(ROWS))
    assert (counts.n_interactions, counts.n_users, counts.n_items, counts.n_pairs) == (7, 3, 3, 5)
    assert counts.density == pytest.approx(5 / 9)
    assert counts.sparsity == pytest.approx(4 / 9)
    assert counts.repeat_share == pytest.approx(2 / 7)
    assert counts.quarantined == {}


def test_quarantined_rows_are_counted_by_reason(make_log, backend):
    bad = engine.register(backend, pa.table({"reason": ["no item", "no user", "no item"]}))
    log = dataclasses.replace(make_log(ROWS), quarantined=bad)
    assert counts_of(log).quarantined == {"no item": 2, "no user": 1}


def test_an_empty_log_is_a_clear_error(make_log):
    log = make_log(ROWS)
    with pytest.raises(DataError, match="there is nothing to profile: the log has no usable row"):
        counts_of(dataclasses.replace(log, table=log.table.limit(0)))


def test_the_top_is_by_count_then_by_id(make_log):
    found = top(make_log(ROWS).table, "item_id", 2, 7)
    assert [(one.id, one.count, one.share) for one in found] == [(10, 3, 3 / 7), (20, 3, 3 / 7)]
    assert [one.id for one in top(make_log(ROWS).table, "user_id", 10, 7)] == ["a", "b", "c"]


def test_items_have_the_names_of_the_item_table(make_log, make_items):
    items = make_items(item_id=[10, 20, 40], name=["ten", None, "forty"])
    found = top(make_log(ROWS).table, "item_id", 3, 7, items)
    assert [one.name for one in found] == ["ten", None, None]
    assert [one.name for one in top(make_log(ROWS).table, "item_id", 3, 7, make_items(item_id=[10]))] == [None] * 3


def test_large_integers_and_uuids_come_back_unchanged(make_log, backend):
    large = 9_007_199_254_740_993  # 2^53 + 1: a float would lose the one
    assert top(make_log([("a", large, 0)]).table, "item_id", 1, 1)[0].id == large
    key = uuid.uuid4()
    table = pa.table({"user_id": pa.array([key.bytes], pa.binary(16))})
    assert top(engine.register(backend, table), "user_id", 1, 1)[0].id == key
